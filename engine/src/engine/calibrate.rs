//! A short measurement of what passes cost on this machine, on blocks that nobody uses.

use std::time::Duration;

use veridraft_models::{Batch, BlockId, SourceId, TokenId};

use super::Engine;
use crate::choice::{ContextTimes, CostModel, MEASURED_ROWS};
use crate::measure::{Rounds, Spread, take_turns};
use crate::{Error, Result};

/// Passes of each kind, the median of which counts.
const ROUNDS: usize = 5;
/// Cached tokens behind which passes are measured, if there is room.
const CONTEXT: usize = 512;
/// Tokens of a source, if the encoder takes as many.
const SOURCE: usize = 64;
/// Rows of the wide pass behind a context.
const WIDE: usize = 8;

/// What measured passes run on.
#[derive(Clone, Copy)]
struct Passes<'a> {
    blocks: &'a [BlockId],
    source: Option<SourceId>,
}

impl Engine {
    /// Measures passes and replaces what is known of their costs; a second or less for a small model.
    ///
    /// Needs free blocks for a few tokens; where the cache is too full or too small it is left undone, and passes teach
    /// the costs as they come. Returns whether it was done.
    pub fn calibrate(&mut self) -> Result<bool> {
        let block_tokens = self.cache().block_tokens;
        let limits = self.parts.model.limits();
        let most = MEASURED_ROWS[MEASURED_ROWS.len() - 1];
        let mut blocks = Vec::new();
        while blocks.len() * block_tokens < (CONTEXT + most).min(limits.context_length) {
            let Some(block) = self.pool.allocate() else { break };
            blocks.push(block);
        }
        // Blocks may be as long as a whole context, which would take long to fill.
        let room = (blocks.len() * block_tokens).min(limits.context_length).min(CONTEXT + most);
        let measured =
            if room < 2 * most || limits.max_rows < most { Ok(None) } else { self.measure(&blocks, room - most) };
        blocks.into_iter().for_each(|block| self.pool.release(block));
        let costs = measured?;
        let is_done = costs.is_some();
        self.parts.costs = costs.unwrap_or_else(|| self.parts.costs.clone());
        Ok(is_done)
    }

    /// Measures with a source of usual length, where the model reads one.
    fn measure(&mut self, blocks: &[BlockId], context: usize) -> Result<Option<CostModel>> {
        let Some(spec) = self.parts.model.encoder() else {
            return self.measure_costs(Passes { blocks, source: None }, context);
        };
        let tokens: Vec<_> = (0..SOURCE.min(spec.source_length)).map(|place| token(place, spec.vocabulary)).collect();
        let source = self.parts.model.encode(&tokens)?;
        let measured = self.measure_costs(Passes { blocks, source: Some(source) }, context);
        self.parts.model.drop_source(source);
        measured
    }

    fn measure_costs(&mut self, on: Passes, context: usize) -> Result<Option<CostModel>> {
        let short = MEASURED_ROWS.map(|rows| (0, rows));
        let behind = [(context, 1), (context, WIDE)];
        let medians = if self.parts.model.limits().share_blocks {
            self.fill(on, context)?;
            self.medians(on, &[&short[..], &behind].concat())?
        } else {
            // Passes at the start of the sequence end it there, so they cannot take turns with those behind a context.
            let curve = self.medians(on, &short)?;
            self.fill(on, context)?;
            [curve, self.medians(on, &behind)?].concat()
        };
        let (curve, behind) = medians.split_at(MEASURED_ROWS.len());
        let behind = ContextTimes { context, one_row: behind[0], rows: WIDE, many_rows: behind[1] };
        let curve = curve.try_into().expect("a median for each row count");
        Ok(Some(CostModel::fit(curve, behind)))
    }

    fn fill(&mut self, on: Passes, context: usize) -> Result<()> {
        for start in (0..context).step_by(self.chunk_rows()) {
            self.pass(on, start, self.chunk_rows().min(context - start))?;
        }
        Ok(())
    }

    /// The median time of each pass, a context and a number of rows; they take turns.
    fn medians(&mut self, on: Passes, cases: &[(usize, usize)]) -> Result<Vec<Duration>> {
        let rounds = Rounds { least: ROUNDS, time: Duration::ZERO };
        let taken = take_turns(cases.len(), rounds, |case| self.pass(on, cases[case].0, cases[case].1))?;
        Ok(taken.iter().map(|times| Spread::of(times).median).collect())
    }

    /// Runs `rows` rows behind `context` tokens and returns how long it took.
    fn pass(&mut self, on: Passes, context: usize, rows: usize) -> Result<Duration, Error> {
        let block_tokens = self.cache().block_tokens;
        let vocabulary = self.parts.model.vocabulary();
        let positions: Vec<u32> = (context..context + rows).map(|position| position as u32).collect();
        let slot = |&position: &u32| {
            let block = on.blocks[position as usize / block_tokens];
            block.0 * block_tokens as u32 + position % block_tokens as u32
        };
        let batch = Batch {
            token_ids: (context..context + rows).map(|position| token(position, vocabulary)).collect(),
            slot_mapping: positions.iter().map(slot).collect(),
            block_tables: vec![on.blocks.to_vec()],
            query_starts: vec![0, rows as u32],
            sources: on.source.into_iter().collect(),
            tree_mask: None,
            logit_rows: (0..rows.min(MEASURED_ROWS[MEASURED_ROWS.len() - 1]) as u32).collect(),
            positions,
        };
        let before = (self.parts.clock)();
        self.parts.model.forward(&batch)?;
        Ok(self.since(before))
    }
}

/// Different tokens at different places, so that their embeddings are read from different places too.
fn token(place: usize, vocabulary: usize) -> TokenId {
    (place * 31 % vocabulary) as TokenId
}
