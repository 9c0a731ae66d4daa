//! Against the formulas of the `transformers` library, evaluated with numpy in float32.

use super::*;
use crate::checkpoint::Activation;

fn config(rope_scaling: RopeScaling) -> DecoderConfig {
    DecoderConfig {
        architecture: "llama".to_owned(),
        layers: 1,
        hidden: 16,
        intermediate: 16,
        heads: 1,
        kv_heads: 1,
        head_dim: 16,
        vocabulary: 16,
        context_length: 8001,
        norm_eps: 1e-5,
        rotary_dim: 16,
        rope_theta: 10_000.0,
        local_rope_theta: None,
        rope_scaling,
        attention_bias: false,
        attention_scale: 0.25,
        attention_softcap: None,
        clip_qkv: None,
        windows: vec![None],
        activation: Activation::Silu,
        parallel_residual: false,
        tied_embeddings: true,
        logit_softcap: None,
        encoder: None,
    }
}

/// Equal but for the last bit, in which implementations of `pow` differ.
fn check(scaling: RopeScaling, expected: [f32; 8]) {
    let found = Rotation { theta: 10_000.0, dim: 16, scaling: &scaling }.frequencies();
    for (found, expected) in found.iter().zip(expected) {
        assert!((found / expected - 1.0).abs() < 1.5e-7, "{found} is not {expected}");
    }
}

#[test]
fn frequencies_follow_each_scaling() {
    let plain = [1.0, 0.316_227_76, 0.1, 0.031_622_78, 0.01, 0.003_162_278, 0.001, 0.000_316_227_8];
    check(RopeScaling::None, plain);
    check(RopeScaling::Linear { factor: 4.0 }, plain.map(|frequency| frequency / 4.0));
    let factors = vec![1.0, 1.0, 1.0, 1.0, 2.0, 4.0, 8.0, 8.0];
    check(RopeScaling::Factors { factors, attention_factor: 1.0 }, {
        let mut divided = plain;
        [2.0, 4.0, 8.0, 8.0].iter().zip(&mut divided[4..]).for_each(|(factor, frequency)| *frequency /= factor);
        divided
    });
    check(
        RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 256.0 },
        [1.0, 0.316_227_76, 0.1, 0.006_613_107, 0.001_25, 0.000_395_284_73, 0.000_125, 0.000_039_528_473],
    );
    check(
        yarn_by_four(1.0),
        [1.0, 0.256_935_06, 0.062_5, 0.013_834_965, 0.002_5, 0.000_790_569_47, 0.000_25, 0.000_079_056_95],
    );
}

#[test]
fn a_row_of_the_table_is_cosines_then_sines() {
    let table = rotary_table(&config(RopeScaling::None));
    assert_eq!(table.len(), 8001 * 16);
    assert_eq!(table[..16], [[1.0_f32; 8], [0.0; 8]].concat());
    let row = &table[8000 * 16..];
    let cosines = [0.065_645_13, -0.667_511, -0.448_127_5, -0.083_916_1];
    let sines = [0.997_843, -0.744_599_94, 0.893_969_66, 0.996_472_84];
    for (found, expected) in row[..4].iter().chain(&row[8..12]).zip(cosines.into_iter().chain(sines)) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }
}

#[test]
fn a_part_of_a_head_has_a_narrower_table_with_wider_steps() {
    let table = rotary_table(&DecoderConfig { rotary_dim: 4, context_length: 2, ..config(RopeScaling::None) });
    assert_eq!(table.len(), 2 * 4);
    for (found, expected) in table[4..].iter().zip([1.0_f32.cos(), 0.01_f32.cos(), 1.0_f32.sin(), 0.01_f32.sin()]) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }
}

#[test]
fn layers_with_a_window_have_their_own_base_and_no_scaling() {
    let scaled = config(RopeScaling::Linear { factor: 8.0 });
    let plain = DecoderConfig { rope_theta: 500.0, ..config(RopeScaling::None) };
    assert_eq!(local_rotary_table(&scaled, 500.0), rotary_table(&plain));
}

#[test]
fn yarn_multiplies_the_table_by_its_attention_factor() {
    let table = rotary_table(&config(yarn_by_four(1.25)));
    assert_eq!(table[..16], [[1.25_f32; 8], [0.0; 8]].concat());
}

fn yarn_by_four(attention_factor: f64) -> RopeScaling {
    RopeScaling::Yarn {
        factor: 4.0,
        attention_factor,
        beta_fast: 32.0,
        beta_slow: 1.0,
        original_context: 256.0,
        truncate: true,
    }
}
