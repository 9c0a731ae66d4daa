//! One process at a time for one output file.
//!
//! The lock is the operating system's and ends with the process, however that ends. Its file is hidden beside OUT and
//! goes away with [`OutputLock::release`] alone, which is for a run whose OUT is complete: two processes that then hold
//! locks on two files of that name both find that there is nothing to do.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use veridraft_models::cache::FileLock;

/// Held while a run writes to OUT. Dropping it leaves the file, which blocks nobody.
#[derive(Debug)]
pub(super) struct OutputLock {
    lock: FileLock,
    path: PathBuf,
}

impl OutputLock {
    /// Locks `out` for this process; an error if another one has it.
    pub(super) fn acquire(out: &Path) -> Result<Self> {
        let path = lock_path(out)?;
        match FileLock::try_acquire(&path)? {
            Some(lock) => Ok(Self { lock, path }),
            None => bail!("another process is writing `{}`, expected one at a time", out.display()),
        }
    }

    /// Removes the file of the lock and gives the lock back. For a complete OUT alone.
    pub(super) fn release(self) -> Result<()> {
        let removed = std::fs::remove_file(&self.path);
        drop(self.lock);
        removed.with_context(|| format!("cannot remove `{}`", self.path.display()))
    }
}

fn lock_path(out: &Path) -> Result<PathBuf> {
    let name = out.file_name().with_context(|| format!("`{}` is not the name of a file", out.display()))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(".lock");
    Ok(out.with_file_name(hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out.jsonl");
        let held = OutputLock::acquire(&out).expect("nobody has it");
        let error = OutputLock::acquire(&out).expect_err("it is held").to_string();
        assert_eq!(error, format!("another process is writing `{}`, expected one at a time", out.display()));
        OutputLock::acquire(&folder.path().join("other.jsonl")).expect("another file");
        drop(held);
        let held = OutputLock::acquire(&out).expect("the file alone locks nobody out");
        held.release().expect("removed");
        assert!(!folder.path().join(".out.jsonl.lock").exists());
    }

    #[test]
    fn a_place_that_cannot_have_a_lock_is_named() {
        assert!(OutputLock::acquire(Path::new("..")).is_err());
        let error = OutputLock::acquire(Path::new("absent/out.jsonl")).expect_err("no such folder");
        assert!(format!("{error:#}").contains("absent/.out.jsonl.lock"), "{error:#}");
    }
}
