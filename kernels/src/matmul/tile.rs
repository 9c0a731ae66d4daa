//! A tile: some rows times one or two panels, sums in registers or the first-level cache.

use std::ops::Range;

use super::activations::Activations;
use super::formats::{Format, Q4, Q4K, Q4Minimum, Q8, Q8K, Q8Minimum};
use crate::lanes::{Group, Job, LANES, Lanes, Panels, RowsJob};
use crate::weights::WeightFormat;

/// Rows of the largest tile of any path.
pub(super) const MOST_ROWS: usize = 8;

/// Finished sums, `[row][panel][column]`.
pub(super) type Sums = [[[f32; LANES]; 2]; MOST_ROWS];

/// One or two panels of a format, to be multiplied with some rows.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a, const PANELS: usize> {
    pub(super) format: WeightFormat,
    pub(super) panels: [&'a [u8]; PANELS],
    /// Panels that will be multiplied after these, to be asked for meanwhile; or nothing.
    pub(super) next: [&'a [u8]; PANELS],
}

impl Operands<'_, 1> {
    /// Multiplies one panel with as many rows as a tile has room for.
    pub(super) fn multiply<L: Lanes>(self, lanes: L, activations: &Activations, rows: Range<usize>, sums: &mut Sums) {
        let first_row = rows.start;
        lanes.with_rows(rows.len(), OnPath { lanes, operands: self, activations, first_row, sums });
    }
}

impl Operands<'_, 2> {
    /// Multiplies two panels with as many rows as a tile has room for.
    pub(super) fn multiply<L: Lanes>(self, lanes: L, activations: &Activations, rows: Range<usize>, sums: &mut Sums) {
        let first_row = rows.start;
        lanes.with_rows(rows.len(), OnPath { lanes, operands: self, activations, first_row, sums });
    }
}

/// A tile on its path, still without its number of rows.
struct OnPath<'a, L, const PANELS: usize> {
    lanes: L,
    operands: Operands<'a, PANELS>,
    activations: &'a Activations,
    first_row: usize,
    sums: &'a mut Sums,
}

impl<L: Lanes> RowsJob for OnPath<'_, L, 1> {
    fn run<const ROWS: usize>(self) {
        self.dispatch::<ROWS>();
    }
}

impl<L: Lanes> RowsJob for OnPath<'_, L, 2> {
    fn run<const ROWS: usize>(self) {
        self.dispatch::<ROWS>();
    }
}

impl<L: Lanes, const PANELS: usize> OnPath<'_, L, PANELS> {
    fn dispatch<const ROWS: usize>(self)
    where
        for<'a> FloatTile<'a, ROWS, PANELS>: Job<Output = ()>,
        for<'a> Tile<'a, Q4, ROWS, PANELS>: Job<Output = ()>,
        for<'a> Tile<'a, Q4Minimum, ROWS, PANELS>: Job<Output = ()>,
        for<'a> Tile<'a, Q4K, ROWS, PANELS>: Job<Output = ()>,
        for<'a> Tile<'a, Q8, ROWS, PANELS>: Job<Output = ()>,
        for<'a> Tile<'a, Q8Minimum, ROWS, PANELS>: Job<Output = ()>,
        for<'a> Tile<'a, Q8K, ROWS, PANELS>: Job<Output = ()>,
    {
        let Self { lanes, operands: Operands { format, panels, next }, activations, first_row, sums } = self;
        if format == WeightFormat::F32 {
            let rows = std::array::from_fn(|row| activations.floats(first_row + row));
            return lanes.run(FloatTile::<ROWS, PANELS> { panels, next, rows, sums });
        }
        let rows: [&[Group]; ROWS] = std::array::from_fn(|row| activations.groups(first_row + row));
        match format {
            WeightFormat::F32 => unreachable!("handled above"),
            WeightFormat::Q4 => lanes.run(Tile::<Q4, ROWS, PANELS>::new([panels, next], rows, sums)),
            WeightFormat::Q4Minimum => lanes.run(Tile::<Q4Minimum, ROWS, PANELS>::new([panels, next], rows, sums)),
            WeightFormat::Q4K => lanes.run(Tile::<Q4K, ROWS, PANELS>::new([panels, next], rows, sums)),
            WeightFormat::Q8 => lanes.run(Tile::<Q8, ROWS, PANELS>::new([panels, next], rows, sums)),
            WeightFormat::Q8Minimum => lanes.run(Tile::<Q8Minimum, ROWS, PANELS>::new([panels, next], rows, sums)),
            WeightFormat::Q8K => lanes.run(Tile::<Q8K, ROWS, PANELS>::new([panels, next], rows, sums)),
        }
    }
}

/// A tile of quantised weights.
struct Tile<'a, F: Format, const ROWS: usize, const PANELS: usize> {
    panels: [&'a [F::Record]; PANELS],
    next: [&'a [F::Record]; PANELS],
    rows: [&'a [Group]; ROWS],
    sums: &'a mut Sums,
}

impl<'a, F: Format, const ROWS: usize, const PANELS: usize> Tile<'a, F, ROWS, PANELS> {
    fn new([panels, next]: [[&'a [u8]; PANELS]; 2], rows: [&'a [Group]; ROWS], sums: &'a mut Sums) -> Self {
        Self { panels: panels.map(F::records), next: next.map(F::records), rows, sums }
    }

    #[inline(always)]
    fn multiply<L: Lanes, C: Panels<PANELS>>(self, lanes: L, columns: C) {
        let mut sums = [columns.splat(0.0); ROWS];
        for index in 0..self.panels[0].len() {
            let mut rows = self.rows;
            for row in &mut rows {
                *row = &row[index * F::GROUPS..][..F::GROUPS];
            }
            let mut records = [&self.panels[0][index]; PANELS];
            for ((record, panel), next) in records.iter_mut().zip(self.panels).zip(self.next) {
                *record = &panel[index];
                if let Some(next) = next.get(index) {
                    prefetch(lanes, next);
                }
            }
            F::add(columns, records, rows, &mut sums);
        }
        store(columns, sums, self.sums);
    }
}

impl<F: Format, const ROWS: usize> Job for Tile<'_, F, ROWS, 1> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        self.multiply(lanes, lanes.one());
    }
}

impl<F: Format, const ROWS: usize> Job for Tile<'_, F, ROWS, 2> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        self.multiply(lanes, lanes.two());
    }
}

/// A tile of f32 weights, `[k][8 columns]`.
struct FloatTile<'a, const ROWS: usize, const PANELS: usize> {
    panels: [&'a [u8]; PANELS],
    next: [&'a [u8]; PANELS],
    rows: [&'a [f32]; ROWS],
    sums: &'a mut Sums,
}

impl<const ROWS: usize, const PANELS: usize> FloatTile<'_, ROWS, PANELS> {
    #[inline(always)]
    fn multiply<L: Lanes, C: Panels<PANELS>>(self, lanes: L, columns: C) {
        let mut sums = [columns.splat(0.0); ROWS];
        let records = self.panels[0].len() / (4 * LANES);
        for k in 0..records {
            let mut weights = [&[0; 4 * LANES]; PANELS];
            for ((weights, panel), next) in weights.iter_mut().zip(self.panels).zip(self.next) {
                *weights = &panel.as_chunks().0[k];
                if let Some(next) = next.as_chunks::<64>().0.get(k / 2) {
                    prefetch(lanes, next);
                }
            }
            let weights = columns.load_f32(weights);
            for (sum, row) in sums.iter_mut().zip(self.rows) {
                *sum = columns.multiply_add(columns.splat(row[k]), weights, *sum);
            }
        }
        store(columns, sums, self.sums);
    }
}

impl<const ROWS: usize> Job for FloatTile<'_, ROWS, 1> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        self.multiply(lanes, lanes.one());
    }
}

impl<const ROWS: usize> Job for FloatTile<'_, ROWS, 2> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        self.multiply(lanes, lanes.two());
    }
}

#[inline(always)]
fn store<C: Panels<P>, const P: usize, const ROWS: usize>(columns: C, sums: [C::Vector; ROWS], places: &mut Sums) {
    for (sum, places) in sums.into_iter().zip(places) {
        places[..P].copy_from_slice(&columns.store(sum));
    }
}

/// Asks for a record that will be read soon. The hardware alone brings less than half of what the memory can (measured
/// with three rows and fewer).
#[inline(always)]
fn prefetch<L: Lanes, R>(lanes: L, record: &R) {
    let lines = std::ptr::from_ref(record).cast::<[u8; 64]>();
    for line in 0..size_of::<R>().div_ceil(64) {
        lanes.prefetch(lines.wrapping_add(line));
    }
}
