//! How text is cut into words before byte-level BPE, by the name in `tokenizer.ggml.pre`.
//!
//! Each entry is what the model's own `tokenizer.json` does; the patterns are those models' data.

use serde_json::{Value, json};

/// A named way to cut.
pub(super) struct PreTokenizer {
    /// The names in GGUF files.
    names: &'static [&'static str],
    cut: Cut,
    /// The text is brought into Unicode's composed form first.
    composes: bool,
    /// A word that is a token stays whole, whatever the merges say.
    pub(super) ignores_merges: bool,
    /// A text begins with the BOS token when the file does not say.
    pub(super) adds_bos: bool,
}

enum Cut {
    /// The words of GPT-2.
    Words,
    /// Digits one by one, then the words of GPT-2.
    DigitsAndWords,
    /// What the pattern matches, and what stands between.
    Pattern(&'static str),
}

const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const TABLE: [PreTokenizer; 5] = [
    PreTokenizer { names: &["gpt-2"], cut: Cut::Words, composes: false, ignores_merges: false, adds_bos: false },
    PreTokenizer {
        names: &["smollm"],
        cut: Cut::DigitsAndWords,
        composes: false,
        ignores_merges: false,
        adds_bos: false,
    },
    PreTokenizer {
        names: &["llama-bpe", "llama-v3", "llama3"],
        cut: Cut::Pattern(LLAMA_3),
        composes: false,
        ignores_merges: true,
        adds_bos: true,
    },
    PreTokenizer {
        names: &["qwen2"],
        cut: Cut::Pattern(QWEN_2),
        composes: true,
        ignores_merges: false,
        adds_bos: false,
    },
    PreTokenizer {
        names: &["tekken"],
        cut: Cut::Pattern(TEKKEN),
        composes: false,
        ignores_merges: true,
        adds_bos: true,
    },
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

    /// The `pre_tokenizer` of `tokenizer.json`; its last step writes bytes as letters.
    pub(super) fn steps(&self) -> Value {
        match self.cut {
            Cut::Words => byte_level(true),
            Cut::DigitsAndWords => sequence(json!({ "type": "Digits", "individual_digits": true }), byte_level(true)),
            Cut::Pattern(pattern) => {
                let split = json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false });
                sequence(split, byte_level(false))
            }
        }
    }
}

/// Bytes as letters; `use_regex` cuts GPT-2's words on the way.
pub(super) fn byte_level(use_regex: bool) -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex })
}

fn sequence(first: Value, second: Value) -> Value {
    json!({ "type": "Sequence", "pretokenizers": [first, second] })
}
