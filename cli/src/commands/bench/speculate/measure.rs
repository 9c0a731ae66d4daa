//! The run: every prompt is answered by all cases, the first of which decodes plainly.

use std::iter::Sum;
use std::ops::Add;
use std::time::Duration;

use anyhow::{Result, bail};
use veridraft_engine::{Request, Verification};

use super::super::cost::Costs;
use super::hindsight::Priced;
use crate::progress::Spinner;
use crate::prompts::DataPrompt;
use crate::set_up::{Generation, SetUp, SetUps, Step, Turn};

/// Tokens that each case produces before anything counts, so that pages and code are there.
const WARM_UP_TOKENS: usize = 16;

/// All that was measured.
pub(super) struct Run {
    pub(super) prompts: Vec<Measured>,
}

/// One prompt's answers.
pub(super) struct Measured {
    pub(super) category: String,
    pub(super) id: String,
    pub(super) turns: Vec<Turn>,
}

impl Run {
    /// Prompts by category, categories in the order of their first prompts.
    pub(super) fn categories(&self) -> Vec<(String, Vec<&Measured>)> {
        let mut categories: Vec<(String, Vec<&Measured>)> = Vec::new();
        for prompt in &self.prompts {
            match categories.iter_mut().find(|(name, _)| *name == prompt.category) {
                Some((_, prompts)) => prompts.push(prompt),
                None => categories.push((prompt.category.clone(), vec![prompt])),
            }
        }
        categories
    }
}

/// The least and the greatest number of cached tokens behind which the run decoded.
pub(super) fn contexts(prompts: &[Measured]) -> [usize; 2] {
    let turns = || prompts.iter().flat_map(|prompt| &prompt.turns);
    let least = turns().map(|turn| turn.prompt.len()).min().unwrap_or(0);
    let greatest = turns().map(|turn| turn.prompt.len() + turn.answers[0].tokens.len()).max().unwrap_or(0);
    [least, greatest]
}

/// The mean position of a token of an answer: how much a pass finds in the cache.
pub(super) fn middle<'a>(prompts: impl IntoIterator<Item = &'a Measured>) -> usize {
    let turns: Vec<_> = prompts.into_iter().flat_map(|prompt| &prompt.turns).collect();
    let sum: usize = turns.iter().map(|turn| turn.prompt.len() + turn.answers[0].tokens.len() / 2).sum();
    sum / turns.len().max(1)
}

/// Rows, cached tokens and time of every decoding pass of every case.
pub(super) fn timed_passes(prompts: &[Measured]) -> Vec<(usize, usize, Duration)> {
    let cases = prompts.first().and_then(|prompt| prompt.turns.first()).map_or(0, |turn| turn.answers.len());
    let passes = prompts.iter().flat_map(|prompt| (0..cases).flat_map(|case| prompt.passes(case)));
    passes.map(|(context, step)| (step.rows, context, step.forward)).collect()
}

impl Measured {
    /// What the answers of one case sum up to.
    pub(super) fn totals(&self, case: usize) -> Totals {
        self.answers(case).map(Totals::of).sum()
    }

    /// The decoding passes of one case, each with what passes behind its context cost.
    pub(super) fn priced(&self, case: usize, costs: &Costs) -> impl Iterator<Item = Priced> {
        self.passes(case).map(|(context, step)| Priced { step, costs: costs.at(context) })
    }

    /// The decoding passes of one case, each with the tokens that it found in the cache.
    fn passes(&self, case: usize) -> impl Iterator<Item = (usize, Step)> {
        self.turns.iter().flat_map(move |turn| {
            let answer = &turn.answers[case];
            let mut context = turn.prompt.len();
            decoding(answer).iter().enumerate().map(move |(index, &step)| {
                context += answer.steps[index].tokens;
                (context - 1, step)
            })
        })
    }

    /// The answers of one case.
    pub(super) fn answers(&self, case: usize) -> impl Iterator<Item = &Generation> {
        self.turns.iter().map(move |turn| &turn.answers[case])
    }
}

/// What some answers sum up to. Times and `decode_tokens` are of the passes behind the first token of an answer; the
/// other counts are of all passes that produced tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) decode_tokens: usize,
    pub(super) decode_passes: usize,
    pub(super) decode: Duration,
    pub(super) forward: Duration,
    pub(super) drafting: Duration,
    pub(super) passes: usize,
    pub(super) emitted: usize,
    pub(super) proposed: usize,
    pub(super) accepted: usize,
}

impl Totals {
    fn of(answer: &Generation) -> Self {
        let decode = decoding(answer);
        let count = |steps: &[Step], of: fn(&Step) -> usize| steps.iter().map(of).sum();
        let time = |of: fn(&Step) -> Duration| decode.iter().map(of).sum();
        Self {
            decode_tokens: count(decode, |step| step.tokens),
            decode_passes: decode.len(),
            decode: time(|step| step.duration),
            forward: time(|step| step.forward),
            drafting: time(|step| step.drafting),
            passes: answer.steps.len(),
            emitted: count(&answer.steps, |step| step.tokens),
            proposed: count(&answer.steps, |step| step.proposed),
            accepted: count(&answer.steps, |step| step.accepted),
        }
    }
}

impl Add for Totals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            decode_tokens: self.decode_tokens + other.decode_tokens,
            decode_passes: self.decode_passes + other.decode_passes,
            decode: self.decode + other.decode,
            forward: self.forward + other.forward,
            drafting: self.drafting + other.drafting,
            passes: self.passes + other.passes,
            emitted: self.emitted + other.emitted,
            proposed: self.proposed + other.proposed,
            accepted: self.accepted + other.accepted,
        }
    }
}

impl Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(totals: I) -> Self {
        totals.fold(Self::default(), Add::add)
    }
}

/// The passes behind the first token.
pub(super) fn decoding(answer: &Generation) -> &[Step] {
    answer.steps.get(1..).unwrap_or_default()
}

/// Lets every case answer every prompt.
pub(super) fn measure(set_ups: &mut SetUps, prompts: &[DataPrompt]) -> Result<Run> {
    warm_up(set_ups, &prompts[0])?;
    let spinner = Spinner::start();
    let mut run = Run { prompts: Vec::with_capacity(prompts.len()) };
    for (index, prompt) in prompts.iter().enumerate() {
        spinner.say(&format!("prompt {} of {}, {}", index + 1, prompts.len(), prompt.category));
        run.prompts.push(measure_prompt(set_ups, prompt, index)?);
    }
    Ok(run)
}

fn warm_up(set_ups: &mut SetUps, prompt: &DataPrompt) -> Result<()> {
    let mut conversation = set_ups.conversation(prompt);
    if let Some(tokens) = conversation.ask(set_ups.folder())? {
        for SetUp { open, .. } in &mut set_ups.cases {
            let request = open.request(tokens.clone());
            let request = Request { max_tokens: request.max_tokens.min(WARM_UP_TOKENS), ..request };
            Generation::run(&mut open.engine, request)?;
            open.engine.forget();
        }
    }
    Ok(())
}

fn measure_prompt(set_ups: &mut SetUps, prompt: &DataPrompt, index: usize) -> Result<Measured> {
    let turns = set_ups.answer(prompt, Verification::Coupled, index)?;
    for (number, turn) in (1..).zip(&turns) {
        let changed = turn.answers.iter().position(|answer| answer.tokens != turn.answers[0].tokens);
        if let Some(case) = changed {
            let DataPrompt { id, category, .. } = prompt;
            bail!(
                "`--draft {}` changed turn {number} of prompt `{id}` of `{category}`, expected the text of plain \
                 decoding; `veridraft verify` tells more",
                set_ups.cases[case].draft
            );
        }
    }
    Ok(Measured { category: prompt.category.clone(), id: prompt.id.clone(), turns })
}
