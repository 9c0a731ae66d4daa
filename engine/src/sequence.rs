//! One sequence from request to last token: tokens, blocks, and how far the cache has come.
//!
//! The progress rule: `computed <= tokens.len()`, and a step computes some of the rest. Prefill, chunked prefill,
//! decoding and verification differ only in how many tokens are not yet computed and whether a draft stands behind
//! them. Invariant between steps: the block table is just long enough for `computed` tokens, and a sequence that is
//! not finished has at least one token left to compute. One that waits or has finished holds no blocks.

use std::ops::RangeInclusive;
use std::sync::Arc;

use veridraft_models::{BlockId, SourceId, TokenId};

use crate::block_pool::BlockPool;
use crate::choice::Adjustment;
use crate::constraint::{Constraint, Ending};
use crate::detokenizer::{Decode, Detokenizer};
use crate::drafters::Draft;
use crate::prefix_cache::{Cached, PrefixCache};
use crate::report::{Finished, SequenceReport};
use crate::sampling::rejection::{self, Rejection};
use crate::sampling::typical::TypicalConfig;
use crate::sampling::{History, NoiseKey, Sampler, SamplingConfig, Stream, uniform};
use crate::stop_strings::StopStrings;
use crate::{FinishReason, Logprobs, Request, Result, SequenceId, StopConditions, Verification};

/// A sequence's whole state in the engine.
pub(crate) struct Sequence {
    pub(crate) id: SequenceId,
    /// Prompt, then what was produced.
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) prompt_length: usize,
    /// What the model's encoder reads for it.
    pub(crate) source: Option<Arc<[TokenId]>>,
    /// What came of it; `None` before the first step.
    pub(crate) encoded: Option<SourceId>,
    /// Tokens, from the first on, whose keys and values are in the cache.
    pub(crate) computed: usize,
    pub(crate) block_table: Vec<BlockId>,
    /// Tokens, prompt included, at which the sequence ends with [`FinishReason::Length`] or `ContextFull`.
    pub(crate) token_limit: usize,
    /// How far its blocks are in the prefix cache.
    pub(crate) cached: Cached,
    /// Levels of a draft, at least and at most.
    pub(crate) draft_levels: RangeInclusive<usize>,
    /// How each drafter does on it, relative to other sequences; in the drafters' order.
    pub(crate) adjustments: Vec<Adjustment>,
    pub(crate) verification: Verification,
    pub(crate) logprobs: Logprobs,
    /// Tokens of the prompt whose log-probabilities were given, the first counted in.
    pub(crate) scored: usize,
    /// What ends it at `token_limit`.
    pub(crate) limit_reason: FinishReason,
    pub(crate) state: State,
    pub(crate) report: SequenceReport,
    pub(crate) constraint: Option<Box<dyn Constraint>>,
    /// The constraint lets nothing follow.
    is_complete: bool,
    stop: StopConditions,
    sampler: Sampler,
    history: History,
    text: TextOutput,
}

/// Where a sequence is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Added, or preempted: it starts when there are blocks for its tokens.
    Waiting,
    /// Takes part in steps.
    Running,
    /// Takes no more part.
    Finished(FinishReason),
}

/// Tokens to text, cut at stop strings.
struct TextOutput {
    detokenizer: Detokenizer,
    stop_strings: StopStrings,
}

impl Sequence {
    /// A sequence over the request's tokens, nothing of it computed; the engine names it when it takes it in.
    pub(crate) fn new(request: Request, context_length: usize, sources: usize) -> Result<Self> {
        let prompt_length = request.prompt.len();
        let wanted = prompt_length.saturating_add(request.max_tokens);
        let (token_limit, limit_reason) = if wanted <= context_length {
            (wanted, FinishReason::Length)
        } else {
            (context_length, FinishReason::ContextFull)
        };
        let mut history = History::new(&request.sampling);
        history.extend_prompt(&request.prompt);
        Ok(Self {
            id: SequenceId(0),
            prompt_length,
            source: request.source.map(Arc::from),
            encoded: None,
            computed: 0,
            block_table: Vec::new(),
            token_limit,
            cached: Cached::default(),
            draft_levels: request.draft_min.min(request.draft_max)..=request.draft_max,
            adjustments: vec![Adjustment::default(); sources],
            verification: request.verification,
            logprobs: request.logprobs,
            scored: 1,
            limit_reason,
            state: State::Waiting,
            report: SequenceReport::default(),
            sampler: Sampler::new(request.sampling.clone())?,
            history,
            text: TextOutput {
                detokenizer: Detokenizer::new(),
                stop_strings: StopStrings::new(request.stop.strings.clone())?,
            },
            constraint: request.constraint,
            is_complete: false,
            stop: request.stop,
            tokens: request.prompt,
        })
    }

    /// Gives back the blocks behind the first `blocks`.
    pub(crate) fn release_behind(&mut self, blocks: usize, pool: &mut BlockPool) {
        self.block_table.drain(blocks..).for_each(|block| pool.release(block));
    }

    /// Gives up everything that is computed.
    pub(crate) fn release(&mut self, pool: &mut BlockPool, prefixes: &mut PrefixCache) {
        prefixes.touch(&self.tokens, self.cached);
        self.release_behind(0, pool);
        self.computed = 0;
        self.cached = Cached::default();
    }

    /// Tokens, from the first on, that may come from the cache: one is left to be computed, and all where their logits
    /// are wanted or where keys and values depend on a source.
    pub(crate) fn shareable(&self) -> &[TokenId] {
        let wants_logits = self.logprobs.prompt.is_some() && self.scored < self.prompt_length;
        if wants_logits || self.source.is_some() { &[] } else { &self.tokens[..self.tokens.len() - 1] }
    }

    /// What the caller gets when the sequence leaves.
    pub(crate) fn to_finished(&self) -> Finished {
        let reason = match self.state {
            State::Finished(reason) => reason,
            State::Waiting | State::Running => FinishReason::Cancelled,
        };
        Finished { token_ids: self.tokens[self.prompt_length..].to_vec(), reason, report: self.report.clone() }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// Whether drafts have one length, whatever they cost.
    pub(crate) fn has_fixed_drafts(&self) -> bool {
        self.draft_levels.start() == self.draft_levels.end()
    }

    pub(crate) fn uncomputed(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Tokens that may still be produced.
    pub(crate) fn remaining(&self) -> usize {
        self.token_limit - self.tokens.len()
    }

    /// The token that stands behind the last one, given the target's logits there and the drafted tokens behind node `at`.
    ///
    /// Fails where the constraint does.
    pub(crate) fn choose(&mut self, logits: &[f32], draft: &Draft, at: Option<usize>) -> Result<TokenId> {
        let Some(constraint) = &mut self.constraint else { return Ok(self.verify(logits, draft, at)) };
        let mut masked = logits.to_vec();
        constraint.allowed()?.mask(&mut masked);
        let token = self.verify(&masked, draft, at);
        let constraint = self.constraint.as_mut().expect("it was found above");
        constraint.push(token)?;
        self.is_complete = constraint.ending()? == Ending::Must;
        Ok(token)
    }

    fn verify(&mut self, logits: &[f32], draft: &Draft, at: Option<usize>) -> TokenId {
        let position = u32::try_from(self.tokens.len()).expect("a context is shorter than 2^32 tokens");
        match self.verification {
            Verification::Coupled => self.sampler.sample(logits, &self.history, position),
            Verification::Rejection => self.accept_or_draw(logits, draft, at, position),
            Verification::Typical => {
                let typical = self.typical(logits, draft, at);
                typical.unwrap_or_else(|| self.sampler.sample(logits, &self.history, position))
            }
        }
    }

    fn accept_or_draw(&mut self, logits: &[f32], draft: &Draft, at: Option<usize>, position: u32) -> TokenId {
        let SamplingConfig { seed, sample_index, .. } = *self.sampler.config();
        let key = |stream| NoiseKey::new(seed, sample_index, position, stream);
        let mut probabilities = Vec::new();
        self.sampler.distribution(logits, &self.history, &mut probabilities);
        let mut open = Rejection::new(probabilities);
        for child in draft.children(at) {
            let node = &draft.nodes[child];
            let coin = uniform(key(Stream::Accept).hash(node.token));
            if open.try_token(node.drawn_from.as_deref(), node.token, coin) {
                return node.token;
            }
        }
        rejection::draw(open.probabilities(), key(Stream::Residual))
    }

    fn typical(&mut self, logits: &[f32], draft: &Draft, at: Option<usize>) -> Option<TokenId> {
        let mut children = draft.children(at).peekable();
        children.peek()?;
        let mut probabilities = Vec::new();
        self.sampler.distribution(logits, &self.history, &mut probabilities);
        let tokens = children.map(|child| draft.nodes[child].token);
        let mut standing = tokens.filter(|&token| TypicalConfig::default().accepts(&probabilities, token));
        standing.next()
    }

    /// Appends a produced token and returns the text that is now certain.
    pub(crate) fn push(&mut self, token: TokenId, decoder: &dyn Decode) -> String {
        self.tokens.push(token);
        self.history.push_output(token);
        if let Some(reason) = self.stop_by_token(token) {
            self.state = State::Finished(reason);
            return self.text.flush(decoder).0;
        }
        let (text, stopped) = self.text.push(token, decoder);
        if stopped {
            self.state = State::Finished(FinishReason::StopString);
            return text;
        }
        if self.remaining() > 0 && !self.is_complete {
            return text;
        }
        self.state = State::Finished(if self.is_complete { FinishReason::Complete } else { self.limit_reason });
        let (rest, stopped) = self.text.flush(decoder);
        if stopped {
            self.state = State::Finished(FinishReason::StopString);
        }
        text + &rest
    }

    /// Ends the sequence and returns the text held back so far.
    pub(crate) fn end(&mut self, reason: FinishReason, decoder: &dyn Decode) -> String {
        self.state = State::Finished(reason);
        self.text.flush(decoder).0
    }

    fn stop_by_token(&self, token: TokenId) -> Option<FinishReason> {
        if self.stop.eos_ids.contains(&token) {
            return Some(FinishReason::Eos);
        }
        self.stop.token_ids.contains(&token).then_some(FinishReason::StopToken)
    }
}

impl TextOutput {
    /// Takes a token; returns the text that is certain now, and whether a stop string ended it.
    fn push(&mut self, token: TokenId, decoder: &dyn Decode) -> (String, bool) {
        let piece = self.detokenizer.push(token, decoder);
        self.stop_strings.push(&piece)
    }

    /// Takes the end of the tokens; returns the text that was held back, and whether a stop string ended it.
    fn flush(&mut self, decoder: &dyn Decode) -> (String, bool) {
        let piece = self.detokenizer.flush(decoder);
        let (text, stopped) = self.stop_strings.push(&piece);
        if stopped { (text, true) } else { (text + &self.stop_strings.flush(), false) }
    }
}
