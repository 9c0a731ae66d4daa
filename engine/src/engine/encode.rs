//! Sources: each is encoded once, when the first sequence that reads it has started, and stays until the last is removed.
//!
//! A preempted sequence keeps its source, for encoding it again would cost a pass and what it takes is no part of the
//! cache's blocks. A source that cannot be encoded ends its sequence and no other.

use std::sync::Arc;

use veridraft_models::TokenId;

use super::Engine;
use crate::report::{SequenceStep, StepReport};
use crate::sequence::Sequence;
use crate::{Error, FinishReason, Result, SequenceId};

impl Engine {
    /// Encodes the sources of running sequences. Where some fail, what there is to report of them: no pass may follow in
    /// that step, for an error of it would take the report along.
    pub(super) fn encode_sources(&mut self) -> Option<StepReport> {
        let waits =
            |sequence: &&Sequence| sequence.is_running() && sequence.source.is_some() && sequence.encoded.is_none();
        let waiting: Vec<_> = self.sequences.values().filter(waits).map(|sequence| sequence.id).collect();
        let mut report = StepReport::default();
        for id in waiting {
            if let Err(error) = self.encode_source(id) {
                report.sequences.push(self.fail(id, format!("its source cannot be encoded: {error}")));
            }
        }
        (!report.sequences.is_empty()).then_some(report)
    }

    /// Refuses a source that the model's encoder cannot take, and none where it takes one.
    pub(super) fn check_source(&self, source: Option<&[TokenId]>) -> Result<()> {
        let (spec, source) = match (self.parts.model.encoder(), source) {
            (None, None) => return Ok(()),
            (None, Some(source)) => return Err(Error::UnexpectedSource { found: source.len() }),
            (Some(_), None) => return Err(Error::MissingSource),
            (Some(spec), Some(source)) => (spec, source),
        };
        if !(1..=spec.source_length).contains(&source.len()) {
            return Err(Error::SourceLength { found: source.len(), most: spec.source_length });
        }
        match source.iter().position(|&token| token as usize >= spec.vocabulary) {
            Some(index) => Err(Error::UnknownSourceToken { index, found: source[index], vocabulary: spec.vocabulary }),
            None => Ok(()),
        }
    }

    /// Takes a sequence's hold on its source away.
    pub(super) fn release_source(&mut self, source: &[TokenId]) {
        if let Some(unread) = self.encoded.release(source) {
            self.parts.model.drop_source(unread);
        }
    }

    /// Checks that every encoded source has just those readers that name it.
    pub(super) fn check_sources(&self) -> Result<(), String> {
        let named: Vec<_> = self.sequences.values().filter_map(|sequence| sequence.encoded).collect();
        let mut held = 0;
        for (id, readers) in self.encoded.readers() {
            let expected = named.iter().filter(|&&other| other == id).count();
            if readers != expected {
                return Err(format!("source {} has {readers} readers, expected {expected}", id.0));
            }
            held += readers;
        }
        if held != named.len() {
            return Err(format!("{} sequences read sources, of which {held} are held", named.len()));
        }
        Ok(())
    }

    fn encode_source(&mut self, id: SequenceId) -> veridraft_models::Result<()> {
        let sequence = self.sequences.get_mut(&id).expect("it runs");
        let source = Arc::clone(sequence.source.as_ref().expect("it has one to be encoded"));
        let encoded = match self.encoded.share(&source) {
            Some(shared) => shared,
            None => {
                let encoded = self.parts.model.encode(&source)?;
                self.encoded.enter(source, encoded);
                encoded
            }
        };
        sequence.encoded = Some(encoded);
        Ok(())
    }

    fn fail(&mut self, id: SequenceId, failure: String) -> SequenceStep {
        let sequence = self.sequences.get_mut(&id).expect("it runs");
        sequence.release(&mut self.pool, &mut self.prefixes);
        let text = sequence.end(FinishReason::Failed, &*self.parts.decoder);
        SequenceStep::without_pass(id, text, failure)
    }
}
