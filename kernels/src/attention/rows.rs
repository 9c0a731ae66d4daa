//! The rows of one call, checked once, so that nothing behind can read or write outside the pool.

use std::collections::HashSet;

use super::{AttentionConfig, LayerPages};
use crate::rotary::CosSin;
use crate::{Error, Result};

/// Where the rows of one forward pass stand, as the arrays of a batch say.
///
/// Sequence `s` owns rows `query_starts[s]..query_starts[s + 1]`; its context is the position of the first of them.
#[derive(Clone, Copy, Debug)]
pub struct PagedRows<'a> {
    /// `[rows]`: depth of the row in its sequence.
    pub positions: &'a [i32],
    /// `[rows]`: the slot that takes its key and value.
    pub slot_mapping: &'a [i32],
    /// `[sequences, blocks_per_table]`, -1 behind the blocks in use.
    pub block_tables: &'a [i32],
    /// Columns of `block_tables`.
    pub blocks_per_table: usize,
    /// `[sequences + 1]`
    pub query_starts: &'a [i32],
    /// `[rows, width]` and the width: which new rows of its own sequence a row sees; `None` for chains.
    pub tree: Option<(&'a [bool], usize)>,
}

/// Rows that passed every check, sequence by sequence.
#[derive(Clone, Debug)]
pub struct CheckedRows {
    pub(super) config: AttentionConfig,
    pub(super) blocks: usize,
    pub(crate) rows: Vec<Row>,
    pub(crate) sequences: Vec<Sequence>,
}

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) position: usize,
    pub(crate) slot: usize,
    /// Slots of the row's ancestors among the new rows, from position `context` on, itself last. Empty in a chain,
    /// where the block table leads to all of them.
    pub(crate) branch: Vec<usize>,
}

/// One sequence's rows and blocks.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    pub(crate) rows: std::ops::Range<usize>,
    /// Positions that the block table leads to; those behind are on a branch.
    pub(crate) table_positions: usize,
    pub(crate) blocks: Vec<usize>,
}

impl CheckedRows {
    /// Panics unless the rows were checked for `config` and a pool no larger than `pages`.
    pub(super) fn assert_fit(&self, config: &AttentionConfig, pages: &LayerPages) {
        assert_eq!(&self.config, config, "rows checked for this configuration");
        pages.assert_fit(config, self.blocks);
    }
}

impl PagedRows<'_> {
    /// Checks lengths, order, positions, slots and the tree against a pool of `blocks` blocks.
    pub fn check(&self, config: &AttentionConfig, blocks: usize, cos_sin: Option<&CosSin>) -> Result<CheckedRows> {
        let rows = self.positions.len();
        self.check_lengths(rows)?;
        let slots = blocks * config.block_tokens;
        let mut checked =
            CheckedRows { config: config.clone(), blocks, rows: Vec::with_capacity(rows), sequences: Vec::new() };
        let mut written = HashSet::with_capacity(rows);
        for row in 0..rows {
            let slot = below(self.slot_mapping[row], slots, || format!("slot of row {row}"))?;
            Error::unless(written.insert(slot), || format!("slot {slot} is written by two rows, the second is {row}"))?;
            let positions = position_limit(config, cos_sin);
            let position = below(self.positions[row], positions, || format!("position of row {row}"))?;
            checked.rows.push(Row { position, slot, branch: Vec::new() });
        }
        for sequence in 0..self.query_starts.len() - 1 {
            let found = self.sequence(sequence, config, blocks, &mut checked.rows)?;
            checked.sequences.push(found);
        }
        Ok(checked)
    }

    fn check_lengths(&self, rows: usize) -> Result<()> {
        let same = |name: &str, found: usize, expected: usize| {
            Error::unless(found == expected, || format!("`{name}` has {found} values, expected {expected}"))
        };
        same("slot_mapping", self.slot_mapping.len(), rows)?;
        let sequences = self.query_starts.len().checked_sub(1);
        let sequences = sequences.ok_or_else(|| Error::new("`query_starts` is empty, expected at least one value"))?;
        same("block_tables", self.block_tables.len(), sequences.saturating_mul(self.blocks_per_table))?;
        if let Some((mask, width)) = self.tree {
            same("tree_mask", mask.len(), rows.saturating_mul(width))?;
        }
        let ends = (self.query_starts[0], self.query_starts[sequences]);
        Error::unless(ends.0 == 0 && usize::try_from(ends.1) == Ok(rows), || {
            format!("`query_starts` goes from {} to {}, expected 0 to {rows}", ends.0, ends.1)
        })?;
        let rising = self.query_starts.is_sorted_by(|before, after| before < after);
        Error::unless(rising, || "`query_starts` does not rise, expected at least one row a sequence".to_owned())
    }

    fn sequence(&self, sequence: usize, config: &AttentionConfig, blocks: usize, rows: &mut [Row]) -> Result<Sequence> {
        let range = self.query_starts[sequence] as usize..self.query_starts[sequence + 1] as usize;
        let context = rows[range.start].position;
        let table_positions = match self.tree {
            Some((mask, width)) => {
                branches(mask, width, range.clone(), context, rows)?;
                context
            }
            None => context + range.len(),
        };
        let count = table_positions.div_ceil(config.block_tokens);
        Error::unless(count <= self.blocks_per_table, || {
            format!("sequence {sequence} has {} blocks, expected {count}", self.blocks_per_table)
        })?;
        let table = &self.block_tables[sequence * self.blocks_per_table..][..count];
        let blocks: Vec<usize> = table
            .iter()
            .map(|&block| below(block, blocks, || format!("block of sequence {sequence}")))
            .collect::<Result<_>>()?;
        if self.tree.is_none() {
            check_chain(range.clone(), context, &blocks, config.block_tokens, rows)?;
        }
        Ok(Sequence { rows: range, table_positions, blocks })
    }
}

/// Rows of a chain stand at rising positions, each in the slot that the block table gives its position.
fn check_chain(
    range: std::ops::Range<usize>,
    context: usize,
    blocks: &[usize],
    block_tokens: usize,
    rows: &[Row],
) -> Result<()> {
    for (index, row) in range.enumerate() {
        let (found, expected) = (rows[row].position, context + index);
        Error::unless(found == expected, || format!("position of row {row} is {found}, expected {expected}"))?;
        let slot = blocks[expected / block_tokens] * block_tokens + expected % block_tokens;
        let found = rows[row].slot;
        Error::unless(found == slot, || format!("slot of row {row} is {found}, but its block table leads to {slot}"))?;
    }
    Ok(())
}

/// Turns the mask of one sequence into lists of slots by depth.
fn branches(
    mask: &[bool],
    width: usize,
    range: std::ops::Range<usize>,
    context: usize,
    rows: &mut [Row],
) -> Result<()> {
    Error::unless(range.len() <= width, || {
        format!("`tree_mask` is {width} wide, expected at least {}, the rows of a sequence", range.len())
    })?;
    for row in range.clone() {
        let visible = &mask[row * width..][..width];
        let ancestors = (0..width).filter(|&other| visible[other]);
        let mut branch = Vec::new();
        for (depth, other) in ancestors.enumerate() {
            let ancestor = range.start + other;
            let fits = ancestor <= row && rows[ancestor].position == context + depth;
            Error::unless(fits, || format!("row {row} sees new row {other}, which is not at depth {depth} before it"))?;
            branch.push(rows[ancestor].slot);
        }
        let (found, expected) = (branch.len(), (rows[row].position + 1).saturating_sub(context));
        let ends_in_itself = branch.last() == Some(&rows[row].slot);
        Error::unless(found == expected && ends_in_itself, || {
            format!("row {row} sees {found} new rows, expected {expected}, itself last")
        })?;
        rows[row].branch = branch;
    }
    Ok(())
}

/// Positions that the rotary table covers; without one, what block tables can address.
fn position_limit(config: &AttentionConfig, cos_sin: Option<&CosSin>) -> usize {
    match cos_sin {
        Some(cos_sin) if config.rotary_dim > 0 => cos_sin.positions,
        _ => i32::MAX as usize,
    }
}

fn below(found: i32, limit: usize, what: impl FnOnce() -> String) -> Result<usize> {
    match usize::try_from(found) {
        Ok(value) if value < limit => Ok(value),
        _ => Err(Error::new(format!("{} is {found}, expected 0 to {}", what(), limit.saturating_sub(1)))),
    }
}
