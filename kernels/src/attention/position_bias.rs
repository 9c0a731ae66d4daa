//! What is added to scores by how far a key stands before its query: T5's relative positions (Raffel et al. 2020, "Exploring
//! the limits of transfer learning with a unified text-to-text transformer", section 2.1).
//!
//! The distance is one of logical positions, so a row's scores are the same in any company.

use super::AttentionConfig;
use crate::{Error, Result};

/// A number for each head and distance.
#[derive(Clone, Copy, Debug)]
pub struct PositionBias<'a> {
    /// `[heads, distances]`: by the query's position less the key's; the last of a head is that of all greater distances.
    pub table: &'a [f32],
    /// Columns of `table`.
    pub distances: usize,
}

impl<'a> PositionBias<'a> {
    /// Refuses a table that lacks a head or has no distances.
    pub fn check(&self, config: &AttentionConfig) -> Result<()> {
        let (found, heads) = (self.table.len(), config.heads);
        Error::unless(self.distances > 0 && found == heads.saturating_mul(self.distances), || {
            format!("`position_bias` has {found} numbers, expected some for each of {heads} heads")
        })
    }

    /// Adds the bias of `head` to `scores`, the first of which is of the key at `first`, for a query at `position`, which is
    /// at least as far as the last.
    pub(super) fn add(&self, head: usize, position: usize, first: usize, scores: &mut [f32]) {
        let bias = &self.table[head * self.distances..][..self.distances];
        for (key, score) in (first..).zip(scores) {
            *score += bias[(position - key).min(self.distances - 1)];
        }
    }
}
