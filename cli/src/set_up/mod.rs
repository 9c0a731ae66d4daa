//! Set-ups: one model opened once for plain decoding and once for each `--draft`, to compare what they produce.
//!
//! The weights are mapped and shared, so a further set-up costs its KV cache. What `verify` and `bench speculate` know
//! of the engine and of opening is in this file.

mod generation;

pub(crate) use generation::{Generation, Step};

use generation::Answering;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use veridraft_engine::{Error, Request, Verification};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{LanguageModel, ModelFolder, TokenId, UnsizedAnyModel};

use crate::arguments::{
    DraftArguments, GenerationArguments, ModelArguments, SamplingArguments, VerifyRule, parse_count,
};
use crate::constraint::ConstraintArguments;
use crate::draft_spec::DraftSpec;
use crate::model_store;
use crate::open_model::{OpenModel, name_the_flag, session};
use crate::prompts::{Conversation, DataPrompt};

/// Passes that a case runs before it is the next one's turn: few beside how long machines are slow, many beside what
/// the first of them finds cold.
const PASSES_A_TURN: usize = 8;

/// What `verify` and `bench speculate` have in common.
#[derive(Debug, Args)]
pub(crate) struct SetUpArguments {
    /// Prompts: JSON lines, plain, .gz or .zst, with `turns`, `question`, `messages`, `prompt` or `text`; several times
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) data: Vec<PathBuf>,
    /// Prompts of each file, at most
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(crate) limit: Option<NonZeroUsize>,
    /// A set-up to compare with plain decoding: who drafts, as for `generate`; several times
    #[arg(long, value_name = "SPEC", default_value = "auto")]
    pub(crate) draft: Vec<DraftSpec>,
    /// Drafted tokens one behind the other, at least, as for `generate`
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) draft_min: usize,
    /// Drafted tokens one behind the other, at most, as for `generate`
    #[arg(long, value_name = "N", default_value = "24", value_parser = parse_count)]
    pub(crate) draft_max: NonZeroUsize,
    /// New tokens of an answer, at most
    #[arg(short = 'n', long, value_name = "N", default_value = "128", value_parser = parse_count)]
    pub(crate) max_tokens: NonZeroUsize,
    /// System message, where the chat template takes one
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    #[command(flatten)]
    pub(crate) model: ModelArguments,
    #[command(flatten)]
    pub(crate) sampling: SamplingArguments,
}

/// One way to decode, ready to run.
pub(crate) struct SetUp {
    /// `--draft` as it was typed.
    pub(crate) draft: String,
    pub(crate) open: OpenModel,
}

/// All ways to decode that are compared.
pub(crate) struct SetUps {
    /// The first decodes plainly, the others stand in the order of `--draft`.
    pub(crate) cases: Vec<SetUp>,
    arguments: GenerationArguments,
}

/// One turn of a prompt: the tokens that were asked, and the answer of each case.
pub(crate) struct Turn {
    pub(crate) prompt: Vec<TokenId>,
    pub(crate) answers: Vec<Generation>,
}

impl SetUps {
    /// Opens plain decoding and each draft that the arguments name.
    pub(crate) fn open(arguments: SetUpArguments) -> Result<Self> {
        let plain = "none".parse().expect("`none` is plain decoding");
        let mut generation = GenerationArguments {
            system: arguments.system,
            max_tokens: arguments.max_tokens,
            trace: None,
            model: arguments.model,
            draft: DraftArguments {
                draft: plain,
                draft_min: arguments.draft_min,
                draft_max: arguments.draft_max,
                // Overridden by the rule of each run.
                verify: VerifyRule::Coupled,
            },
            constraint: ConstraintArguments::default(),
            sampling: arguments.sampling,
        };
        let mut cases = vec![SetUp { draft: "none".to_owned(), open: OpenModel::open(&generation)? }];
        for draft in arguments.draft {
            let name = draft.to_string();
            generation.draft.draft = draft;
            cases.push(SetUp { draft: name, open: OpenModel::open(&generation)? });
        }
        Ok(Self { cases, arguments: generation })
    }

    /// What the model's folder holds, the same for all.
    pub(crate) fn folder(&self) -> &ModelFolder {
        &self.cases[0].open.folder
    }

    /// Each `--draft` as it was typed: the names of the cases behind the first.
    pub(crate) fn drafts(&self) -> Vec<String> {
        self.cases[1..].iter().map(|case| case.draft.clone()).collect()
    }

    pub(crate) fn max_tokens(&self) -> usize {
        self.arguments.max_tokens.get()
    }

    pub(crate) fn draft_max(&self) -> usize {
        self.arguments.draft.draft_max.get()
    }

    pub(crate) fn conversation(&self, prompt: &DataPrompt) -> Conversation {
        Conversation::new(prompt, self.arguments.system.as_deref())
    }

    /// Refuses, before anything is measured, a prompt whose first turn the model has no room for.
    pub(crate) fn check(&mut self, prompts: &[DataPrompt]) -> Result<()> {
        for prompt in prompts {
            let mut conversation = self.conversation(prompt);
            let SetUp { open, .. } = &mut self.cases[0];
            if let Some(tokens) = conversation.ask(&open.folder)? {
                let id = open.engine.add(open.request(tokens)).with_context(|| conversation.name().to_owned())?;
                open.engine.remove(id);
            }
        }
        Ok(())
    }

    /// Asks every turn of a prompt of all cases; a turn follows the plain answers to those before.
    ///
    /// Cases take turns, a few passes each, so that a machine that slows down slows all of them; the one of number
    /// `first`, modulo their count, begins. A conversation that outgrows the model ends there, with a note.
    pub(crate) fn answer(&mut self, prompt: &DataPrompt, rule: Verification, first: usize) -> Result<Vec<Turn>> {
        let mut conversation = self.conversation(prompt);
        let mut turns = Vec::new();
        while let Some(prompt) = conversation.ask(self.folder())? {
            match self.answers(&prompt, rule, first + turns.len()) {
                Ok(answers) => {
                    conversation.answer(answers[0].text.clone());
                    turns.push(Turn { prompt, answers });
                }
                Err(error) if !turns.is_empty() && is_too_long(&error) => {
                    eprintln!("note: {} ends before turn {}: {error}", conversation.name(), turns.len() + 1);
                    break;
                }
                Err(error) => return Err(error.context(conversation.name().to_owned())),
            }
        }
        Ok(turns)
    }

    /// One answer a case, in the order of the cases.
    fn answers(&mut self, prompt: &[TokenId], rule: Verification, first: usize) -> Result<Vec<Generation>> {
        let mut under_way = Vec::new();
        let outcome = self.run(&mut under_way, prompt, rule, first);
        let ends = under_way.into_iter().zip(&mut self.cases);
        let answers = ends.map(|(answering, case)| answering.end(&mut case.open.engine)).collect();
        outcome.map(|()| answers)
    }

    fn run(
        &mut self,
        under_way: &mut Vec<Answering>,
        prompt: &[TokenId],
        rule: Verification,
        first: usize,
    ) -> Result<()> {
        for SetUp { open, .. } in &mut self.cases {
            let request = Request { verification: rule, ..open.request(prompt.to_vec()) };
            under_way.push(Answering::start(&mut open.engine, request)?);
        }
        for round in 0.. {
            if !self.cases.iter().any(|case| case.open.engine.has_work()) {
                break;
            }
            for case in order(self.cases.len(), first, round) {
                under_way[case].advance(&mut self.cases[case].open.engine, PASSES_A_TURN)?;
            }
        }
        Ok(())
    }

    /// The bare model, for passes without an engine.
    pub(crate) fn open_target(&self) -> Result<Box<dyn LanguageModel>> {
        let model = &self.arguments.model;
        let runtime = Runtime::load(&LibraryChoice::from(model.ort_lib.clone()))?;
        let (_, folder) = model_store::open(model)?;
        let target = UnsizedAnyModel::open(&runtime, &folder, session(model)?)?;
        Ok(target.with_memory(model.kv_memory).map_err(name_the_flag)?.model)
    }
}

/// Who runs when in a round. It rotates, and every other round goes backwards, so that no case always runs behind the
/// same one and finds what that has left in the caches.
fn order(count: usize, first: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..count).map(|turn| (first + round + turn) % count).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

fn is_too_long(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::PromptTooLong { .. } | Error::CacheTooSmall { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_runs_behind_every_other_and_first_as_often() {
        let rounds: Vec<_> = (0..6).map(|round| order(3, 4, round)).collect();
        for case in 0..3 {
            assert!(rounds.iter().all(|order| order.contains(&case)));
            assert_eq!(rounds.iter().filter(|order| order[0] == case).count(), 2, "{rounds:?}");
            for other in (0..3).filter(|&other| other != case) {
                let behind = rounds.iter().flat_map(|order| order.windows(2)).filter(|pair| **pair == [other, case]);
                assert_eq!(behind.count(), 2, "{rounds:?}");
            }
        }
    }
}
