//! Puts a file or folder in its place once: made elsewhere, written to the disk, then renamed.
//!
//! ```text
//! models/smollm2-135m/f32                     the destination; there when complete, else absent
//! models/smollm2-135m/.f32.lock               held while it is made
//! models/smollm2-135m/.f32.partial-Ab3x/f32   the same thing being made, with room beside it for downloads
//! ```

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::Path;

use crate::cache::{FileLock, Notify};
use crate::{Error, Result};

/// How [`place_once`] left the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It was there already, whole.
    Found,
    /// This call made it.
    Made,
}

/// Makes `destination` unless it is there.
///
/// `make` gets a path that does not exist and writes a file or folder there; the folder around that path is its to
/// litter. If it fails, or the process dies, nothing appears at `destination`. Of several processes or threads that
/// want the same destination one makes it and the others wait and find it.
pub fn place_once<E: From<Error>>(
    destination: &Path,
    notify: Notify<'_>,
    make: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<Placed, E> {
    if destination.exists() {
        return Ok(Placed::Found);
    }
    let (Some(parent), Some(name)) = (destination.parent(), destination.file_name()) else {
        return Err(Error::io("create", destination)(std::io::ErrorKind::InvalidFilename.into()).into());
    };
    fs::create_dir_all(parent).map_err(Error::io("create the folder", parent))?;
    let _lock = FileLock::acquire(&parent.join(hidden(name, ".lock")), notify)?;
    if destination.exists() {
        return Ok(Placed::Found);
    }
    let prefix = hidden(name, ".partial-");
    remove_leftovers(parent, &prefix);
    let scratch =
        tempfile::Builder::new().prefix(&prefix).tempdir_in(parent).map_err(Error::io("create a folder in", parent))?;
    let unfinished = scratch.path().join(name);
    make(&unfinished)?;
    sync(&unfinished)?;
    fs::rename(&unfinished, destination).map_err(Error::io("create", destination))?;
    sync_folder(parent)?;
    Ok(Placed::Made)
}

fn hidden(name: &OsStr, suffix: &str) -> OsString {
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(suffix);
    hidden
}

/// Removes what killed processes left. The lock says that nobody is at work on them; one that cannot be removed costs
/// room and nothing else.
fn remove_leftovers(parent: &Path, prefix: &OsStr) {
    let prefix = prefix.as_encoded_bytes();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(prefix) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Waits until every file of `path`, a file or folder, is on the disk: a rename may otherwise survive a power cut that
/// the content does not.
fn sync(path: &Path) -> Result<()> {
    if !path.is_dir() {
        return File::options()
            .write(true)
            .open(path)
            .and_then(|file| file.sync_all())
            .map_err(Error::io("save", path));
    }
    for entry in fs::read_dir(path).map_err(Error::io("read", path))? {
        sync(&entry.map_err(Error::io("read", path))?.path())?;
    }
    sync_folder(path)
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(Error::io("save", path))
}

/// Elsewhere folders cannot be opened as files, and the file system orders renames itself.
#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn write(path: &Path, text: &str) -> Result<()> {
        fs::write(path, text).map_err(Error::io("write", path))
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn racing_threads_make_it_once_and_all_succeed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let destination = folder.path().join("deep").join("thing");
        let makers = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    place_once(&destination, &|_| (), |path| {
                        makers.fetch_add(1, Ordering::SeqCst);
                        fs::create_dir(path).map_err(Error::io("create", path))?;
                        write(&path.join("content"), "whole")
                    })
                    .expect("placed");
                    assert_eq!(fs::read_to_string(destination.join("content")).expect("there"), "whole");
                });
            }
        });
        assert_eq!(makers.into_inner(), 1);
        assert_eq!(names(&folder.path().join("deep")), [".thing.lock", "thing"]);
    }

    #[test]
    fn a_failure_leaves_nothing_and_can_be_repeated() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let destination = folder.path().join("file");
        let failed = place_once(&destination, &|_| (), |path| {
            write(path, "half")?;
            Err(Error::Runtime("stopped".to_owned()))
        });
        assert!(failed.is_err());
        assert_eq!(names(folder.path()), [".file.lock"]);
        assert_eq!(place_once(&destination, &|_| (), |path| write(path, "whole")).expect("placed"), Placed::Made);
        assert_eq!(
            place_once(&destination, &|_| (), |_| -> Result<()> { unreachable!() }).expect("found"),
            Placed::Found
        );
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        write(&folder.path().join("other"), "stays").expect("written");
        let leftover = folder.path().join(".file.partial-dead");
        fs::create_dir(&leftover).expect("made");
        write(&leftover.join("file"), "half").expect("written");
        place_once(&folder.path().join("file"), &|_| (), |path| write(path, "whole")).expect("placed");
        assert_eq!(names(folder.path()), [".file.lock", "file", "other"]);
    }
}
