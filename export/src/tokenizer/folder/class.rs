//! What the tokenizer classes of the `transformers` library do with their files, as far as the files do not say it.

use Kind::{ByteLevel, SentencePiece, WordPiece};

use crate::tokenizer::document::Second;

/// A class.
#[derive(Debug)]
pub(super) struct Class {
    /// Values of `tokenizer_class`, without `Fast` at the end.
    names: &'static [&'static str],
    /// Values of `model_type` in `config.json` that mean this class where no class is named.
    model_types: &'static [&'static str],
    pub(super) kind: Kind,
    /// Names and texts of the special tokens, where the folder does not name them.
    pub(super) named: &'static [(&'static str, &'static str)],
    pub(super) frame: FrameRule,
    /// The mask takes the space before it.
    pub(super) mask_takes_space: bool,
    /// Numbered `<extra_id_N>` tokens behind the vocabulary, where the folder does not count them.
    pub(super) extra_ids: usize,
}

/// Which files a class reads.
#[derive(Debug)]
pub(super) enum Kind {
    /// `vocab.txt`.
    WordPiece,
    /// `vocab.json` and `merges.txt`, cut as this entry of the table of pre-tokenizers says.
    ByteLevel(&'static str),
    /// A SentencePiece model.
    SentencePiece { file: &'static str, numbering: Numbering },
}

/// What numbers the pieces of a SentencePiece model.
#[derive(Clone, Copy, Debug)]
pub(super) enum Numbering {
    /// Their order in the model.
    Own,
    /// The order of the fairseq library: four special tokens, the pieces of text, the mask.
    Fairseq,
    /// This file.
    Listed(&'static str),
}

/// The tokens around a text, by name.
#[derive(Clone, Copy, Debug)]
pub(super) enum FrameRule {
    /// Always these.
    Always { before: Option<&'static str>, after: Option<&'static str>, second: Second },
    /// BOS and EOS as `add_bos_token` and `add_eos_token` say, and by themselves so.
    Asked { adds_bos: bool, adds_eos: bool },
}

const PLAIN: Class = Class {
    names: &[],
    model_types: &[],
    kind: WordPiece,
    named: &[],
    frame: FrameRule::Asked { adds_bos: false, adds_eos: false },
    mask_takes_space: false,
    extra_ids: 0,
};

const BERT_TOKENS: &[(&str, &str)] = &[
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];
const ROBERTA_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("unk_token", "<unk>"),
    ("sep_token", "</s>"),
    ("pad_token", "<pad>"),
    ("cls_token", "<s>"),
    ("mask_token", "<mask>"),
];
const GPT_2_TOKENS: &[(&str, &str)] =
    &[("bos_token", "<|endoftext|>"), ("eos_token", "<|endoftext|>"), ("unk_token", "<|endoftext|>")];
const QWEN_2_TOKENS: &[(&str, &str)] = &[("eos_token", "<|endoftext|>"), ("pad_token", "<|endoftext|>")];
const LLAMA_TOKENS: &[(&str, &str)] = &[("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")];
const GEMMA_TOKENS: &[(&str, &str)] =
    &[("bos_token", "<bos>"), ("eos_token", "<eos>"), ("unk_token", "<unk>"), ("pad_token", "<pad>")];
const T5_TOKENS: &[(&str, &str)] = &[("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>")];

const BERT_FRAME: FrameRule =
    FrameRule::Always { before: Some("cls_token"), after: Some("sep_token"), second: Second::Joined };
const ROBERTA_FRAME: FrameRule =
    FrameRule::Always { before: Some("cls_token"), after: Some("sep_token"), second: Second::Parted };
const END_FRAME: FrameRule = FrameRule::Always { before: None, after: Some("eos_token"), second: Second::Joined };

const TABLE: &[Class] = &[
    Class {
        names: &["BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"],
        model_types: &["bert", "distilbert", "electra"],
        named: BERT_TOKENS,
        frame: BERT_FRAME,
        ..PLAIN
    },
    Class {
        names: &["GPT2Tokenizer", "CodeGenTokenizer"],
        model_types: &["gpt2", "gpt_neo", "gptj", "codegen", "phi"],
        kind: ByteLevel("gpt-2"),
        named: GPT_2_TOKENS,
        ..PLAIN
    },
    Class {
        names: &["RobertaTokenizer", "BartTokenizer"],
        model_types: &["roberta", "bart"],
        kind: ByteLevel("gpt-2"),
        named: ROBERTA_TOKENS,
        frame: ROBERTA_FRAME,
        mask_takes_space: true,
        ..PLAIN
    },
    Class {
        names: &["Qwen2Tokenizer"],
        model_types: &["qwen2", "qwen3"],
        kind: ByteLevel("qwen2"),
        named: QWEN_2_TOKENS,
        ..PLAIN
    },
    Class {
        names: &["LlamaTokenizer"],
        model_types: &["llama", "mistral", "phi3"],
        kind: SentencePiece { file: "tokenizer.model", numbering: Numbering::Own },
        named: LLAMA_TOKENS,
        frame: FrameRule::Asked { adds_bos: true, adds_eos: false },
        ..PLAIN
    },
    Class {
        names: &["GemmaTokenizer"],
        model_types: &["gemma", "gemma2", "gemma3", "gemma3_text"],
        kind: SentencePiece { file: "tokenizer.model", numbering: Numbering::Own },
        named: GEMMA_TOKENS,
        frame: FrameRule::Asked { adds_bos: true, adds_eos: false },
        ..PLAIN
    },
    Class {
        names: &["T5Tokenizer"],
        model_types: &["t5", "mt5"],
        kind: SentencePiece { file: "spiece.model", numbering: Numbering::Own },
        named: T5_TOKENS,
        frame: END_FRAME,
        extra_ids: 100,
        ..PLAIN
    },
    Class {
        names: &["MarianTokenizer"],
        model_types: &["marian"],
        kind: SentencePiece { file: "source.spm", numbering: Numbering::Listed("vocab.json") },
        named: T5_TOKENS,
        frame: END_FRAME,
        ..PLAIN
    },
    Class {
        names: &["XLMRobertaTokenizer"],
        model_types: &["xlm-roberta"],
        kind: SentencePiece { file: "sentencepiece.bpe.model", numbering: Numbering::Fairseq },
        named: ROBERTA_TOKENS,
        frame: ROBERTA_FRAME,
        mask_takes_space: true,
        ..PLAIN
    },
];

impl Class {
    /// The class of a name in `tokenizer_config.json`.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        let name = name.strip_suffix("Fast").unwrap_or(name);
        TABLE.iter().find(|class| class.names.contains(&name))
    }

    /// The class that a model of this type has.
    pub(super) fn of_model(model_type: &str) -> Option<&'static Self> {
        TABLE.iter().find(|class| class.model_types.contains(&model_type))
    }

    /// All names.
    pub(super) fn names() -> Vec<&'static str> {
        TABLE.iter().flat_map(|class| class.names).copied().collect()
    }

    /// All types of models.
    pub(super) fn model_types() -> Vec<&'static str> {
        TABLE.iter().flat_map(|class| class.model_types).copied().collect()
    }
}
