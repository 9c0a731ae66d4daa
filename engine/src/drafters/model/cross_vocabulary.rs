//! Drafting with a model of another tokenizer: its text is tokenised again for the target (Timor et al. 2025,
//! "Accelerating LLM inference with lossless speculative decoding algorithms for heterogeneous vocabularies", its
//! string-level exact match; Hugging Face's universal assisted generation).
//!
//! ```text
//! target tokens ─decode→ text ─encode→ draft tokens ─model→ drafted tokens ─decode→ text ─encode→ draft
//!                        └────────── reading.rs ──────────┘               └───────── writing.rs ───────┘
//! ```
//!
//! Its tokens cannot share the target's noise, so it drafts greedily whatever the request's settings, and it proposes
//! chains alone. Special tokens have no text: the draft model does not see those of a chat template.

mod reading;
mod writing;

use std::collections::HashMap;

use veridraft_models::{Error, LanguageModel, TokenId};

use self::reading::Reading;
use self::writing::Drafted;
use super::runner::Runner;
use crate::drafters::{Draft, DraftRequest, Drafter, Effort};
use crate::sampling::{History, Sampler, SamplingConfig};
use crate::{Encode, Result, SequenceId};

/// The two tokenizers between which drafts are carried.
pub struct Tokenizers {
    /// The target model's.
    pub target: Box<dyn Encode + Send>,
    /// The draft model's.
    pub draft: Box<dyn Encode + Send>,
}

/// Drafts what a smaller model with another tokenizer would say.
///
/// A token's confidence is the product of the draft model's probabilities (softmax, temperature 1) of the drafted tokens
/// that begin to count with it: those whose text begins before the token's ends, each counted once. So the product along
/// a draft is the probability that the draft model gives to all tokens which that text needs.
pub struct CrossVocabulary {
    runner: Runner,
    tokenizers: Tokenizers,
    /// Tokens of the draft model before every text.
    start: Vec<TokenId>,
    target_vocabulary: usize,
    readings: HashMap<SequenceId, Reading>,
    chooser: Chooser,
}

/// The greedy token and how likely it is; the same for all sequences.
struct Chooser {
    greedy: Sampler,
    confidence: Sampler,
    history: History,
}

impl CrossVocabulary {
    /// A drafter for a target with `target_vocabulary` tokens.
    ///
    /// Fails where the draft model's tokenizer cannot say what stands before a text, or has tokens there that the model
    /// lacks.
    pub fn new(model: Box<dyn LanguageModel>, tokenizers: Tokenizers, target_vocabulary: usize) -> Result<Self> {
        let start = tokenizers.draft.start()?;
        check_tokens(&start, model.vocabulary())?;
        let runner = Runner::new(model);
        let chooser = Chooser::new()?;
        Ok(Self { runner, tokenizers, start, target_vocabulary, readings: HashMap::new(), chooser })
    }

    /// Brings the draft model's tokens of a sequence up to date; whether a draft can begin there.
    fn read(&mut self, sequence: SequenceId) -> Result<bool> {
        let Some(reading) = self.readings.get_mut(&sequence) else { return Ok(false) };
        if reading.is_up_to_date() {
            return Ok(true);
        }
        let Some(splice) = reading.read(&self.tokenizers)? else { return Ok(false) };
        check_tokens(&splice.tokens, self.runner.vocabulary())?;
        self.runner.splice(sequence, splice.keep, &splice.tokens);
        Ok(true)
    }

    /// How many draft tokens to make: one more than wanted, because the last only tells where the one before ends.
    fn depths(&mut self, wanted: &[DraftRequest]) -> Result<Vec<usize>> {
        let mut depths = Vec::with_capacity(wanted.len());
        for request in wanted {
            let depth = match request.max_depth.min(request.max_nodes) {
                0 => 0,
                depth => match self.read(request.sequence) {
                    Ok(true) => depth.saturating_add(1),
                    Ok(false) => 0,
                    Err(error) => {
                        // What was read of it may not be in its tokens.
                        self.release(request.sequence);
                        return Err(error);
                    }
                },
            };
            depths.push((request.sequence, depth));
        }
        Ok(self.runner.admit(&depths))
    }

    /// The draft in the target's tokens.
    fn write(&self, request: &DraftRequest, drafted: &Drafted) -> Result<Draft> {
        let reading = &self.readings[&request.sequence];
        let behind = self.runner.last_committed(request.sequence, reading::CONTEXT_TOKENS);
        let mut probability = 1.0;
        let tokens = drafted.in_target_tokens(behind, reading.context(), &self.tokenizers)?;
        let worth = |&(token, confidence): &(TokenId, f32)| {
            probability *= confidence;
            probability >= request.least_probability && (token as usize) < self.target_vocabulary
        };
        Ok(Draft::chain(tokens.into_iter().take(request.max_depth.min(request.max_nodes)).take_while(worth)))
    }

    /// Says what breaks the pool, or its agreement with the caches.
    #[cfg(test)]
    fn check(&self) -> std::result::Result<(), String> {
        self.runner.check()
    }
}

impl Drafter for CrossVocabulary {
    fn name(&self) -> &'static str {
        "model"
    }

    fn effort(&self) -> Effort {
        Effort::Model
    }

    fn backlog(&self, sequence: SequenceId) -> usize {
        self.runner.backlog(sequence)
    }

    fn extend(&mut self, sequence: SequenceId, tokens: &[TokenId]) {
        let Self { runner, start, readings, .. } = self;
        let begin = || {
            runner.extend(sequence, start);
            Reading::new(start.len())
        };
        readings.entry(sequence).or_insert_with(begin).push(tokens);
    }

    fn propose(&mut self, wanted: &[DraftRequest]) -> Result<Vec<Draft>> {
        let depths = self.depths(wanted)?;
        let mut drafts: Vec<_> = depths.iter().map(|_| Drafted::default()).collect();
        let going = wanted.iter().enumerate().filter(|&(index, _)| depths[index] > 0);
        let going = going.map(|(index, request)| (index, request.sequence)).collect();
        let Self { runner, chooser, tokenizers, .. } = self;
        runner.grow(going, |index, logits| {
            let (token, confidence) = chooser.choose(logits)?;
            // Its tokens are no guesses yet, so one bound serves for both.
            let least_probability = wanted[index].least_probability.max(wanted[index].least_to_go_on);
            drafts[index].push(token, confidence, least_probability, &*tokenizers.draft);
            let drafted = &drafts[index];
            (!drafted.is_at_end() && drafted.len() < depths[index]).then_some(token)
        })?;
        let draft = |(request, drafted): (_, &Drafted)| match drafted.len() {
            0 => Ok(Draft::default()),
            _ => self.write(request, drafted),
        };
        wanted.iter().zip(&drafts).map(draft).collect()
    }

    fn release(&mut self, sequence: SequenceId) {
        self.readings.remove(&sequence);
        self.runner.release(sequence);
    }
}

impl Chooser {
    fn new() -> Result<Self> {
        let config = SamplingConfig::default();
        let soft = SamplingConfig { temperature: 1.0, ..config.clone() };
        Ok(Self { history: History::new(&config), greedy: Sampler::new(config)?, confidence: Sampler::new(soft)? })
    }

    /// The likeliest token; `None` without logits.
    fn choose(&mut self, logits: &[f32]) -> Option<(TokenId, f32)> {
        let token = self.greedy.sample(logits, &self.history, 0);
        let confidence = self.confidence.probabilities(logits, &self.history, &[token]);
        (!logits.is_empty()).then_some((token, *confidence.first()?))
    }
}

/// Refuses tokens that the draft model cannot look up.
fn check_tokens(tokens: &[TokenId], vocabulary: usize) -> Result<()> {
    match tokens.iter().find(|&&token| token as usize >= vocabulary) {
        None => Ok(()),
        Some(token) => Err(Error::Tokenizer(format!(
            "the draft model's tokenizer gives token {token}, but that model's vocabulary has {vocabulary} tokens"
        ))
        .into()),
    }
}

#[cfg(test)]
mod tests;
