//! The encoder beside a decoder, `encoder.onnx`: it reads a source and gives what the decoder's cross-attention reads.
//!
//! ```text
//! input_ids  i64  [source]
//! cross.N    f32  [positions, 2 * kv_heads * head_dim]    keys, then values, of the decoder's layer N
//! ```
//!
//! There are as many positions as tokens, or more where the encoder fills its sources up.
//!
//! A source is run by itself, so what comes of it does not depend on others.

use std::path::{Path, PathBuf};

use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;
use veridraft_kernels::Pool;

use super::pass::rows_of;
use super::source_pages::SourcePages;
use crate::{Error, Result, SourceId, TokenId};

/// The file's name, beside the decoder's.
pub(crate) const FILE: &str = "encoder.onnx";

/// A session of the encoder.
pub(super) struct Encoder {
    pub(super) path: PathBuf,
    pub(super) session: Session,
    pub(super) source_length: usize,
    next: u64,
}

impl Encoder {
    pub(super) fn new(path: &Path, session: Session, source_length: usize) -> Self {
        Self { path: path.to_owned(), session, source_length, next: 0 }
    }

    /// Runs a source and has `sources` hold what came of it.
    pub(super) fn encode(&mut self, source: &[TokenId], pool: &Pool, sources: &SourcePages) -> Result<SourceId> {
        let layers = sources.layers().map_err(|reason| Error::model_file(&self.path, reason))?;
        let ids: Vec<i64> = source.iter().map(|&token| i64::from(token)).collect();
        let ids = Tensor::from_array(([ids.len()], ids)).map_err(Error::runtime)?;
        let inputs: Vec<(&str, SessionInputValue)> = vec![("input_ids", ids.into())];
        let (positions, values) = {
            let _awake = pool.pass();
            let outputs = self.session.run(inputs).map_err(Error::runtime)?;
            let positions = outputs.get("cross.0").and_then(|value| value.shape().first().copied()).unwrap_or(0);
            let positions = usize::try_from(positions).unwrap_or(0).max(source.len());
            let layer = |layer| Ok(rows_of(&outputs, &self.path, &format!("cross.{layer}"), positions)?.0);
            (positions, (0..layers).map(layer).collect::<Result<Vec<_>>>()?)
        };
        let id = SourceId(self.next);
        self.next += 1;
        let held = sources.hold(id.0 as i64, positions, &values);
        held.map_err(|reason| Error::model_file(&self.path, reason))?;
        Ok(id)
    }
}
