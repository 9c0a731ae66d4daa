//! A two-layer LLaMA with random weights: a checkpoint folder, its export, and a session on it, made in a moment.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};
use veridraft_export::{ExportConfig, export};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{CausalModel, CausalModelConfig, KvType};

const HIDDEN: usize = 64;
const INTERMEDIATE: usize = 96;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD_DIM: usize = 16;
const VOCABULARY: usize = 257;
const CONTEXT: usize = 4096;

/// The model's folders, deleted when dropped.
pub struct TinyLlama {
    folder: tempfile::TempDir,
}

impl TinyLlama {
    /// Layers of the model.
    pub const LAYERS: usize = 2;
    /// Tokens of the vocabulary: 256 bytes and `<|end|>`.
    pub const VOCABULARY: usize = VOCABULARY;

    /// Writes a checkpoint and exports it as it is, in f32.
    pub fn create() -> Result<Self> {
        Self::create_with(&ExportConfig::default())
    }

    /// Writes a checkpoint and exports it.
    pub fn create_with(config: &ExportConfig) -> Result<Self> {
        let tiny = Self { folder: tempfile::tempdir()? };
        fs::create_dir(tiny.checkpoint())?;
        write_checkpoint(&tiny.checkpoint())?;
        fs::create_dir(tiny.model())?;
        export(&tiny.checkpoint(), &tiny.model(), config, &|_| {})?;
        Ok(tiny)
    }

    /// The Hugging Face folder: `config.json`, `model.safetensors` and the tokenizer's files.
    pub fn checkpoint(&self) -> PathBuf {
        self.folder.path().join("checkpoint")
    }

    /// The exported model folder.
    pub fn model(&self) -> PathBuf {
        self.folder.path().join("model")
    }

    /// Bytes of a token's keys and values in all layers.
    pub fn slot_bytes(kv: KvType) -> usize {
        let row_bytes = match kv {
            KvType::F32 => HEAD_DIM * 4,
            KvType::F16 => HEAD_DIM * 2,
            KvType::Q8 => HEAD_DIM + 4,
        };
        Self::LAYERS * 2 * KV_HEADS * row_bytes
    }

    /// Opens a session on it with `threads` threads and room for `slots` tokens in the cache.
    pub fn open(&self, threads: usize, slots: usize) -> Result<CausalModel> {
        self.open_with(slots, CausalModelConfig { threads, ..CausalModelConfig::default() })
    }

    /// Opens a session as `config` says, but with room for `slots` tokens in the cache.
    pub fn open_with(&self, slots: usize, config: CausalModelConfig) -> Result<CausalModel> {
        let runtime = Runtime::load(&LibraryChoice::default())?;
        let kv_memory = Some((slots.next_multiple_of(16) * Self::slot_bytes(config.kv)) as u64);
        let config = CausalModelConfig { kv_memory, ..config };
        Ok(CausalModel::open(&runtime, &self.model().join("onnx/model.onnx"), config)?)
    }
}

fn write_checkpoint(folder: &Path) -> Result<()> {
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE, "num_hidden_layers": TinyLlama::LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM,
        "vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": true, "bos_token_id": 256, "eos_token_id": 256,
    });
    fs::write(folder.join("config.json"), config.to_string())?;
    fs::write(folder.join("tokenizer.json"), tokenizer().to_string())?;
    fs::write(folder.join("tokenizer_config.json"), json!({ "eos_token": "<|end|>" }).to_string())?;
    fs::write(folder.join("model.safetensors"), safetensors())?;
    Ok(())
}

/// Byte-level BPE without merges: each byte is a token, written as the GPT-2 byte alphabet writes it.
fn tokenizer() -> Value {
    let printable = |byte: u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut others = (256_u32..).map(|code| char::from_u32(code).expect("no surrogate comes this early"));
    let letter = |byte: u32| if printable(byte) { char::from_u32(byte) } else { others.next() };
    let letters: Vec<String> = (0..256).map(letter).map(|letter| letter.into_iter().collect()).collect();
    let vocabulary: serde_json::Map<_, _> =
        letters.into_iter().enumerate().map(|(id, letter)| (letter, json!(id))).collect();
    json!({
        "version": "1.0",
        "added_tokens": [{
            "id": 256, "content": "<|end|>", "special": true,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        }],
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true },
        "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true },
        "model": { "type": "BPE", "vocab": vocabulary, "merges": [] },
    })
}

fn safetensors() -> Vec<u8> {
    let mut shapes = vec![("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, HIDDEN])];
    shapes.push(("model.norm.weight".to_owned(), vec![HIDDEN]));
    for layer in 0..TinyLlama::LAYERS {
        let mut add =
            |part: &str, shape: &[usize]| shapes.push((format!("model.layers.{layer}.{part}.weight"), shape.to_vec()));
        add("input_layernorm", &[HIDDEN]);
        add("post_attention_layernorm", &[HIDDEN]);
        add("self_attn.q_proj", &[HEADS * HEAD_DIM, HIDDEN]);
        add("self_attn.k_proj", &[KV_HEADS * HEAD_DIM, HIDDEN]);
        add("self_attn.v_proj", &[KV_HEADS * HEAD_DIM, HIDDEN]);
        add("self_attn.o_proj", &[HIDDEN, HEADS * HEAD_DIM]);
        add("mlp.gate_proj", &[INTERMEDIATE, HIDDEN]);
        add("mlp.up_proj", &[INTERMEDIATE, HIDDEN]);
        add("mlp.down_proj", &[HIDDEN, INTERMEDIATE]);
    }
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    let mut random = noise();
    for (name, shape) in shapes {
        let start = data.len();
        let scale = if shape.len() == 1 { 0.1 } else { 0.4 };
        let base = if shape.len() == 1 { 1.0 } else { 0.0 };
        for _ in 0..shape.iter().product() {
            data.extend((base + scale * random()).to_le_bytes());
        }
        header.insert(name, json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] }));
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

/// Numbers in [-1, 1) from a fixed seed (xorshift, Marsaglia 2003).
fn noise() -> impl FnMut() -> f32 {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}
