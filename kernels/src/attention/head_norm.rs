//! Normalisation of queries and keys before they are rotated (Henry et al. 2020, query-key normalisation).
//!
//! Each row is normalised by itself, in one order of operations: eight sums of squares by column mod 8, added in order.

use super::AttentionConfig;
use crate::lanes::LANES;
use crate::{Error, Result};

/// RMS normalisation of q and k.
///
/// A weight of `head_dim` numbers normalises every head by itself (as in Qwen3 and Gemma 3), one of all heads' numbers
/// all of them together (as in OLMo 2).
#[derive(Clone, Copy, Debug)]
pub struct QueryKeyNorm<'a> {
    /// `[head_dim]` or `[heads * head_dim]`
    pub query: &'a [f32],
    /// `[head_dim]` or `[kv_heads * head_dim]`
    pub key: &'a [f32],
    /// Added to the mean square.
    pub epsilon: f32,
}

impl QueryKeyNorm<'_> {
    /// Refuses weights that fit neither one head nor all of them.
    pub fn check(&self, config: &AttentionConfig) -> Result<()> {
        let check = |name: &str, found: usize, heads: usize| {
            let (one, all) = (config.head_dim, heads * config.head_dim);
            Error::unless(found == one || found == all, || {
                format!("`{name}` has {found} numbers, expected {one}, for each head, or {all}, for all together")
            })
        };
        check("q_norm", self.query.len(), config.heads)?;
        check("k_norm", self.key.len(), config.kv_heads)?;
        let positive = self.epsilon.is_finite() && self.epsilon > 0.0;
        Error::unless(positive, || format!("the epsilon of q and k is {}, expected a positive number", self.epsilon))
    }

    /// Normalises q and k of every row of `qkv`, `[rows, (heads + 2 * kv_heads) * head_dim]`.
    ///
    /// # Panics
    /// When [`Self::check`] refuses the weights.
    pub fn apply(&self, config: &AttentionConfig, qkv: &mut [f32]) {
        self.check(config).expect("weights of this configuration");
        let (query_columns, key_columns) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        for row in qkv.chunks_exact_mut(query_columns + 2 * key_columns) {
            let (queries, others) = row.split_at_mut(query_columns);
            self.normalize(queries, self.query);
            self.normalize(&mut others[..key_columns], self.key);
        }
    }

    fn normalize(&self, columns: &mut [f32], weight: &[f32]) {
        for head in columns.chunks_exact_mut(weight.len()) {
            let scale = 1.0 / (mean_square(head) + self.epsilon).sqrt();
            head.iter_mut().zip(weight).for_each(|(number, weight)| *number = *number * scale * weight);
        }
    }
}

fn mean_square(numbers: &[f32]) -> f32 {
    let (vectors, _) = numbers.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for vector in vectors {
        sums.iter_mut().zip(vector).for_each(|(sum, number)| *sum += number * number);
    }
    sums.iter().sum::<f32>() / numbers.len() as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(heads: usize, kv_heads: usize, head_dim: usize) -> AttentionConfig {
        let (scale, rotary_dim, window, softcap, block_tokens) = (1.0, 0, None, None, 16);
        AttentionConfig { heads, kv_heads, head_dim, scale, rotary_dim, window, softcap, block_tokens }
    }

    /// What the definition gives in f64, for numbers that share a norm.
    fn naive(numbers: &[f32], weight: &[f32], epsilon: f32) -> Vec<f64> {
        let mean = numbers.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / numbers.len() as f64;
        let scale = 1.0 / (mean + f64::from(epsilon)).sqrt();
        numbers.iter().zip(weight).map(|(&x, &w)| f64::from(x) * scale * f64::from(w)).collect()
    }

    proptest! {
        #[test]
        fn queries_and_keys_are_normalised_as_defined_and_values_stay(
            (group, kv_heads, width, rows) in (1..4_usize, 1..3_usize, 1..5_usize, 1..4_usize),
            together in any::<bool>(),
            numbers in proptest::collection::vec(-3.0..3.0_f32, 4000),
        ) {
            let config = config(group * kv_heads, kv_heads, width * 8);
            let [q, k] = [config.heads, kv_heads].map(|heads| heads * config.head_dim);
            let length = |all| if together { all } else { config.head_dim };
            let (query, key) = (&numbers[..length(q)], &numbers[500..500 + length(k)]);
            let norm = QueryKeyNorm { query, key, epsilon: 1e-3 };
            let stride = q + 2 * k;
            let qkv = &numbers[700..700 + rows * stride];
            let mut found = qkv.to_vec();
            norm.apply(&config, &mut found);
            for (row, found) in qkv.chunks_exact(stride).zip(found.chunks_exact(stride)) {
                let mut expected = Vec::new();
                for (columns, weight) in [(&row[..q], query), (&row[q..q + k], key)] {
                    expected.extend(columns.chunks_exact(weight.len()).flat_map(|head| naive(head, weight, 1e-3)));
                }
                expected.extend(row[q + k..].iter().map(|&value| f64::from(value)));
                for (found, expected) in found.iter().zip(expected) {
                    prop_assert!((f64::from(*found) - expected).abs() < 1e-5, "{found}, expected {expected}");
                }
            }
        }
    }

    #[test]
    fn weights_of_another_size_are_refused() {
        let weights = [1.0; 64];
        let norm = |query: usize, key: usize, epsilon: f32| {
            let norm = QueryKeyNorm { query: &weights[..query], key: &weights[..key], epsilon };
            norm.check(&config(4, 2, 16)).map_err(|error| error.to_string())
        };
        assert_eq!(norm(16, 16, 1e-6), Ok(()));
        assert_eq!(norm(64, 32, 1e-6), Ok(()));
        let expected = "`q_norm` has 32 numbers, expected 16, for each head, or 64, for all together";
        assert_eq!(norm(32, 16, 1e-6), Err(expected.to_owned()));
        let expected = "`k_norm` has 64 numbers, expected 16, for each head, or 32, for all together";
        assert_eq!(norm(64, 64, 1e-6), Err(expected.to_owned()));
        let expected = "the epsilon of q and k is 0, expected a positive number";
        assert_eq!(norm(16, 16, 0.0), Err(expected.to_owned()));
    }
}
