//! Files that appear whole or not at all, also after a power cut: written under another name, waited for until the disk
//! has them, then renamed. Whoever has the old file open or mapped keeps it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// A place for a file beside the name it will have once it is whole.
pub(crate) struct UnfinishedFile {
    folder: TempDir,
    destination: PathBuf,
}

impl UnfinishedFile {
    /// Makes sure that a file can be written there.
    pub(crate) fn beside(destination: &Path) -> Result<Self> {
        check_destination(destination)?;
        let parent = folder_of(destination);
        let folder = tempfile::Builder::new().prefix(".veridraft-unfinished-").tempdir_in(parent);
        let folder = folder.with_context(|| format!("cannot write in `{}`", parent.display()))?;
        Ok(Self { folder, destination: destination.to_owned() })
    }

    /// Writes the file and gives it its name.
    pub(crate) fn finish(self, bytes: &[u8]) -> Result<()> {
        let unfinished = self.folder.path().join("file");
        fs::write(&unfinished, bytes)
            .and_then(|()| put_in_place(&unfinished, &self.destination))
            .with_context(|| format!("cannot write `{}`", self.destination.display()))
    }
}

/// Refuses a folder as the name of a file to write.
pub(crate) fn check_destination(destination: &Path) -> Result<()> {
    if destination.is_dir() {
        bail!("`{}` is a folder, expected a file to write", destination.display());
    }
    Ok(())
}

/// Gives a complete file its name for good: when this returns, no power cut takes it back.
pub(crate) fn put_in_place(unfinished: &Path, destination: &Path) -> io::Result<()> {
    // The disk must have the content first, as a rename may reach it before.
    File::options().write(true).open(unfinished)?.sync_all()?;
    fs::rename(unfinished, destination)?;
    sync_folder_of(destination)
}

/// Waits until the disk has the names in the folder that `path` is in.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    // Elsewhere folders cannot be opened as files, and the file system orders renames itself.
    if cfg!(unix) { unless_impossible(File::open(folder_of(path))?.sync_all()) } else { Ok(()) }
}

/// Some file systems cannot wait for a folder (CIFS and FUSE give EINVAL), and then nobody can.
fn unless_impossible(outcome: io::Result<()>) -> io::Result<()> {
    outcome.or_else(|error| match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => Ok(()),
        _ => Err(error),
    })
}

/// The folder that `path` is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => ".".as_ref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_unfinished_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        for text in ["older", "newer"] {
            UnfinishedFile::beside(&path).and_then(|file| file.finish(text.as_bytes())).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("there"), text);
        }
        drop(UnfinishedFile::beside(&path).expect("a place"));
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_refused_before_the_work() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(UnfinishedFile::beside(folder.path()).is_err());
        assert!(UnfinishedFile::beside(&folder.path().join("absent/file")).is_err());
    }

    #[test]
    fn a_folder_that_cannot_be_waited_for_is_not_and_a_full_disk_is_told() {
        assert!(unless_impossible(Err(io::ErrorKind::InvalidInput.into())).is_ok());
        assert!(unless_impossible(Err(io::ErrorKind::Unsupported.into())).is_ok());
        assert!(unless_impossible(Err(io::ErrorKind::StorageFull.into())).is_err());
    }

    #[test]
    fn a_name_alone_is_in_the_current_folder() {
        assert_eq!(folder_of(Path::new("file")), Path::new("."));
        assert_eq!(folder_of(Path::new("a/file")), Path::new("a"));
        assert_eq!(folder_of(Path::new("/file")), Path::new("/"));
    }
}
