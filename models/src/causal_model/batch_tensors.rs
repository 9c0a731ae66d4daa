//! A [`Batch`] as the flat arrays that the graph takes, its lengths checked once.
//!
//! What concerns slots, tables and masks is checked by the attention kernel, against the pool it is about to touch.

use crate::{Batch, Error, Result};

/// The graph's inputs; axes as `operators::paged_attention` lists them.
#[derive(Debug)]
pub(crate) struct BatchTensors {
    pub(crate) input_ids: Vec<i64>,
    pub(crate) positions: Vec<i32>,
    pub(crate) slot_mapping: Vec<i32>,
    pub(crate) block_tables: Vec<i32>,
    pub(crate) sequences: usize,
    /// `[sequences]`, or empty without an encoder.
    pub(crate) sources: Vec<i64>,
    pub(crate) blocks_per_table: usize,
    pub(crate) query_starts: Vec<i32>,
    pub(crate) tree_mask: Vec<bool>,
    pub(crate) mask_rows: usize,
    pub(crate) mask_width: usize,
    pub(crate) logit_rows: Vec<i64>,
}

impl BatchTensors {
    pub(crate) fn new(batch: &Batch, vocabulary: usize, has_encoder: bool) -> Result<Self> {
        let rows = batch.rows();
        let sequences = batch.block_tables.len();
        same("positions", batch.positions.len(), rows)?;
        same("slot mappings", batch.slot_mapping.len(), rows)?;
        same("query starts", batch.query_starts.len(), sequences + 1)?;
        same("sources", batch.sources.len(), if has_encoder { sequences } else { 0 })?;
        let token = batch.token_ids.iter().find(|&&token| token as usize >= vocabulary);
        if let Some(token) = token {
            return Err(Error::Batch(format!("token {token}, expected less than the vocabulary, {vocabulary}")));
        }
        if let Some(row) = batch.logit_rows.iter().find(|&&row| row as usize >= rows) {
            return Err(Error::Batch(format!("logits of row {row}, expected less than {rows}")));
        }
        let mask_width = batch.tree_mask.as_ref().map_or(0, |mask| mask.width);
        let tree_mask = batch.tree_mask.as_ref().map_or_else(Vec::new, |mask| mask.visible.clone());
        same("tree mask values", tree_mask.len(), rows * mask_width)?;
        let blocks_per_table = batch.block_tables.iter().map(Vec::len).max().unwrap_or(0);
        let padded = batch.block_tables.iter().flat_map(|table| {
            table.iter().map(|block| block.0 as i32).chain(std::iter::repeat_n(-1, blocks_per_table - table.len()))
        });
        Ok(Self {
            input_ids: batch.token_ids.iter().map(|&token| i64::from(token)).collect(),
            positions: signed(&batch.positions)?,
            slot_mapping: signed(&batch.slot_mapping)?,
            block_tables: padded.collect(),
            sequences,
            sources: batch.sources.iter().map(|source| source.0 as i64).collect(),
            blocks_per_table,
            query_starts: signed(&batch.query_starts)?,
            tree_mask,
            mask_rows: rows,
            mask_width,
            logit_rows: batch.logit_rows.iter().map(|&row| i64::from(row)).collect(),
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.input_ids.len()
    }
}

fn same(what: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Error::Batch(format!("{found} {what}, expected {expected}"))) }
}

fn signed(values: &[u32]) -> Result<Vec<i32>> {
    let convert = |&value| i32::try_from(value).map_err(|_| Error::Batch(format!("{value}, expected less than 2^31")));
    values.iter().map(convert).collect()
}
