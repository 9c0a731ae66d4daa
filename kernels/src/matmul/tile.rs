//! A tile: some rows times one or two panels, sums in registers or the first-level cache.

use super::activations::Activations;
use super::formats::{Format, Q4, Q4K, Q4Minimum, Q8, Q8K, Q8Minimum};
use crate::lanes::{Group, Job, LANES, Lanes, Panels};
use crate::weights::WeightFormat;

/// Rows of the largest tile.
pub(super) const TILE_ROWS: usize = 4;

/// Finished sums, `[row][panel][column]`.
pub(super) type Sums = [[[f32; LANES]; 2]; TILE_ROWS];

/// Multiplies `rows`, at most [`TILE_ROWS`], with one or two panels of a format.
#[inline(always)]
pub(super) fn multiply<L: Lanes>(
    lanes: L,
    format: WeightFormat,
    panels: &[&[u8]],
    activations: &Activations,
    rows: std::ops::Range<usize>,
) -> Sums {
    let mut sums = [[[0.0; LANES]; 2]; TILE_ROWS];
    match (rows.len(), panels) {
        (1, &[panel]) => sized::<L, 1, 1>(lanes, format, [panel], activations, rows.start, &mut sums),
        (2, &[panel]) => sized::<L, 2, 1>(lanes, format, [panel], activations, rows.start, &mut sums),
        (3, &[panel]) => sized::<L, 3, 1>(lanes, format, [panel], activations, rows.start, &mut sums),
        (4, &[panel]) => sized::<L, 4, 1>(lanes, format, [panel], activations, rows.start, &mut sums),
        (1, &[first, second]) => sized::<L, 1, 2>(lanes, format, [first, second], activations, rows.start, &mut sums),
        (2, &[first, second]) => sized::<L, 2, 2>(lanes, format, [first, second], activations, rows.start, &mut sums),
        (3, &[first, second]) => sized::<L, 3, 2>(lanes, format, [first, second], activations, rows.start, &mut sums),
        (4, &[first, second]) => sized::<L, 4, 2>(lanes, format, [first, second], activations, rows.start, &mut sums),
        (rows, panels) => unreachable!("a tile of {rows} rows and {} panels", panels.len()),
    }
    sums
}

fn sized<L: Lanes, const ROWS: usize, const PANELS: usize>(
    lanes: L,
    format: WeightFormat,
    panels: [&[u8]; PANELS],
    activations: &Activations,
    first: usize,
    sums: &mut Sums,
) where
    for<'a> FloatTile<'a, ROWS, PANELS>: Job<Output = ()>,
    for<'a> Tile<'a, Q4, ROWS, PANELS>: Job<Output = ()>,
    for<'a> Tile<'a, Q4Minimum, ROWS, PANELS>: Job<Output = ()>,
    for<'a> Tile<'a, Q4K, ROWS, PANELS>: Job<Output = ()>,
    for<'a> Tile<'a, Q8, ROWS, PANELS>: Job<Output = ()>,
    for<'a> Tile<'a, Q8Minimum, ROWS, PANELS>: Job<Output = ()>,
    for<'a> Tile<'a, Q8K, ROWS, PANELS>: Job<Output = ()>,
{
    if format == WeightFormat::F32 {
        let rows = std::array::from_fn(|row| activations.floats(first + row));
        return lanes.run(FloatTile::<ROWS, PANELS> { panels, rows, sums });
    }
    let rows: [&[Group]; ROWS] = std::array::from_fn(|row| activations.groups(first + row));
    match format {
        WeightFormat::F32 => unreachable!("handled above"),
        WeightFormat::Q4 => lanes.run(Tile::<Q4, ROWS, PANELS>::new(panels, rows, sums)),
        WeightFormat::Q4Minimum => lanes.run(Tile::<Q4Minimum, ROWS, PANELS>::new(panels, rows, sums)),
        WeightFormat::Q4K => lanes.run(Tile::<Q4K, ROWS, PANELS>::new(panels, rows, sums)),
        WeightFormat::Q8 => lanes.run(Tile::<Q8, ROWS, PANELS>::new(panels, rows, sums)),
        WeightFormat::Q8Minimum => lanes.run(Tile::<Q8Minimum, ROWS, PANELS>::new(panels, rows, sums)),
        WeightFormat::Q8K => lanes.run(Tile::<Q8K, ROWS, PANELS>::new(panels, rows, sums)),
    }
}

/// A tile of quantised weights.
struct Tile<'a, F: Format, const ROWS: usize, const PANELS: usize> {
    panels: [&'a [F::Record]; PANELS],
    rows: [&'a [Group]; ROWS],
    sums: &'a mut Sums,
}

impl<'a, F: Format, const ROWS: usize, const PANELS: usize> Tile<'a, F, ROWS, PANELS> {
    fn new(panels: [&'a [u8]; PANELS], rows: [&'a [Group]; ROWS], sums: &'a mut Sums) -> Self {
        Self { panels: panels.map(F::records), rows, sums }
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
            for panel in 0..PANELS {
                records[panel] = &self.panels[panel][index];
                prefetch_next(lanes, records[panel], PANELS * self.panels[panel].len());
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
            for panel in 0..PANELS {
                weights[panel] = &self.panels[panel].as_chunks().0[k];
                if k % 2 == 0 {
                    prefetch_next(lanes, weights[panel], PANELS * records);
                }
            }
            let weights = columns.load_f32(weights);
            for row in 0..ROWS {
                sums[row] = columns.multiply_add(columns.splat(self.rows[row][k]), weights, sums[row]);
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
    for row in 0..ROWS {
        let numbers = columns.store(sums[row]);
        for panel in 0..P {
            places[row][panel] = numbers[panel];
        }
    }
}

/// Prefetches the record that lies `records` behind: with two panels that follow each other, the same part of the next
/// pair. The hardware alone brings less than half of what the memory can (measured, three rows and fewer).
#[inline(always)]
fn prefetch_next<L: Lanes, R>(lanes: L, record: &R, records: usize) {
    let next = std::ptr::from_ref(record).wrapping_add(records).cast::<[u8; 64]>();
    for line in 0..size_of::<R>().div_ceil(64) {
        lanes.prefetch(next.wrapping_add(line));
    }
}
