//! The definition of attention in f64.

use super::case::{Arrays, Case, rotary_angle};
use crate::attention::{AttentionConfig, LayerPages};

/// A token under one key and value head.
#[derive(Clone, Copy)]
pub(super) struct Token {
    pub(super) sequence: usize,
    /// In the order of storing.
    pub(super) index: usize,
    pub(super) position: usize,
    pub(super) kv_head: usize,
}

impl Case {
    /// A head of one token, rotated in f64.
    pub(super) fn head(&self, qkv: &[f32], head: usize, position: usize, rotary_dim: usize) -> Vec<f64> {
        let numbers = &qkv[head * self.config.head_dim..][..self.config.head_dim];
        let mut head: Vec<f64> = numbers.iter().map(|&number| f64::from(number)).collect();
        let half = rotary_dim / 2;
        for index in 0..half {
            let (sin, cos) = rotary_angle(position, index).sin_cos();
            let (x, y) = (head[index], head[index + half]);
            head[index] = x * f64::from(cos) - y * f64::from(sin);
            head[index + half] = y * f64::from(cos) + x * f64::from(sin);
        }
        head
    }

    /// Key and value of a token before they were stored.
    pub(super) fn exact(&self, token: Token) -> [Vec<f64>; 2] {
        let qkv = self.qkv(token.sequence, token.index);
        let AttentionConfig { heads, kv_heads, rotary_dim, .. } = self.config;
        let key = self.head(&qkv, heads + token.kv_head, token.position, rotary_dim);
        [key, self.head(&qkv, heads + kv_heads + token.kv_head, token.position, 0)]
    }

    /// Key and value of a token as pages give them back.
    pub(super) fn stored(&self, arrays: &Arrays, pages: &LayerPages, token: Token) -> [Vec<f64>; 2] {
        let tokens = self.config.block_tokens;
        let block = arrays.tables[token.sequence * arrays.blocks_per_table + token.index / tokens] as usize;
        let slot = block * tokens + token.index % tokens;
        let numbers = [pages.key(slot, token.kv_head), pages.value(slot, token.kv_head)];
        numbers.map(|numbers| numbers.into_iter().map(f64::from).collect())
    }

    /// The definition of attention in f64, over the keys and values that `kv` gives.
    pub(super) fn naive(&self, kv: &dyn Fn(Token) -> [Vec<f64>; 2]) -> Vec<f64> {
        let mut outputs = Vec::new();
        for (number, sequence) in self.sequences.iter().enumerate() {
            let depth = |index: usize| match index.checked_sub(sequence.context) {
                Some(row) => sequence.context + sequence.path(row).len() - 1,
                None => index,
            };
            let token = |index, kv_head| kv(Token { sequence: number, index, position: depth(index), kv_head });
            let of_head = |kv_head| (0..sequence.tokens()).map(|index| token(index, kv_head)).collect();
            let stored: Vec<Vec<_>> = (0..self.config.kv_heads).map(of_head).collect();
            for row in 0..sequence.parents.len() {
                let branch = sequence.path(row).into_iter().map(|row| sequence.context + row);
                let walk: Vec<usize> = (0..sequence.context).chain(branch).collect();
                let qkv = self.qkv(number, sequence.context + row);
                for head in 0..self.config.heads {
                    let query = self.head(&qkv, head, walk.len() - 1, self.config.rotary_dim);
                    outputs.extend(self.naive_head(head, &query, &walk, &stored[head / self.config.group()]));
                }
            }
        }
        outputs
    }

    /// One head of the row at the end of a walk over stored keys and values.
    pub(super) fn naive_head(
        &self,
        head: usize,
        query: &[f64],
        walk: &[usize],
        stored: &[[Vec<f64>; 2]],
    ) -> impl Iterator<Item = f64> {
        let first = self.config.window.map_or(0, |window| walk.len().saturating_sub(window));
        let seen: Vec<_> = walk[first..].iter().map(|&index| &stored[index]).collect();
        let dot = |key: &[f64]| query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>();
        let bent = |score: f64| match self.config.softcap.map(f64::from) {
            Some(softcap) => softcap * (score / softcap).tanh(),
            None => score,
        };
        let (table, count) = (self.bias(), seen.len());
        let bias = |index: usize| match self.distances {
            0 => 0.0,
            distances => f64::from(table[head * distances + (count - 1 - index).min(distances - 1)]),
        };
        let score =
            |(index, kv): (usize, &&[Vec<f64>; 2])| bent(dot(&kv[0]) * f64::from(self.config.scale) + bias(index));
        let scores: Vec<f64> = seen.iter().enumerate().map(score).collect();
        let largest = scores.iter().copied().fold(f64::MIN, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let mut output = vec![0.0; self.config.head_dim];
        for ([_, value], weight) in seen.iter().zip(&weights) {
            output.iter_mut().zip(value).for_each(|(place, value)| *place += weight * value);
        }
        output.into_iter().map(move |number| number / sum)
    }
}
