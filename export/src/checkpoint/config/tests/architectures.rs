//! Each architecture beside LLaMA's family: what its files say in old and new spellings, and what is refused.

use serde_json::{Value, json};

use super::{changed, plain, read, read_gguf};
use crate::checkpoint::config::{Activation, DecoderConfig, RopeScaling, usual_scale};
use crate::checkpoint::gguf::writer::GgufWriter;

/// Sizes under the usual names, without what has a default.
fn sizes(model_type: &str) -> Value {
    json!({
        "model_type": model_type, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 512,
        "max_position_embeddings": 1024,
    })
}

/// What is read of [`sizes`], as far as no default differs from LLaMA's.
fn sized(architecture: &str) -> DecoderConfig {
    let architecture = architecture.to_owned();
    DecoderConfig { architecture, norm_eps: 1e-6, rope_theta: 10_000.0, tied_embeddings: false, ..plain() }
}

fn check(model_type: &str, changes: Value, expected: &DecoderConfig) {
    assert_eq!(read(&changed(&sizes(model_type), changes)).as_ref(), Ok(expected));
}

fn check_refused(model_type: &str, changes: Value, expected: &str) {
    assert_eq!(read(&changed(&sizes(model_type), changes)), Err(format!("`config.json`: {expected}")));
}

#[test]
fn qwen3_has_heads_of_their_own_size() {
    check("qwen3", json!({}), &sized("qwen3"));
    let config = read(&changed(&sizes("qwen3"), json!({ "head_dim": null }))).expect("a valid file");
    assert_eq!((config.head_dim, config.rotary_dim), (128, 128));
    check_refused("qwen3", json!({ "attention_bias": true }), "`attention_bias` is true, expected false");
}

fn gemma3() -> DecoderConfig {
    DecoderConfig {
        rope_theta: 1e6,
        local_rope_theta: Some(10_000.0),
        attention_scale: 1.0 / 16.0,
        windows: vec![Some(4096); 2],
        activation: Activation::GeluTanh,
        tied_embeddings: true,
        ..sized("gemma3_text")
    }
}

#[test]
fn gemma3_is_read_in_both_spellings() {
    check("gemma3_text", json!({}), &gemma3());
    let expected = DecoderConfig {
        rope_theta: 5e5,
        local_rope_theta: Some(5e3),
        rope_scaling: RopeScaling::Linear { factor: 8.0 },
        attention_scale: 1.0 / 13_f32.sqrt(),
        windows: vec![Some(64), None],
        ..gemma3()
    };
    let old = json!({
        "rope_theta": 5e5, "rope_local_base_freq": 5e3, "rope_scaling": { "rope_type": "linear", "factor": 8.0 },
        "query_pre_attn_scalar": 13, "sliding_window": 64, "sliding_window_pattern": 2,
    });
    check("gemma3_text", old, &expected);
    let new = json!({
        "rope_parameters": {
            "full_attention": { "rope_type": "linear", "factor": 8.0, "rope_theta": 5e5 },
            "sliding_attention": { "rope_type": "default", "rope_theta": 5e3 },
        },
        "query_pre_attn_scalar": 13, "sliding_window": 64, "layer_types": ["sliding_attention", "full_attention"],
    });
    check("gemma3_text", new, &expected);
}

#[test]
fn the_text_model_beside_one_for_images_leaves_out_what_is_usual() {
    let file = json!({ "model_type": "gemma3", "text_config": { "num_hidden_layers": 2, "sliding_window": 1024 } });
    let expected = DecoderConfig {
        hidden: 2304,
        intermediate: 9216,
        heads: 8,
        kv_heads: 4,
        head_dim: 256,
        rotary_dim: 256,
        vocabulary: 262_208,
        context_length: 131_072,
        windows: vec![Some(1024); 2],
        ..gemma3()
    };
    assert_eq!(read(&file), Ok(expected));
    assert_eq!(read(&json!({ "model_type": "gemma3" })), Err("`config.json`: no `text_config`".to_owned()));
    let error = read(&json!({ "model_type": "gemma3", "text_config": { "attention_bias": true } }));
    assert_eq!(error, Err("`config.json`: `attention_bias` is true, expected false".to_owned()));
}

#[test]
fn gemma3_is_refused_with_what_its_graph_has_not() {
    let check = |changes, expected: &str| check_refused("gemma3_text", changes, expected);
    check(json!({ "final_logit_softcapping": 30.0 }), "`final_logit_softcapping` is `30.0`, expected none");
    check(json!({ "attn_logit_softcapping": 50.0 }), "`attn_logit_softcapping` is `50.0`, expected none");
    check(json!({ "attention_bias": true }), "`attention_bias` is true, expected false");
    check(json!({ "use_bidirectional_attention": true }), "`use_bidirectional_attention` is true, expected false");
    check(json!({ "hidden_activation": "silu" }), "`hidden_activation` is `silu`, expected `gelu_pytorch_tanh`");
    check(json!({ "sliding_window": null }), "`sliding_window` is null, expected a number");
    check(json!({ "query_pre_attn_scalar": 0 }), "the scale of attention is inf, expected a number above 0");
    check(json!({ "layer_types": ["full_attention"] }), "`layer_types` has 1 entries, expected 2");
    check(
        json!({ "layer_types": ["full_attention", "chunked_attention"] }),
        "`layer_types` has `\"chunked_attention\"`, expected full_attention or sliding_attention",
    );
    check(
        json!({ "rope_parameters": { "full_attention": {}, "sliding_attention": { "rope_type": "linear" } } }),
        "layers with a window have the rotary scaling `linear`, expected none",
    );
}

fn gemma2() -> DecoderConfig {
    DecoderConfig {
        attention_softcap: Some(50.0),
        attention_scale: 1.0 / 16.0,
        windows: vec![Some(4096), None],
        activation: Activation::GeluTanh,
        tied_embeddings: true,
        logit_softcap: Some(30.0),
        ..sized("gemma2")
    }
}

#[test]
fn gemma2_has_soft_caps_unless_the_file_says_none() {
    check("gemma2", json!({}), &gemma2());
    let uncapped = DecoderConfig { attention_softcap: None, logit_softcap: Some(20.0), ..gemma2() };
    check("gemma2", json!({ "attn_logit_softcapping": null, "final_logit_softcapping": 20.0 }), &uncapped);
    check_refused("gemma2", json!({ "attn_logit_softcapping": 0.0 }), "a soft cap is 0, expected a number above 0");
}

#[test]
fn phi3_keeps_to_the_frequencies_of_short_texts() {
    check("phi3", json!({}), &DecoderConfig { norm_eps: 1e-5, ..sized("phi3") });
    let [short, long] = [1.5, 3.0].map(|factor| vec![factor; 12]);
    let settings = |kind: &str| json!({ kind: "longrope", "short_factor": short, "long_factor": long });
    let factors = short.iter().map(|&factor| factor as f32).collect();
    let attention_factor = (1.0 + 4_f64.ln() / 256_f64.ln()).sqrt();
    let expected = DecoderConfig {
        context_length: 256,
        norm_eps: 1e-5,
        rotary_dim: 24,
        rope_scaling: RopeScaling::Factors { factors, attention_factor },
        windows: vec![Some(100); 2],
        ..sized("phi3")
    };
    for changes in [json!({ "rope_scaling": settings("type") }), json!({ "rope_parameters": settings("rope_type") })] {
        let others =
            json!({ "partial_rotary_factor": 0.75, "original_max_position_embeddings": 256, "sliding_window": 100 });
        check("phi3", changed(&changes, others), &expected);
    }
    check_refused(
        "phi3",
        json!({ "rope_scaling": { "type": "su", "short_factor": [1.0], "long_factor": [2.0] } }),
        "there are 1 rotary factors, expected 16",
    );
    check_refused(
        "phi3",
        json!({ "rope_scaling": { "type": "longrope", "short_factor": ["1"], "long_factor": [2.0] } }),
        "`short_factor` in the rotary settings is not a list of numbers",
    );
    check_refused(
        "phi3",
        json!({ "partial_rotary_factor": 1.5 }),
        "`partial_rotary_factor` is 1.5, expected a part of 32 numbers",
    );
    check_refused("phi3", json!({ "hidden_act": "gelu" }), "`hidden_act` is `gelu`, expected `silu`");
}

fn gpt2_file() -> Value {
    json!({ "model_type": "gpt2", "n_embd": 128, "n_head": 4, "n_layer": 2, "n_ctx": 1024, "vocab_size": 512 })
}

fn gpt2() -> DecoderConfig {
    DecoderConfig {
        intermediate: 512,
        kv_heads: 4,
        norm_eps: 1e-5,
        rotary_dim: 0,
        attention_bias: true,
        activation: Activation::GeluTanh,
        tied_embeddings: true,
        ..sized("gpt2")
    }
}

#[test]
fn gpt2_has_names_of_its_own() {
    assert_eq!(read(&gpt2_file()), Ok(gpt2()));
    let check = |changes: Value, expected: &str| {
        assert_eq!(read(&changed(&gpt2_file(), changes)), Err(format!("`config.json`: {expected}")));
    };
    check(json!({ "scale_attn_weights": false }), "`scale_attn_weights` is false, expected true");
    check(
        json!({ "scale_attn_by_inverse_layer_idx": true }),
        "`scale_attn_by_inverse_layer_idx` is true, expected false",
    );
    check(json!({ "add_cross_attention": true }), "`add_cross_attention` is true, expected false");
    check(
        json!({ "activation_function": "relu" }),
        "`activation_function` is `relu`, expected `gelu_new` or `gelu` or `gelu_fast` or `gelu_pytorch_tanh`",
    );
    check(json!({ "n_head": 0 }), "`n_embd` 128 is not a multiple of `n_head` 0");
    check(json!({ "n_layer": 1_u64 << 60 }), &format!("the number of layers is {}, expected 1 to 4096", 1_u64 << 60));
    check(json!({ "n_embd": u64::MAX }), &format!("`n_embd` {} is not a multiple of `n_head` 4", u64::MAX));
}

fn gpt_neox() -> DecoderConfig {
    DecoderConfig {
        kv_heads: 4,
        norm_eps: 1e-5,
        rotary_dim: 8,
        attention_bias: true,
        activation: Activation::Gelu,
        parallel_residual: true,
        ..sized("gpt_neox")
    }
}

#[test]
fn gpt_neox_is_read_in_both_spellings() {
    check("gpt_neox", json!({}), &gpt_neox());
    let expected = DecoderConfig {
        rotary_dim: 16,
        rope_theta: 5e3,
        attention_bias: false,
        activation: Activation::GeluTanh,
        parallel_residual: false,
        ..gpt_neox()
    };
    let flags = json!({ "attention_bias": false, "use_parallel_residual": false, "hidden_act": "gelu_fast" });
    check("gpt_neox", changed(&flags, json!({ "rotary_pct": 0.5, "rotary_emb_base": 5e3 })), &expected);
    let new = json!({ "rope_parameters": { "partial_rotary_factor": 0.5, "rope_theta": 5e3 } });
    check("gpt_neox", changed(&flags, new), &expected);
    check_refused("gpt_neox", json!({ "rotary_pct": 0.01 }), "`rotary_pct` is 0.01, expected a part of 32 numbers");
    check_refused(
        "gpt_neox",
        json!({ "rotary_pct": 0.1 }),
        "3 numbers of a head are rotated, expected an even count up to 32",
    );
}

#[test]
fn heads_that_are_not_as_wide_as_the_stream_are_refused() {
    check_refused("gpt_neox", json!({ "head_dim": 64 }), "4 heads of 64 numbers are not 128 columns");
    let gguf = gguf("gpt2", "attention.layer_norm_epsilon").count("gpt2.attention.head_count_kv", 2);
    let expected = "there are 2 key-value heads, expected 4, one for each attention head";
    assert_eq!(read_gguf(&gguf), Err(format!("`model.gguf`: {expected}")));
}

#[test]
fn olmo_may_bound_q_k_and_v() {
    check("olmo", json!({ "rms_norm_eps": 1e-3 }), &DecoderConfig { norm_eps: 1e-5, ..sized("olmo") });
    let bounded = DecoderConfig { norm_eps: 1e-5, clip_qkv: Some(8.0), ..sized("olmo") };
    check("olmo", json!({ "clip_qkv": 8.0 }), &bounded);
    check("olmo2", json!({ "rms_norm_eps": 1e-3 }), &DecoderConfig { norm_eps: 1e-3, ..sized("olmo2") });
    check_refused("olmo", json!({ "clip_qkv": -8.0 }), "the bound of q, k and v is -8, expected a number above 0");
    check_refused("olmo2", json!({ "attention_bias": true }), "`attention_bias` is true, expected false");
}

#[test]
fn the_config_json_of_every_architecture_reads_back() {
    let longrope = RopeScaling::Factors { factors: vec![1.5; 12], attention_factor: 1.25 };
    let configs = [
        DecoderConfig { windows: vec![None, Some(64)], ..sized("qwen3") },
        DecoderConfig { windows: vec![Some(64), None], attention_scale: 1.0 / 13_f32.sqrt(), ..gemma3() },
        DecoderConfig { rope_scaling: RopeScaling::Linear { factor: 8.0 }, windows: vec![None; 2], ..gemma3() },
        DecoderConfig { rotary_dim: 24, rope_scaling: longrope, windows: vec![Some(64); 2], ..sized("phi3") },
        gemma2(),
        DecoderConfig { attention_softcap: None, windows: vec![None; 2], ..gemma2() },
        gpt2(),
        gpt_neox(),
        DecoderConfig { parallel_residual: false, attention_bias: false, ..gpt_neox() },
        DecoderConfig { norm_eps: 1e-5, clip_qkv: Some(8.0), ..sized("olmo") },
        sized("olmo2"),
    ];
    for config in configs {
        assert_eq!(read(&config.to_hugging_face()), Ok(config));
    }
}

/// Keys that every architecture has, with the epsilon called `norm`.
fn gguf(architecture: &str, norm: &str) -> GgufWriter {
    let key = |name: &str| format!("{architecture}.{name}");
    GgufWriter::default()
        .text("general.architecture", architecture)
        .count(&key("block_count"), 2)
        .count(&key("context_length"), 1024)
        .count(&key("embedding_length"), 128)
        .count(&key("feed_forward_length"), 256)
        .count(&key("attention.head_count"), 4)
        .number(&key(norm), 1e-5)
        .tensor("token_embd.weight", &[512, 128], &vec![0.0; 512 * 128])
}

#[test]
fn gguf_files_say_less_and_mean_as_much() {
    let read = |writer: &GgufWriter| read_gguf(writer).expect("a valid file");
    let gemma = gguf("gemma3", "attention.layer_norm_rms_epsilon").count("gemma3.attention.sliding_window", 64);
    let found = read(&gemma);
    assert_eq!((found.architecture.as_str(), found.local_rope_theta), ("gemma3_text", Some(10_000.0)));
    assert_eq!((found.windows, found.activation), (vec![Some(64); 2], Activation::GeluTanh));
    let found = read(&gguf("gemma2", "attention.layer_norm_rms_epsilon").count("gemma2.attention.sliding_window", 64));
    assert_eq!((found.attention_softcap, found.logit_softcap), (Some(50.0), Some(30.0)));
    assert_eq!((found.windows, found.local_rope_theta), (vec![Some(64), None], None));
    let (neox, norm) = ("gptneox", "attention.layer_norm_epsilon");
    let found = read(&gguf(neox, norm).count("gptneox.rope.dimension_count", 8));
    assert_eq!((found.architecture.as_str(), found.rotary_dim), ("gpt_neox", 8));
    assert_eq!((found.parallel_residual, found.activation), (true, Activation::Gelu));
    let found = read(&gguf("gpt2", norm));
    assert_eq!((found.rotary_dim, found.activation), (0, Activation::GeluTanh));
    let found = read(&gguf("olmo", norm).number("olmo.attention.clamp_kqv", 8.0));
    assert_eq!(found.clip_qkv, Some(8.0));
    let phi = gguf("phi3", "attention.layer_norm_rms_epsilon")
        .count("phi3.rope.scaling.original_context_length", 256)
        .number("phi3.rope.scaling.attn_factor", 1.25)
        .tensor("rope_factors_short.weight", &[16], &[1.5; 16])
        .tensor("rope_factors_long.weight", &[16], &[3.0; 16]);
    let found = read(&phi);
    assert_eq!(found.rope_scaling, RopeScaling::Factors { factors: vec![1.5; 16], attention_factor: 1.25 });
    assert_eq!((found.context_length, found.attention_scale), (256, usual_scale(32)));
}

#[test]
fn gguf_settings_without_a_graph_are_refused_by_key() {
    let check = |writer: GgufWriter, expected: &str| {
        assert_eq!(read_gguf(&writer), Err(format!("`model.gguf`: {expected}")));
    };
    let rms = "attention.layer_norm_rms_epsilon";
    check(
        gguf("gemma3", rms).number("gemma3.final_logit_softcapping", 30.0),
        "`gemma3.final_logit_softcapping` is `30`, expected none",
    );
    check(
        gguf("qwen3", rms).number("qwen3.attention.clamp_kqv", 8.0),
        "`qwen3.attention.clamp_kqv` is `8`, expected none",
    );
    check(
        gguf("olmo2", rms).count("olmo2.rope.dimension_count", 16),
        "`olmo2.rope.dimension_count` is `16`, expected the head size 32",
    );
    check(
        gguf("gptneox", "attention.layer_norm_epsilon").count("gptneox.rope.dimension_count", 0),
        "`gptneox.rope.dimension_count` is `0`, expected at least 2",
    );
    let factors = |writer: GgufWriter, name| writer.tensor(name, &[16], &[1.0; 16]);
    check(
        factors(gguf("phi3", rms), "rope_factors_long.weight"),
        "has tensor `rope_factors_long.weight`, expected `rope_factors_short.weight` as well",
    );
    check(
        factors(factors(gguf("phi3", rms), "rope_factors_short.weight"), "rope_freqs.weight"),
        "has both `rope_factors_short.weight` and `rope_freqs.weight`, expected at most one",
    );
    check(gguf("gpt2", rms), "no `gpt2.attention.layer_norm_epsilon`");
}
