//! The models known by name: `catalogue.toml`, compiled in.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;
use veridraft_models::python_package::PackageFile;

/// The contents of `catalogue.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Catalogue {
    /// The model of commands that name none.
    pub(crate) default: String,
    /// By name.
    pub(crate) models: BTreeMap<String, Entry>,
}

/// A checkpoint in a Python package.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) description: String,
    pub(crate) license: String,
    package: String,
    version: String,
    wheel_sha256: String,
    file: String,
    /// Of the checkpoint, in lower-case hexadecimal.
    pub(crate) file_sha256: String,
}

impl Catalogue {
    /// The one catalogue of this program.
    pub(crate) fn get() -> &'static Self {
        static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
        CATALOGUE.get_or_init(|| {
            toml::from_str(include_str!("../catalogue.toml")).expect("`catalogue.toml` is checked by a test")
        })
    }

    /// The names, for a message: "`a`, `b`".
    pub(crate) fn names(&self) -> String {
        self.models.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }
}

impl Entry {
    /// Where the checkpoint comes from.
    pub(crate) fn package_file(&self) -> PackageFile<'_> {
        PackageFile {
            package: &self.package,
            version: &self.version,
            platform: None,
            wheel_sha256: &self.wheel_sha256,
            member: &self.file,
            member_sha256: &self.file_sha256,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_holds_its_default_and_whole_digests() {
        let catalogue = Catalogue::get();
        assert!(catalogue.models.contains_key(&catalogue.default));
        for (name, entry) in &catalogue.models {
            assert_eq!((entry.wheel_sha256.len(), entry.file_sha256.len()), (64, 64), "{name}");
            assert!(entry.file.ends_with(".gguf"), "{name}");
        }
    }
}
