//! Which library file is loaded: the one asked for, the cache's, one beside the executable, or a fresh installation.

use std::path::{Path, PathBuf};

use crate::cache::Notify;
use crate::runtime::{install, installed_path, pin_for_this_platform};
use crate::{Error, Result};

/// The caller's choice of a library.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LibraryChoice {
    /// `$ORT_DYLIB_PATH`, else the cache, else beside the executable, else install it.
    #[default]
    Find,
    /// This file and no other.
    File(PathBuf),
}

impl From<Option<PathBuf>> for LibraryChoice {
    /// The value of `--ort-lib`.
    fn from(path: Option<PathBuf>) -> Self {
        path.map_or(Self::Find, Self::File)
    }
}

/// A library file, not yet opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Absolute.
    pub path: PathBuf,
    /// How it was found.
    pub origin: Origin,
}

/// How a library was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The caller named it: [`LibraryChoice::File`].
    Argument,
    /// `$ORT_DYLIB_PATH` named it.
    Environment,
    /// It had been installed into the cache.
    Cache,
    /// It lies in the executable's folder.
    BesideExecutable,
    /// It was installed into the cache just now.
    Installed,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Argument => "--ort-lib",
            Self::Environment => "ORT_DYLIB_PATH",
            Self::Cache => "cache",
            Self::BesideExecutable => "beside the executable",
            Self::Installed => "installed now",
        })
    }
}

/// The library to load, or `None` if it would have to be installed.
pub fn find_library(choice: &LibraryChoice) -> Result<Option<Library>> {
    if let LibraryChoice::File(path) = choice {
        return named(path, Origin::Argument).map(Some);
    }
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        return named(Path::new(&path), Origin::Environment).map(Some);
    }
    let cached = installed_path()?.filter(|path| path.is_file());
    if let Some(path) = cached {
        return Ok(Some(Library { path, origin: Origin::Cache }));
    }
    let folder = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.to_owned()));
    Ok(folder.and_then(|folder| beside(&folder)))
}

/// [`find_library`], or an installation.
pub(super) fn find_or_install(choice: &LibraryChoice, notify: Notify<'_>) -> Result<Library> {
    match find_library(choice)? {
        Some(library) => Ok(library),
        None => {
            notify("no ONNX Runtime library found; installing it into the cache");
            Ok(Library { path: install(notify)?, origin: Origin::Installed })
        }
    }
}

fn named(path: &Path, origin: Origin) -> Result<Library> {
    let refuse = |reason: &str| Error::Library { path: path.to_owned(), reason: format!("{reason} ({origin})") };
    match std::fs::metadata(path) {
        Err(error) => Err(refuse(&error.to_string())),
        Ok(metadata) if metadata.is_dir() => Err(refuse("it is a folder")),
        Ok(metadata) if !metadata.is_file() => Err(refuse("it is not a regular file")),
        Ok(_) => Ok(Library { path: std::path::absolute(path).map_err(Error::io("find", path))?, origin }),
    }
}

fn beside(folder: &Path) -> Option<Library> {
    let plain = format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let names = std::iter::once(plain).chain(pin_for_this_platform().map(|pin| pin.file_name().to_owned()));
    let path = names.map(|name| folder.join(name)).find(|path| path.is_file())?;
    Some(Library { path, origin: Origin::BesideExecutable })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_beside_the_executable_is_found_by_its_plain_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(beside(folder.path()), None);
        let name = format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        std::fs::write(folder.path().join(&name), "").expect("written");
        assert_eq!(beside(folder.path()).expect("found").path, folder.path().join(name));
    }

    #[test]
    fn a_named_file_that_is_missing_or_a_folder_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for path in [folder.path().to_owned(), folder.path().join("missing")] {
            let error = find_library(&LibraryChoice::File(path.clone())).expect_err("no library");
            assert!(error.to_string().starts_with(&format!("`{}` is not a usable", path.display())), "{error}");
        }
    }
}
