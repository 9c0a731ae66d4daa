//! A lock between processes: a file beside what it guards, locked for as long as the value lives.
//!
//! The operating system drops the lock with the process, so a killed one never blocks the next. The file itself stays:
//! deleting it would let two processes hold locks on two files of the same name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cache::Notify;
use crate::{Error, Result};

/// How long to wait before saying so.
const PATIENCE: Duration = Duration::from_millis(700);
const POLL: Duration = Duration::from_millis(20);

/// An exclusive lock, also among the threads of one process. Released when dropped.
#[derive(Debug)]
pub struct FileLock {
    /// Never read: closing it releases the lock.
    _file: File,
}

impl FileLock {
    /// Waits for the lock on the file at `path`, which is made if it is not there.
    pub fn acquire(path: &Path, notify: Notify<'_>) -> Result<Self> {
        let file = open(path)?;
        if !locked_within(&file, PATIENCE).map_err(Error::io("lock", path))? {
            notify(&format!("waiting for another process that holds `{}`", path.display()));
            file.lock().map_err(Error::io("lock", path))?;
        }
        Ok(Self { _file: file })
    }

    /// Takes the lock on the file at `path`, which is made if it is not there; none if somebody else holds it.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>> {
        let file = open(path)?;
        let is_locked = locked_within(&file, Duration::ZERO).map_err(Error::io("lock", path))?;
        Ok(is_locked.then_some(Self { _file: file }))
    }
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(false);
    options.open(path).map_err(Error::io("create the lock file", path))
}

/// Some network file systems have no locks. There the rename alone keeps the cache whole: work may be done twice, but
/// no half result is ever seen.
fn locked_within(file: &File, patience: Duration) -> io::Result<bool> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if start.elapsed() >= patience => return Ok(false),
            Err(TryLockError::WouldBlock) => std::thread::sleep(POLL),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn one_thread_at_a_time_holds_the_lock() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("lock");
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _lock = FileLock::acquire(&path, &|_| ()).expect("locked");
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    std::thread::sleep(Duration::from_millis(5));
                    inside.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
    }

    #[test]
    fn a_held_lock_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("lock");
        let held = FileLock::try_acquire(&path).expect("a lock file").expect("nobody else holds it");
        assert!(FileLock::try_acquire(&path).expect("a lock file").is_none());
        drop(held);
        assert!(FileLock::try_acquire(&path).expect("a lock file").is_some());
    }

    #[test]
    fn a_long_wait_is_announced_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("lock");
        let held = FileLock::acquire(&path, &|_| panic!("nobody else holds it")).expect("locked");
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let lines = AtomicUsize::new(0);
                let count = |_: &str| {
                    lines.fetch_add(1, Ordering::SeqCst);
                };
                FileLock::acquire(&path, &count).expect("locked at last");
                lines.into_inner()
            });
            std::thread::sleep(PATIENCE + PATIENCE / 2);
            drop(held);
            assert_eq!(waiter.join().expect("no panic"), 1);
        });
    }
}
