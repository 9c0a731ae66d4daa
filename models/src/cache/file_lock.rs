//! A lock between processes: a file beside what it guards, locked for as long as the value lives.
//!
//! The operating system drops the lock with the process, so a killed one never blocks the next. The file itself may stay.
//! Whoever deletes it lets two processes hold locks on two files of the same name, unless all that lock it ask
//! [`FileLock::is_at`] afterwards.

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
    /// Closing it releases the lock.
    file: File,
}

impl FileLock {
    /// Waits for the lock on the file at `path`, which is made if it is not there.
    ///
    /// Where the file system has no locks, as some network file systems have none, this goes on without one: for what a
    /// rename keeps whole, so that work may be done twice, but no half result is ever seen.
    pub fn acquire(path: &Path, notify: Notify<'_>) -> Result<Self> {
        let file = open(path)?;
        match locked_within(&file, PATIENCE) {
            Ok(true) => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            Ok(false) => {
                notify(&format!("waiting for another process that holds `{}`", path.display()));
                file.lock().map_err(Error::io("lock", path))?;
            }
            Err(error) => return Err(Error::io("lock", path)(error)),
        }
        Ok(Self { file })
    }

    /// Takes the lock on the file at `path`, which is made if it is not there; none if somebody else holds it.
    ///
    /// An error where the file system has no locks: who asks so cannot do without.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>> {
        let file = open(path)?;
        let is_locked = locked_within(&file, Duration::ZERO).map_err(Error::io("lock", path))?;
        Ok(is_locked.then_some(Self { file }))
    }

    /// Whether the locked file is the one at `path`, and not one that had the name before. Elsewhere than on Unix a file
    /// that is open keeps its name.
    pub fn is_at(&self, path: &Path) -> Result<bool> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let own = self.file.metadata().map_err(Error::io("read", path))?;
            match path.metadata() {
                Ok(found) => Ok((found.dev(), found.ino()) == (own.dev(), own.ino())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(Error::io("read", path)(error)),
            }
        }
        #[cfg(not(unix))]
        {
            let _ = (&self.file, path);
            Ok(true)
        }
    }
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(false);
    options.open(path).map_err(Error::io("create the lock file", path))
}

/// Whether the file was locked in time.
fn locked_within(file: &File, patience: Duration) -> io::Result<bool> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
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

    #[cfg(unix)]
    #[test]
    fn a_lock_knows_whether_its_file_has_the_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("lock");
        let held = FileLock::try_acquire(&path).expect("a lock file").expect("nobody else holds it");
        assert!(held.is_at(&path).expect("readable"));
        std::fs::remove_file(&path).expect("it is there");
        assert!(!held.is_at(&path).expect("readable"));
        let other = FileLock::try_acquire(&path).expect("a lock file").expect("nobody holds this one");
        assert!(!held.is_at(&path).expect("readable") && other.is_at(&path).expect("readable"));
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
