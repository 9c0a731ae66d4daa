//! A language model without weights: its logits are a hash of the tokens that it finds in the cache.
//!
//! It reads the sequence back through the block table, slot by slot, so an engine that misplaces a token, forgets a
//! block or trusts a rejected draft gets other text, or a panic. With an encoder they depend on the source as well, which
//! it keeps until it is dropped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::constrained_text::mix;
use veridraft_models::{
    Batch, CacheSpec, EncoderSpec, Error, LanguageModel, Limits, Logits, Result, SourceId, TokenId,
};

/// Logits, `[vocabulary]`, by the tokens seen.
pub type Script = Box<dyn Fn(&[TokenId]) -> Vec<f32> + Send>;

/// Logits, `[vocabulary]`, by the source and the tokens seen.
pub type SourceScript = Box<dyn Fn(&[TokenId], &[TokenId]) -> Vec<f32> + Send>;

/// Sources that a [`ScriptedModel`] holds, and how many it ever encoded.
#[derive(Clone, Debug, Default)]
pub struct HeldSources {
    held: BTreeMap<SourceId, Vec<TokenId>>,
    encoded: u64,
}

impl HeldSources {
    /// Sources that are held.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Sources ever encoded.
    pub fn encoded(&self) -> u64 {
        self.encoded
    }
}

/// A model whose next token depends on the last `memory` tokens: small memories make repetitive, draftable text.
pub struct ScriptedModel {
    /// Tokens that the logits depend on, at most.
    pub memory: usize,
    /// Columns of the logits.
    pub vocabulary: usize,
    /// Tokens in one sequence, at most.
    pub context_length: usize,
    /// Rows in one pass, at most.
    pub max_rows: usize,
    /// Whether it understands trees.
    pub tree: bool,
    /// Whether sequences may share blocks.
    pub share_blocks: bool,
    /// Logits behind the tokens seen, `[vocabulary]`, instead of the hash.
    pub logits: Option<Script>,
    /// Whether sequences have sources.
    pub has_encoder: bool,
    /// Logits behind a source and the tokens seen, instead of the hash.
    pub source_logits: Option<SourceScript>,
    /// A source that begins with this token cannot be encoded.
    pub unreadable: Option<TokenId>,
    /// Sources, shared with a test that counts them.
    pub sources: Arc<Mutex<HeldSources>>,
    /// Fails passes whose number is a multiple of this; 0 never.
    pub fail_every: usize,
    cache: CacheSpec,
    slots: Vec<Option<(TokenId, usize)>>,
    passes: usize,
}

impl ScriptedModel {
    /// A model with an empty cache of `blocks` blocks.
    pub fn new(block_tokens: usize, blocks: usize) -> Self {
        Self {
            memory: 2,
            vocabulary: 12,
            context_length: 256,
            max_rows: 64,
            tree: true,
            share_blocks: true,
            logits: None,
            has_encoder: false,
            source_logits: None,
            unreadable: None,
            sources: Arc::default(),
            fail_every: 0,
            cache: CacheSpec { block_tokens, blocks, block_bytes: 1 },
            slots: vec![None; block_tokens * blocks],
            passes: 0,
        }
    }

    fn write(&mut self, batch: &Batch) {
        for row in 0..batch.rows() {
            let slot = batch.slot_mapping[row] as usize;
            self.slots[slot] = Some((batch.token_ids[row], batch.positions[row] as usize));
        }
    }

    /// The tokens from the start of the row's sequence to the row, as the cache holds them.
    fn seen(&self, batch: &Batch, row: usize) -> Vec<TokenId> {
        let sequence = batch.query_starts.partition_point(|&start| start as usize <= row) - 1;
        let table = &batch.block_tables[sequence];
        let block_tokens = self.cache.block_tokens;
        let token = |(position, slot): (usize, usize)| {
            let (token, written) = self.slots[slot].expect("a row attends to written slots");
            assert_eq!(written, position, "slot {slot} holds another position");
            token
        };
        let in_table = |position: usize| {
            (position, table[position / block_tokens].0 as usize * block_tokens + position % block_tokens)
        };
        let Some(mask) = &batch.tree_mask else {
            return (0..=batch.positions[row] as usize).map(in_table).map(token).collect();
        };
        let first = batch.query_starts[sequence] as usize;
        let visible = &mask.visible[row * mask.width..][..mask.width];
        let ancestors: Vec<_> = (0..mask.width).filter(|&other| visible[other]).map(|other| first + other).collect();
        assert_eq!(ancestors.last(), Some(&row), "a row sees itself last");
        let context = batch.positions[first] as usize;
        let new = ancestors.iter().enumerate().map(|(depth, &ancestor)| {
            assert_eq!(batch.positions[ancestor] as usize, context + depth, "depths on the way to row {row}");
            (context + depth, batch.slot_mapping[ancestor] as usize)
        });
        (0..context).map(in_table).chain(new).map(token).collect()
    }

    /// The logits behind the tokens `seen`, `[vocabulary]`.
    pub fn scores(&self, seen: &[TokenId]) -> Vec<f32> {
        if let Some(logits) = &self.logits {
            return logits(seen);
        }
        self.hashed(17, seen)
    }

    /// The logits behind a source and the tokens `seen`, `[vocabulary]`.
    pub fn scores_with(&self, source: &[TokenId], seen: &[TokenId]) -> Vec<f32> {
        match &self.source_logits {
            Some(logits) => logits(source, seen),
            None => self.hashed(source.iter().fold(19, |state, &token| mix(state ^ u64::from(token))), seen),
        }
    }

    fn hashed(&self, start: u64, seen: &[TokenId]) -> Vec<f32> {
        let recent = &seen[seen.len().saturating_sub(self.memory)..];
        let state = recent.iter().fold(start, |state, &token| mix(state ^ u64::from(token)));
        let score = |token: u64| (mix(state ^ (token << 32)) >> 40) as f32 / (1 << 21) as f32;
        (0..self.vocabulary as u64).map(score).collect()
    }
}

impl LanguageModel for ScriptedModel {
    fn cache_spec(&self) -> CacheSpec {
        self.cache
    }

    fn limits(&self) -> Limits {
        Limits {
            max_rows: self.max_rows,
            context_length: self.context_length,
            ragged: true,
            tree: self.tree,
            share_blocks: self.share_blocks,
            row_exact: true,
        }
    }

    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn forward(&mut self, batch: &Batch) -> Result<Logits> {
        assert!(batch.rows() <= self.max_rows, "{} rows, at most {}", batch.rows(), self.max_rows);
        self.passes += 1;
        if self.fail_every > 0 && self.passes.is_multiple_of(self.fail_every) {
            for &slot in &batch.slot_mapping {
                self.slots[slot as usize] = None;
            }
            return Err(Error::Runtime("scripted failure".to_owned()));
        }
        self.write(batch);
        assert_eq!(batch.sources.len(), if self.has_encoder { batch.block_tables.len() } else { 0 });
        let scores = |&row: &u32| {
            let seen = self.seen(batch, row as usize);
            let sequence = batch.query_starts.partition_point(|&start| start <= row) - 1;
            let Some(id) = batch.sources.get(sequence) else { return self.scores(&seen) };
            let sources = self.sources.lock().expect("no test panics while it counts");
            self.scores_with(&sources.held[id], &seen)
        };
        let values = batch.logit_rows.iter().flat_map(scores).collect();
        Ok(Logits { vocabulary: self.vocabulary, values })
    }

    fn copy_slots(&mut self, copies: &[(u32, u32)]) -> Result<()> {
        for &(from, to) in copies {
            self.slots[to as usize] = self.slots[from as usize];
        }
        Ok(())
    }

    fn encoder(&self) -> Option<EncoderSpec> {
        let spec = EncoderSpec { source_length: 256, vocabulary: self.vocabulary, shares_vocabulary: true };
        self.has_encoder.then_some(spec)
    }

    fn encode(&mut self, source: &[TokenId]) -> Result<SourceId> {
        if self.unreadable.is_some_and(|token| source[0] == token) {
            return Err(Error::Runtime("scripted refusal".to_owned()));
        }
        let mut sources = self.sources.lock().expect("no test panics while it counts");
        let id = SourceId(sources.encoded);
        sources.encoded += 1;
        sources.held.insert(id, source.to_vec());
        Ok(id)
    }

    fn drop_source(&mut self, source: SourceId) {
        let mut sources = self.sources.lock().expect("no test panics while it counts");
        sources.held.remove(&source).expect("a source is dropped once");
    }
}
