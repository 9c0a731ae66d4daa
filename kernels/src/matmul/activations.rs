//! Rows of input, normalised and quantised: what the tiles read.

use std::sync::Mutex;

use super::MatMul;
use crate::lanes::{Job, LANES, Lanes, Program, dispatch};
use crate::parallel::Parallel;
use crate::simd::Simd;

/// Values in a block of activations, two groups of [`GROUP`] with a scale each.
pub(super) const BLOCK: usize = 64;

/// Values that share a scale.
const GROUP: usize = 32;

/// Rows that one task prepares.
const TASK_ROWS: usize = 16;

/// 64 quantised values of a row.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct ActivationBlock {
    /// -127 to 127
    pub(super) codes: [[i8; GROUP]; 2],
    /// What the codes of a group are multiplied by.
    pub(super) scales: [f32; 2],
    /// Scale times sum of the codes.
    pub(super) scaled_sums: [f32; 2],
    /// -8 times the sum of the codes: what makes 4-bit codes signed.
    pub(super) offsets: [i32; 2],
}

const ZERO: ActivationBlock =
    ActivationBlock { codes: [[0; GROUP]; 2], scales: [0.0; 2], scaled_sums: [0.0; 2], offsets: [0; 2] };

/// All rows of one product, in the forms that its weights need.
pub(super) struct Activations {
    /// `[rows, padded k / 64]`; empty where all weights are floats.
    blocks: Vec<ActivationBlock>,
    blocks_a_row: usize,
    /// `[rows, k]`; empty where no weights are floats.
    floats: Vec<f32>,
    k: usize,
}

impl Activations {
    /// Prepares every row; `padded_k` is a multiple of 64 and at least `k`.
    pub(super) fn new(simd: Simd, matmul: &MatMul, parallel: &dyn Parallel) -> Self {
        let (k, rows) = (matmul.k(), matmul.rows());
        let is_float = |weights: &crate::PackedWeights| weights.format() == crate::WeightFormat::F32;
        let (any_float, all_float) = (matmul.weights.iter().any(is_float), matmul.weights.iter().all(is_float));
        let records = matmul.weights.iter().map(|weights| k.next_multiple_of(weights.format().record().values));
        let blocks_a_row = if all_float { 0 } else { records.max().unwrap_or(0).div_ceil(BLOCK) };
        let floats_a_row = if any_float { k } else { 0 };
        let mut blocks = vec![ZERO; rows * blocks_a_row];
        let mut floats = vec![0.0; rows * floats_a_row];
        let tasks: Vec<_> = matmul
            .input
            .chunks(TASK_ROWS * k)
            .zip(cut(&mut blocks, TASK_ROWS * blocks_a_row))
            .zip(cut(&mut floats, TASK_ROWS * floats_a_row))
            .map(|((input, blocks), floats)| Mutex::new(Rows { matmul, input, blocks, floats }))
            .collect();
        let run = |task: usize| dispatch(simd, &mut *tasks[task].lock().expect("no other task has it"));
        parallel.for_each(tasks.len(), &run);
        drop(tasks);
        Self { blocks, blocks_a_row, floats, k }
    }

    pub(super) fn blocks(&self, row: usize) -> &[ActivationBlock] {
        &self.blocks[row * self.blocks_a_row..][..self.blocks_a_row]
    }

    pub(super) fn floats(&self, row: usize) -> &[f32] {
        &self.floats[row * self.k..][..self.k]
    }
}

/// Parts of `length`, without end where that is nothing.
fn cut<T>(mut rest: &mut [T], length: usize) -> impl Iterator<Item = &mut [T]> {
    std::iter::from_fn(move || {
        let length = length.min(rest.len());
        let (part, behind) = std::mem::take(&mut rest).split_at_mut(length);
        rest = behind;
        Some(part)
    })
}

/// Some rows of input and the places of what becomes of them.
struct Rows<'a> {
    matmul: &'a MatMul<'a>,
    input: &'a [f32],
    blocks: &'a mut [ActivationBlock],
    floats: &'a mut [f32],
}

impl Program for &mut Rows<'_> {
    type Output = ();

    fn run<L: Lanes>(self, lanes: L) {
        let k = self.matmul.k();
        let rows = self.input.len() / k;
        let (blocks_a_row, floats_a_row) = (self.blocks.len() / rows, self.floats.len() / rows);
        // A whole number of blocks, so that no loop has a rest.
        let mut row = vec![0.0; k.next_multiple_of(BLOCK)];
        for index in 0..rows {
            row[..k].copy_from_slice(&self.input[index * k..][..k]);
            lanes.run(Normalize { matmul: self.matmul, row: &mut row });
            self.floats[index * floats_a_row..][..floats_a_row].copy_from_slice(&row[..floats_a_row]);
            let blocks = &mut self.blocks[index * blocks_a_row..][..blocks_a_row];
            lanes.run(Quantize { row: &row, blocks });
        }
    }
}

/// Root mean square normalisation (Zhang and Sennrich 2019), where the product has one.
struct Normalize<'a> {
    matmul: &'a MatMul<'a>,
    row: &'a mut [f32],
}

impl Job for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Some(norm) = &self.matmul.norm else { return };
        let (vectors, _) = self.row.as_chunks::<LANES>();
        let mut squares = lanes.splat(0.0);
        for vector in vectors {
            let vector = lanes.load(vector);
            squares = lanes.multiply_add(vector, vector, squares);
        }
        let mut sums = [0.0; LANES];
        lanes.store(squares, &mut sums);
        let k = norm.weight.len();
        let scale = 1.0 / (sums.iter().sum::<f32>() / k as f32 + norm.epsilon).sqrt();
        let (vectors, _) = self.row[..k].as_chunks_mut::<LANES>();
        let whole = vectors.len() * LANES;
        for (vector, weight) in vectors.iter_mut().zip(norm.weight.as_chunks::<LANES>().0) {
            let scaled = lanes.multiply(lanes.load(vector), lanes.splat(scale));
            lanes.store(lanes.multiply(scaled, lanes.load(weight)), vector);
        }
        for (number, weight) in self.row[whole..k].iter_mut().zip(&norm.weight[whole..]) {
            *number = *number * scale * weight;
        }
    }
}

/// Quantises a row; blocks behind its end stay zero.
struct Quantize<'a> {
    row: &'a [f32],
    blocks: &'a mut [ActivationBlock],
}

impl Job for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let (groups, _) = self.row.as_chunks::<GROUP>();
        for (pair, block) in groups.as_chunks::<2>().0.iter().zip(self.blocks) {
            for (half, group) in pair.iter().enumerate() {
                quantize_group(lanes, group, half, block);
            }
        }
    }
}

#[inline(always)]
fn quantize_group<L: Lanes>(lanes: L, group: &[f32; GROUP], half: usize, block: &mut ActivationBlock) {
    let (vectors, _) = group.as_chunks::<LANES>();
    let mut largest = lanes.splat(0.0);
    let mut total = lanes.splat(0.0);
    for vector in vectors {
        let size = lanes.absolute(lanes.load(vector));
        largest = lanes.larger(largest, size);
        total = lanes.add(total, size);
    }
    let (mut sizes, mut totals) = ([0.0; LANES], [0.0; LANES]);
    lanes.store(largest, &mut sizes);
    lanes.store(total, &mut totals);
    let largest = sizes.into_iter().fold(0.0, f32::max);
    // Below normal numbers nothing is left to multiply. What is no number, or endless, stays so in the product.
    let is_number = totals.iter().sum::<f32>().is_finite();
    let scale = match is_number {
        true if largest < f32::MIN_POSITIVE * 127.0 => 0.0,
        true => largest / 127.0,
        false => f32::NAN,
    };
    let inverse = if scale > 0.0 { 127.0 / largest } else { 0.0 };
    let mut sum = 0;
    for (vector, codes) in vectors.iter().zip(block.codes[half].as_chunks_mut::<LANES>().0) {
        *codes = lanes.round(lanes.multiply(lanes.load(vector), lanes.splat(inverse)));
        sum += codes.iter().map(|&code| i32::from(code)).sum::<i32>();
    }
    block.scales[half] = scale;
    block.scaled_sums[half] = scale * sum as f32;
    block.offsets[half] = -8 * sum;
}
