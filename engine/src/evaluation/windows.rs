//! Stretches of text that are given to a model from their first token on, and what of them is cached already.

use std::ops::Range;

use veridraft_models::{Batch, BlockId, TokenId};

use super::teacher_forcing::Place;
use crate::BlockPool;

/// A stretch of text as a model sees it: nothing before it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// What is computed, from position 0 on.
    pub tokens: Vec<TokenId>,
    /// Positions in `tokens` whose token is to be predicted from those before it; from 1 on, as nothing predicts the
    /// first. Empty where nothing is.
    pub scored: Range<usize>,
}

impl Window {
    /// Rows that a model computes: what is behind the last prediction is left out.
    pub(super) fn rows(&self) -> usize {
        if self.scored.is_empty() { 0 } else { self.scored.end - 1 }
    }

    /// Rows that may come from elsewhere, because nothing is predicted from them.
    fn unread_rows(&self) -> usize {
        self.rows().min(self.scored.start.saturating_sub(1))
    }
}

/// A window under way in one or more models.
#[derive(Debug)]
pub(super) struct Running {
    /// Which window of all.
    pub(super) index: usize,
    pub(super) window: Window,
    /// Rows computed, the same in all models.
    pub(super) computed: usize,
    /// Blocks, a table for each model.
    pub(super) tables: Vec<Vec<BlockId>>,
}

impl Running {
    pub(super) fn uncomputed(&self) -> usize {
        self.window.rows() - self.computed
    }

    /// Rows that `window` has in common with this one and need not be computed again, once they are computed here.
    pub(super) fn common_rows(&self, window: &Window) -> usize {
        let most = self.window.rows().min(window.unread_rows());
        let pairs = self.window.tokens.iter().zip(&window.tokens);
        pairs.take(most).take_while(|(own, other)| own == other).count()
    }

    /// What the next `rows` rows predict.
    pub(super) fn places(&self, rows: usize) -> impl Iterator<Item = Place> {
        let place = |position| Place { window: self.index, position, token: self.window.tokens[position] };
        self.predicted(rows).map(place)
    }

    fn predicted(&self, rows: usize) -> Range<usize> {
        let next = self.computed + 1..self.computed + rows + 1;
        next.start.max(self.window.scored.start)..next.end.min(self.window.scored.end)
    }

    /// Adds the next `rows` rows to a batch of the `model`-th model.
    pub(super) fn append(&self, batch: &mut Batch, model: usize, rows: usize, block_tokens: usize) {
        if batch.query_starts.is_empty() {
            batch.query_starts.push(0);
        }
        let first = batch.rows();
        let table = &self.tables[model];
        for position in self.computed..self.computed + rows {
            batch.token_ids.push(self.window.tokens[position]);
            batch.positions.push(index(position));
            batch
                .slot_mapping
                .push(table[position / block_tokens].0 * index(block_tokens) + index(position % block_tokens));
        }
        batch.block_tables.push(table.clone());
        batch.query_starts.push(index(batch.rows()));
        batch.logit_rows.extend(self.predicted(rows).map(|position| index(first + position - 1 - self.computed)));
    }

    /// Gives the blocks back.
    pub(super) fn release(self, pools: &mut [BlockPool]) {
        for (pool, table) in pools.iter_mut().zip(self.tables) {
            table.into_iter().for_each(|block| pool.release(block));
        }
    }
}

fn index(value: usize) -> u32 {
    u32::try_from(value).expect("a cache has fewer than 2^32 slots")
}
