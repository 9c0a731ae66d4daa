//! Rows of input, normalised and quantised: what the tiles read.

use std::sync::Mutex;

use super::MatMul;
use crate::lanes::{GROUP, Group, Job, LANES, Lanes, Program, dispatch};
use crate::parallel::Parallel;
use crate::simd::Simd;

/// Values that are worth a task of their own.
const TASK_VALUES: usize = 2048;

/// All rows of one product, in the forms that its weights need.
pub(super) struct Activations {
    /// `[rows, groups of a row]`; empty where all weights are floats.
    groups: Vec<Group>,
    groups_a_row: usize,
    /// `[rows, k]`; empty where no weights are floats.
    floats: Vec<f32>,
    k: usize,
}

impl Activations {
    /// Prepares every row, as many groups as the longest records of the weights need.
    pub(super) fn new(simd: Simd, matmul: &MatMul, parallel: &dyn Parallel) -> Self {
        let (k, rows) = (matmul.k(), matmul.rows());
        let is_float = |weights: &crate::PackedWeights| weights.format() == crate::WeightFormat::F32;
        let (any_float, all_float) = (matmul.weights.iter().any(is_float), matmul.weights.iter().all(is_float));
        let records = matmul.weights.iter().map(|weights| k.next_multiple_of(weights.format().record().values));
        let groups_a_row = if all_float { 0 } else { records.max().unwrap_or(0).div_ceil(GROUP) };
        let floats_a_row = if any_float { k } else { 0 };
        let mut groups = vec![Group::ZERO; rows * groups_a_row];
        let mut floats = vec![0.0; rows * floats_a_row];
        let task_rows = TASK_VALUES.div_ceil(k);
        let tasks: Vec<_> = matmul
            .input
            .chunks(task_rows * k)
            .zip(cut(&mut groups, task_rows * groups_a_row))
            .zip(cut(&mut floats, task_rows * floats_a_row))
            .map(|((input, groups), floats)| Mutex::new(Rows { matmul, input, groups, floats }))
            .collect();
        let run = |task: usize| dispatch(simd, &mut *tasks[task].lock().expect("no other task has it"));
        parallel.for_each(tasks.len(), &run);
        drop(tasks);
        Self { groups, groups_a_row, floats, k }
    }

    pub(super) fn groups(&self, row: usize) -> &[Group] {
        &self.groups[row * self.groups_a_row..][..self.groups_a_row]
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
    groups: &'a mut [Group],
    floats: &'a mut [f32],
}

impl Program for &mut Rows<'_> {
    type Output = ();

    fn run<L: Lanes>(self, lanes: L) {
        let k = self.matmul.k();
        let rows = self.input.len() / k;
        let (groups_a_row, floats_a_row) = (self.groups.len() / rows, self.floats.len() / rows);
        // A whole number of groups, so that no loop has a rest.
        let mut row = vec![0.0; k.next_multiple_of(GROUP)];
        for index in 0..rows {
            row[..k].copy_from_slice(&self.input[index * k..][..k]);
            lanes.run(Normalize { matmul: self.matmul, row: &mut row });
            self.floats[index * floats_a_row..][..floats_a_row].copy_from_slice(&row[..floats_a_row]);
            let groups = &mut self.groups[index * groups_a_row..][..groups_a_row];
            lanes.run(Quantize { row: &row, groups });
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

/// Quantises a row; groups behind its end stay zero.
struct Quantize<'a> {
    row: &'a [f32],
    groups: &'a mut [Group],
}

impl Job for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        for (values, group) in self.row.as_chunks::<GROUP>().0.iter().zip(self.groups) {
            *group = quantize(lanes, values);
        }
    }
}

#[inline(always)]
fn quantize<L: Lanes>(lanes: L, values: &[f32; GROUP]) -> Group {
    let (vectors, _) = values.as_chunks::<LANES>();
    let mut largest = lanes.splat(0.0);
    let mut doubt = lanes.splat(0.0);
    for vector in vectors {
        let vector = lanes.load(vector);
        largest = lanes.larger(largest, lanes.absolute(vector));
        // Zero of every finite number, and no number of all others.
        doubt = lanes.multiply_add(vector, lanes.splat(0.0), doubt);
    }
    let (mut sizes, mut doubts) = ([0.0; LANES], [0.0; LANES]);
    lanes.store(largest, &mut sizes);
    lanes.store(doubt, &mut doubts);
    let largest = sizes.into_iter().fold(0.0, f32::max);
    let is_finite = doubts.iter().all(|doubt| !doubt.is_nan());
    // Below normal numbers nothing is left to multiply. What is no number, or endless, is none in the product.
    let scale = match is_finite {
        true if largest < f32::MIN_POSITIVE * 127.0 => 0.0,
        true => largest / 127.0,
        false => f32::NAN,
    };
    let mut codes = [0; GROUP];
    if scale > 0.0 {
        let inverse = lanes.splat(127.0 / largest);
        for (vector, codes) in vectors.iter().zip(codes.as_chunks_mut::<LANES>().0) {
            *codes = lanes.round(lanes.multiply(lanes.load(vector), inverse));
        }
    }
    let sum: i32 = codes.iter().map(|&code| i32::from(code)).sum();
    Group { codes, scale, scaled_sum: scale * sum as f32, offset: -8 * sum }
}
