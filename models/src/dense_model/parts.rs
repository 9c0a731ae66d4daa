//! A batch taken apart into its sequences, each a chain of rows in a block of its own.

use std::ops::Range;

use super::probe::RowsAtOnce;
use crate::{Batch, CacheSpec, Error, Logits, Result};

/// One sequence's rows of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) block: usize,
    /// Rows `first..end` of the batch.
    pub(super) first: usize,
    pub(super) end: usize,
    /// The position of the first.
    pub(super) context: usize,
}

/// The scores that a batch wants, put to their places as passes give them.
pub(super) struct WantedScores {
    vocabulary: usize,
    /// Rows and their places.
    wanted: Vec<(usize, usize)>,
    /// `[wanted, vocabulary]`
    values: Vec<f32>,
}

impl WantedScores {
    pub(super) fn new(batch: &Batch, vocabulary: usize) -> Self {
        let wanted: Vec<_> = batch.logit_rows.iter().enumerate().map(|(place, &row)| (row as usize, place)).collect();
        let values = vec![0.0; wanted.len() * vocabulary];
        Self { vocabulary, wanted, values }
    }

    pub(super) fn into_logits(self) -> Logits {
        Logits { vocabulary: self.vocabulary, values: self.values }
    }
}

impl Part {
    /// Runs the rows in pieces of as many as may go together. `run` gets rows of the batch, the tokens before them, which of
    /// them are wanted, counted from the first, and where their scores go.
    pub(super) fn run_in_pieces(
        &self,
        rows_at_once: RowsAtOnce,
        scores: &mut WantedScores,
        mut run: impl FnMut(Range<usize>, usize, &[usize], &mut Vec<f32>) -> Result<()>,
    ) -> Result<()> {
        let WantedScores { vocabulary, wanted, values } = scores;
        let mut start = self.first;
        while start < self.end {
            let context = self.context + (start - self.first);
            let end = start + rows_at_once.next(context, self.end - start);
            let here = wanted.iter().filter(|(row, _)| (start..end).contains(row));
            let (rows, places): (Vec<_>, Vec<_>) = here.map(|&(row, place)| (row - start, place)).unzip();
            let mut found = Vec::with_capacity(rows.len() * *vocabulary);
            run(start..end, context, &rows, &mut found)?;
            for (place, found) in places.into_iter().zip(found.chunks_exact(*vocabulary)) {
                values[place * *vocabulary..][..*vocabulary].copy_from_slice(found);
            }
            start = end;
        }
        Ok(())
    }
}

/// Takes a batch apart and checks that each sequence is a chain in a block of its own.
pub(super) fn parts(batch: &Batch, cache: CacheSpec, vocabulary: usize) -> Result<Vec<Part>> {
    let refuse = |reason: String| Err(Error::Batch(reason));
    let (rows, sequences) = (batch.rows(), batch.block_tables.len());
    let lengths = [batch.positions.len(), batch.slot_mapping.len(), batch.query_starts.len() + rows];
    if lengths != [rows, rows, sequences + 1 + rows] {
        return refuse(format!(
            "{rows} tokens of {sequences} sequences, expected positions, slots and starts for them"
        ));
    }
    if batch.tree_mask.is_some() {
        return refuse("a tree, expected chains".to_owned());
    }
    if let Some(token) = batch.token_ids.iter().find(|&&token| token as usize >= vocabulary) {
        return refuse(format!("token {token}, expected less than the vocabulary, {vocabulary}"));
    }
    if let Some(row) = batch.logit_rows.iter().find(|&&row| row as usize >= rows) {
        return refuse(format!("logits of row {row}, expected less than {rows}"));
    }
    let mut parts: Vec<Part> = Vec::with_capacity(sequences);
    for (table, starts) in batch.block_tables.iter().zip(batch.query_starts.windows(2)) {
        let (first, end) = (starts[0] as usize, starts[1] as usize);
        let follows = parts.last().map_or(0, |part| part.end) == first && first < end && end <= rows;
        let Some(block) = table.first().map(|block| block.0 as usize).filter(|_| follows) else {
            return refuse(format!("rows {first} to {end} of a sequence, expected a block and some of {rows} rows"));
        };
        let context = batch.positions[first] as usize;
        let is_chain = (first..end).all(|row| {
            let position = context + row - first;
            batch.positions[row] as usize == position
                && position < cache.block_tokens
                && batch.slot_mapping[row] as usize == block * cache.block_tokens + position
        });
        if !is_chain || block >= cache.blocks || parts.iter().any(|other| other.block == block) {
            let (tokens, blocks) = (cache.block_tokens, cache.blocks);
            return refuse(format!(
                "a sequence in block {block} behind {context} tokens, expected chains in {blocks} blocks of {tokens} \
                 tokens, one each"
            ));
        }
        parts.push(Part { block, first, end, context });
    }
    if parts.last().map_or(0, |part| part.end) != rows {
        return refuse(format!("{rows} rows, expected all to belong to sequences"));
    }
    Ok(parts)
}
