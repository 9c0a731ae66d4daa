//! Configurations of models with an encoder.

use serde_json::{Value, json};

use super::super::{Activation, DecoderConfig, EncoderConfig, Padding, Positions, Style};
use super::{changed, read};

fn t5() -> Value {
    json!({ "model_type": "t5", "vocab_size": 400, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4 })
}

fn bart() -> Value {
    json!({
        "model_type": "bart", "vocab_size": 400, "d_model": 64, "max_position_embeddings": 100,
        "encoder_layers": 3, "encoder_attention_heads": 2, "encoder_ffn_dim": 96,
        "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 128,
    })
}

fn encoder(config: &DecoderConfig) -> &EncoderConfig {
    config.encoder.as_ref().expect("it has an encoder")
}

#[test]
fn a_t5_is_read_with_the_defaults_of_its_class() {
    let config = read(&t5()).unwrap();
    let sizes = (config.layers, config.heads, config.head_dim, config.context_length);
    assert_eq!(sizes, (2, 4, 16, 2048));
    assert_eq!((config.activation, config.attention_scale, config.tied_embeddings), (Activation::Relu, 1.0, true));
    let style = Style::Relative { buckets: 32, max_distance: 128, is_gated: false };
    let expected = EncoderConfig { layers: 2, heads: 4, intermediate: 128, source_length: 2048, padding: None, style };
    assert_eq!(encoder(&config), &expected);
    let other = json!({
        "feed_forward_proj": "gated-gelu", "num_decoder_layers": 5, "n_positions": 512,
        "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20,
    });
    let config = read(&changed(&t5(), other)).unwrap();
    assert_eq!((config.layers, config.context_length, config.activation), (5, 512, Activation::GeluTanh));
    assert_eq!(encoder(&config).style, Style::Relative { buckets: 8, max_distance: 20, is_gated: true });
}

#[test]
fn a_bart_and_its_kin_differ_in_positions_and_norms() {
    let style = |changes: Value| encoder(&read(&changed(&bart(), changes)).unwrap()).style.clone();
    let bart_style = Style::PostNorm {
        positions: Positions::Stored { skipped: 2 },
        has_scaled_embedding: false,
        has_embedding_norm: true,
        has_final_norms: false,
        logits_bias: Some("final_logits_bias"),
    };
    assert_eq!(style(json!({})), bart_style);
    let marian = Style::PostNorm {
        positions: Positions::Sinusoidal,
        has_scaled_embedding: true,
        has_embedding_norm: false,
        has_final_norms: false,
        logits_bias: Some("final_logits_bias"),
    };
    assert_eq!(style(json!({ "model_type": "marian", "scale_embedding": true })), marian);
    let config = read(&bart()).unwrap();
    assert_eq!((config.layers, config.heads, config.intermediate), (2, 4, 128));
    assert_eq!((encoder(&config).layers, encoder(&config).heads, encoder(&config).intermediate), (3, 2, 96));
    let padded = json!({ "model_type": "nn_transformer", "pad_source_to": 100, "pad_token_id": 3 });
    let config = read(&changed(&bart(), padded)).unwrap();
    assert_eq!(encoder(&config).padding, Some(Padding { token: 3, length: 100 }));
}

#[test]
fn what_no_graph_has_is_refused_by_name() {
    let check = |file: &Value, changes: Value, expected: &str| {
        assert_eq!(read(&changed(file, changes)), Err(format!("`config.json`: {expected}")));
    };
    check(
        &t5(),
        json!({ "feed_forward_proj": "gated-tanh" }),
        "`feed_forward_proj` has `tanh`, expected relu, gelu, gelu_new or silu, or gated- before it",
    );
    check(
        &t5(),
        json!({ "relative_attention_max_distance": 10 }),
        "32 buckets of distances up to 10, expected at least 4, and distances above half as many",
    );
    check(&bart(), json!({ "normalize_before": true }), "`normalize_before` is true, expected false");
    check(&bart(), json!({ "encoder_attention_heads": 3 }), "64 columns are not 3 heads of up to 256 numbers");
    check(
        &bart(),
        json!({ "pad_source_to": 64, "pad_token_id": 3 }),
        "sources are filled up to 64 tokens, expected 100, the most that there are",
    );
    check(
        &bart(),
        json!({ "pad_source_to": 100, "pad_token_id": 400 }),
        "`pad_token_id` is 400, expected less than `vocab_size`, 400",
    );
}
