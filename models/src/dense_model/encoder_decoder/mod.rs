//! Other programs' models with an encoder: the encoder runs once a source, the decoder as [`DenseModel`] does.
//!
//! A source's output is kept with the keys and values that the decoder makes of it, in the first pass of the first
//! sequence that reads it; later passes of all its sequences read those. So what a source takes in memory is that of its
//! own tokens in the cache, beside the cache that has a size.
//!
//! [`DenseModel`]: super::DenseModel

mod decoder;
mod encoder;
mod roles;

use std::collections::BTreeMap;
use std::path::PathBuf;

use self::decoder::Decoder;
use self::encoder::{EncodedSource, Encoder};
use super::capacity::{Capacity, capacity};
use super::graph::Rows;
use super::kv_cache::{KvCache, KvLayout, KvUpdate};
use super::limits;
use super::parts::{Part, WantedScores, parts};
use super::probe::{RowsAtOnce, Several};
use crate::folder::EncoderFiles;
use crate::runtime::Runtime;
use crate::{
    Batch, CacheSpec, CausalModelConfig, EncoderSpec, Error, LanguageModel, Limits, Logits, ModelFolder, Result,
    SourceId, TokenId,
};

/// Tokens of a source, and of a text, where the configuration names no number: positions that are relative have no end,
/// and T5 was trained on 512.
const UNNAMED_LENGTH: usize = 2048;

/// Sessions whose cache has no size yet.
pub struct UnsizedEncoderDecoderModel {
    path: PathBuf,
    variant: String,
    encoder: Encoder,
    decoder: Decoder,
    threads: usize,
    vocabulary: usize,
    context_length: usize,
}

/// An encoder and a decoder with a cache of dense keys and values.
pub struct EncoderDecoderModel {
    encoder: Encoder,
    decoder: Decoder,
    variant: String,
    threads: usize,
    vocabulary: usize,
    source_length: usize,
    /// One a block, made when a sequence first needs it.
    caches: Vec<Option<KvCache>>,
    cache: CacheSpec,
    sources: BTreeMap<SourceId, EncodedSource>,
    next_source: u64,
    rows_at_once: RowsAtOnce,
    notes: Vec<String>,
}

impl UnsizedEncoderDecoderModel {
    /// Opens the graphs of a folder; of the settings, `threads` counts.
    pub(crate) fn open(
        runtime: &Runtime,
        folder: &ModelFolder,
        files: &EncoderFiles,
        config: CausalModelConfig,
    ) -> Result<Self> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if config.threads == 0 { cores() } else { config.threads };
        let named = folder.config.max_position_embeddings.filter(|&tokens| tokens > 0);
        Ok(Self {
            encoder: Encoder::open(runtime, files.encoder.clone(), threads)?,
            decoder: Decoder::open(runtime, folder, files, threads)?,
            path: files.begins.clone(),
            variant: folder.variant.clone().unwrap_or_else(|| "foreign".to_owned()),
            threads,
            vocabulary: folder.config.vocab_size,
            context_length: named.unwrap_or(UNNAMED_LENGTH),
        })
    }

    /// Bytes of the cache for one token.
    pub fn token_bytes(&self) -> usize {
        let KvLayout { tensors, heads, head_dim, float } = self.decoder.kv_layout();
        tensors * heads * head_dim * float.bytes()
    }

    /// Gives it a cache, as [`UnsizedDenseModel::with_memory`](super::UnsizedDenseModel::with_memory) does.
    pub fn with_memory(self, bytes: Option<u64>) -> Result<EncoderDecoderModel> {
        let token_bytes = self.token_bytes();
        let Self { path, variant, mut encoder, mut decoder, threads, vocabulary, context_length } = self;
        let Capacity { tokens, sequences } = capacity(bytes, token_bytes, context_length)?;
        let rows_at_once = rows_at_once(&mut encoder, &mut decoder, vocabulary, tokens)?;
        let mut notes = Vec::new();
        if rows_at_once.behind == Several::OneByOne {
            notes.push(format!(
                "`{}` does not give several rows behind a cache the scores of each alone; it runs one row at a time, \
                 so drafts save nothing",
                path.display()
            ));
        }
        Ok(EncoderDecoderModel {
            encoder,
            decoder,
            variant,
            threads,
            vocabulary,
            source_length: context_length,
            caches: std::iter::repeat_with(|| None).take(sequences).collect(),
            cache: CacheSpec { block_tokens: tokens, blocks: sequences, block_bytes: tokens * token_bytes },
            sources: BTreeMap::new(),
            next_source: 0,
            rows_at_once,
            notes,
        })
    }
}

/// Tries out, over a short source, whether rows in company are what they are alone.
fn rows_at_once(encoder: &mut Encoder, decoder: &mut Decoder, vocabulary: usize, tokens: usize) -> Result<RowsAtOnce> {
    if decoder.takes_one_row() || tokens < 3 {
        return Ok(RowsAtOnce::ONE);
    }
    let mut source = encoder.encode(&[(vocabulary / 3) as TokenId, (vocabulary / 2) as TokenId])?;
    let mut cache = KvCache::new(decoder.kv_layout(), KvUpdate::Concatenated, tokens).map_err(Error::runtime)?;
    RowsAtOnce::of(vocabulary, |tokens, context, out| {
        decoder.run(&mut source, &mut cache, Rows { tokens, context }, &[0], out)
    })
}

impl EncoderDecoderModel {
    /// Threads of a forward pass.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The name of the folder's variant; "foreign" for graphs without one.
    pub fn variant(&self) -> &str {
        &self.variant
    }

    /// What a user should know of how it runs, a line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn run(&mut self, part: &Part, source: SourceId, batch: &Batch, scores: &mut WantedScores) -> Result<()> {
        let Self { decoder, caches, cache, rows_at_once, sources, .. } = self;
        let source = sources.get_mut(&source).ok_or_else(|| unknown(source))?;
        let slot = &mut caches[part.block];
        if slot.is_none() {
            let made = KvCache::new(decoder.kv_layout(), KvUpdate::Concatenated, cache.block_tokens);
            *slot = Some(made.map_err(Error::runtime)?);
        }
        let kv = slot.as_mut().expect("it was made above");
        part.run_in_pieces(*rows_at_once, scores, |rows, context, wanted, scores| {
            decoder.run(source, kv, Rows { tokens: &batch.token_ids[rows], context }, wanted, scores)
        })
    }
}

impl LanguageModel for EncoderDecoderModel {
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
        let parts = parts(batch, self.cache, self.vocabulary)?;
        if batch.sources.len() != parts.len() {
            let (found, expected) = (batch.sources.len(), parts.len());
            return Err(Error::Batch(format!("{found} sources, expected one for each of {expected} sequences")));
        }
        let mut scores = WantedScores::new(batch, self.vocabulary);
        for (part, &source) in parts.iter().zip(&batch.sources) {
            self.run(part, source, batch, &mut scores)?;
        }
        Ok(scores.into_logits())
    }

    fn copy_slots(&mut self, _: &[(u32, u32)]) -> Result<()> {
        Err(Error::Batch("slots to be copied of a model that shares no blocks".to_owned()))
    }

    fn encoder(&self) -> Option<EncoderSpec> {
        Some(EncoderSpec { source_length: self.source_length, vocabulary: self.vocabulary, shares_vocabulary: true })
    }

    fn encode(&mut self, source: &[TokenId]) -> Result<SourceId> {
        let id = SourceId(self.next_source);
        self.sources.insert(id, self.encoder.encode(source)?);
        self.next_source += 1;
        Ok(id)
    }

    fn drop_source(&mut self, source: SourceId) {
        self.sources.remove(&source);
    }
}

fn unknown(source: SourceId) -> Error {
    Error::Batch(format!("source {} is not encoded", source.0))
}
