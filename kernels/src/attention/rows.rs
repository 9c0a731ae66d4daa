//! The rows of one call, checked once, so that nothing behind can read or write outside the pool.
//!
//! ```text
//! position    0 ............ context ........ row.position
//! walk        |-- cached ----|-- new rows that the row sees --|
//! found by    |-- block table ---------|-- branch ------------|
//!                                      ^ table_positions
//! ```
//!
//! The block table also leads to the *trunk*: the first new rows, as far as every later row sees them and they lie
//! where the table says. A chain is all trunk. What is left of a row's walk, its branch, is a list of slots.

use std::ops::Range;

use super::tree::{check_tree, grow_branches};
use super::{AttentionConfig, LayerPages};
use crate::rotary::CosSin;
use crate::{Error, Result};

/// Where the rows of one forward pass stand, as the arrays of a batch say.
///
/// Sequence `s` owns rows `query_starts[s]..query_starts[s + 1]`; its context is the position of the first of them.
/// The context is read through the block table; so are chains, whose rows must lie where it leads, and trees are read
/// through their rows' slots.
#[derive(Clone, Copy, Debug)]
pub struct PagedRows<'a> {
    /// `[rows]`: depth of the row in its sequence.
    pub positions: &'a [i32],
    /// `[rows]`: the slot that takes its key and value.
    pub slot_mapping: &'a [i32],
    /// `[sequences, blocks_per_table]`, -1 behind the blocks in use and before the blocks that a window still reaches.
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
    config: AttentionConfig,
    blocks: usize,
    pub(crate) rows: Vec<Row>,
    pub(crate) sequences: Vec<Sequence>,
    /// Slots of all branches.
    pub(crate) branches: Vec<usize>,
}

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) position: usize,
    pub(crate) slot: usize,
    /// Positions that the row sees.
    pub(crate) seen: Range<usize>,
    /// The part of `branches` that leads to its positions from `table_positions` on, itself last.
    pub(crate) branch: Range<usize>,
}

/// One sequence's rows and blocks.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    pub(crate) rows: Range<usize>,
    /// Positions that the block table leads to; those behind are on branches.
    pub(crate) table_positions: usize,
    /// Blocks of these positions; arbitrary where no row sees them.
    pub(crate) blocks: Vec<usize>,
}

impl CheckedRows {
    /// `rows` rows that see all of `positions` positions, in blocks 0, 1, 2 ..., and write none: the decoder's over a source.
    pub fn over_source(config: &AttentionConfig, rows: usize, positions: usize) -> Result<Self> {
        config.check()?;
        Error::unless(rows > 0 && positions > 0, || {
            format!("{rows} rows over a source of {positions} positions, expected at least one of each")
        })?;
        let blocks = positions.div_ceil(config.block_tokens);
        let row = Row { position: positions - 1, slot: 0, seen: 0..positions, branch: 0..0 };
        let sequence = Sequence { rows: 0..rows, table_positions: positions, blocks: (0..blocks).collect() };
        Ok(Self {
            config: config.clone(),
            blocks,
            rows: vec![row; rows],
            sequences: vec![sequence],
            branches: Vec::new(),
        })
    }

    /// Panics unless the rows were checked for `config` and a pool no larger than `pages`.
    pub(super) fn assert_fit(&self, config: &AttentionConfig, pages: &LayerPages) {
        assert_eq!(&self.config, config, "rows checked for this configuration");
        pages.assert_fit(config, self.blocks);
    }
}

impl PagedRows<'_> {
    /// Checks lengths, order, positions, slots and the tree against a pool of `blocks` blocks.
    pub fn check(&self, config: &AttentionConfig, blocks: usize, cos_sin: Option<&CosSin>) -> Result<CheckedRows> {
        config.check()?;
        self.check_lengths()?;
        let rows = self.rows(config, blocks, cos_sin)?;
        check_slots_differ(self.slot_mapping)?;
        let (sequences, branches) = (Vec::with_capacity(self.query_starts.len()), Vec::new());
        let mut checked = CheckedRows { config: config.clone(), blocks, rows, sequences, branches };
        for sequence in 0..self.query_starts.len() - 1 {
            self.sequence(sequence, config, blocks, &mut checked)?;
        }
        Ok(checked)
    }

    fn check_lengths(&self) -> Result<()> {
        let rows = self.positions.len();
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

    /// Every row by itself, its branch still empty.
    fn rows(&self, config: &AttentionConfig, blocks: usize, cos_sin: Option<&CosSin>) -> Result<Vec<Row>> {
        let slots = blocks.saturating_mul(config.block_tokens);
        let positions = match cos_sin {
            Some(cos_sin) if config.rotary_dim > 0 => cos_sin.positions,
            _ => i32::MAX as usize,
        };
        let row = |(row, (&position, &slot))| {
            let slot = below(slot, slots, || format!("slot of row {row}"))?;
            let position = below(position, positions, || format!("position of row {row}"))?;
            let first = config.window.map_or(0, |window| (position + 1).saturating_sub(window));
            Ok(Row { position, slot, seen: first..position + 1, branch: 0..0 })
        };
        self.positions.iter().zip(self.slot_mapping).enumerate().map(row).collect()
    }

    fn sequence(
        &self,
        sequence: usize,
        config: &AttentionConfig,
        blocks: usize,
        checked: &mut CheckedRows,
    ) -> Result<()> {
        let range = self.query_starts[sequence] as usize..self.query_starts[sequence + 1] as usize;
        let rows = &checked.rows[range.clone()];
        let table = &self.block_tables[sequence * self.blocks_per_table..][..self.blocks_per_table];
        let trunk = match self.tree {
            Some((mask, width)) => {
                let trunk = check_tree(mask, width, range.start, rows)?;
                rows[..trunk]
                    .iter()
                    .take_while(|row| table_slot(table, row.position, config) == row.slot as i64)
                    .count()
            }
            None => check_chain(range.start, rows)?,
        };
        let (table_positions, first) = (rows[0].position + trunk, rows[0].seen.start);
        let count = table_positions.div_ceil(config.block_tokens);
        Error::unless(count <= table.len(), || {
            format!("sequence {sequence} has {} blocks, expected {count}", table.len())
        })?;
        let mut found = vec![0; count];
        for index in first / config.block_tokens..count {
            found[index] = below(table[index], blocks, || format!("block of sequence {sequence}"))?;
        }
        match self.tree {
            Some((mask, width)) => grow_branches(mask, width, range.clone(), trunk, checked),
            None => check_slots(range.clone(), rows, table, config)?,
        }
        checked.sequences.push(Sequence { rows: range, table_positions, blocks: found });
        Ok(())
    }
}

/// The slot that a block table gives a position; negative where it gives none.
fn table_slot(table: &[i32], position: usize, config: &AttentionConfig) -> i64 {
    let block = table.get(position / config.block_tokens).copied().unwrap_or(-1);
    i64::from(block) * config.block_tokens as i64 + (position % config.block_tokens) as i64
}

/// Rows of a chain stand at rising positions, and each sees all before it: the whole chain is trunk.
fn check_chain(start: usize, rows: &[Row]) -> Result<usize> {
    for (index, row) in rows.iter().enumerate() {
        let (found, expected) = (row.position, rows[0].position + index);
        Error::unless(found == expected, || {
            format!("position of row {} is {found}, expected {expected}", start + index)
        })?;
    }
    Ok(rows.len())
}

/// Rows of a chain lie where the block table will lead later steps.
fn check_slots(range: Range<usize>, rows: &[Row], table: &[i32], config: &AttentionConfig) -> Result<()> {
    for (index, row) in range.zip(rows) {
        let (found, expected) = (row.slot, table_slot(table, row.position, config));
        Error::unless(found as i64 == expected, || {
            format!("slot of row {index} is {found}, but its block table leads to {expected}")
        })?;
    }
    Ok(())
}

/// No two rows write one slot. Slots usually rise, which proves it at once.
fn check_slots_differ(slots: &[i32]) -> Result<()> {
    if slots.is_sorted_by(|before, after| before < after) {
        return Ok(());
    }
    let mut sorted = slots.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::new(format!("slot {} is written by two rows", pair[0]))),
        None => Ok(()),
    }
}

fn below(found: i32, limit: usize, what: impl FnOnce() -> String) -> Result<usize> {
    match usize::try_from(found) {
        Ok(value) if value < limit => Ok(value),
        _ => Err(Error::new(format!("{} is {found}, expected 0 to {}", what(), limit.saturating_sub(1)))),
    }
}
