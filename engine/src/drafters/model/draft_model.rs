//! Drafting with a smaller model of the target's own tokenizer (Leviathan et al. 2023; Chen et al. 2023).

use std::collections::HashMap;

use veridraft_models::{LanguageModel, TokenId};

use super::choice::Chooser;
use super::path::Path;
use super::rows::index;
use super::runner::Runner;
use crate::drafters::{Draft, DraftRequest, Drafter, Effort};
use crate::sampling::History;
use crate::{Request, Result, SequenceId};

/// Drafts what a smaller model with the same tokenizer would say.
///
/// How tokens are chosen is said in `choice.rs`: coupled and typical requests get the tokens that the target would get
/// from the draft model's logits, rejection requests get drawn ones with the distribution they come from. A tree is the
/// chain of those tokens with alternatives as leaves, which take the nodes that the chain leaves over, the likeliest
/// first.
pub struct DraftModel {
    runner: Runner,
    target_vocabulary: usize,
    sequences: HashMap<SequenceId, Known>,
}

/// What is known of a sequence beside its tokens.
struct Known {
    chooser: Chooser,
    history: History,
    /// Tokens of the prompt that have not come yet.
    prompt_left: usize,
    /// Whether the draft model has an embedding for every token so far.
    is_readable: bool,
}

impl DraftModel {
    /// A drafter for a target with `target_vocabulary` tokens.
    ///
    /// The draft model may have more logits, which are padding and never proposed, or fewer: then a sequence with a
    /// token that it lacks gets no drafts.
    pub fn new(model: Box<dyn LanguageModel>, target_vocabulary: usize) -> Self {
        Self { runner: Runner::new(model), target_vocabulary, sequences: HashMap::new() }
    }

    fn path<'call>(&self, request: &'call DraftRequest, depth: usize) -> Path<'call> {
        let history = &self.sequences[&request.sequence].history;
        Path::new(request, history, index(self.runner.committed(request.sequence)), depth)
    }

    /// Says what breaks the pool, or its agreement with the caches.
    #[cfg(test)]
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        self.runner.check()
    }
}

impl Drafter for DraftModel {
    fn name(&self) -> &'static str {
        "model"
    }

    fn effort(&self) -> Effort {
        Effort::Model
    }

    fn backlog(&self, sequence: SequenceId) -> usize {
        self.runner.backlog(sequence)
    }

    fn begin(&mut self, sequence: SequenceId, request: &Request) {
        let chooser = Chooser::new(request).expect("the engine refuses a request with settings out of range");
        let history = History::new(&request.sampling);
        let known = Known { chooser, history, prompt_left: request.prompt.len(), is_readable: true };
        self.sequences.insert(sequence, known);
    }

    fn extend(&mut self, sequence: SequenceId, tokens: &[TokenId]) {
        let Some(known) = self.sequences.get_mut(&sequence) else { return };
        let (prompt, output) = tokens.split_at(known.prompt_left.min(tokens.len()));
        known.prompt_left -= prompt.len();
        known.history.extend_prompt(prompt);
        output.iter().for_each(|&token| known.history.push_output(token));
        let vocabulary = self.runner.vocabulary();
        known.is_readable &= tokens.iter().all(|&token| (token as usize) < vocabulary);
        self.runner.extend(sequence, tokens);
    }

    fn propose(&mut self, wanted: &[DraftRequest]) -> Result<Vec<Draft>> {
        let depth = |request: &DraftRequest| match self.sequences.get(&request.sequence) {
            Some(known) if known.is_readable => request.max_depth.min(request.max_nodes),
            _ => 0,
        };
        let depths: Vec<_> = wanted.iter().map(|request| (request.sequence, depth(request))).collect();
        let depths = self.runner.admit(&depths);
        let path = |(request, depth): (_, usize)| (depth > 0).then(|| self.path(request, depth));
        let mut paths: Vec<_> = wanted.iter().zip(depths).map(path).collect();
        let going = paths.iter().zip(wanted).enumerate().filter(|(_, (path, _))| path.is_some());
        let going = going.map(|(index, (_, request))| (index, request.sequence)).collect();
        let columns = self.runner.vocabulary().min(self.target_vocabulary);
        self.runner.grow(going, |index, logits| {
            let known = self.sequences.get_mut(&wanted[index].sequence).expect("an admitted sequence is known");
            let path = paths[index].as_mut().expect("an admitted sequence has a path");
            path.grow(&mut known.chooser, &logits[..columns.min(logits.len())], self.target_vocabulary)
        })?;
        Ok(paths.into_iter().map(|path| path.map_or_else(Draft::default, Path::into_draft)).collect())
    }

    fn release(&mut self, sequence: SequenceId) {
        self.sequences.remove(&sequence);
        self.runner.release(sequence);
    }
}
