//! The files of a run, all beside OUT.
//!
//! ```text
//! OUT                 results, in the order of the input; there when everything is complete, else absent
//! OUT.errors.jsonl    errors, in the order of the input; empty if there are none
//! OUT.stats.json      timings and counts
//! OUT.journal         see `journal`; there while OUT is not
//! .OUT.lock           see `lock`
//! .OUT.unfinished     OUT being written, and alike for the others; written anew if a killed run left it
//! ```

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::data_files::Format;
use crate::unfinished_file::{check_destination, folder_of};
use crate::usage::UsageError;

/// The files of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) out: PathBuf,
    pub(super) errors: PathBuf,
    pub(super) stats: PathBuf,
    pub(super) journal: PathBuf,
    pub(super) lock: PathBuf,
    /// How OUT is packed.
    pub(super) format: Format,
}

impl Places {
    /// The files beside `out`; an error if a file cannot have one of their names.
    pub(super) fn of(out: &Path) -> Result<Self> {
        let name = out.file_name().with_context(|| format!("`{}` is not the name of a file", out.display()))?;
        let beside = |ending: &str| {
            let mut name = name.to_owned();
            name.push(ending);
            out.with_file_name(name)
        };
        let places = Self {
            out: out.to_owned(),
            errors: beside(".errors.jsonl"),
            stats: beside(".stats.json"),
            journal: beside(".journal"),
            lock: hidden(out, ".lock"),
            format: Format::of(out)?,
        };
        places.published().into_iter().try_for_each(check_destination)?;
        Ok(places)
    }

    /// The files that are left in the end, OUT as the last.
    pub(super) fn published(&self) -> [&Path; 3] {
        [&self.errors, &self.stats, &self.out]
    }

    /// Refuses another file of the run that is one of these, by whatever name. `what` it is goes on behind its name.
    pub(super) fn check_apart(&self, other: &Path, what: &str) -> Result<()> {
        let unfinished = self.published().map(unfinished);
        let all = self.published().into_iter().chain([&*self.journal, &*self.lock]);
        let mut all = all.chain(unfinished.iter().map(PathBuf::as_path));
        if all.any(|place| is_same(place, other)) {
            let (other, out) = (other.display(), self.out.display());
            let message = format!("`{other}` is {what}, but also a file that is written for `{out}`, expected another");
            return Err(UsageError::new(message).into());
        }
        Ok(())
    }

    /// Makes the files that are written in the end and removes them again: a name that is too long for them, or a folder
    /// that may not be written, is told before the work.
    pub(super) fn try_out(&self) -> Result<()> {
        for place in self.published() {
            let path = unfinished(place);
            File::create(&path).and_then(|_| fs::remove_file(&path)).with_context(|| cannot_write(place))?;
        }
        Ok(())
    }
}

/// Whether two names are of one file, which need not be there yet.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    real(one) == real(other)
}

fn real(path: &Path) -> PathBuf {
    let in_its_folder = || Some(folder_of(path).canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(in_its_folder).unwrap_or_else(|| path.to_owned())
}

/// The name of a file that is being written. It is the same for every run, so that the next one replaces what a killed
/// one left; the lock on OUT keeps others away.
pub(super) fn unfinished(place: &Path) -> PathBuf {
    hidden(place, ".unfinished")
}

fn hidden(place: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(place.file_name().unwrap_or_default());
    name.push(ending);
    place.with_file_name(name)
}

/// What an error in writing a file begins with.
pub(super) fn cannot_write(place: &Path) -> String {
    format!("cannot write `{}`", place.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_file_can_have_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(Places::of(folder.path()).is_err());
        assert!(Places::of(Path::new("/")).is_err());
        assert!(Places::of(Path::new("..")).is_err());
        fs::create_dir(folder.path().join("out.errors.jsonl")).expect("made");
        assert!(Places::of(&folder.path().join("out")).is_err());
    }

    #[test]
    fn what_cannot_be_written_in_the_end_is_told_in_the_beginning() {
        let folder = tempfile::tempdir().expect("a folder");
        let places = |name: &str| Places::of(&folder.path().join(name)).expect("a name");
        fs::write(folder.path().join(".out.unfinished"), "of a killed run").expect("written");
        places("out").try_out().expect("it can be written");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0);
        // Short enough for every file but the unfinished ones: 255 bytes are what most file systems take.
        let long = places(&"x".repeat(235));
        assert!(File::create(&long.errors).is_ok());
        let error = long.try_out().expect_err("too long").to_string();
        assert_eq!(error, cannot_write(&long.errors));
        assert!(places("absent/out").try_out().is_err());
    }

    #[test]
    fn no_file_of_a_run_is_another_by_any_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("sub")).expect("made");
        fs::write(path("out.jsonl"), "").expect("written");
        let places = Places::of(&path("out.jsonl")).expect("a name");
        let names = ["out.jsonl", "out.jsonl.errors.jsonl", "out.jsonl.stats.json", "out.jsonl.journal"];
        let hidden = [".out.jsonl.lock", ".out.jsonl.unfinished", ".out.jsonl.stats.json.unfinished"];
        for name in names.iter().chain(&hidden) {
            for name in [path(name), path("sub/..").join(name), path(".").join(name)] {
                let error = places.check_apart(&name, "the input").expect_err("one of the run's");
                assert!(error.is::<UsageError>(), "{error}");
            }
        }
        places.check_apart(&path("in.jsonl"), "the input").expect("another file");
        places.check_apart(&path("sub/out.jsonl"), "the input").expect("another file");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(path("out.jsonl"), path("link")).expect("made");
            assert!(places.check_apart(&path("link"), "the input").is_err());
        }
    }
}
