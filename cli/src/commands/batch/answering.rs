//! Rows through the engine: so many at once, each into the journal when it is complete.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Result, bail};
use serde_json::Value;
use veridraft_engine::{FinishReason, Request, SequenceId, StepReport};

use super::ask::{Asker, refusal};
use super::journal::{Journal, Kind};
use super::logprobs::TokenBytes;
use super::record::{Answer, Name, RecordWriter};
use super::refusal::{Code, Refusal};
use super::row::{Asked, Object, Row, RowFormat, object, unnamed};
use super::rows::{InputRow, Rows};
use super::selection::Selection;
use super::stats::Tally;
use super::survey::Survey;
use super::under_way::{UnderWay, add};
use crate::data_files::LONGEST;
use crate::interrupt::Interrupt;
use crate::open_model::OpenModel;
use crate::progress::RowsBar;
use crate::report::Trace;

/// Rows taken in between two steps, at most.
const ROWS_A_TURN: usize = 256;

/// What does not change while rows are answered.
pub(super) struct Plan {
    pub(super) selection: Selection,
    pub(super) format: RowFormat,
    pub(super) survey: Survey,
    pub(super) writer: RecordWriter,
    /// Sequences under way at once.
    pub(super) concurrency: usize,
}

/// Answers the rows of one run.
pub(super) struct Answering {
    plan: Plan,
    open: OpenModel,
    asker: Asker,
    journal: Journal,
    tally: Tally,
    /// Made when log-probabilities are first wanted.
    texts: Option<TokenBytes>,
    /// By the row's place in this run.
    under_way: HashMap<usize, UnderWay>,
    /// The row and the sample that each sequence is.
    sequences: HashMap<SequenceId, (usize, usize)>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    Interrupted,
}

impl Answering {
    pub(super) fn new(plan: Plan, open: OpenModel, asker: Asker, journal: Journal) -> Self {
        let tally = Tally::behind(journal.finished());
        let (under_way, sequences) = (HashMap::new(), HashMap::new());
        Self { plan, open, asker, journal, tally, texts: None, under_way, sequences }
    }

    /// Answers all rows that the journal lacks. What is complete is on the disk afterwards, whatever happens.
    pub(super) fn run(&mut self, rows: &mut Rows, interrupt: &Interrupt, trace: Option<&mut Trace>) -> Result<End> {
        interrupt.begin();
        let outcome = self.answer_all(rows, interrupt, trace);
        interrupt.end();
        let synced = self.keep(Journal::sync);
        let end = outcome?;
        synced.map(|()| end)
    }

    /// What the run leaves behind.
    pub(super) fn into_parts(self) -> (Journal, Tally, Survey) {
        (self.journal, self.tally, self.plan.survey)
    }

    fn answer_all(&mut self, rows: &mut Rows, interrupt: &Interrupt, mut trace: Option<&mut Trace>) -> Result<End> {
        let mut bar = RowsBar::start(self.journal.finished(), self.plan.survey.rows);
        let start = Instant::now();
        loop {
            let is_read = !self.feed(rows)?;
            if interrupt.is_set() {
                return Ok(End::Interrupted);
            }
            if self.sequences.is_empty() && is_read {
                return Ok(End::Complete);
            }
            let report = self.open.engine.step()?;
            if let Some(trace) = &mut trace {
                trace.step(&report)?;
            }
            self.step(report)?;
            self.keep(Journal::settle)?;
            let seconds = start.elapsed().as_secs_f64();
            let (tokens, length) = (self.tally.tokens() as f64, self.tally.mean_acceptance_length());
            bar.set(self.journal.finished(), self.under_way.len(), || {
                format!("{:.1} tokens/s, {length:.2} tokens a pass", tokens / seconds.max(1e-9))
            });
        }
    }

    /// Takes rows in until as many are under way as may be; `false` when the input has no more. Of rows that need no
    /// answer not all at once, for between turns the journal is settled and Ctrl-C is seen.
    fn feed(&mut self, rows: &mut Rows) -> Result<bool> {
        for _ in 0..ROWS_A_TURN {
            if self.sequences.len() >= self.plan.concurrency {
                break;
            }
            let Some(row) = rows.next()? else { return Ok(false) };
            self.take(row)?;
        }
        Ok(true)
    }

    /// Takes a row of the input in, if it is this run's and has no record.
    fn take(&mut self, input: InputRow) -> Result<()> {
        // The journal is that of the input's digest, so no other input's answer may come into it.
        if !self.plan.survey.knows(&input) {
            bail!("line {} changed while the input was read, expected the same rows in both passes", input.line);
        }
        if !self.plan.selection.has(input.index) {
            return Ok(());
        }
        let place = self.plan.selection.place(input.index);
        if self.journal.is_finished(place) {
            return Ok(());
        }
        let (name, object) = self.name(&input);
        let asked = object.and_then(|object| self.ask(object, &name.key));
        let refusal = match asked {
            Ok((row, requests)) => match add(&mut self.open.engine, &requests) {
                Ok(ids) => {
                    self.begin(place, ids, UnderWay::new(name, input.line, row, requests));
                    return Ok(());
                }
                Err(error) => refusal(&error).ok_or(error)?,
            },
            Err(refusal) => refusal,
        };
        self.refuse(place, &name, refusal.at(&format!("line {}", input.line)))
    }

    /// What the row is called, and what stands in it.
    fn name(&self, input: &InputRow) -> (Name, Result<Object, Refusal>) {
        let nameless =
            |refusal| (Name { id: Value::Null, ..Name::in_line(unnamed(input.line), input.line) }, Err(refusal));
        if let Some(found) = input.too_long {
            let message = format!("has {} bytes, expected at most {LONGEST}", found.bytes);
            return nameless(Refusal::new(Code::TooLong, message));
        }
        let object = match object(&input.bytes) {
            Ok(object) => object,
            Err(refusal) => return nameless(refusal),
        };
        let id = self.plan.format.name(&object, input.line);
        if self.plan.survey.is_duplicate(input.index) {
            let message = "an earlier row has the same `custom_id`, and the first counts";
            return (Name::in_line(id, input.line), Err(Refusal::new(Code::DuplicateCustomId, message)));
        }
        let name = match self.plan.format.custom_id(&object) {
            Some(_) => Name::new(id),
            None => Name::in_line(id, input.line),
        };
        (name, Ok(object))
    }

    fn ask(&mut self, object: Object, key: &str) -> Result<(Row, Vec<Request>), Refusal> {
        let row = self.plan.format.read(object)?;
        let requests = self.asker.requests(&self.open, &row, key)?;
        Ok((row, requests))
    }

    fn begin(&mut self, place: usize, ids: Vec<SequenceId>, under_way: UnderWay) {
        self.sequences.extend(ids.into_iter().enumerate().map(|(sample, id)| (id, (place, sample))));
        self.under_way.insert(place, under_way);
    }

    fn step(&mut self, report: StepReport) -> Result<()> {
        self.tally.step(&report);
        report.failures.iter().for_each(|failure| eprintln!("note: {failure}"));
        for mut part in report.sequences {
            let (place, sample) = self.sequences[&part.sequence];
            let row = self.under_way.get_mut(&place).expect("a sequence belongs to a row under way");
            let (id, finish) = (part.sequence, part.finish);
            if let Some(failure) = part.failure.take() {
                row.fail(sample, failure);
            }
            row.choices[sample].add(part);
            if let Some(reason) = finish {
                self.end(id, reason)?;
            }
        }
        Ok(())
    }

    /// A sequence ended; its row is complete when all of its samples have.
    fn end(&mut self, id: SequenceId, reason: FinishReason) -> Result<()> {
        let finished = self.open.engine.remove(id).expect("it ran in this step");
        let (place, sample) = self.sequences.remove(&id).expect("it is under way");
        let row = self.under_way.get_mut(&place).expect("a sequence belongs to a row under way");
        self.tally.sequence(row.prompt.len(), &finished);
        row.choices[sample].tokens = finished.token_ids;
        row.choices[sample].reason = Some(reason);
        if row.choices.iter().any(|choice| choice.reason.is_none()) {
            return Ok(());
        }
        let row = self.under_way.remove(&place).expect("it was found above");
        match row.refusal() {
            Some(refusal) => self.refuse(place, &row.name, refusal),
            None => self.record(place, &row),
        }
    }

    fn record(&mut self, place: usize, under_way: &UnderWay) -> Result<()> {
        let UnderWay { name, row, prompt, choices, .. } = under_way;
        let tokenizer = &self.open.folder.tokenizer;
        let prompt_text = match &row.asked {
            Asked::Text(text) if row.settings.echo => text.clone(),
            Asked::Tokens(tokens) if row.settings.echo => tokenizer.decode(tokens),
            _ => String::new(),
        };
        if row.settings.logprobs.is_some() && self.texts.is_none() {
            self.texts = Some(TokenBytes::of_all(tokenizer));
        }
        let texts = self.texts.as_ref().filter(|_| row.settings.logprobs.is_some());
        let answer = Answer { name, row, prompt, prompt_text: &prompt_text, choices };
        let record = self.plan.writer.answer(&answer, texts);
        self.append(place, Kind::Result, &record)
    }

    fn refuse(&mut self, place: usize, name: &Name, refusal: Refusal) -> Result<()> {
        let record = self.plan.writer.error(name, &refusal);
        self.tally.refused += 1;
        self.append(place, Kind::Error, &record)
    }

    fn append(&mut self, place: usize, kind: Kind, record: &[u8]) -> Result<()> {
        self.keep(|journal| journal.append(place, kind, record))
    }

    /// Does something to the journal and books its time.
    fn keep(&mut self, work: impl FnOnce(&mut Journal) -> Result<()>) -> Result<()> {
        let start = Instant::now();
        let outcome = work(&mut self.journal);
        self.tally.journal += start.elapsed();
        outcome
    }
}
