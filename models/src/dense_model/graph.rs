//! One pass of a foreign graph over some rows of one sequence.

use std::path::{Path, PathBuf};

use ort::memory::MemoryInfo;
use ort::session::{IoBinding, Session};
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};

use super::element::Element;
use super::kv_cache::{KvCache, KvUpdate};
use super::roles::{Expected, IntegerInput, Port, Roles};
use crate::error::one_line;
use crate::runtime::Runtime;
use crate::{Error, FolderKind, ModelFolder, Result, TokenId};

/// A session whose inputs and outputs are known.
pub(super) struct Graph {
    path: PathBuf,
    session: Session,
    pub(super) roles: Roles,
    pub(super) update: KvUpdate,
    vocabulary: usize,
}

/// Rows of one sequence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    pub(super) tokens: &'a [TokenId],
    /// Tokens before them.
    pub(super) context: usize,
}

impl Graph {
    /// Opens the graph of a folder and finds what its inputs and outputs are for.
    pub(super) fn open(runtime: &Runtime, folder: &ModelFolder, threads: usize) -> Result<Self> {
        let path = &folder.onnx_path;
        let session = open_session(runtime, path, threads)
            .map_err(|error| Error::model_file(path, format!("ONNX Runtime cannot open it: {}", one_line(&error))))?;
        let config_file = match folder.kind {
            FolderKind::Genai => "genai_config.json",
            FolderKind::Veridraft | FolderKind::HuggingFace => "config.json",
        };
        let expected = Expected { names: &folder.names, config: &folder.config, config_file };
        let roles = Roles::find(&ports(session.inputs()), &ports(session.outputs()), &expected)
            .map_err(|reason| Error::model_file(path, reason))?;
        let in_place = roles.kv.iter().all(|port| folder.onnx.updates_in_place(&port.past, &port.present));
        let update = if in_place { KvUpdate::InPlace } else { KvUpdate::Concatenated };
        Ok(Self { path: path.clone(), session, roles, update, vocabulary: folder.config.vocab_size })
    }

    /// Runs the rows behind what `cache` holds and appends the scores of `wanted` rows to `out`.
    pub(super) fn run(&mut self, cache: &mut KvCache, rows: Rows, wanted: &[usize], out: &mut Vec<f32>) -> Result<()> {
        cache.go_back_to(rows.context)?;
        let scored = self.scored_rows(rows.tokens.len(), wanted);
        let binding = self.bind(cache, rows, scored).map_err(Error::runtime)?;
        let mut outputs = self.session.run_binding(&binding).map_err(Error::runtime)?;
        let logits = outputs.get(&self.roles.logits).expect("it is bound");
        let (shape, expected) = (logits.shape(), [1, scored as i64, self.vocabulary as i64]);
        if shape[..] != expected {
            let name = &self.roles.logits;
            return Err(Error::model_file(&self.path, format!("output `{name}` is {shape}, expected {expected:?}")));
        }
        for &row in wanted {
            let row = row + scored - rows.tokens.len();
            self.roles.logits_float.append_row(logits, row, out).map_err(Error::runtime)?;
        }
        let end = rows.context + rows.tokens.len();
        if self.update == KvUpdate::Concatenated {
            let mut tensors = Vec::with_capacity(self.roles.kv.len());
            for port in &self.roles.kv {
                let value = outputs.remove(&port.present).expect("it is bound");
                let wanted = [1, self.roles.kv_heads as i64, end as i64, self.roles.head_dim as i64];
                if value.shape()[..] != wanted {
                    let (name, shape) = (&port.present, value.shape());
                    return Err(Error::model_file(
                        &self.path,
                        format!("output `{name}` is {shape}, expected {wanted:?}"),
                    ));
                }
                tensors.push(value.downcast().map_err(Error::runtime)?);
            }
            cache.tensors = tensors;
        }
        cache.wrote(end);
        Ok(())
    }

    /// How many rows, from the last on, get scores: all, unless the graph lets the caller say.
    fn scored_rows(&self, rows: usize, wanted: &[usize]) -> usize {
        match self.roles.kept_rows {
            Some(_) => rows - wanted.iter().copied().min().unwrap_or(rows - 1),
            None => rows,
        }
    }

    fn bind(&self, cache: &mut KvCache, Rows { tokens, context }: Rows, scored: usize) -> ort::Result<IoBinding> {
        let roles = &self.roles;
        let memory = MemoryInfo::default();
        let mut binding = self.session.create_binding()?;
        let mut row = |input: &IntegerInput, values: &mut dyn ExactSizeIterator<Item = usize>| {
            binding.bind_input(&input.name, &input.integer.row(values)?)
        };
        row(&roles.input_ids, &mut tokens.iter().map(|&token| token as usize))?;
        let end = context + tokens.len();
        if let Some(mask) = &roles.attention_mask {
            row(mask, &mut std::iter::repeat_n(1, end))?;
        }
        if let Some(positions) = &roles.position_ids {
            row(positions, &mut (context..end))?;
        }
        if let Some(name) = &roles.use_cache {
            binding.bind_input(name, &Tensor::from_array(([1], vec![context > 0]))?)?;
        }
        if let Some((name, axes)) = &roles.kept_rows {
            binding.bind_input(name, &Tensor::from_array((axes.clone(), vec![scored as i64]))?)?;
        }
        binding.bind_output_to_device(&roles.logits, &memory)?;
        for (port, tensor) in roles.kv.iter().zip(&mut cache.tensors) {
            binding.bind_input(&port.past, tensor)?;
            match self.update {
                KvUpdate::InPlace => binding.bind_output(&port.present, tensor)?,
                KvUpdate::Concatenated => binding.bind_output_to_device(&port.present, &memory)?,
            }
        }
        Ok(binding)
    }
}

pub(super) fn open_session(runtime: &Runtime, path: &Path, threads: usize) -> ort::Result<Session> {
    Session::builder(runtime.environment())?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        // Threads that look for work between nodes halve the speed where others want the cores, a draft model's own among
        // them: 30 tokens/s spinning against 60 asleep, SmolLM2-135M in int4 on two busy cores.
        .with_intra_op_spinning(false)?
        .commit_from_file(path)
}

pub(super) fn ports(outlets: &[Outlet]) -> Vec<Port> {
    let port = |outlet: &Outlet| {
        let (element, shape) = match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => {
                (Element::of(*ty), shape.iter().map(|&length| usize::try_from(length).ok()).collect())
            }
            // Maps and sequences: of no axes, so that they fit no part.
            _ => (Element::Other(TensorElementType::Undefined), Vec::new()),
        };
        Port { name: outlet.name().to_owned(), element, shape }
    };
    outlets.iter().map(port).collect()
}
