//! Writes small GGUF files for tests, right ones and wrong ones.
//!
//! It stands by itself: the `tests` package includes it as well.

/// A GGUF file under construction.
#[derive(Clone)]
pub(crate) struct GgufWriter {
    pub(crate) version: u32,
    /// Key, then type and value as they stand in the file.
    entries: Vec<(String, Vec<u8>)>,
    tensors: Vec<Tensor>,
}

#[derive(Clone)]
struct Tensor {
    name: String,
    /// Row-major.
    shape: Vec<u64>,
    type_code: u32,
    data: Vec<u8>,
    /// Where the entry says that the data stands; by itself, where it does stand.
    offset: Option<u64>,
}

impl Default for GgufWriter {
    fn default() -> Self {
        Self { version: 3, entries: Vec::new(), tensors: Vec::new() }
    }
}

impl GgufWriter {
    const ALIGNMENT: usize = 32;

    /// A one-layer LLaMA with a byte-level tokenizer of a few tokens; all weights are 0.5.
    pub(crate) fn tiny_llama() -> Self {
        let tokens = ["<|end|>", "a", "b", "c", "\u{120}", "1", "2", "ab", "<think>"];
        Self::default()
            .text("general.architecture", "llama")
            .count("llama.block_count", 1)
            .count("llama.context_length", 16)
            .count("llama.embedding_length", 32)
            .count("llama.feed_forward_length", 4)
            .count("llama.attention.head_count", 2)
            .count("llama.attention.head_count_kv", 1)
            .number("llama.attention.layer_norm_rms_epsilon", 1e-5)
            .number("llama.rope.freq_base", 10000.0)
            .text("tokenizer.ggml.model", "gpt2")
            .text("tokenizer.ggml.pre", "smollm")
            .texts("tokenizer.ggml.tokens", &tokens)
            .integers("tokenizer.ggml.token_type", &[3, 1, 1, 1, 1, 1, 1, 1, 4])
            .texts("tokenizer.ggml.merges", &["a b"])
            .count("tokenizer.ggml.bos_token_id", 0)
            .count("tokenizer.ggml.eos_token_id", 0)
            .halves("token_embd.weight", &[9, 32])
            .halves("output_norm.weight", &[32])
            .halves("blk.0.attn_norm.weight", &[32])
            .halves("blk.0.attn_q.weight", &[32, 32])
            .halves("blk.0.attn_k.weight", &[16, 32])
            .halves("blk.0.attn_v.weight", &[16, 32])
            .halves("blk.0.attn_output.weight", &[32, 32])
            .halves("blk.0.ffn_norm.weight", &[32])
            .halves("blk.0.ffn_gate.weight", &[4, 32])
            .halves("blk.0.ffn_up.weight", &[4, 32])
            .halves("blk.0.ffn_down.weight", &[32, 4])
    }

    /// Sets an entry, with the number of its type and its bytes.
    pub(crate) fn raw(mut self, key: &str, type_code: u32, value: &[u8]) -> Self {
        let bytes = [&type_code.to_le_bytes(), value].concat();
        match self.entries.iter_mut().find(|(taken, _)| taken == key) {
            Some((_, old)) => *old = bytes,
            None => self.entries.push((key.to_owned(), bytes)),
        }
        self
    }

    pub(crate) fn text(self, key: &str, value: &str) -> Self {
        self.raw(key, 8, &text_bytes(value))
    }

    pub(crate) fn count(self, key: &str, value: u32) -> Self {
        self.raw(key, 4, &value.to_le_bytes())
    }

    pub(crate) fn number(self, key: &str, value: f32) -> Self {
        self.raw(key, 6, &value.to_le_bytes())
    }

    pub(crate) fn boolean(self, key: &str, value: bool) -> Self {
        self.raw(key, 7, &[u8::from(value)])
    }

    pub(crate) fn texts(self, key: &str, items: &[&str]) -> Self {
        let bytes: Vec<u8> = items.iter().flat_map(|item| text_bytes(item)).collect();
        self.array(key, 8, items.len() as u64, &bytes)
    }

    pub(crate) fn integers(self, key: &str, items: &[i32]) -> Self {
        let bytes: Vec<u8> = items.iter().flat_map(|item| item.to_le_bytes()).collect();
        self.array(key, 5, items.len() as u64, &bytes)
    }

    pub(crate) fn floats(self, key: &str, items: &[f32]) -> Self {
        let bytes: Vec<u8> = items.iter().flat_map(|item| item.to_le_bytes()).collect();
        self.array(key, 6, items.len() as u64, &bytes)
    }

    pub(crate) fn array(self, key: &str, item_type: u32, count: u64, items: &[u8]) -> Self {
        self.raw(key, 9, &[&item_type.to_le_bytes(), &count.to_le_bytes()[..], items].concat())
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.entries.retain(|(key, _)| key != name);
        self.tensors.retain(|tensor| tensor.name != name);
        self
    }

    /// Sets a tensor, with a row-major shape and the number of its type.
    pub(crate) fn stored(mut self, name: &str, shape: &[u64], type_code: u32, data: &[u8]) -> Self {
        let tensor =
            Tensor { name: name.to_owned(), shape: shape.to_vec(), type_code, data: data.to_vec(), offset: None };
        match self.tensors.iter_mut().find(|taken| taken.name == name) {
            Some(old) => *old = tensor,
            None => self.tensors.push(tensor),
        }
        self
    }

    /// Sets an f32 tensor.
    pub(crate) fn tensor(self, name: &str, shape: &[u64], values: &[f32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.stored(name, shape, 0, &bytes)
    }

    /// Sets an f32 tensor whose values are all 0.5.
    pub(crate) fn halves(self, name: &str, shape: &[u64]) -> Self {
        let count: u64 = shape.iter().product();
        self.tensor(name, shape, &vec![0.5; count as usize])
    }

    /// Makes a tensor's entry lie about its place.
    pub(crate) fn offset(mut self, name: &str, offset: u64) -> Self {
        for tensor in self.tensors.iter_mut().filter(|tensor| tensor.name == name) {
            tensor.offset = Some(offset);
        }
        self
    }

    /// Gives an entry or a tensor the name of another.
    pub(crate) fn rename(mut self, old: &str, new: &str) -> Self {
        self.entries.iter_mut().filter(|(key, _)| key == old).for_each(|(key, _)| *key = new.to_owned());
        let tensors = self.tensors.iter_mut().filter(|tensor| tensor.name == old);
        tensors.for_each(|tensor| tensor.name = new.to_owned());
        self
    }

    /// The whole file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.entries.len() as u64).to_le_bytes());
        for (key, value) in &self.entries {
            file.extend(text_bytes(key));
            file.extend(value);
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            file.extend(text_bytes(&tensor.name));
            file.extend((tensor.shape.len() as u32).to_le_bytes());
            tensor.shape.iter().rev().for_each(|size| file.extend(size.to_le_bytes()));
            file.extend(tensor.type_code.to_le_bytes());
            file.extend(tensor.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(&tensor.data);
            data.resize(data.len().next_multiple_of(Self::ALIGNMENT), 0);
        }
        file.resize(file.len().next_multiple_of(Self::ALIGNMENT), 0);
        file.extend(data);
        file
    }
}

fn text_bytes(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}
