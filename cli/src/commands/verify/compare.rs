//! Compares answers token by token.

use anyhow::{Context, Result};
use veridraft_engine::Verification;
use veridraft_models::{LanguageModel, TokenId};

use super::logits::logits_behind;
use super::report::{Difference, VerifyReport};
use crate::progress::Spinner;
use crate::prompts::DataPrompt;
use crate::set_up::{SetUps, Turn};

/// Lets plain decoding and every set-up answer every prompt; a difference does not end the run.
pub(super) fn compare(set_ups: &mut SetUps, prompts: &[DataPrompt], rule: Verification) -> Result<VerifyReport> {
    let spinner = Spinner::start();
    let drafts = set_ups.drafts();
    let mut report = VerifyReport { prompts: prompts.len(), drafts, ..VerifyReport::default() };
    // Opened when a difference asks for logits.
    let mut target = None;
    for (index, prompt) in prompts.iter().enumerate() {
        spinner.say(&format!("prompt {} of {}, {}", index + 1, prompts.len(), prompt.category));
        let turns = set_ups.answer(prompt, rule, index)?;
        for (number, turn) in (1..).zip(&turns) {
            for case in 1..turn.answers.len() {
                report.tokens += turn.answers[0].tokens.len();
                let Some(parting) = Parting::find(turn, case) else { continue };
                let logits = pair_of_logits(set_ups, &mut target, turn, &parting)?;
                report.differences.push(Difference {
                    prompt: prompt.id.clone(),
                    category: prompt.category.clone(),
                    turn: number,
                    draft: set_ups.cases[case].draft.clone(),
                    position: parting.position,
                    plain: parting.plain,
                    speculative: parting.speculative,
                    logits,
                    margin: logits.map(|[plain, speculative]| (plain - speculative).abs()),
                });
            }
        }
    }
    Ok(report)
}

/// Where an answer parts from the plain one: at different tokens, or at the end of the shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parting {
    position: usize,
    plain: Option<TokenId>,
    speculative: Option<TokenId>,
}

impl Parting {
    fn find(turn: &Turn, case: usize) -> Option<Self> {
        let (plain, speculative) = (&turn.answers[0].tokens, &turn.answers[case].tokens);
        let position = plain.iter().zip(speculative).take_while(|(one, other)| one == other).count();
        let (plain, speculative) = (plain.get(position).copied(), speculative.get(position).copied());
        (plain.is_some() || speculative.is_some()).then_some(Self { position, plain, speculative })
    }
}

/// The scores of both tokens where they stand, by passes without drafts; `None` when one of them is missing.
fn pair_of_logits(
    set_ups: &SetUps,
    target: &mut Option<Box<dyn LanguageModel>>,
    turn: &Turn,
    parting: &Parting,
) -> Result<Option<[f32; 2]>> {
    let Some((plain, speculative)) = parting.plain.zip(parting.speculative) else { return Ok(None) };
    let target = match target {
        Some(target) => target,
        None => target.insert(set_ups.open_target().context("cannot open the model for the logits of a difference")?),
    };
    let asked = set_ups.cases[0].open.request(turn.prompt.clone());
    let logits = logits_behind(&mut **target, &asked, &turn.answers[0].tokens[..parting.position])?;
    Ok(Some([plain, speculative].map(|token| logits[token as usize])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set_up::Generation;

    #[test]
    fn answers_part_at_the_first_token_that_differs() {
        let check = |plain: &[TokenId], speculative: &[TokenId], expected: Option<Parting>| {
            let answer = |tokens: &[TokenId]| Generation { tokens: tokens.to_vec(), ..Generation::default() };
            let turn = Turn { prompt: vec![7], answers: vec![answer(plain), answer(speculative)] };
            assert_eq!(Parting::find(&turn, 1), expected);
        };
        let parting = |position, plain, speculative| Some(Parting { position, plain, speculative });
        check(&[], &[], None);
        check(&[1, 2], &[1, 2], None);
        check(&[1, 2, 3], &[1, 4, 3], parting(1, Some(2), Some(4)));
        check(&[1, 2], &[1, 2, 3], parting(2, None, Some(3)));
        check(&[1], &[], parting(0, Some(1), None));
    }
}
