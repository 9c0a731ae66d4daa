//! ONNX Runtime as Veridraft would use it: two threads that go to sleep when there is nothing to do.

use std::path::Path;

use anyhow::{Result, anyhow};
use ort::environment::Environment;
use ort::session::Session;
use veridraft_models::cache::to_stderr;
use veridraft_models::runtime::{LibraryChoice, find_library, install};

const THREADS: usize = 2;

/// The library that Veridraft uses.
pub(crate) fn environment() -> Result<Environment> {
    let library = match find_library(&LibraryChoice::default())? {
        Some(library) => library.path,
        None => install(&to_stderr)?,
    };
    Ok(ort::init_from(library)?.build()?)
}

/// A session on `path`. Weights are prepacked, which is the default.
pub(crate) fn open(environment: &Environment, path: &Path) -> Result<Session> {
    let session = Session::builder(environment)
        .and_then(|builder| Ok(builder.with_intra_threads(THREADS)?))
        .and_then(|builder| Ok(builder.with_config_entry("session.intra_op.allow_spinning", "0")?))
        .and_then(|mut builder| builder.commit_from_file(path));
    session.map_err(|error| anyhow!("{error}"))
}
