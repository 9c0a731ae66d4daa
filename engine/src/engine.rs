//! The engine: requests in, steps, tokens out.
//!
//! A step is planned, drafted, run, verified, then committed. Only the commit changes a sequence's tokens, so a failed
//! forward leaves no half state. Blocks are taken as tokens come; when none is left, a cached prefix that nobody uses
//! gives way, then the sequence that came last, which waits and computes its tokens again. Every request fits the pool
//! alone, so the first sequence always goes on.

mod admission;
mod batch;
mod calibrate;
mod commit;
mod draft;
mod encode;
mod inquiry;
mod memory;
mod step;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use veridraft_models::{BlockId, CacheSpec, LanguageModel};

use self::draft::Source;
use crate::block_pool::BlockPool;
use crate::choice::{CostModel, PathRecord};
use crate::detokenizer::Decode;
use crate::drafters::Drafter;
use crate::encoded_sources::EncodedSources;
use crate::prefix_cache::PrefixCache;
use crate::report::Finished;
use crate::sequence::{Sequence, State};
use crate::{Error, FinishReason, Request, Result, SequenceId};

/// Settings of an engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// Rows in one forward pass, at most; longer prompts are computed in chunks. The model's own limit holds as well.
    pub chunk_rows: usize,
    /// Sequences that run at once, at most; others wait.
    pub max_sequences: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { chunk_rows: 512, max_sequences: 256 }
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
    /// Who drafts; none is plain decoding. Of equal guesses the earlier drafter's counts.
    pub drafters: Vec<Box<dyn Drafter>>,
    /// What passes cost, as far as is known; they correct it.
    pub costs: CostModel,
    /// For the times in reports, and for the costs.
    pub clock: Clock,
}

/// Produces tokens for any number of sequences over one model.
///
/// ```text
///            ┌────── preempted ──────┐
///            v                       │
/// add ─> waiting ─> running ─ step ─ step ─> finished ─> remove
/// ```
pub struct Engine {
    parts: Parts,
    config: EngineConfig,
    pool: BlockPool,
    prefixes: PrefixCache,
    /// What the model's encoder made for sequences.
    encoded: EncodedSources,
    sequences: BTreeMap<SequenceId, Sequence>,
    next_id: u64,
    /// What is known of each drafter, in their order, and last of what constraints force.
    sources: Vec<Source>,
    /// What is known of paths of merged trees.
    path_record: PathRecord,
    /// Probability that pays for a row, as the last step had it.
    price: f64,
}

impl Engine {
    /// An engine with an empty cache.
    pub fn new(parts: Parts, config: EngineConfig) -> Self {
        let cache = parts.model.cache_spec();
        // One more, for what constraints force.
        let sources = vec![Source::default(); parts.drafters.len() + 1];
        Self {
            parts,
            config,
            pool: BlockPool::new(cache.blocks),
            prefixes: PrefixCache::new(cache.block_tokens),
            encoded: EncodedSources::default(),
            sequences: BTreeMap::new(),
            next_id: 0,
            sources,
            path_record: PathRecord::default(),
            price: 0.0,
        }
    }

    /// Queues a request; it runs as soon as the cache has room for its prompt. What of it the cache has already, from
    /// this or other requests, is not computed again.
    ///
    /// Refuses what could never run to its end: an empty prompt, one too long for the context, more tokens than the
    /// cache holds, unknown tokens, a source too many or too few, settings out of range.
    pub fn add(&mut self, request: Request) -> Result<SequenceId> {
        let sequence = self.accept(&request)?;
        Ok(self.insert(sequence, &request))
    }

    /// Whether a step has anything to do.
    pub fn has_work(&self) -> bool {
        self.sequences.values().any(|sequence| !matches!(sequence.state, State::Finished(_)))
    }

    /// Ends a sequence and returns the text that was held back; a sequence that has ended gives none.
    pub fn cancel(&mut self, id: SequenceId) -> String {
        match self.sequences.get_mut(&id) {
            Some(sequence) if !matches!(sequence.state, State::Finished(_)) => {
                sequence.release(&mut self.pool, &mut self.prefixes);
                sequence.end(FinishReason::Cancelled, &*self.parts.decoder)
            }
            _ => String::new(),
        }
    }

    /// Takes a sequence out; `None` when there is none of that name.
    pub fn remove(&mut self, id: SequenceId) -> Option<Finished> {
        let mut sequence = self.sequences.remove(&id)?;
        for drafter in &mut self.parts.drafters {
            drafter.release(id);
        }
        sequence.release(&mut self.pool, &mut self.prefixes);
        if let Some(source) = sequence.source.as_ref().filter(|_| sequence.encoded.is_some()) {
            self.release_source(source);
        }
        Some(sequence.to_finished())
    }

    /// What a sequence produced and cost so far; `None` when there is none of that name.
    pub fn inspect(&self, id: SequenceId) -> Option<Finished> {
        self.sequences.get(&id).map(Sequence::to_finished)
    }

    /// Blocks that no sequence holds: free ones, and those of cached prefixes that would give way.
    pub fn free_blocks(&self) -> usize {
        self.pool.free_blocks() + self.prefixes.evictable(&self.pool)
    }

    /// Changes the settings, from the next step on.
    pub fn configure(&mut self, config: EngineConfig) {
        self.config = config;
    }

    /// Forgets what earlier requests left behind: cached prefixes that no sequence uses, and what drafters remember of
    /// their texts. Changes the speed of later ones, never their texts.
    pub fn forget(&mut self) {
        self.prefixes.clear(&mut self.pool);
        self.parts.drafters.iter_mut().for_each(|drafter| drafter.forget());
    }

    /// What passes cost, as known by now.
    pub fn costs(&self) -> &CostModel {
        &self.parts.costs
    }

    /// Checks that every block is free or held by just those that know of it, and that tables fit their tokens; and the
    /// same of encoded sources.
    pub fn check(&self) -> Result<(), String> {
        self.pool.check()?;
        self.check_sources()?;
        let block_tokens = self.cache().block_tokens;
        let mut holders: HashMap<BlockId, u32> = HashMap::new();
        self.prefixes.blocks().for_each(|block| *holders.entry(block).or_default() += 1);
        for sequence in self.sequences.values() {
            let expected = sequence.computed.div_ceil(block_tokens);
            let found = sequence.block_table.len();
            if found != expected {
                return Err(format!("{:?} holds {found} blocks for {} tokens", sequence.id, sequence.computed));
            }
            if !sequence.is_running() && found > 0 {
                return Err(format!("{:?} holds {found} blocks, but does not run", sequence.id));
            }
            sequence.block_table.iter().for_each(|block| *holders.entry(*block).or_default() += 1);
        }
        for block in (0..self.pool.blocks() as u32).map(BlockId) {
            let (found, expected) = (self.pool.references(block), holders.get(&block).copied().unwrap_or(0));
            if found != expected {
                return Err(format!("block {} has {found} holders, expected {expected}", block.0));
            }
        }
        Ok(())
    }

    /// Rows in one forward pass, at most.
    fn chunk_rows(&self) -> usize {
        self.parts.model.limits().max_rows.min(self.config.chunk_rows).max(1)
    }

    /// The time since `start`; none where the clock went back.
    fn since(&mut self, start: Duration) -> Duration {
        (self.parts.clock)().saturating_sub(start)
    }

    fn cache(&self) -> CacheSpec {
        self.parts.model.cache_spec()
    }

    fn insert(&mut self, mut sequence: Sequence, request: &Request) -> SequenceId {
        let id = SequenceId(self.next_id);
        self.next_id += 1;
        sequence.id = id;
        // Tokens of another vocabulary mean nothing to drafters.
        let shares = self.parts.model.encoder().is_none_or(|spec| spec.shares_vocabulary);
        let without = (!shares).then(|| Request { source: None, ..request.clone() });
        for drafter in &mut self.parts.drafters {
            drafter.begin(id, without.as_ref().unwrap_or(request));
            drafter.extend(id, &sequence.tokens);
        }
        self.sequences.insert(id, sequence);
        id
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
        self.check_source(request.source.as_deref())?;
        if request.max_tokens == 0 {
            return Err(Error::NothingWanted);
        }
        let sequence = Sequence::new(request.clone(), limits.context_length, self.sources.len())?;
        let (cache, blocks) = (self.cache(), self.pool.blocks());
        let needed = sequence.token_limit.div_ceil(cache.block_tokens);
        if needed > blocks {
            return Err(Error::CacheTooSmall { tokens: sequence.token_limit, needed, blocks });
        }
        Ok(sequence)
    }
}
