//! How text is cut into words before byte-level BPE, by the name in `tokenizer.ggml.pre`.
//!
//! Each entry is what the model's own `tokenizer.json` does; the patterns are those models' data. Entries under names
//! that llama.cpp has known answers for pass them.

mod patterns;

use serde_json::{Value, json};

use Step::{Bytes, Digits, Digitwise, Punctuation, Split, Words};
use patterns::{
    BLOOM, CHINESE_CODER, CHINESE_V3, CL100K, DEEPSEEK_LETTERS, DEEPSEEK_PUNCTUATION, DEEPSEEK_V3, O200K, QWEN_2,
    QWEN_3_5, TEKKEN,
};

/// A named way to cut.
pub(super) struct PreTokenizer {
    /// The names in GGUF files.
    names: &'static [&'static str],
    steps: &'static [Step],
    /// The text is brought into Unicode's composed form first.
    composes: bool,
    /// A word that is a token stays whole, whatever the merges say.
    pub(super) ignores_merges: bool,
    /// A text begins with the BOS token when the file does not say.
    pub(super) adds_bos: bool,
    /// A text ends with the EOS token when the file does not say.
    pub(super) adds_end: bool,
}

/// Cuts every piece that the step before left.
enum Step {
    /// The words of GPT-2, written in letters that stand for bytes.
    Words,
    /// Bytes as letters, nothing cut.
    Bytes,
    /// Every digit by itself.
    Digitwise,
    /// Runs of digits.
    Digits,
    /// Runs of punctuation.
    Punctuation,
    /// What the pattern matches, and what stands between.
    Split(&'static str),
}

/// What most names have in common.
const PLAIN: PreTokenizer = PreTokenizer {
    names: &[],
    steps: &[Words],
    composes: false,
    ignores_merges: false,
    adds_bos: false,
    adds_end: false,
};

const TABLE: &[PreTokenizer] = &[
    PreTokenizer { names: &["gpt-2", "phi-2"], ..PLAIN },
    PreTokenizer { names: &["roberta-bpe"], adds_bos: true, adds_end: true, ..PLAIN },
    PreTokenizer { names: &["mpt", "olmo"], composes: true, ..PLAIN },
    PreTokenizer { names: &["smollm", "starcoder", "refact"], steps: &[Digitwise, Words], ..PLAIN },
    PreTokenizer { names: &["command-r"], steps: &[Digitwise, Words], composes: true, ..PLAIN },
    PreTokenizer {
        names: &["llama-bpe", "llama-v3", "llama3", "lfm2"],
        steps: &[Split(CL100K), Bytes],
        ignores_merges: true,
        adds_bos: true,
        ..PLAIN
    },
    PreTokenizer { names: &["dbrx"], steps: &[Split(CL100K), Bytes], ..PLAIN },
    PreTokenizer { names: &["gpt-4o", "llama4"], steps: &[Split(O200K), Bytes], ..PLAIN },
    PreTokenizer { names: &["qwen2", "deepseek-r1-qwen"], steps: &[Split(QWEN_2), Bytes], composes: true, ..PLAIN },
    PreTokenizer { names: &["qwen35"], steps: &[Split(QWEN_3_5), Bytes], composes: true, ..PLAIN },
    PreTokenizer { names: &["tekken"], steps: &[Split(TEKKEN), Bytes], ignores_merges: true, adds_bos: true, ..PLAIN },
    PreTokenizer {
        names: &["deepseek-llm"],
        steps: &[
            Split("[\r\n]"),
            Split(DEEPSEEK_LETTERS),
            Split(DEEPSEEK_PUNCTUATION),
            Split(r"\s+$"),
            Split(CHINESE_CODER),
            Digitwise,
            Bytes,
        ],
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-coder"],
        steps: &[Split("[\r\n]"), Split(r"\s?\p{L}+"), Split(r"\s?\p{P}+"), Split(CHINESE_CODER), Digitwise, Bytes],
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-v3"],
        steps: &[Split(r"\p{N}{1,3}"), Split(CHINESE_V3), Split(DEEPSEEK_V3), Bytes],
        ..PLAIN
    },
    PreTokenizer { names: &["falcon"], steps: &[Punctuation, Words, Digits, Split("[0-9][0-9][0-9]")], ..PLAIN },
    PreTokenizer { names: &["bloom"], steps: &[Split(BLOOM), Bytes], ..PLAIN },
];

impl PreTokenizer {
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        TABLE.iter().find(|entry| entry.names.contains(&name))
    }

    /// All names.
    pub(super) fn names() -> Vec<&'static str> {
        TABLE.iter().flat_map(|entry| entry.names).copied().collect()
    }

    /// The `normalizer` of `tokenizer.json`.
    pub(super) fn normalizer(&self) -> Value {
        if self.composes { json!({ "type": "NFC" }) } else { Value::Null }
    }

    /// The `pre_tokenizer` of `tokenizer.json`.
    pub(super) fn steps(&self) -> Value {
        let mut steps: Vec<_> = self.steps.iter().map(Step::to_json).collect();
        if steps.len() == 1 { steps.remove(0) } else { json!({ "type": "Sequence", "pretokenizers": steps }) }
    }
}

impl Step {
    fn to_json(&self) -> Value {
        match self {
            Self::Words => byte_level(true),
            Self::Bytes => byte_level(false),
            Self::Digitwise => json!({ "type": "Digits", "individual_digits": true }),
            Self::Digits => json!({ "type": "Digits", "individual_digits": false }),
            Self::Punctuation => json!({ "type": "Punctuation", "behavior": "Contiguous" }),
            Self::Split(pattern) => {
                json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false })
            }
        }
    }
}

/// Bytes as letters; `use_regex` cuts GPT-2's words on the way.
pub(super) fn byte_level(use_regex: bool) -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex })
}
