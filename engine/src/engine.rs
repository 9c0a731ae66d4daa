//! The engine: requests in, steps, tokens out.
//!
//! A step is planned, drafted, run, verified, then committed. Only the commit changes a sequence, so a failed forward
//! leaves no half state. Blocks for drafts are taken within a step and go back within it; blocks for a request's own
//! tokens are promised at admission, so that no running sequence ever waits for memory.

mod admission;
mod batch;
mod step;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use veridraft_models::{CacheSpec, LanguageModel};

use crate::block_pool::BlockPool;
use crate::detokenizer::Decode;
use crate::drafters::Drafter;
use crate::report::Finished;
use crate::sequence::{Sequence, State};
use crate::{Error, Request, Result, SequenceId};

/// Settings of an engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// Rows in one forward pass, at most; longer prompts are computed in chunks. The model's own limit holds as well.
    pub chunk_rows: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { chunk_rows: 512 }
    }
}

/// Tells the time since some fixed moment; a caller that wants repeatable reports passes a constant.
pub type Clock = Box<dyn FnMut() -> Duration + Send>;

/// What an engine is made of.
pub struct Parts {
    /// The target.
    pub model: Box<dyn LanguageModel>,
    /// Turns its tokens into text.
    pub decoder: Arc<dyn Decode + Send + Sync>,
    /// Asked in this order; the first that proposes anything is verified. None is plain decoding.
    pub drafters: Vec<Box<dyn Drafter>>,
    /// For the times in reports.
    pub clock: Clock,
}

/// Produces tokens for any number of sequences over one model.
///
/// ```text
/// add ─> waiting ─> running ─ step ─ step ─> finished ─> remove
/// ```
pub struct Engine {
    parts: Parts,
    config: EngineConfig,
    pool: BlockPool,
    sequences: BTreeMap<SequenceId, Sequence>,
    next_id: u64,
}

impl Engine {
    /// An engine with an empty cache.
    pub fn new(parts: Parts, config: EngineConfig) -> Self {
        let pool = BlockPool::new(parts.model.cache_spec().blocks);
        Self { parts, config, pool, sequences: BTreeMap::new(), next_id: 0 }
    }

    /// Queues a request; it runs as soon as the cache has room for all of it.
    ///
    /// Refuses what could never run: an empty prompt, one too long for the context or the cache, unknown tokens,
    /// settings out of range. A request longer than the cache ends when the cache is full.
    pub fn add(&mut self, request: Request) -> Result<SequenceId> {
        let sequence = self.accept(&request)?;
        Ok(self.insert(sequence, &request))
    }

    /// Queues a request whose prompt starts like the tokens of the finished sequence `previous`, as the next turn of
    /// a chat does. What they have in common is not computed again; `previous` is removed, unless the request is
    /// refused.
    pub fn add_after(&mut self, previous: SequenceId, request: Request) -> Result<SequenceId> {
        let finished = |sequence: &Sequence| matches!(sequence.state, State::Finished(_));
        if !self.sequences.get(&previous).is_some_and(finished) {
            return Err(Error::NotFinished(previous));
        }
        let mut sequence = self.accept(&request)?;
        let mut old = self.take(previous).expect("it was found above");
        sequence.reuse(&mut old, self.cache().block_tokens);
        old.release_behind(0, &mut self.pool);
        Ok(self.insert(sequence, &request))
    }

    /// Whether a step has anything to do.
    pub fn has_work(&self) -> bool {
        self.sequences.values().any(|sequence| !matches!(sequence.state, State::Finished(_)))
    }

    /// Ends a sequence and returns the text that was held back; a sequence that has ended gives none.
    pub fn cancel(&mut self, id: SequenceId) -> String {
        match self.sequences.get_mut(&id) {
            Some(sequence) if !matches!(sequence.state, State::Finished(_)) => sequence.cancel(&*self.parts.decoder),
            _ => String::new(),
        }
    }

    /// Takes a sequence out and frees its blocks; `None` when there is none of that name.
    pub fn remove(&mut self, id: SequenceId) -> Option<Finished> {
        let mut sequence = self.take(id)?;
        sequence.release_behind(0, &mut self.pool);
        Some(sequence.to_finished())
    }

    /// What a sequence produced and cost so far; `None` when there is none of that name.
    pub fn inspect(&self, id: SequenceId) -> Option<Finished> {
        self.sequences.get(&id).map(Sequence::to_finished)
    }

    /// Blocks that no sequence holds.
    pub fn free_blocks(&self) -> usize {
        self.pool.free_blocks()
    }

    /// Checks that every block is either free or held by exactly one sequence, and that tables fit their tokens.
    pub fn check(&self) -> Result<(), String> {
        self.pool.check()?;
        let block_tokens = self.cache().block_tokens;
        let mut held = 0;
        for sequence in self.sequences.values() {
            let expected = sequence.computed.div_ceil(block_tokens);
            let found = sequence.block_table.len();
            if found != expected {
                return Err(format!("{:?} holds {found} blocks for {} tokens", sequence.id, sequence.computed));
            }
            held += found;
        }
        let free = self.pool.free_blocks();
        if held + free == self.pool.blocks() {
            return Ok(());
        }
        Err(format!("{held} blocks held and {free} free of {}", self.pool.blocks()))
    }

    fn cache(&self) -> CacheSpec {
        self.parts.model.cache_spec()
    }

    fn insert(&mut self, mut sequence: Sequence, request: &Request) -> SequenceId {
        let id = SequenceId(self.next_id);
        self.next_id += 1;
        sequence.id = id;
        for drafter in &mut self.parts.drafters {
            drafter.begin(id, request);
            drafter.extend(id, &sequence.tokens);
        }
        self.sequences.insert(id, sequence);
        id
    }

    fn take(&mut self, id: SequenceId) -> Option<Sequence> {
        let sequence = self.sequences.remove(&id)?;
        for drafter in &mut self.parts.drafters {
            drafter.release(id);
        }
        Some(sequence)
    }

    fn accept(&self, request: &Request) -> Result<Sequence> {
        let limits = self.parts.model.limits();
        let found = request.prompt.len();
        if found == 0 {
            return Err(Error::EmptyPrompt);
        }
        if found >= limits.context_length {
            return Err(Error::PromptTooLong { found, context_length: limits.context_length });
        }
        let vocabulary = self.parts.model.vocabulary();
        if let Some(index) = request.prompt.iter().position(|&token| token as usize >= vocabulary) {
            return Err(Error::UnknownToken { index, found: request.prompt[index], vocabulary });
        }
        if request.max_tokens == 0 {
            return Err(Error::NothingWanted);
        }
        let (cache, blocks) = (self.cache(), self.pool.blocks());
        let needed = (found + 1).div_ceil(cache.block_tokens);
        if needed > blocks {
            return Err(Error::CacheTooSmall { needed, blocks });
        }
        Sequence::new(request.clone(), limits.context_length.min(blocks * cache.block_tokens))
    }
}
