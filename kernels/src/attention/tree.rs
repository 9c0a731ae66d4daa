//! The tree mask, checked and turned into lists of slots by depth.

use std::ops::Range;

use super::rows::{CheckedRows, Row};
use crate::{Error, Result};

/// What a row sees stands at rising positions and ends in the row itself. Gives the length of the trunk.
pub(super) fn check_tree(mask: &[bool], width: usize, start: usize, rows: &[Row]) -> Result<usize> {
    let context = rows[0].position;
    Error::unless(rows.len() <= width, || {
        format!("`tree_mask` is {width} wide, expected at least {}, the rows of a sequence", rows.len())
    })?;
    let mut trunk = rows.len();
    for (index, row) in rows.iter().enumerate() {
        let visible = &mask[(start + index) * width..][..width];
        let mut depth = 0;
        for other in (0..width).filter(|&other| visible[other]) {
            let fits = other <= index && rows[other].position == context + depth;
            Error::unless(fits, || {
                format!("row {} sees new row {other}, which is not at depth {depth} before it", start + index)
            })?;
            depth += 1;
        }
        let expected = (row.position + 1).saturating_sub(context);
        Error::unless(depth == expected && visible[index], || {
            format!("row {} sees {depth} new rows, expected {expected}, itself last", start + index)
        })?;
        let shared = visible[..=index].iter().take_while(|visible| **visible).count();
        trunk = if shared > index { trunk } else { trunk.min(shared) };
    }
    Ok(trunk)
}

/// Lists the slots of what rows see behind the trunk.
pub(super) fn grow_branches(mask: &[bool], width: usize, range: Range<usize>, trunk: usize, checked: &mut CheckedRows) {
    let CheckedRows { rows, branches, .. } = checked;
    for row in range.start + trunk..range.end {
        let start = branches.len();
        let seen = (trunk..=row - range.start).filter(|other| mask[row * width + other]);
        branches.extend(seen.map(|other| rows[range.start + other].slot));
        rows[row].branch = start..branches.len();
    }
}
