//! ONNX Runtime as Veridraft would use it: two threads that go to sleep when there is nothing to do.

use std::path::Path;

use anyhow::{Result, anyhow};
use ort::environment::Environment;
use ort::session::Session;

/// Threads of every contender.
pub(crate) const THREADS: usize = 2;

/// A session on `path`. Weights are prepacked, which is the default.
pub(crate) fn open(environment: &Environment, path: &Path) -> Result<Session> {
    let session = Session::builder(environment)
        .and_then(|builder| Ok(builder.with_intra_threads(THREADS)?))
        .and_then(|builder| Ok(builder.with_config_entry("session.intra_op.allow_spinning", "0")?))
        .and_then(|mut builder| builder.commit_from_file(path));
    session.map_err(|error| anyhow!("{error}"))
}
