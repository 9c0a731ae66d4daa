//! Cases of all kinds.

use proptest::prelude::*;

use super::case::{Case, Sequence};
use crate::attention::{AttentionConfig, KvType};

pub(super) fn config() -> AttentionConfig {
    AttentionConfig {
        heads: 3,
        kv_heads: 1,
        head_dim: 16,
        scale: 0.25,
        rotary_dim: 16,
        window: None,
        softcap: None,
        block_tokens: 16,
    }
}

pub(super) fn configs() -> impl Strategy<Value = AttentionConfig> {
    let window = prop_oneof![3 => Just(None), 1 => (1..400_usize).prop_map(Some)];
    let softcap = prop_oneof![3 => Just(None), 1 => (0.5..4.0_f32).prop_map(Some)];
    let block_tokens = prop_oneof![Just(8_usize), Just(16), Just(24), Just(32), Just(64)];
    (1..4_usize, 1..4_usize, 1..4_usize, 0..9_usize, (window, softcap), block_tokens).prop_map(
        |(group, kv_heads, width, rotary, (window, softcap), block_tokens)| AttentionConfig {
            heads: group * kv_heads,
            kv_heads,
            head_dim: width * 16,
            scale: 1.0 / ((width * 16) as f32).sqrt(),
            rotary_dim: (rotary * 2).min(width * 16),
            window,
            softcap,
            block_tokens,
        },
    )
}

pub(super) fn sequences() -> impl Strategy<Value = Vec<Sequence>> {
    let context = prop_oneof![0..40_usize, 250..262_usize, 500..530_usize];
    let chain = (context.clone(), 1..20_usize).prop_map(|(context, rows)| Sequence::chain(context, rows));
    let tree =
        (context, proptest::collection::vec(any::<proptest::sample::Index>(), 1..9)).prop_map(|(context, picks)| {
            let parents = picks.iter().enumerate().map(|(row, pick)| pick.index(row + 1).checked_sub(1));
            Sequence { context, parents: parents.collect() }
        });
    proptest::collection::vec(prop_oneof![chain, tree], 1..4)
}

pub(super) fn cases() -> impl Strategy<Value = Case> {
    let kv_types = proptest::sample::select(KvType::ALL.to_vec());
    let distances = prop_oneof![2 => Just(0_usize), 1 => 1..400_usize];
    let parts = (configs(), kv_types, sequences(), distances, any::<u64>());
    parts.prop_map(|(config, kv_type, sequences, distances, seed)| Case { config, kv_type, sequences, distances, seed })
}
