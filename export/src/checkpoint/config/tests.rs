//! Both kinds of files give the same configuration, and settings that no graph has are refused by name.

use std::path::PathBuf;

use serde_json::{Value, json};

mod architectures;
mod encoder_decoder;

use super::from_hugging_face::parse;
use super::*;
use crate::checkpoint::gguf::GgufFile;
use crate::checkpoint::gguf::writer::GgufWriter;

fn llama() -> Value {
    json!({
        "model_type": "llama", "hidden_act": "silu", "hidden_size": 128, "intermediate_size": 256,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512,
        "max_position_embeddings": 1024, "rms_norm_eps": 1e-5, "rope_theta": 5000.0, "tie_word_embeddings": true,
    })
}

fn changed(base: &Value, changes: Value) -> Value {
    let mut json = base.clone();
    for (name, value) in changes.as_object().expect("an object") {
        json[name] = value.clone();
    }
    json
}

fn read(json: &Value) -> Result<DecoderConfig, String> {
    parse(PathBuf::from("config.json"), json.to_string().as_bytes()).map_err(|error| error.to_string())
}

fn plain() -> DecoderConfig {
    DecoderConfig {
        architecture: "llama".to_owned(),
        layers: 2,
        hidden: 128,
        intermediate: 256,
        heads: 4,
        kv_heads: 2,
        head_dim: 32,
        vocabulary: 512,
        context_length: 1024,
        norm_eps: 1e-5,
        rotary_dim: 32,
        rope_theta: 5000.0,
        local_rope_theta: None,
        rope_scaling: RopeScaling::None,
        attention_bias: false,
        attention_scale: usual_scale(32),
        attention_softcap: None,
        clip_qkv: None,
        windows: vec![None; 2],
        activation: Activation::Silu,
        parallel_residual: false,
        tied_embeddings: true,
        logit_softcap: None,
        encoder: None,
    }
}

#[test]
fn a_config_json_gives_its_sizes_and_the_defaults_of_what_it_leaves_out() {
    let check = |changes: Value, expected: DecoderConfig| {
        assert_eq!(read(&changed(&llama(), changes)), Ok(expected));
    };
    check(json!({}), plain());
    let wide = DecoderConfig { head_dim: 48, rotary_dim: 48, attention_scale: usual_scale(48), ..plain() };
    check(json!({ "head_dim": 48 }), wide);
    check(json!({ "num_key_value_heads": null }), DecoderConfig { kv_heads: 4, ..plain() });
    check(
        json!({ "rope_theta": null, "rope_parameters": { "rope_type": "default", "rope_theta": 1e6 } }),
        DecoderConfig { rope_theta: 1e6, ..plain() },
    );
}

#[test]
fn each_architecture_has_its_bias_and_window() {
    let check_layers = |changes: Value, expected_bias: bool, expected: [Option<usize>; 2]| {
        let config = read(&changed(&llama(), changes)).expect("a valid file");
        assert_eq!((config.attention_bias, config.windows), (expected_bias, expected.to_vec()));
    };
    let check = |changes, bias, window| check_layers(changes, bias, [window; 2]);
    check(json!({ "sliding_window": 64 }), false, None);
    check(json!({ "model_type": "mistral", "sliding_window": 64 }), false, Some(64));
    check(json!({ "model_type": "mistral", "sliding_window": null }), false, None);
    check(json!({ "model_type": "qwen2", "sliding_window": 64 }), true, None);
    check(json!({ "model_type": "qwen2", "sliding_window": 64, "use_sliding_window": false }), true, None);
    let windowed = json!({
        "model_type": "qwen2", "sliding_window": 64, "use_sliding_window": true, "max_window_layers": 0,
    });
    check(windowed, true, Some(64));
    let half = json!({
        "model_type": "qwen3", "sliding_window": 64, "use_sliding_window": true, "max_window_layers": 1,
    });
    check_layers(half, false, [None, Some(64)]);
    let listed = json!({
        "model_type": "mistral", "sliding_window": 64, "layer_types": ["sliding_attention", "full_attention"],
    });
    check_layers(listed, false, [Some(64), None]);
}

#[test]
fn rotary_scaling_is_read_in_both_spellings() {
    let check = |scaling: Value, expected: RopeScaling| {
        let old = changed(&llama(), json!({ "rope_scaling": scaling }));
        assert_eq!(read(&old).expect("a valid file").rope_scaling, expected);
        let new = changed(&llama(), json!({ "rope_parameters": scaling }));
        assert_eq!(read(&new).expect("a valid file").rope_scaling, expected);
    };
    check(json!({ "type": "linear", "factor": 4.0 }), RopeScaling::Linear { factor: 4.0 });
    check(
        json!({
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 256,
        }),
        RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 256.0 },
    );
    check(
        json!({ "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256 }),
        RopeScaling::Yarn {
            factor: 4.0,
            attention_factor: 0.1 * 4_f64.ln() + 1.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            original_context: 256.0,
            truncate: true,
        },
    );
}

#[test]
fn settings_without_a_graph_are_refused_by_name() {
    let check = |changes: Value, expected: &str| {
        assert_eq!(read(&changed(&llama(), changes)), Err(format!("`config.json`: {expected}")));
    };
    let known = "llama, mistral, qwen2, qwen3, gemma2, gemma3, gemma3_text, phi3, gpt2, gpt_neox, olmo, olmo2, t5, mt5, \
                 bart, marian, nn_transformer";
    check(json!({ "model_type": "gemma" }), &format!("architecture `gemma` is unknown, expected one of {known}"));
    check(json!({ "hidden_act": "gelu" }), "`hidden_act` is `gelu`, expected `silu`");
    check(json!({ "mlp_bias": true }), "`mlp_bias` is true, expected false");
    check(json!({ "attention_bias": true }), "`attention_bias` is true, expected false");
    check(json!({ "partial_rotary_factor": 0.5 }), "`partial_rotary_factor` is 0.5, expected 1");
    check(
        json!({ "rope_scaling": { "rope_type": "dynamic" } }),
        "the rotary scaling is `dynamic`, expected one of default, linear, llama3, yarn, longrope",
    );
    check(
        json!({ "quantization_config": { "bits": 4 } }),
        "the weights are quantised (`quantization_config`), expected F32, F16 or BF16",
    );
    check(json!({ "hidden_size": null }), "no `hidden_size`");
    check(json!({ "hidden_size": "128" }), "`hidden_size` is `\"128\"`, expected an integer of at least 0");
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let refused = |changes: Value| read(&changed(&llama(), changes)).expect_err("an impossible size");
    let check = |changes: Value, expected: &str| assert_eq!(refused(changes), format!("`config.json`: {expected}"));
    check(json!({ "num_hidden_layers": 0 }), "the number of layers is 0, expected 1 to 4096");
    check(
        json!({ "num_hidden_layers": 1_u64 << 60 }),
        &format!("the number of layers is {}, expected 1 to 4096", 1_u64 << 60),
    );
    check(json!({ "num_key_value_heads": 3 }), "4 attention heads cannot share 3 key-value heads evenly");
    check(json!({ "head_dim": 40 }), "the head size is 40, expected a multiple of 16");
    check(json!({ "head_dim": 272 }), "the head size is 272, expected 1 to 256");
    refused(json!({ "num_attention_heads": 0 }));
    for field in ["hidden_size", "intermediate_size", "vocab_size", "max_position_embeddings", "head_dim"] {
        for size in [0, 1_u64 << 62] {
            refused(json!({ field: size }));
        }
    }
    refused(json!({ "rms_norm_eps": 0.0 }));
    check(json!({ "rope_theta": 1.0 }), "the rotary base is 1, expected a number above 1");
    check(json!({ "model_type": "mistral", "sliding_window": 0 }), "the sliding window is 0, expected at least 1");
    refused(json!({ "rope_scaling": { "type": "linear", "factor": 0.0 } }));
}

fn gguf(architecture: &str) -> GgufWriter {
    let key = |name: &str| format!("{architecture}.{name}");
    GgufWriter::default()
        .text("general.architecture", architecture)
        .count(&key("block_count"), 2)
        .count(&key("context_length"), 1024)
        .count(&key("embedding_length"), 128)
        .count(&key("feed_forward_length"), 256)
        .count(&key("attention.head_count"), 4)
        .count(&key("attention.head_count_kv"), 2)
        .number(&key("attention.layer_norm_rms_epsilon"), 1e-5)
        .number(&key("rope.freq_base"), 5000.0)
        .tensor("token_embd.weight", &[512, 128], &vec![0.0; 512 * 128])
}

fn read_gguf(writer: &GgufWriter) -> Result<DecoderConfig, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, writer.bytes()).expect("room for it");
    let config = GgufFile::open(&path).and_then(|file| from_gguf(&file));
    config.map_err(|error| error.to_string().replace(&path.display().to_string(), "model.gguf"))
}

#[test]
fn a_gguf_file_gives_the_configuration_of_the_same_model() {
    assert_eq!(read_gguf(&gguf("llama")), Ok(plain()));
    let qwen2 = gguf("qwen2").tensor("blk.0.attn_q.bias", &[128], &[0.0; 128]);
    let expected = DecoderConfig { architecture: "qwen2".to_owned(), attention_bias: true, ..plain() };
    assert_eq!(read_gguf(&qwen2), Ok(expected));
    let linear = gguf("llama").text("llama.rope.scaling.type", "linear").number("llama.rope.scaling.factor", 4.0);
    let expected = DecoderConfig { rope_scaling: RopeScaling::Linear { factor: 4.0 }, ..plain() };
    assert_eq!(read_gguf(&linear), Ok(expected));
    let factors: Vec<f32> = (1..=16).map(|factor| factor as f32).collect();
    let scaled = gguf("llama").tensor("rope_freqs.weight", &[16], &factors);
    let rope_scaling = RopeScaling::Factors { factors, attention_factor: 1.0 };
    assert_eq!(read_gguf(&scaled), Ok(DecoderConfig { rope_scaling, ..plain() }));
}

#[test]
fn gguf_settings_without_a_graph_are_refused_by_key() {
    let check = |writer: GgufWriter, expected: &str| {
        assert_eq!(read_gguf(&writer), Err(format!("`model.gguf`: {expected}")));
    };
    check(
        gguf("falcon"),
        "architecture `falcon` is unknown, expected one of llama, qwen2, qwen3, gemma2, gemma3, phi3, gpt2, gptneox, olmo, olmo2",
    );
    check(gguf("llama").count("llama.expert_count", 8), "`llama.expert_count` is `8`, expected none");
    check(
        gguf("llama").count("llama.rope.dimension_count", 16),
        "`llama.rope.dimension_count` is `16`, expected the head size 32",
    );
    check(
        gguf("llama").text("llama.rope.scaling.type", "longrope"),
        "`llama.rope.scaling.type` is `longrope`, expected one of none, linear, yarn",
    );
    check(gguf("llama").tensor("rope_freqs.weight", &[2], &[1.0, 2.0]), "there are 2 rotary factors, expected 16");
}

#[test]
fn the_config_json_that_is_made_reads_back() {
    let qwen2 = DecoderConfig { architecture: "qwen2".to_owned(), attention_bias: true, ..plain() };
    let mistral = DecoderConfig { architecture: "mistral".to_owned(), windows: vec![Some(64); 2], ..plain() };
    let linear = DecoderConfig { rope_scaling: RopeScaling::Linear { factor: 2.0 }, ..plain() };
    let yarn = RopeScaling::Yarn {
        factor: 4.0,
        attention_factor: 1.25,
        beta_fast: 32.0,
        beta_slow: 1.0,
        original_context: 256.0,
        truncate: false,
    };
    for config in [plain(), qwen2, mistral, linear, DecoderConfig { rope_scaling: yarn, ..plain() }] {
        assert_eq!(read(&config.to_hugging_face()), Ok(config));
    }
}

#[test]
fn the_weights_of_matmuls_are_counted_once_a_row() {
    let layer = 128 * (4 * 32 + 2 * 2 * 32 + 4 * 32) + 3 * 128 * 256;
    assert_eq!(plain().matmul_weights(), 2 * layer + 128 * 512);
}
