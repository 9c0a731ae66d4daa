//! Puts the pinned library into the cache.

use std::path::{Path, PathBuf};

use crate::cache::{Notify, cache_directory, place_once, sha256_of};
use crate::python_package::{self, PackageFile};
use crate::runtime::{LibraryPin, VERSION, pin_for_this_platform};
use crate::{Error, Result};

/// Where [`install`] puts the library; `None` if this platform has none.
pub fn installed_path() -> Result<Option<PathBuf>> {
    let Some(pin) = pin_for_this_platform() else { return Ok(None) };
    Ok(Some(path_in(&cache_directory()?, pin)))
}

/// Makes sure that the pinned library, whole and unchanged, is in the cache and returns its path.
pub fn install(notify: Notify<'_>) -> Result<PathBuf> {
    let pin = pin_for_this_platform().ok_or_else(|| {
        let platform = format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH);
        failed(Error::Runtime(format!("no library of version {VERSION} is pinned for {platform}")))
    })?;
    install_into(&cache_directory()?, pin, notify, |file, output| python_package::fetch(file, output, notify))
        .map_err(failed)
}

fn failed(source: Error) -> Error {
    Error::Install { source: Box::new(source) }
}

fn path_in(cache: &Path, pin: &LibraryPin) -> PathBuf {
    let folder = format!("onnxruntime-{VERSION}-{}-{}", pin.os, pin.arch);
    cache.join("runtime").join(folder).join(pin.file_name())
}

fn install_into(
    cache: &Path,
    pin: &LibraryPin,
    notify: Notify<'_>,
    fetch: impl FnOnce(&PackageFile<'_>, &Path) -> Result<()>,
) -> Result<PathBuf> {
    let path = path_in(cache, pin);
    if path.exists() && sha256_of(&path)? != pin.file.member_sha256 {
        notify(&format!("`{}` has been changed; installing it anew", path.display()));
        std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    }
    place_once(&path, notify, |output| fetch(&pin.file, output))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::runtime::pins::PINS;

    fn pin_of_abc() -> LibraryPin {
        let mut pin = PINS[0];
        pin.file.member_sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        pin
    }

    fn write_abc(_: &PackageFile<'_>, output: &Path) -> Result<()> {
        std::fs::write(output, "abc").map_err(Error::io("write", output))
    }

    #[test]
    fn threads_that_install_at_once_fetch_once() {
        let cache = tempfile::tempdir().expect("a temporary folder");
        let fetched = AtomicUsize::new(0);
        let install_once = || {
            install_into(cache.path(), &pin_of_abc(), &|_| (), |file, output| {
                fetched.fetch_add(1, Ordering::SeqCst);
                write_abc(file, output)
            })
        };
        let paths: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(install_once)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic").expect("installed")).collect()
        });
        assert!(paths.iter().all(|path| std::fs::read(path).expect("there") == b"abc"));
        assert_eq!(fetched.into_inner(), 1);
    }

    #[test]
    fn a_changed_library_is_replaced() {
        let cache = tempfile::tempdir().expect("a temporary folder");
        let install_again = || install_into(cache.path(), &pin_of_abc(), &|_| (), write_abc).expect("installed");
        std::fs::write(install_again(), "changed").expect("written");
        assert_eq!(std::fs::read(install_again()).expect("there"), b"abc");
    }

    #[test]
    fn every_pin_names_a_library_and_whole_digests() {
        for pin in PINS {
            assert!(pin.file_name().contains("onnxruntime"), "{}", pin.file_name());
            assert_eq!((pin.file.wheel_sha256.len(), pin.file.member_sha256.len()), (64, 64), "{pin:?}");
        }
    }
}
