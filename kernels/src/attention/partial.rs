//! The outcome of some chunks of a row's walk, and how two outcomes become one.

use crate::exp::exp;

/// Online softmax state of one row and head.
#[derive(Clone, Debug)]
pub(super) struct Partial {
    /// Largest score; minus infinity before anything was seen.
    pub(super) largest: f32,
    /// Sum of `exp(score - largest)`.
    pub(super) sum: f32,
    /// Sum of `exp(score - largest) * value`, `[head_dim]`.
    pub(super) output: Vec<f32>,
}

impl Partial {
    /// Nothing seen yet.
    pub(super) fn empty(head_dim: usize) -> Self {
        Self { largest: f32::NEG_INFINITY, sum: 0.0, output: vec![0.0; head_dim] }
    }

    /// Adds the outcome of the next chunk. The first one is taken as it is.
    pub(super) fn merge(&mut self, next: &Self) {
        if next.sum == 0.0 {
            return;
        }
        if self.sum == 0.0 {
            self.clone_from(next);
            return;
        }
        let largest = self.largest.max(next.largest);
        let (before, after) = (exp(self.largest - largest), exp(next.largest - largest));
        self.largest = largest;
        self.sum = self.sum * before + next.sum * after;
        for (number, next) in self.output.iter_mut().zip(&next.output) {
            *number = *number * before + next * after;
        }
    }

    /// The attention output: the mean of values weighted by softmax.
    pub(super) fn finish(&self, output: &mut [f32]) {
        let scale = 1.0 / self.sum;
        output.iter_mut().zip(&self.output).for_each(|(place, number)| *place = number * scale);
    }
}
