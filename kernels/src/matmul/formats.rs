//! One record of a panel times the same stretch of some rows, for each panel format; the layouts are drawn in
//! [`weights`](crate::weights).

use super::activations::ActivationBlock;
use crate::lanes::Lanes;

/// Sums of `ROWS` rows in the eight columns of `PANELS` panels.
pub(super) type TileSums<V, const ROWS: usize, const PANELS: usize> = [[V; ROWS]; PANELS];

/// A quantised panel format.
pub(super) trait Format {
    /// Bytes of a record.
    type Record;
    /// Blocks of activations that a record is multiplied with.
    const BLOCKS: usize;

    /// A panel as records.
    fn records(panel: &[u8]) -> &[Self::Record];

    /// Adds the products of a record of each panel with `BLOCKS` blocks of each row.
    fn add<L: Lanes, const ROWS: usize, const PANELS: usize>(
        lanes: L,
        records: [&Self::Record; PANELS],
        rows: [&[ActivationBlock]; ROWS],
        sums: &mut TileSums<L::Vector, ROWS, PANELS>,
    );
}

/// A group of 32 values: number of the block and of the half in it.
type Group = (usize, usize);

// Loops below are written out, not mapped by closures: what a closure is given to would be compiled without the path's
// instructions.

/// One group of each row's codes.
#[inline(always)]
fn codes_of<'a, const ROWS: usize>(rows: [&'a [ActivationBlock]; ROWS], (block, half): Group) -> [&'a [i8; 32]; ROWS] {
    let mut codes = [&rows[0][block].codes[half]; ROWS];
    for row in 0..ROWS {
        codes[row] = &rows[row][block].codes[half];
    }
    codes
}

/// Sixteen of the values of each group.
#[inline(always)]
fn halves<const ROWS: usize>(groups: [&[i8; 32]; ROWS], half: usize) -> [&[i8; 16]; ROWS] {
    let mut halves = [&groups[0].as_chunks::<16>().0[half]; ROWS];
    for row in 0..ROWS {
        halves[row] = &groups[row].as_chunks::<16>().0[half];
    }
    halves
}

/// `LENGTH` bytes of each record at `START + index * LENGTH`.
#[inline(always)]
fn parts<'a, const START: usize, const LENGTH: usize, const RECORD: usize, const PANELS: usize>(
    records: [&'a [u8; RECORD]; PANELS],
    index: usize,
) -> [&'a [u8; LENGTH]; PANELS] {
    let mut parts = [part::<START, LENGTH, RECORD>(records[0], index); PANELS];
    for panel in 0..PANELS {
        parts[panel] = part::<START, LENGTH, RECORD>(records[panel], index);
    }
    parts
}

#[inline(always)]
fn part<const START: usize, const LENGTH: usize, const RECORD: usize>(
    record: &[u8; RECORD],
    index: usize,
) -> &[u8; LENGTH] {
    &record[START..].as_chunks::<LENGTH>().0[index]
}

/// Adds `(scale * s) * dot` to the sum of each row.
#[inline(always)]
fn add_scaled<L: Lanes, const ROWS: usize>(
    lanes: L,
    dots: [L::Sums; ROWS],
    scale: L::Vector,
    rows: [&[ActivationBlock]; ROWS],
    (block, half): Group,
    sums: &mut [L::Vector; ROWS],
) {
    for row in 0..ROWS {
        let scale = lanes.multiply(scale, lanes.splat(rows[row][block].scales[half]));
        sums[row] = lanes.multiply_add(scale, lanes.from_sums(dots[row]), sums[row]);
    }
}

/// Adds `minimum * (s * sum of codes)` to the sum of each row.
#[inline(always)]
fn add_minimum<L: Lanes, const ROWS: usize>(
    lanes: L,
    minimum: L::Vector,
    rows: [&[ActivationBlock]; ROWS],
    (block, half): Group,
    sums: &mut [L::Vector; ROWS],
) {
    for row in 0..ROWS {
        sums[row] = lanes.multiply_add(minimum, lanes.splat(rows[row][block].scaled_sums[half]), sums[row]);
    }
}

/// 4 bits with a scale.
pub(super) struct Q4;

impl Format for Q4 {
    type Record = [u8; 288];
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn records(panel: &[u8]) -> &[[u8; 288]] {
        panel.as_chunks().0
    }

    #[inline(always)]
    fn add<L: Lanes, const ROWS: usize, const PANELS: usize>(
        lanes: L,
        records: [&[u8; 288]; PANELS],
        rows: [&[ActivationBlock]; ROWS],
        sums: &mut TileSums<L::Vector, ROWS, PANELS>,
    ) {
        for half in 0..2 {
            let group = (0, half);
            let mut dots = lanes.dots4(parts::<32, 128, 288, PANELS>(records, half), codes_of(rows, group));
            for panel in 0..PANELS {
                for row in 0..ROWS {
                    dots[panel][row] = lanes.offset_sums(dots[panel][row], rows[row][0].offsets[half]);
                }
                let scale = lanes.load_f16(part::<0, 16, 288>(records[panel], half));
                add_scaled(lanes, dots[panel], scale, rows, group, &mut sums[panel]);
            }
        }
    }
}

/// 4 bits with a scale and a minimum.
pub(super) struct Q4Minimum;

impl Format for Q4Minimum {
    type Record = [u8; 320];
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn records(panel: &[u8]) -> &[[u8; 320]] {
        panel.as_chunks().0
    }

    #[inline(always)]
    fn add<L: Lanes, const ROWS: usize, const PANELS: usize>(
        lanes: L,
        records: [&[u8; 320]; PANELS],
        rows: [&[ActivationBlock]; ROWS],
        sums: &mut TileSums<L::Vector, ROWS, PANELS>,
    ) {
        for half in 0..2 {
            let group = (0, half);
            let dots = lanes.dots4(parts::<64, 128, 320, PANELS>(records, half), codes_of(rows, group));
            for panel in 0..PANELS {
                let scale = lanes.load_f16(part::<0, 16, 320>(records[panel], half));
                add_scaled(lanes, dots[panel], scale, rows, group, &mut sums[panel]);
                let minimum = lanes.load_f16(part::<32, 16, 320>(records[panel], half));
                add_minimum(lanes, minimum, rows, group, &mut sums[panel]);
            }
        }
    }
}

/// 4 bits with scales and minima scaled again.
pub(super) struct Q4K;

impl Format for Q4K {
    type Record = [u8; 1184];
    const BLOCKS: usize = 4;

    #[inline(always)]
    fn records(panel: &[u8]) -> &[[u8; 1184]] {
        panel.as_chunks().0
    }

    #[inline(always)]
    fn add<L: Lanes, const ROWS: usize, const PANELS: usize>(
        lanes: L,
        records: [&[u8; 1184]; PANELS],
        rows: [&[ActivationBlock]; ROWS],
        sums: &mut TileSums<L::Vector, ROWS, PANELS>,
    ) {
        for index in 0..8 {
            let group = (index / 2, index % 2);
            let dots = lanes.dots4(parts::<160, 128, 1184, PANELS>(records, index), codes_of(rows, group));
            for panel in 0..PANELS {
                let record = records[panel];
                let (d, e) = (part::<0, 16, 1184>(record, 0), part::<16, 16, 1184>(record, 0));
                let scale = lanes.load_u8(part::<32, 8, 1184>(record, index));
                let scale = lanes.multiply(lanes.load_f16(d), scale);
                add_scaled(lanes, dots[panel], scale, rows, group, &mut sums[panel]);
                let minimum = lanes.load_u8(part::<96, 8, 1184>(record, index));
                let minimum = lanes.subtract(lanes.splat(0.0), lanes.multiply(lanes.load_f16(e), minimum));
                add_minimum(lanes, minimum, rows, group, &mut sums[panel]);
            }
        }
    }
}

/// 8 bits with a scale.
pub(super) struct Q8;

impl Format for Q8 {
    type Record = [u8; 544];
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn records(panel: &[u8]) -> &[[u8; 544]] {
        panel.as_chunks().0
    }

    #[inline(always)]
    fn add<L: Lanes, const ROWS: usize, const PANELS: usize>(
        lanes: L,
        records: [&[u8; 544]; PANELS],
        rows: [&[ActivationBlock]; ROWS],
        sums: &mut TileSums<L::Vector, ROWS, PANELS>,
    ) {
        for half in 0..2 {
            let group = (0, half);
            let dots = lanes.dots8_of_32(parts::<32, 256, 544, PANELS>(records, half), codes_of(rows, group));
            for panel in 0..PANELS {
                let scale = lanes.load_f16(part::<0, 16, 544>(records[panel], half));
                add_scaled(lanes, dots[panel], scale, rows, group, &mut sums[panel]);
            }
        }
    }
}

/// 8 bits with a scale and a minimum.
pub(super) struct Q8Minimum;

impl Format for Q8Minimum {
    type Record = [u8; 640];
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn records(panel: &[u8]) -> &[[u8; 640]] {
        panel.as_chunks().0
    }

    #[inline(always)]
    fn add<L: Lanes, const ROWS: usize, const PANELS: usize>(
        lanes: L,
        records: [&[u8; 640]; PANELS],
        rows: [&[ActivationBlock]; ROWS],
        sums: &mut TileSums<L::Vector, ROWS, PANELS>,
    ) {
        for half in 0..2 {
            let group = (0, half);
            let dots = lanes.dots8_of_32(parts::<128, 256, 640, PANELS>(records, half), codes_of(rows, group));
            for panel in 0..PANELS {
                let scale = lanes.load_f32(part::<0, 32, 640>(records[panel], half));
                add_scaled(lanes, dots[panel], scale, rows, group, &mut sums[panel]);
                let minimum = lanes.load_f32(part::<64, 32, 640>(records[panel], half));
                add_minimum(lanes, minimum, rows, group, &mut sums[panel]);
            }
        }
    }
}

/// 8 bits with scales of 16 scaled again.
pub(super) struct Q8K;

impl Format for Q8K {
    type Record = [u8; 2192];
    const BLOCKS: usize = 4;

    #[inline(always)]
    fn records(panel: &[u8]) -> &[[u8; 2192]] {
        panel.as_chunks().0
    }

    #[inline(always)]
    fn add<L: Lanes, const ROWS: usize, const PANELS: usize>(
        lanes: L,
        records: [&[u8; 2192]; PANELS],
        rows: [&[ActivationBlock]; ROWS],
        sums: &mut TileSums<L::Vector, ROWS, PANELS>,
    ) {
        for sixteen in 0..16 {
            let group = (sixteen / 4, sixteen % 4 / 2);
            let values = halves(codes_of(rows, group), sixteen % 2);
            let dots = lanes.dots8(parts::<144, 128, 2192, PANELS>(records, sixteen), values);
            for panel in 0..PANELS {
                let d = lanes.load_f16(part::<0, 16, 2192>(records[panel], 0));
                let scale = lanes.multiply(d, lanes.load_i8(part::<16, 8, 2192>(records[panel], sixteen)));
                add_scaled(lanes, dots[panel], scale, rows, group, &mut sums[panel]);
            }
        }
    }
}
