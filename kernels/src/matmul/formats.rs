//! One record of a panel times the same stretch of some rows, for each panel format; the layouts are drawn in
//! [`weights`](crate::weights).
//!
//! Loops are written out, not mapped by closures: what a closure is given to would be compiled without the path's
//! instructions.

use crate::lanes::{Group, Panels};

/// A quantised panel format.
pub(super) trait Format {
    /// Bytes of a record.
    type Record;
    /// Groups of values that a record is multiplied with.
    const GROUPS: usize;

    /// A panel as records.
    fn records(panel: &[u8]) -> &[Self::Record];

    /// Adds the products of a record of each of `P` panels with `GROUPS` groups of each row.
    fn add<C: Panels<P>, const P: usize, const ROWS: usize>(
        columns: C,
        records: [&Self::Record; P],
        rows: [&[Group]; ROWS],
        sums: &mut [C::Vector; ROWS],
    );
}

/// One group of each row.
#[inline(always)]
fn group<const ROWS: usize>(rows: [&[Group]; ROWS], index: usize) -> [&Group; ROWS] {
    let mut groups = [&rows[0][index]; ROWS];
    for (group, row) in groups.iter_mut().zip(rows) {
        *group = &row[index];
    }
    groups
}

/// The part number `index` of `LENGTH` bytes of each record, counted from `START` on.
#[inline(always)]
fn part<const START: usize, const LENGTH: usize, const RECORD: usize, const P: usize>(
    records: [&[u8; RECORD]; P],
    index: usize,
) -> [&[u8; LENGTH]; P] {
    let mut parts = [&records[0][START..].as_chunks::<LENGTH>().0[index]; P];
    for (part, record) in parts.iter_mut().zip(records) {
        *part = &record[START..].as_chunks::<LENGTH>().0[index];
    }
    parts
}

/// Adds `(scale * s) * dot` to the sum of each row.
#[inline(always)]
fn add_scaled<C: Panels<P>, const P: usize, const ROWS: usize>(
    columns: C,
    dots: [C::Sums; ROWS],
    scale: C::Vector,
    groups: [&Group; ROWS],
    sums: &mut [C::Vector; ROWS],
) {
    for row in 0..ROWS {
        let scale = columns.multiply(scale, columns.splat(groups[row].scale));
        sums[row] = columns.multiply_add(scale, columns.to_floats(dots[row]), sums[row]);
    }
}

/// Adds `minimum * (s * sum of codes)` to the sum of each row.
#[inline(always)]
fn add_minimum<C: Panels<P>, const P: usize, const ROWS: usize>(
    columns: C,
    minimum: C::Vector,
    groups: [&Group; ROWS],
    sums: &mut [C::Vector; ROWS],
) {
    for row in 0..ROWS {
        sums[row] = columns.multiply_add(minimum, columns.splat(groups[row].scaled_sum), sums[row]);
    }
}

/// 4 bits with a scale.
pub(super) struct Q4;

impl Format for Q4 {
    type Record = [u8; 288];
    const GROUPS: usize = 2;

    #[inline(always)]
    fn records(panel: &[u8]) -> &[[u8; 288]] {
        panel.as_chunks().0
    }

    #[inline(always)]
    fn add<C: Panels<P>, const P: usize, const ROWS: usize>(
        columns: C,
        records: [&[u8; 288]; P],
        rows: [&[Group]; ROWS],
        sums: &mut [C::Vector; ROWS],
    ) {
        for index in 0..2 {
            let groups = group(rows, index);
            let mut dots = columns.dots4(part::<32, 128, 288, P>(records, index), groups);
            for row in 0..ROWS {
                dots[row] = columns.offset(dots[row], groups[row].offset);
            }
            let scale = columns.load_f16(part::<0, 16, 288, P>(records, index));
            add_scaled(columns, dots, scale, groups, sums);
        }
    }
}

/// 4 bits with a scale and a minimum.
pub(super) struct Q4Minimum;

impl Format for Q4Minimum {
    type Record = [u8; 320];
    const GROUPS: usize = 2;

    #[inline(always)]
    fn records(panel: &[u8]) -> &[[u8; 320]] {
        panel.as_chunks().0
    }

    #[inline(always)]
    fn add<C: Panels<P>, const P: usize, const ROWS: usize>(
        columns: C,
        records: [&[u8; 320]; P],
        rows: [&[Group]; ROWS],
        sums: &mut [C::Vector; ROWS],
    ) {
        for index in 0..2 {
            let groups = group(rows, index);
            let dots = columns.dots4(part::<64, 128, 320, P>(records, index), groups);
            let scale = columns.load_f16(part::<0, 16, 320, P>(records, index));
            add_scaled(columns, dots, scale, groups, sums);
            let minimum = columns.load_f16(part::<32, 16, 320, P>(records, index));
            add_minimum(columns, minimum, groups, sums);
        }
    }
}

/// 4 bits with scales and minima scaled again.
pub(super) struct Q4K;

impl Format for Q4K {
    type Record = [u8; 1184];
    const GROUPS: usize = 8;

    #[inline(always)]
    fn records(panel: &[u8]) -> &[[u8; 1184]] {
        panel.as_chunks().0
    }

    #[inline(always)]
    fn add<C: Panels<P>, const P: usize, const ROWS: usize>(
        columns: C,
        records: [&[u8; 1184]; P],
        rows: [&[Group]; ROWS],
        sums: &mut [C::Vector; ROWS],
    ) {
        let d = columns.load_f16(part::<0, 16, 1184, P>(records, 0));
        let e = columns.load_f16(part::<16, 16, 1184, P>(records, 0));
        let minus_e = columns.multiply(e, columns.splat(-1.0));
        for index in 0..8 {
            let groups = group(rows, index);
            let dots = columns.dots4(part::<160, 128, 1184, P>(records, index), groups);
            let scale = columns.load_u8(part::<32, 8, 1184, P>(records, index));
            add_scaled(columns, dots, columns.multiply(d, scale), groups, sums);
            let minimum = columns.load_u8(part::<96, 8, 1184, P>(records, index));
            add_minimum(columns, columns.multiply(minus_e, minimum), groups, sums);
        }
    }
}

/// 8 bits with a scale.
pub(super) struct Q8;

impl Format for Q8 {
    type Record = [u8; 544];
    const GROUPS: usize = 2;

    #[inline(always)]
    fn records(panel: &[u8]) -> &[[u8; 544]] {
        panel.as_chunks().0
    }

    #[inline(always)]
    fn add<C: Panels<P>, const P: usize, const ROWS: usize>(
        columns: C,
        records: [&[u8; 544]; P],
        rows: [&[Group]; ROWS],
        sums: &mut [C::Vector; ROWS],
    ) {
        for index in 0..2 {
            let groups = group(rows, index);
            let dots = columns.dots8(part::<32, 256, 544, P>(records, index), groups);
            let scale = columns.load_f16(part::<0, 16, 544, P>(records, index));
            add_scaled(columns, dots, scale, groups, sums);
        }
    }
}

/// 8 bits with a scale and a minimum.
pub(super) struct Q8Minimum;

impl Format for Q8Minimum {
    type Record = [u8; 640];
    const GROUPS: usize = 2;

    #[inline(always)]
    fn records(panel: &[u8]) -> &[[u8; 640]] {
        panel.as_chunks().0
    }

    #[inline(always)]
    fn add<C: Panels<P>, const P: usize, const ROWS: usize>(
        columns: C,
        records: [&[u8; 640]; P],
        rows: [&[Group]; ROWS],
        sums: &mut [C::Vector; ROWS],
    ) {
        for index in 0..2 {
            let groups = group(rows, index);
            let dots = columns.dots8(part::<128, 256, 640, P>(records, index), groups);
            let scale = columns.load_f32(part::<0, 32, 640, P>(records, index));
            add_scaled(columns, dots, scale, groups, sums);
            let minimum = columns.load_f32(part::<64, 32, 640, P>(records, index));
            add_minimum(columns, minimum, groups, sums);
        }
    }
}

/// 8 bits with scales of 16 scaled again.
pub(super) struct Q8K;

impl Format for Q8K {
    type Record = [u8; 2192];
    const GROUPS: usize = 8;

    #[inline(always)]
    fn records(panel: &[u8]) -> &[[u8; 2192]] {
        panel.as_chunks().0
    }

    #[inline(always)]
    fn add<C: Panels<P>, const P: usize, const ROWS: usize>(
        columns: C,
        records: [&[u8; 2192]; P],
        rows: [&[Group]; ROWS],
        sums: &mut [C::Vector; ROWS],
    ) {
        let d = columns.load_f16(part::<0, 16, 2192, P>(records, 0));
        for index in 0..16 {
            let groups = group(rows, index / 2);
            let dots = columns.dots8_of_half(part::<144, 128, 2192, P>(records, index), groups, index % 2);
            let scale = columns.load_i8(part::<16, 8, 2192, P>(records, index));
            add_scaled(columns, dots, columns.multiply(d, scale), groups, sums);
        }
    }
}
