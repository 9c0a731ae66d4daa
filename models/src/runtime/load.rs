//! Opens the library once for the process and makes its environment.

use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ort::LoadDynamicError;
use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::cache::to_stderr;
use crate::runtime::library::{self, Library, LibraryChoice};
use crate::runtime::providers;
use crate::runtime::truncation::truncated;
use crate::runtime::version::library_version;
use crate::{Error, Result};

/// ONNX Runtime can be opened once in a process: the library and the environment are global to it.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

/// The opened library. Clones share it.
#[derive(Clone, Debug)]
pub struct Runtime {
    library: Library,
    environment: Environment,
}

impl Runtime {
    /// Finds the library, installing it if there is none, and opens it; a line on standard error says when it installs.
    ///
    /// Further calls return the library that is open, and fail if they name another.
    pub fn load(choice: &LibraryChoice) -> Result<Self> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            return runtime.clone().if_allowed_by(choice);
        }
        let library = library::find_or_install(choice, &to_stderr)?;
        let environment = open(&library.path)?;
        Ok(loaded.insert(Self { library, environment }).clone())
    }

    /// The file that is open.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// The library's version, as in "1.31.1".
    pub fn version(&self) -> String {
        library_version(&self.environment).unwrap_or_else(|| "unknown".to_owned())
    }

    /// Names of the execution providers that the library was built with.
    pub fn providers(&self) -> Vec<&'static str> {
        providers::available()
    }

    /// What sessions are made in. Public for benches alone, which run graphs of ONNX Runtime's own operators beside ours: a
    /// process has one environment.
    #[doc(hidden)]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    fn if_allowed_by(self, choice: &LibraryChoice) -> Result<Self> {
        let open = self.library.path.canonicalize().ok();
        match choice {
            LibraryChoice::File(path) if path.canonicalize().ok() != open => Err(Error::Library {
                path: path.clone(),
                reason: format!("this process has already opened `{}`", self.library.path.display()),
            }),
            _ => Ok(self),
        }
    }
}

/// `ort` asserts what it expects of a library that has the right symbol, so its panics are caught.
fn open(path: &Path) -> Result<Environment> {
    let refuse = |reason: String| Error::Library { path: path.to_owned(), reason };
    if let Some((found, expected)) = truncated(path).map_err(Error::io("read", path))? {
        return Err(refuse(format!("it is cut off: {found} bytes, expected {expected}")));
    }
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let builder = ort::init_from(path).map_err(|error| refuse(explain(error)))?;
        builder.with_name("veridraft").with_telemetry(false).build().map_err(|error| refuse(error.to_string()))
    }));
    let environment = opened.unwrap_or_else(|_| Err(refuse("it does not answer as ONNX Runtime does".to_owned())))?;
    // Errors come back to the caller, who prints them once. The user's own level stands.
    if std::env::var_os("ORT_LOG").is_none() {
        environment.set_log_level(LogLevel::Fatal);
    }
    Ok(environment)
}

fn explain(error: LoadDynamicError) -> String {
    let expected = format!("expected version 1.{} or newer", ort::MINOR_VERSION);
    match error {
        LoadDynamicError::Dlopen { error, path } => {
            let message = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            // The system's message begins with the path, which the error around this one has named.
            let reason = message.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&message).to_owned();
            format!("{reason}; {expected}")
        }
        LoadDynamicError::MissingApi { .. } => format!("it has no `OrtGetApiBase`; {expected}"),
        LoadDynamicError::InvalidVersionString => format!("its version is not text; {expected}"),
        LoadDynamicError::BadVersion { version_str, .. } => format!("it is version {version_str}; {expected}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content: &[u8], expected: &str) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("libonnxruntime.so");
        std::fs::write(&path, content).expect("written");
        let error = open(&path).expect_err("no library").to_string();
        assert!(error.contains(expected) && error.contains("libonnxruntime.so"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }

    #[test]
    fn files_that_are_no_library_are_refused() {
        check(b"", "expected version 1.24 or newer");
        check(b"just some text, long enough to be taken for a header of some sixty-four bytes or more", "expected");
        check(b"\x7fELF\x02\x01\x01\x00", "expected version 1.24 or newer");
        let mut cut_off = *b"\x7fELF\x02\x01..........................\xff...............................";
        cut_off[56] = 1;
        check(&cut_off, "it is cut off: 64 bytes, expected");
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn a_library_of_something_else_is_refused() {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux has it");
        let libc = maps.split_whitespace().find(|word| word.ends_with("/libc.so.6")).expect("this test uses it");
        let error = open(Path::new(libc)).expect_err("not ONNX Runtime").to_string();
        assert!(error.contains("it has no `OrtGetApiBase`"), "{error}");
    }
}
