//! The folder of data sets and reference outputs that may lie beside the repository.

use std::path::{Path, PathBuf};

/// The file or folder `name` in `shared/` beside the repository; says so and gives `None` where it is absent.
pub fn shared_data(name: &str) -> Option<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let path = repository.parent()?.join("shared").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: `shared/{name}` does not lie beside the repository");
    None
}
