//! The cache directory: what it is called, and how something is put there once and whole.
//!
//! Invariant: a path in the cache without a leading dot in its name is complete. It is made under another name, in a
//! scratch folder beside it, and gets its own by one rename; a killed process leaves a scratch folder that nobody opens
//! and the next one removes.

mod digest;
mod directory;
mod file_lock;
mod place;

pub use digest::{check_sha256, sha256_of, sha256_of_text};
pub use directory::cache_directory;
pub use file_lock::FileLock;
pub use place::{Placed, place_once};

/// Takes lines for a person who waits: what is fetched, who holds the lock.
pub type Notify<'a> = &'a dyn Fn(&str);

/// A [`Notify`] that prints to standard error.
pub fn to_stderr(line: &str) {
    eprintln!("{line}");
}
