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
mod graph;
mod kv_cache;
mod probe;
mod roles;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use self::capacity::{Capacity, capacity};
use self::graph::{Graph, Rows};
use self::kv_cache::{KvCache, KvUpdate};
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
    notes: Vec<String>,
}

impl UnsizedDenseModel {
    /// Opens the graph of a folder; of the settings, the threads count.
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
        Ok(Self { path, variant, graph, threads, vocabulary, context_length })
    }

    /// Bytes of the cache for one token.
    pub fn token_bytes(&self) -> usize {
        self.graph.roles.numbers_per_token() * self.graph.roles.kv_float.bytes()
    }

    /// Gives it a cache: as many whole contexts as `bytes` pay for, or a part of one; `None` is one, at most 1 GiB. Then
    /// runs a few rows, to see whether rows in company are what they are alone.
    pub fn with_memory(self, bytes: Option<u64>) -> Result<DenseModel> {
        let token_bytes = self.token_bytes();
        let Self { path, variant, mut graph, threads, vocabulary, context_length } = self;
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
        let mut probed = KvCache::new(&graph.roles, graph.update, tokens).map_err(Error::runtime)?;
        let rows_at_once = if graph.roles.takes_one_row || tokens < 3 {
            RowsAtOnce::ONE
        } else {
            RowsAtOnce::of(&mut graph, &mut probed, vocabulary)?
        };
        if rows_at_once.behind == Several::OneByOne {
            notes.push(format!(
                "`{}` gives other scores for several rows behind a cache than for one; it runs one row at a time, \
                 so drafts save nothing",
                path.display()
            ));
        }
        let mut caches: Vec<_> = std::iter::repeat_with(|| None).take(sequences).collect();
        if graph.update == KvUpdate::InPlace {
            caches[0] = Some(probed);
        }
        let cache = CacheSpec { block_tokens: tokens, blocks: sequences, block_bytes: tokens * token_bytes };
        Ok(DenseModel { graph, variant, threads, vocabulary, caches, cache, rows_at_once, notes })
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

    /// Whether keys and values stay in one buffer, and no pass copies them.
    pub fn is_in_place(&self) -> bool {
        self.graph.update == KvUpdate::InPlace
    }

    fn run(&mut self, part: &Part, batch: &Batch, wanted: &[(usize, usize)], values: &mut [f32]) -> Result<()> {
        let Self { graph, caches, cache, rows_at_once, vocabulary, .. } = self;
        let slot = &mut caches[part.block];
        if slot.is_none() {
            *slot = Some(KvCache::new(&graph.roles, graph.update, cache.block_tokens).map_err(Error::runtime)?);
        }
        let kv = slot.as_mut().expect("it was made above");
        let mut start = part.first;
        while start < part.end {
            let context = part.context + (start - part.first);
            let end = start + rows_at_once.next(context, part.end - start);
            let here = wanted.iter().filter(|(row, _)| (start..end).contains(row));
            let (rows, places): (Vec<_>, Vec<_>) = here.map(|&(row, place)| (row - start, place)).unzip();
            let mut scores = Vec::with_capacity(rows.len() * *vocabulary);
            graph.run(kv, Rows { tokens: &batch.token_ids[start..end], context }, &rows, &mut scores)?;
            for (place, scores) in places.into_iter().zip(scores.chunks_exact(*vocabulary)) {
                values[place * *vocabulary..][..*vocabulary].copy_from_slice(scores);
            }
            start = end;
        }
        Ok(())
    }
}

impl LanguageModel for DenseModel {
    fn cache_spec(&self) -> CacheSpec {
        self.cache
    }

    fn limits(&self) -> Limits {
        Limits {
            max_rows: (SCORE_BYTES / (4 * self.vocabulary)).clamp(1, MAX_ROWS),
            context_length: self.cache.block_tokens,
            ragged: true,
            tree: false,
            share_blocks: false,
            row_exact: false,
        }
    }

    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn forward(&mut self, batch: &Batch) -> Result<Logits> {
        let parts = parts(batch, self.cache, self.vocabulary)?;
        let wanted: Vec<_> = batch.logit_rows.iter().enumerate().map(|(place, &row)| (row as usize, place)).collect();
        let mut values = vec![0.0; wanted.len() * self.vocabulary];
        for part in &parts {
            self.run(part, batch, &wanted, &mut values)?;
        }
        Ok(Logits { vocabulary: self.vocabulary, values })
    }

    fn copy_slots(&mut self, _: &[(u32, u32)]) -> Result<()> {
        Err(Error::Batch("slots to be copied of a model that shares no blocks".to_owned()))
    }
}

/// One sequence's rows of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    block: usize,
    /// Rows `first..end` of the batch.
    first: usize,
    end: usize,
    /// The position of the first.
    context: usize,
}

/// Takes a batch apart and checks that each sequence is a chain in a block of its own.
fn parts(batch: &Batch, cache: CacheSpec, vocabulary: usize) -> Result<Vec<Part>> {
    let refuse = |reason: String| Err(Error::Batch(reason));
    let (rows, sequences) = (batch.rows(), batch.block_tables.len());
    let lengths = [batch.positions.len(), batch.slot_mapping.len(), batch.query_starts.len() + rows];
    if lengths != [rows, rows, sequences + 1 + rows] {
        return refuse(format!(
            "{rows} tokens of {sequences} sequences, expected positions, slots and starts for them"
        ));
    }
    if batch.tree_mask.is_some() {
        return refuse("a tree, expected chains".to_owned());
    }
    if let Some(token) = batch.token_ids.iter().find(|&&token| token as usize >= vocabulary) {
        return refuse(format!("token {token}, expected less than the vocabulary, {vocabulary}"));
    }
    if let Some(row) = batch.logit_rows.iter().find(|&&row| row as usize >= rows) {
        return refuse(format!("logits of row {row}, expected less than {rows}"));
    }
    let mut parts: Vec<Part> = Vec::with_capacity(sequences);
    for (table, starts) in batch.block_tables.iter().zip(batch.query_starts.windows(2)) {
        let (first, end) = (starts[0] as usize, starts[1] as usize);
        let follows = parts.last().map_or(0, |part| part.end) == first && first < end && end <= rows;
        let Some(block) = table.first().map(|block| block.0 as usize).filter(|_| follows) else {
            return refuse(format!("rows {first} to {end} of a sequence, expected a block and some of {rows} rows"));
        };
        let context = batch.positions[first] as usize;
        let is_chain = (first..end).all(|row| {
            let position = context + row - first;
            batch.positions[row] as usize == position
                && position < cache.block_tokens
                && batch.slot_mapping[row] as usize == block * cache.block_tokens + position
        });
        if !is_chain || block >= cache.blocks || parts.iter().any(|other| other.block == block) {
            let (tokens, blocks) = (cache.block_tokens, cache.blocks);
            return refuse(format!(
                "a sequence in block {block} behind {context} tokens, expected chains in {blocks} blocks of {tokens} \
                 tokens, one each"
            ));
        }
        parts.push(Part { block, first, end, context });
    }
    if parts.last().map_or(0, |part| part.end) != rows {
        return refuse(format!("{rows} rows, expected all to belong to sequences"));
    }
    Ok(parts)
}
