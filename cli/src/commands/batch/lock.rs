//! One process at a time for one output file.
//!
//! The lock is the operating system's and ends with the process, however that ends. Its file is hidden beside OUT and
//! goes away with [`OutputLock::release`] alone. A process that waits for nobody may still have opened the file before it
//! went and lock it afterwards, while another one makes and locks a new file of that name; so a lock counts only while
//! its file has the name.

use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use veridraft_models::cache::FileLock;

use super::places::Places;

/// Held while a run writes to OUT. Dropping it leaves the file, which blocks nobody.
#[derive(Debug)]
pub(super) struct OutputLock {
    lock: FileLock,
    path: PathBuf,
}

impl OutputLock {
    /// Locks OUT for this process; an error if another one has it.
    pub(super) fn acquire(places: &Places) -> Result<Self> {
        loop {
            let Some(lock) = FileLock::try_acquire(&places.lock)? else {
                bail!("another process is writing `{}`, expected one at a time", places.out.display());
            };
            if lock.is_at(&places.lock)? {
                return Ok(Self { lock, path: places.lock.clone() });
            }
        }
    }

    /// Removes the file of the lock and gives the lock back. For a complete OUT alone.
    pub(super) fn release(self) -> Result<()> {
        let removed = std::fs::remove_file(&self.path);
        drop(self.lock);
        match removed {
            // Somebody tidied up.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other.with_context(|| format!("cannot remove `{}`", self.path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn acquire(out: &Path) -> Result<OutputLock> {
        OutputLock::acquire(&Places::of(out)?)
    }

    #[test]
    fn a_second_holder_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out.jsonl");
        let held = acquire(&out).expect("nobody has it");
        let error = acquire(&out).expect_err("it is held").to_string();
        assert_eq!(error, format!("another process is writing `{}`, expected one at a time", out.display()));
        acquire(&folder.path().join("other.jsonl")).expect("another file");
        drop(held);
        let held = acquire(&out).expect("the file alone locks nobody out");
        held.release().expect("removed");
        assert!(!folder.path().join(".out.jsonl.lock").exists());
    }

    #[test]
    fn a_lock_whose_file_went_away_is_given_back_all_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let held = acquire(&folder.path().join("out")).expect("nobody has it");
        std::fs::remove_file(&held.path).expect("it is there");
        held.release().expect("it is gone already");
    }

    #[test]
    fn one_at_a_time_has_a_lock_whose_file_comes_and_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let places = Places::of(&folder.path().join("out")).expect("a name");
        let (inside, turns) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let Ok(held) = OutputLock::acquire(&places) else { continue };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        turns.fetch_add(1, Ordering::SeqCst);
                        held.release().expect("it is there");
                    }
                });
            }
        });
        assert!(turns.into_inner() > 0);
    }

    #[test]
    fn a_place_that_cannot_have_a_lock_is_named() {
        let error = acquire(Path::new("absent/out.jsonl")).expect_err("no such folder");
        assert!(format!("{error:#}").contains("absent/.out.jsonl.lock"), "{error:#}");
    }
}
