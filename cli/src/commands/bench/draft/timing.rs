//! What drafting takes, in passes of the target: drafters propose along the texts as they would in an engine, and between
//! proposals the target computes a row, so that they find the processor's caches as they would.

use std::time::{Duration, Instant};

use anyhow::Result;
use veridraft_engine::drafters::{DraftRequest, Drafter};
use veridraft_engine::evaluation::Window;
use veridraft_engine::evaluation::fitness::Fitness;
use veridraft_engine::measure::{Spread, robust_line};
use veridraft_engine::{Request, SamplingConfig, SequenceId};
use veridraft_models::LanguageModel;

use super::super::one_sequence::OneSequence;

/// Proposals of each length, of which the median counts.
const ENOUGH: usize = 15;
/// Time for all of them, after which fewer do.
const MOST: Duration = Duration::from_secs(20);
/// Fewer than this tell nothing.
const LEAST: usize = 3;

/// Time of a step's drafting by that of a pass of one row, for each draft length from 1 on.
pub(super) struct Timed {
    /// Of all drafters that guess from text together.
    pub(super) tables: Vec<f64>,
    /// Of the draft model.
    pub(super) model: Vec<f64>,
}

/// What is timed.
pub(super) struct Subject<'a> {
    pub(super) texts: &'a [Window],
    pub(super) fitness: &'a Fitness,
    pub(super) sampling: &'a SamplingConfig,
    pub(super) draft_max: usize,
}

/// Times proposals of every length, in turn, each behind what the step before would have produced; the texts come again
/// until there are enough. There is at least one, with a scored token.
pub(super) fn time(
    target: &mut OneSequence<dyn LanguageModel>,
    [tables, model]: &mut [Vec<Box<dyn Drafter>>; 2],
    subject: &Subject,
) -> Result<Timed> {
    let mut times = Times::new(subject.draft_max);
    let context = subject.texts.iter().map(|text| text.scored.start).max().unwrap_or(0).min(target.room() - 1);
    target.fill(context)?;
    let texts = subject.texts.iter().zip(&subject.fitness.texts).cycle();
    for (number, (text, guessed)) in (0..).zip(texts) {
        if times.are_enough() {
            break;
        }
        let mut drafting = Drafting::begin(tables, model, (SequenceId(number), text), subject.sampling)?;
        let mut place = 0;
        while place < guessed.guesses.len() && !times.are_enough() {
            let pass = target.time(context..context + 1, 1)?;
            let length = times.next_length();
            times.add(pass, drafting.propose(length)?);
            let tokens = guessed.guesses[place].accepted.min(length) + 1;
            drafting.extend(tokens.min(guessed.guesses.len() - place));
            place += tokens;
        }
        drafting.end();
    }
    Ok(times.summed_up())
}

/// One text on its way through the drafters.
struct Drafting<'a> {
    tables: &'a mut [Box<dyn Drafter>],
    model: &'a mut [Box<dyn Drafter>],
    sequence: SequenceId,
    text: &'a Window,
    /// Tokens that the drafters know.
    known: usize,
}

impl<'a> Drafting<'a> {
    fn begin(
        tables: &'a mut [Box<dyn Drafter>],
        model: &'a mut [Box<dyn Drafter>],
        (sequence, text): (SequenceId, &'a Window),
        sampling: &SamplingConfig,
    ) -> Result<Self> {
        let prompt = &text.tokens[..text.scored.start];
        let request = Request { sampling: sampling.clone(), ..Request::new(prompt.to_vec(), text.scored.len()) };
        for drafter in tables.iter_mut().chain(model.iter_mut()) {
            drafter.begin(sequence, &request);
            drafter.extend(sequence, prompt);
        }
        let mut drafting = Self { tables, model, sequence, text, known: prompt.len() };
        // The first proposal computes the prompt.
        drafting.propose(1)?;
        Ok(drafting)
    }

    /// Times of a proposal of all drafters that guess from text, and of the model.
    fn propose(&mut self, draft_length: usize) -> Result<[Duration; 2]> {
        let request = [DraftRequest::chain(self.sequence, draft_length)];
        let time = |drafters: &mut [Box<dyn Drafter>]| -> Result<Duration> {
            let start = Instant::now();
            for drafter in drafters {
                drafter.propose(&request)?;
            }
            Ok(start.elapsed())
        };
        Ok([time(self.tables)?, time(self.model)?])
    }

    /// Gives the drafters the next tokens of the text.
    fn extend(&mut self, tokens: usize) {
        let next = &self.text.tokens[self.known..self.known + tokens];
        self.known += tokens;
        for drafter in self.tables.iter_mut().chain(self.model.iter_mut()) {
            drafter.extend(self.sequence, next);
        }
    }

    fn end(self) {
        self.tables.iter_mut().chain(self.model.iter_mut()).for_each(|drafter| drafter.release(self.sequence));
    }
}

struct Times {
    started: Instant,
    passes: Vec<Duration>,
    /// For each length from 1 on.
    tables: Vec<Vec<Duration>>,
    model: Vec<Vec<Duration>>,
}

impl Times {
    fn new(draft_max: usize) -> Self {
        let (started, none) = (Instant::now(), vec![Vec::new(); draft_max]);
        Self { started, passes: Vec::new(), tables: none.clone(), model: none }
    }

    fn are_enough(&self) -> bool {
        let least = if self.started.elapsed() < MOST { ENOUGH } else { LEAST };
        self.passes.len() >= least * self.tables.len()
    }

    /// Lengths take turns.
    fn next_length(&self) -> usize {
        self.passes.len() % self.tables.len() + 1
    }

    /// Adds a pass and proposals of the next length.
    fn add(&mut self, pass: Duration, [tables, model]: [Duration; 2]) {
        let length = self.next_length();
        self.passes.push(pass);
        self.tables[length - 1].push(tables);
        self.model[length - 1].push(model);
    }

    fn summed_up(&self) -> Timed {
        let pass = Spread::of(&self.passes).median.as_secs_f64().max(f64::MIN_POSITIVE);
        let by_pass = |times: &Vec<Duration>| Spread::of(times).median.as_secs_f64() / pass;
        // A draft model takes a pass a token and tables next to nothing, so times lie on a line; the few that one length
        // has may not, where much else runs on the machine, and would favour or spoil that length alone.
        let on_line = |times: &[Vec<Duration>]| -> Vec<f64> {
            let points: Vec<_> = (1_u32..).map(f64::from).zip(times.iter().map(by_pass)).collect();
            let (start, slope) = robust_line(&points);
            points.iter().map(|(length, _)| (start + slope * length).max(0.0)).collect()
        };
        Timed { tables: on_line(&self.tables), model: on_line(&self.model) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_turns_and_are_told_in_passes() {
        let milliseconds = Duration::from_millis;
        let mut times = Times::new(2);
        let mut lengths = Vec::new();
        while !times.are_enough() {
            let length = times.next_length();
            lengths.push(length);
            times.add(milliseconds(10), [milliseconds(1), milliseconds(20 * length as u64)]);
        }
        assert_eq!(lengths, [1, 2].repeat(ENOUGH));
        let Timed { tables, model } = times.summed_up();
        let close = |found: &[f64], expected: [f64; 2]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(close(&tables, [0.1; 2]) && close(&model, [2.0, 4.0]), "{tables:?} {model:?}");
    }
}
