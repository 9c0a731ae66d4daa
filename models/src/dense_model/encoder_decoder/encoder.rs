//! The encoder's graph: a source in, what the decoder reads of it out.

use std::path::PathBuf;

use ort::session::{Session, SessionInputValue};
use ort::value::DynTensor;

use super::super::graph::{open_session, ports};
use super::roles::EncoderRoles;
use crate::error::one_line;
use crate::runtime::Runtime;
use crate::{Error, Result, TokenId};

/// A session of the encoder.
pub(super) struct Encoder {
    path: PathBuf,
    session: Session,
    roles: EncoderRoles,
}

/// What came of a source.
pub(super) struct EncodedSource {
    pub(super) tokens: usize,
    /// `[1, tokens, hidden]`
    pub(super) hidden: DynTensor,
    /// Key and value of each layer in turn, `[1, heads, tokens, head_dim]`; none before the first text began.
    pub(super) cross: Vec<DynTensor>,
}

impl Encoder {
    pub(super) fn open(runtime: &Runtime, path: PathBuf, threads: usize) -> Result<Self> {
        let session = open_session(runtime, &path, threads)
            .map_err(|error| Error::model_file(&path, format!("ONNX Runtime cannot open it: {}", one_line(&error))))?;
        let roles = EncoderRoles::find(&ports(session.inputs()), &ports(session.outputs()))
            .map_err(|reason| Error::model_file(&path, reason))?;
        Ok(Self { path, session, roles })
    }

    pub(super) fn encode(&mut self, source: &[TokenId]) -> Result<EncodedSource> {
        let hidden = self.run(source).map_err(Error::runtime)?;
        let (shape, tokens) = (hidden.shape(), source.len());
        if shape.len() != 3 || shape[..2] != [1, tokens as i64] {
            let name = &self.roles.hidden;
            let reason = format!("output `{name}` is {shape}, expected [1, {tokens}, hidden]");
            return Err(Error::model_file(&self.path, reason));
        }
        Ok(EncodedSource { tokens, hidden, cross: Vec::new() })
    }

    fn run(&mut self, source: &[TokenId]) -> ort::Result<DynTensor> {
        let EncoderRoles { input_ids, attention_mask, hidden } = &self.roles;
        let tokens = input_ids.integer.row(source.iter().map(|&token| token as usize))?;
        let mut inputs: Vec<(&str, SessionInputValue)> = vec![(&input_ids.name, tokens.into())];
        if let Some(mask) = attention_mask {
            inputs.push((&mask.name, mask.integer.row(std::iter::repeat_n(1, source.len()))?.into()));
        }
        let mut outputs = self.session.run(inputs)?;
        outputs.remove(hidden).expect("the graph has this output").downcast()
    }
}
