//! Other programs' causal graphs behind [`LanguageModel`]: a sequence's keys and values go in as tensors and come out.
//!
//! A block is as long as a sequence may be, so a sequence has one block and shares it with nobody, and the engine needs
//! no other rule for such models. Sequences of a batch run one after the other: the graphs want all of a batch equally
//! long, and those that keep keys and values in place take several rows of one sequence alone. So each sequence pays
//! for reading the weights again, and company brings nothing but the memory.
//!
//! What was rejected is forgotten by the first row that takes its place; see [`kv_cache`].

mod capacity;
mod element;
mod encoder_decoder;
mod graph;
mod kv_cache;
mod parts;
mod probe;
mod roles;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use self::encoder_decoder::{EncoderDecoderModel, UnsizedEncoderDecoderModel};

use self::capacity::{Capacity, capacity};
use self::graph::{Graph, Rows};
use self::kv_cache::{KvCache, KvUpdate};
use self::parts::{Part, WantedScores, parts};
use self::probe::{RowsAtOnce, Several};
use crate::runtime::Runtime;
use crate::{Batch, CacheSpec, CausalModelConfig, Error, LanguageModel, Limits, Logits, ModelFolder, Result};

/// Rows in one forward pass, at most.
const MAX_ROWS: usize = 2048;
/// Bytes of scores that a pass gives, at most: such graphs score every row, whoever wants them.
const SCORE_BYTES: usize = 256 << 20;

/// A session whose cache has no size yet.
pub struct UnsizedDenseModel {
    path: PathBuf,
    variant: String,
    graph: Graph,
    threads: usize,
    vocabulary: usize,
    context_length: usize,
    rows_in_pairs: bool,
}

/// A session with a cache of dense keys and values.
pub struct DenseModel {
    graph: Graph,
    variant: String,
    threads: usize,
    vocabulary: usize,
    /// One a block, made when a sequence first needs it.
    caches: Vec<Option<KvCache>>,
    cache: CacheSpec,
    rows_at_once: RowsAtOnce,
    rows_in_pairs: bool,
    notes: Vec<String>,
}

impl UnsizedDenseModel {
    /// Opens the graph of a folder; of the settings, `threads` and `rows_in_pairs` count.
    pub fn open(runtime: &Runtime, folder: &ModelFolder, config: CausalModelConfig) -> Result<Self> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if config.threads == 0 { cores() } else { config.threads };
        let graph = Graph::open(runtime, folder, threads)?;
        let context_length = folder.config.max_position_embeddings.filter(|&tokens| tokens > 0);
        let context_length = context_length.ok_or_else(|| {
            Error::model_file(&folder.path, "the configuration names no context length, `max_position_embeddings`")
        })?;
        let variant = folder.variant.clone().unwrap_or_else(|| "foreign".to_owned());
        let (path, vocabulary) = (folder.onnx_path.clone(), folder.config.vocab_size);
        let rows_in_pairs = config.rows_in_pairs;
        Ok(Self { path, variant, graph, threads, vocabulary, context_length, rows_in_pairs })
    }

    /// Bytes of the cache for one token.
    pub fn token_bytes(&self) -> usize {
        self.graph.roles.numbers_per_token() * self.graph.roles.kv_float.bytes()
    }

    /// Gives it a cache: as many whole contexts as `bytes` pay for, or a part of one; `None` is one, at most 1 GiB. Then
    /// runs a few rows, to see whether rows in company are what they are alone.
    pub fn with_memory(self, bytes: Option<u64>) -> Result<DenseModel> {
        let token_bytes = self.token_bytes();
        let Self { path, variant, mut graph, threads, vocabulary, context_length, rows_in_pairs } = self;
        let Capacity { tokens, sequences } = capacity(bytes, token_bytes, context_length)?;
        let mut notes = Vec::new();
        if tokens < context_length {
            let whole = token_bytes * context_length;
            notes.push(format!(
                "sequences of `{}` have room for {tokens} tokens, not for the model's {context_length}; \
                 `--kv-memory {whole}` holds them",
                path.display()
            ));
        }
        let mut probed = KvCache::new(graph.roles.kv_layout(), graph.update, tokens).map_err(Error::runtime)?;
        let rows_at_once = if graph.roles.takes_one_row || tokens < 3 {
            RowsAtOnce::ONE
        } else {
            RowsAtOnce::of(vocabulary, |tokens, context, out| {
                graph.run(&mut probed, Rows { tokens, context }, &[0], out)
            })?
        };
        if rows_at_once.behind == Several::OneByOne {
            notes.push(format!(
                "`{}` does not give several rows behind a cache the scores of each alone; it runs one row at a time, \
                 so drafts save nothing",
                path.display()
            ));
        }
        let mut caches: Vec<_> = std::iter::repeat_with(|| None).take(sequences).collect();
        if graph.update == KvUpdate::InPlace {
            caches[0] = Some(probed);
        }
        let cache = CacheSpec { block_tokens: tokens, blocks: sequences, block_bytes: tokens * token_bytes };
        Ok(DenseModel { graph, variant, threads, vocabulary, caches, cache, rows_at_once, rows_in_pairs, notes })
    }
}

impl DenseModel {
    /// Threads of a forward pass.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The name of the folder's variant; "foreign" for a graph without one.
    pub fn variant(&self) -> &str {
        &self.variant
    }

    /// What a user should know of how it runs, a line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn run(&mut self, part: &Part, batch: &Batch, scores: &mut WantedScores) -> Result<()> {
        let Self { graph, caches, cache, rows_at_once, rows_in_pairs, .. } = self;
        let slot = &mut caches[part.block];
        if slot.is_none() {
            *slot =
                Some(KvCache::new(graph.roles.kv_layout(), graph.update, cache.block_tokens).map_err(Error::runtime)?);
        }
        let kv = slot.as_mut().expect("it was made above");
        part.run_in_pieces(*rows_at_once, scores, |rows, context, wanted, scores| {
            let alone = batch.token_ids[rows.start];
            let has_company = *rows_in_pairs && rows.len() == 1 && rows_at_once.next(context, 2) == 2;
            // The second row stands where the next token will, which writes over it; the last position has nothing behind it.
            let tokens = match has_company && context + 2 <= cache.block_tokens {
                true => &[alone; 2],
                false => &batch.token_ids[rows],
            };
            graph.run(kv, Rows { tokens, context }, wanted, scores)
        })
    }
}

impl LanguageModel for DenseModel {
    fn cache_spec(&self) -> CacheSpec {
        self.cache
    }

    fn limits(&self) -> Limits {
        limits(self.cache, self.vocabulary)
    }

    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn forward(&mut self, batch: &Batch) -> Result<Logits> {
        if !batch.sources.is_empty() {
            return Err(Error::Batch(format!("{} sources, expected none", batch.sources.len())));
        }
        let parts = parts(batch, self.cache, self.vocabulary)?;
        let mut scores = WantedScores::new(batch, self.vocabulary);
        for part in &parts {
            self.run(part, batch, &mut scores)?;
        }
        Ok(scores.into_logits())
    }

    fn copy_slots(&mut self, _: &[(u32, u32)]) -> Result<()> {
        Err(Error::Batch("slots to be copied of a model that shares no blocks".to_owned()))
    }
}

/// What batches a model takes that gives every sequence one block of `cache`.
fn limits(cache: CacheSpec, vocabulary: usize) -> Limits {
    Limits {
        max_rows: (SCORE_BYTES / (4 * vocabulary)).clamp(1, MAX_ROWS),
        context_length: cache.block_tokens,
        ragged: true,
        tree: false,
        share_blocks: false,
        row_exact: false,
    }
}
