//! A masked language model (Devlin et al. 2019, BERT), exported by Veridraft or by another program, run by ONNX Runtime.
//!
//! Sequences of a batch are padded on the right to the longest, and padding is masked out of their attention.

mod padding;
mod roles;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;
use veridraft_kernels::{Parallel, Pool, Simd};

use self::padding::Padding;
use self::roles::{Input, Port, Roles};
use crate::causal_model::CREATING;
use crate::error::one_line;
use crate::operators::{DOMAIN, Embedding, MatMul};
use crate::runtime::Runtime;
use crate::{Error, FORMAT_VERSION, Logits, MaskedBatch, MaskedLanguageModel, MaskedLimits, ModelFolder, Result};

/// Tokens in one pass, at most, padding included.
const MAX_PADDED_TOKENS: usize = 2048;
/// Bytes of scores that a pass gives, at most, where the graph scores every row, whoever wants them.
const SCORE_BYTES: usize = 256 << 20;

/// How a masked model is opened.
#[derive(Clone, Copy, Debug)]
pub struct MaskedModelConfig {
    /// Threads of a forward pass; 0 is one a hardware thread that the process may use.
    pub threads: usize,
    /// Instructions that Veridraft's kernels use.
    pub simd: Simd,
}

impl Default for MaskedModelConfig {
    fn default() -> Self {
        Self { threads: 0, simd: Simd::detect() }
    }
}

/// A session of a masked language model.
pub struct MaskedModel {
    path: PathBuf,
    session: Session,
    pool: Arc<Pool>,
    roles: Roles,
    padding: Padding,
    vocabulary: usize,
    weights: String,
}

impl MaskedModel {
    /// Opens the graph of a folder and finds what its inputs and outputs are for.
    pub fn open(runtime: &Runtime, folder: &ModelFolder, config: MaskedModelConfig) -> Result<Self> {
        let path = &folder.onnx_path;
        let pool = Arc::new(Pool::new(config.threads).map_err(Error::Threads)?);
        let session = open_session(runtime, path, &pool, config.simd)
            .map_err(|error| Error::model_file(path, format!("ONNX Runtime cannot open it: {}", one_line(&error))))?;
        let vocabulary = folder.config.vocab_size;
        let (inputs, outputs) = (Port::all(session.inputs()), Port::all(session.outputs()));
        let roles = Roles::find(&inputs, &outputs, vocabulary).map_err(|reason| Error::model_file(path, reason))?;
        let weights = weights(&session, path)?.or(folder.variant.clone()).unwrap_or_else(|| "foreign".to_owned());
        let padding = Padding::of(folder)?;
        Ok(Self { path: path.clone(), session, pool, roles, padding, vocabulary, weights })
    }

    /// Threads of a forward pass, the caller's among them.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The format of the weights, or another program's name for it; "foreign" where it has none.
    pub fn weights(&self) -> &str {
        &self.weights
    }

    fn inputs(&self, batch: &MaskedBatch, longest: usize) -> Result<Vec<(&str, SessionInputValue<'static>)>> {
        let (roles, sequences) = (&self.roles, &batch.sequences);
        let shape = [sequences.len(), longest];
        // Each row's tokens by `of_token`, and then padding to the length of the longest.
        let rows = |of_token: &dyn Fn(u32) -> i64, of_padding: i64| {
            let row = |tokens: &Vec<u32>| {
                let padding = std::iter::repeat_n(of_padding, longest - tokens.len());
                tokens.iter().map(|&token| of_token(token)).chain(padding).collect::<Vec<_>>()
            };
            sequences.iter().flat_map(row).collect::<Vec<_>>()
        };
        let pad = i64::from(self.padding.token);
        let mut inputs = vec![
            (roles.input_ids.name.as_str(), integers(&roles.input_ids, shape, rows(&|token| i64::from(token), pad))?),
            (roles.attention_mask.name.as_str(), integers(&roles.attention_mask, shape, rows(&|_| 1, 0))?),
        ];
        if let Some(input) = &roles.token_type_ids {
            inputs.push((input.name.as_str(), integers(input, shape, rows(&|_| 0, 0))?));
        }
        if roles.scores_wanted_rows {
            let wanted: Vec<_> =
                batch.wanted.iter().map(|place| (place.sequence * longest + place.position) as i64).collect();
            inputs.push(("logit_rows", tensor([wanted.len()], wanted)?));
        }
        Ok(inputs)
    }
}

impl MaskedLanguageModel for MaskedModel {
    fn limits(&self) -> MaskedLimits {
        let padded_tokens = match self.roles.scores_wanted_rows {
            true => MAX_PADDED_TOKENS,
            false => (SCORE_BYTES / (4 * self.vocabulary)).clamp(1, MAX_PADDED_TOKENS),
        };
        MaskedLimits { vocabulary: self.vocabulary, context_length: self.padding.context_length, padded_tokens }
    }

    fn forward(&mut self, batch: &MaskedBatch) -> Result<Logits> {
        let vocabulary = self.vocabulary;
        check(batch, self.limits())?;
        let longest = batch.sequences.iter().map(Vec::len).max().unwrap_or(0);
        if batch.wanted.is_empty() {
            return Ok(Logits { vocabulary, values: Vec::new() });
        }
        // They name what `self` holds, which a run needs for itself.
        let inputs: Vec<_> =
            self.inputs(batch, longest)?.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let _awake = self.pool.pass();
        let outputs = self.session.run(inputs).map_err(Error::runtime)?;
        let logits = outputs.get(&self.roles.logits).expect("the session has this output");
        let (shape, values) = logits.try_extract_tensor::<f32>().map_err(Error::runtime)?;
        let expected = match self.roles.scores_wanted_rows {
            true => vec![batch.wanted.len(), vocabulary],
            false => vec![batch.sequences.len(), longest, vocabulary],
        };
        if !shape.iter().map(|&length| length as usize).eq(expected.iter().copied()) {
            let name = &self.roles.logits;
            return Err(Error::model_file(&self.path, format!("output `{name}` is {shape}, expected {expected:?}")));
        }
        if self.roles.scores_wanted_rows {
            return Ok(Logits { vocabulary, values: values.to_vec() });
        }
        let mut wanted = Vec::with_capacity(batch.wanted.len() * vocabulary);
        for place in &batch.wanted {
            let row = place.sequence * longest + place.position;
            wanted.extend_from_slice(&values[row * vocabulary..][..vocabulary]);
        }
        Ok(Logits { vocabulary, values: wanted })
    }
}

/// Refuses what the graph would read out of bounds for, or make senseless scores of.
fn check(batch: &MaskedBatch, limits: MaskedLimits) -> Result<()> {
    let refuse = |reason: String| Err(Error::Batch(reason));
    for (index, tokens) in batch.sequences.iter().enumerate() {
        if !(1..=limits.context_length).contains(&tokens.len()) {
            let (found, most) = (tokens.len(), limits.context_length);
            return refuse(format!("{found} tokens of sequence {index}, expected 1 to the model's context, {most}"));
        }
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= limits.vocabulary) {
            return refuse(format!("token {token}, expected less than the vocabulary, {}", limits.vocabulary));
        }
    }
    for place in &batch.wanted {
        if batch.sequences.get(place.sequence).is_none_or(|tokens| place.position >= tokens.len()) {
            return refuse(format!("scores of {place:?}, expected a token of the batch"));
        }
    }
    Ok(())
}

/// What our own exports say of their weights; `None` for another program's graph.
fn weights(session: &Session, path: &Path) -> Result<Option<String>> {
    let metadata = session.metadata().map_err(|error| Error::model_file(path, error.to_string()))?;
    match metadata.custom("veridraft.format_version") {
        None => Ok(None),
        Some(version) if version == FORMAT_VERSION => Ok(metadata.custom("veridraft.weights")),
        Some(version) => Err(Error::model_file(
            path,
            format!("graph format version {version}, expected {FORMAT_VERSION}; delete the folder and export again"),
        )),
    }
}

fn open_session(runtime: &Runtime, path: &Path, pool: &Arc<Pool>, simd: Simd) -> ort::Result<Session> {
    let domain =
        ort::operator::OperatorDomain::new(DOMAIN)?.add(MatMul { pool: pool.clone(), simd })?.add(Embedding)?;
    let _creating = CREATING.lock().unwrap_or_else(PoisonError::into_inner);
    Session::builder(runtime.environment())?
        .with_intra_threads(pool.threads())?
        // Its threads serve operators other than ours, and while those of the pool work they must not spin beside them.
        .with_intra_op_spinning(false)?
        .with_inter_threads(1)?
        .with_operators(domain)?
        .commit_from_file(path)
}

fn integers<const N: usize>(input: &Input, shape: [usize; N], values: Vec<i64>) -> Result<SessionInputValue<'static>> {
    match input.is_narrow {
        false => tensor(shape, values),
        // Tokens are less than the vocabulary, which 24 bits hold.
        true => tensor(shape, values.into_iter().map(|value| value as i32).collect::<Vec<_>>()),
    }
}

fn tensor<T, const N: usize>(shape: [usize; N], values: Vec<T>) -> Result<SessionInputValue<'static>>
where
    T: ort::value::PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
{
    let tensor = Tensor::from_array((shape, values)).map_err(Error::runtime)?;
    Ok(tensor.into())
}
