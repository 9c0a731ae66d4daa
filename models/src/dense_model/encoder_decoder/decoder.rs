//! The decoder's graphs: one that begins a text, from the encoder's output, and one that goes on from keys and values;
//! merged exports have both in one, with a switch.

use std::path::{Path, PathBuf};

use ort::memory::MemoryInfo;
use ort::session::{IoBinding, Session};
use ort::value::Tensor;

use super::super::graph::{Rows, open_session, ports};
use super::super::kv_cache::{KvCache, KvLayout};
use super::super::roles::Expected;
use super::encoder::EncodedSource;
use super::roles::DecoderRoles;
use crate::error::one_line;
use crate::folder::EncoderFiles;
use crate::runtime::Runtime;
use crate::{Error, ModelFolder, Result};

/// The decoder's sessions.
pub(super) struct Decoder {
    begins: DecoderGraph,
    /// None where `begins` has a switch.
    goes_on: Option<DecoderGraph>,
    vocabulary: usize,
}

struct DecoderGraph {
    path: PathBuf,
    session: Session,
    roles: DecoderRoles,
}

impl Decoder {
    pub(super) fn open(runtime: &Runtime, folder: &ModelFolder, files: &EncoderFiles, threads: usize) -> Result<Self> {
        let open = |path: &Path| DecoderGraph::open(runtime, folder, path, threads);
        let begins = open(&files.begins)?;
        begins.roles.check_begins().map_err(|reason| Error::model_file(&files.begins, reason))?;
        let goes_on = files.goes_on.as_deref().map(open).transpose()?;
        let goes_on_with = goes_on.as_ref().unwrap_or(&begins);
        let fits = goes_on_with.roles.check_goes_on(&begins.roles);
        fits.map_err(|reason| Error::model_file(&goes_on_with.path, reason))?;
        Ok(Self { begins, goes_on, vocabulary: folder.config.vocab_size })
    }

    pub(super) fn kv_layout(&self) -> KvLayout {
        let DecoderRoles { own, kv_heads, head_dim, kv_float, .. } = &self.begins.roles;
        KvLayout { tensors: own.len(), heads: *kv_heads, head_dim: *head_dim, float: *kv_float }
    }

    /// Whether a graph takes one row at a time by its declaration.
    pub(super) fn takes_one_row(&self) -> bool {
        [Some(&self.begins), self.goes_on.as_ref()].into_iter().flatten().any(|graph| graph.roles.takes_one_row)
    }

    /// Runs the rows behind what `cache` holds and appends the scores of `wanted` rows to `out`. The first rows of the
    /// first text over a source also give the source's keys and values.
    pub(super) fn run(
        &mut self,
        source: &mut EncodedSource,
        cache: &mut KvCache,
        rows: Rows,
        wanted: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<()> {
        cache.go_back_to(rows.context)?;
        let (begins, vocabulary) = (rows.context == 0, self.vocabulary);
        let graph = if begins { &mut self.begins } else { self.goes_on.as_mut().unwrap_or(&mut self.begins) };
        let binding = graph.bind(source, cache, rows).map_err(Error::runtime)?;
        let mut outputs = graph.session.run_binding(&binding).map_err(Error::runtime)?;
        let roles = &graph.roles;
        let check = |name: &str, shape: &[i64], expected: &[usize]| {
            let fits = shape.iter().copied().eq(expected.iter().map(|&length| length as i64));
            let wrong = || format!("output `{name}` is {shape:?}, expected {expected:?}");
            if fits { Ok(()) } else { Err(Error::model_file(&graph.path, wrong())) }
        };
        let logits = outputs.get(&roles.logits).expect("it is bound");
        check(&roles.logits, logits.shape(), &[1, rows.tokens.len(), vocabulary])?;
        for &row in wanted {
            roles.logits_float.append_row(logits, row, out).map_err(Error::runtime)?;
        }
        let mut take = |name: &str, tokens: usize| {
            let value = outputs.remove(name).expect("it is bound");
            check(name, value.shape(), &[1, roles.kv_heads, tokens, roles.head_dim])?;
            value.downcast().map_err(Error::runtime)
        };
        let end = rows.context + rows.tokens.len();
        let own = roles.own.iter().map(|port| take(&port.present, end)).collect::<Result<_>>()?;
        if begins && source.cross.is_empty() {
            source.cross = roles.cross.iter().map(|port| take(&port.present, source.tokens)).collect::<Result<_>>()?;
        }
        cache.tensors = own;
        cache.wrote(end);
        Ok(())
    }
}

impl DecoderGraph {
    fn open(runtime: &Runtime, folder: &ModelFolder, path: &Path, threads: usize) -> Result<Self> {
        let session = open_session(runtime, path, threads)
            .map_err(|error| Error::model_file(path, format!("ONNX Runtime cannot open it: {}", one_line(&error))))?;
        let expected = Expected { names: &folder.names, config: &folder.config, config_file: "config.json" };
        let roles = DecoderRoles::find(&ports(session.inputs()), &ports(session.outputs()), &expected)
            .map_err(|reason| Error::model_file(path, reason))?;
        Ok(Self { path: path.to_owned(), session, roles })
    }

    fn bind(&self, source: &EncodedSource, cache: &KvCache, Rows { tokens, context }: Rows) -> ort::Result<IoBinding> {
        let (roles, memory, begins) = (&self.roles, MemoryInfo::default(), context == 0);
        let mut binding = self.session.create_binding()?;
        let ids = roles.input_ids.integer.row(tokens.iter().map(|&token| token as usize))?;
        binding.bind_input(&roles.input_ids.name, &ids)?;
        let masks = [(&roles.decoder_mask, context + tokens.len()), (&roles.source_mask, source.tokens)];
        for (mask, length) in masks.into_iter().filter_map(|(mask, length)| Some((mask.as_ref()?, length))) {
            binding.bind_input(&mask.name, &mask.integer.row(std::iter::repeat_n(1, length))?)?;
        }
        if let Some(name) = &roles.hidden {
            binding.bind_input(name, &source.hidden)?;
        }
        if let Some(name) = &roles.use_cache {
            binding.bind_input(name, &Tensor::from_array(([1], vec![!begins]))?)?;
        }
        binding.bind_output_to_device(&roles.logits, &memory)?;
        for (port, tensor) in roles.own.iter().zip(&cache.tensors) {
            if roles.takes_past {
                binding.bind_input(&port.past, tensor)?;
            }
            binding.bind_output_to_device(&port.present, &memory)?;
        }
        for (place, port) in roles.cross.iter().enumerate() {
            match source.cross.get(place).filter(|_| !begins) {
                Some(tensor) => binding.bind_input(&port.past, tensor)?,
                None if roles.takes_past => {
                    let empty = roles.kv_float.empty([1, roles.kv_heads, 0, roles.head_dim])?;
                    binding.bind_input(&port.past, &empty)?;
                }
                None => (),
            }
            if begins && source.cross.is_empty() {
                binding.bind_output_to_device(&port.present, &memory)?;
            }
        }
        Ok(binding)
    }
}
