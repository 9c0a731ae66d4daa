//! Where the cache is: `$VERIDRAFT_CACHE`, else the platform's cache directory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The cache directory, an absolute path. It may not exist yet.
///
/// `$VERIDRAFT_CACHE`, else `veridraft` in `$XDG_CACHE_HOME` or `~/.cache` (on macOS `~/Library/Caches`, on Windows
/// `%LOCALAPPDATA%`).
pub fn cache_directory() -> Result<PathBuf> {
    let directory = directory_from(|name| std::env::var_os(name)).ok_or(Error::NoCacheDirectory)?;
    std::path::absolute(&directory).map_err(Error::io("find", directory))
}

/// The rule of [`cache_directory`] over any environment. An empty variable counts as unset.
fn directory_from(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("VERIDRAFT_CACHE").or_else(|| Some(platform_caches(set)?.join("veridraft")))
}

#[cfg(windows)]
fn platform_caches(set: impl Fn(&'static str) -> Option<PathBuf>) -> Option<PathBuf> {
    set("LOCALAPPDATA")
}

#[cfg(target_os = "macos")]
fn platform_caches(set: impl Fn(&'static str) -> Option<PathBuf>) -> Option<PathBuf> {
    Some(set("HOME")?.join("Library").join("Caches"))
}

/// The XDG base directory specification says that a relative `$XDG_CACHE_HOME` is to be ignored.
#[cfg(not(any(windows, target_os = "macos")))]
fn platform_caches(set: impl Fn(&'static str) -> Option<PathBuf>) -> Option<PathBuf> {
    let explicit = set("XDG_CACHE_HOME").filter(|path: &PathBuf| Path::is_absolute(path));
    explicit.or_else(|| Some(set("HOME")?.join(".cache")))
}

#[cfg(all(test, not(any(windows, target_os = "macos"))))]
mod tests {
    use super::*;

    fn check(environment: &[(&str, &str)], expected: Option<&str>) {
        let lookup = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        assert_eq!(directory_from(lookup), expected.map(PathBuf::from), "{environment:?}");
    }

    #[test]
    fn the_first_variable_that_is_set_names_the_cache() {
        check(&[("VERIDRAFT_CACHE", "/v"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], Some("/v"));
        check(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], Some("/x/veridraft"));
        check(&[("HOME", "/h")], Some("/h/.cache/veridraft"));
        check(&[], None);
    }

    #[test]
    fn empty_and_relative_variables_count_as_unset() {
        check(&[("VERIDRAFT_CACHE", ""), ("XDG_CACHE_HOME", "here"), ("HOME", "/h")], Some("/h/.cache/veridraft"));
    }
}
