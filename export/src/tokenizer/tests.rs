//! Tokenizers made from GGUF metadata cut texts as their models' own do, and unknown ones are refused by name.

use serde_json::{Value, json};
use tempfile::TempDir;
use veridraft_models::Tokenizer;

use crate::checkpoint::Checkpoint;
use crate::checkpoint::gguf::writer::GgufWriter;

/// Single letters, some digits, a space and a line break as bytes of the GPT-2 alphabet, merges, and two added tokens.
const TOKENS: [&str; 16] =
    ["h", "e", "l", "o", "1", "2", "Ġ", "Ċ", "he", "ll", "hell", "12", "Ġh", "x", "<|end|>", "<think>"];
const MERGES: [&str; 5] = ["h e", "l l", "he ll", "1 2", "Ġ h"];
const END: u32 = 14;
const THINK: u32 = 15;

fn model() -> GgufWriter {
    GgufWriter::default()
        .text("general.architecture", "llama")
        .count("llama.block_count", 1)
        .count("llama.context_length", 64)
        .count("llama.embedding_length", 16)
        .count("llama.feed_forward_length", 16)
        .count("llama.attention.head_count", 1)
        .number("llama.attention.layer_norm_rms_epsilon", 1e-5)
        .tensor("token_embd.weight", &[16, 16], &[0.0; 256])
}

fn byte_level(pre: &str) -> GgufWriter {
    let mut kinds = [1; 16];
    (kinds[END as usize], kinds[THINK as usize]) = (3, 4);
    model()
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", pre)
        .texts("tokenizer.ggml.tokens", &TOKENS)
        .integers("tokenizer.ggml.token_type", &kinds)
        .texts("tokenizer.ggml.merges", &MERGES)
        .count("tokenizer.ggml.bos_token_id", END)
        .count("tokenizer.ggml.eos_token_id", END)
}

/// The folder of companion files, or the error without the file's place.
fn companions(writer: &GgufWriter) -> Result<TempDir, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, writer.bytes()).expect("room for it");
    let files = Checkpoint::open(&path).and_then(|checkpoint| checkpoint.companion_files());
    let files = files.map_err(|error| error.to_string().replace(&path.display().to_string(), "model.gguf"))?;
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("room for it");
    }
    Ok(folder)
}

fn tokenizer(writer: &GgufWriter) -> Tokenizer {
    Tokenizer::open(companions(writer).expect("a known tokenizer").path()).expect("a valid folder")
}

#[test]
fn each_way_of_cutting_words_is_the_one_of_its_name() {
    let check = |pre: &str, text: &str, expected: &[u32]| {
        assert_eq!(
            tokenizer(&byte_level(pre)).encode_chat(text).expect("known letters"),
            expected,
            "{pre} of {text:?}"
        );
    };
    check("gpt-2", "hello 12", &[10, 3, 6, 11]);
    check("smollm", "hello 12", &[10, 3, 6, 4, 5]);
    check("qwen2", "hello 12", &[10, 3, 6, 4, 5]);
    check("llama-bpe", "hello 12", &[10, 3, 6, 11]);
    check("gpt-2", "o hell\n", &[3, 6, 10, 7]);
}

#[test]
fn added_tokens_are_found_in_the_text_and_only_control_tokens_are_special() {
    let tokenizer = tokenizer(&byte_level("gpt-2"));
    assert_eq!(tokenizer.encode_chat("x<|end|>h<think>").unwrap(), [13, END, 0, THINK]);
    assert!(tokenizer.is_special(END) && !tokenizer.is_special(THINK));
    assert_eq!(tokenizer.decode(&[12, 1, END, THINK]), " he<think>");
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(END), Some(END)));
}

#[test]
fn a_raw_text_starts_with_bos_where_the_file_or_the_name_says_so() {
    let check = |writer: GgufWriter, expected: &[u32]| {
        assert_eq!(tokenizer(&writer).encode_raw("x").unwrap(), expected);
    };
    check(byte_level("gpt-2"), &[13]);
    check(byte_level("gpt-2").boolean("tokenizer.ggml.add_bos_token", true), &[END, 13]);
    check(byte_level("llama-bpe"), &[END, 13]);
    check(byte_level("llama-bpe").boolean("tokenizer.ggml.add_bos_token", false), &[13]);
}

#[test]
fn sentence_piece_merges_the_best_scores_first() {
    let tokens = ["<unk>", "<s>", "</s>", "<0x78>", "\u{2581}", "a", "b", "c", "ab", "bc", "\u{2581}a"];
    let scores = [0.0, 0.0, 0.0, 0.0, -1.0, -2.0, -3.0, -4.0, -9.0, -5.0, -6.0_f32];
    let writer = model()
        .text("tokenizer.ggml.model", "llama")
        .texts("tokenizer.ggml.tokens", &tokens)
        .floats("tokenizer.ggml.scores", &scores)
        .integers("tokenizer.ggml.token_type", &[2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 1])
        .count("tokenizer.ggml.bos_token_id", 1)
        .count("tokenizer.ggml.eos_token_id", 2)
        .count("tokenizer.ggml.unknown_token_id", 0);
    let tokenizer = tokenizer(&writer);
    // `bc` beats `ab`, a space is put before the text, and an unknown letter is written as its byte.
    assert_eq!(tokenizer.encode_raw("abcx").unwrap(), [1, 10, 9, 3]);
    assert_eq!(tokenizer.decode(&[1, 10, 9, 3, 2]), "abcx");
}

/// The fixture's vocabulary was trained by the `sentencepiece` package, which also gave the ids.
#[test]
fn sentence_piece_gives_the_ids_of_the_sentencepiece_package() {
    const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures");
    let checkpoint = Checkpoint::open(format!("{FIXTURES}/gguf_tiny_llama.gguf").as_ref()).expect("a valid fixture");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in checkpoint.companion_files().expect("a known tokenizer") {
        std::fs::write(folder.path().join(name), text).expect("room for it");
    }
    let tokenizer = Tokenizer::open(folder.path()).expect("a valid folder");
    let cases = std::fs::read(format!("{FIXTURES}/gguf_tiny_llama.json")).expect("the fixture is there");
    let cases: Vec<Value> = serde_json::from_slice(&cases).expect("a list of cases");
    for case in &cases {
        let text = case["text"].as_str().expect("a text");
        let ids = tokenizer.encode_raw(text).expect("any text has ids");
        assert_eq!(json!(ids), case["ids"], "{text:?}");
    }
    assert!(cases.len() > 5);
}

#[test]
fn unigram_pieces_have_the_greatest_sum_of_scores() {
    let tokens = ["<pad>", "</s>", "<unk>", "\u{2581}", "a", "b", "ab", "\u{2581}a"];
    let writer = |map: &[i32]| {
        model()
            .text("tokenizer.ggml.model", "t5")
            .texts("tokenizer.ggml.tokens", &tokens)
            .floats("tokenizer.ggml.scores", &[0.0, 0.0, 0.0, -2.0, -3.0, -3.0, -4.0, -4.5])
            .integers("tokenizer.ggml.token_type", &[3, 3, 2, 1, 1, 1, 1, 1])
            .count("tokenizer.ggml.eos_token_id", 1)
            .count("tokenizer.ggml.unknown_token_id", 2)
            .boolean("tokenizer.ggml.remove_extra_whitespaces", true)
            .integers("tokenizer.ggml.precompiled_charsmap", map)
    };
    let tokenizer = tokenizer(&writer(&[]));
    let check = |text: &str, expected: &[u32]| assert_eq!(tokenizer.encode_raw(text).unwrap(), expected, "{text:?}");
    check("ab", &[3, 6, 1]);
    check("  aa  b ", &[7, 4, 3, 5, 1]);
    check("ac", &[7, 2, 1]);
    check("", &[1]);
    assert_eq!(tokenizer.decode(&[7, 4, 3, 5, 1]), "aa b");
    let refused = |map: &[i32], expected: &str| {
        assert_eq!(companions(&writer(map)).err(), Some(format!("`model.gguf`: {expected}")));
    };
    refused(&[4, 0, 0, 0, 0, 0, 0x10, 0], "the map of characters leads to unit 1024 of a trie of 1");
    refused(&[1, 0, 300], "`tokenizer.ggml.precompiled_charsmap` holds 300, expected bytes");
}

#[test]
fn turns_of_phi_3_take_the_line_breaks_behind_them() {
    let tokens = ["<unk>", "<s>", "</s>", "<0x0A>", "\u{2581}", "a", "<|user|>"];
    let check = |architecture: &str, expected: &[u32]| {
        let writer = GgufWriter::default()
            .text("general.architecture", architecture)
            .text("tokenizer.ggml.model", "llama")
            .texts("tokenizer.ggml.tokens", &tokens)
            .floats("tokenizer.ggml.scores", &[0.0; 7])
            .integers("tokenizer.ggml.token_type", &[2, 3, 3, 6, 1, 1, 3])
            .count("tokenizer.ggml.bos_token_id", 1);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("vocabulary.gguf");
        std::fs::write(&path, writer.bytes()).expect("room for it");
        for (name, text) in crate::tokenizer_files(&path).expect("a known tokenizer") {
            std::fs::write(folder.path().join(name), text).expect("room for it");
        }
        let tokenizer = Tokenizer::open(folder.path()).expect("a valid folder");
        assert_eq!(tokenizer.encode_raw("<|user|>\na").expect("known letters"), expected, "{architecture}");
    };
    check("llama", &[1, 6, 4, 3, 5]);
    check("phi3", &[1, 6, 4, 5]);
}

#[test]
fn word_piece_marks_what_continues_a_word() {
    let tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u{2581}un", "able", "\u{2581}!", "\u{2581}able"];
    let writer = || {
        model()
            .text("tokenizer.ggml.model", "bert")
            .texts("tokenizer.ggml.tokens", &tokens)
            .integers("tokenizer.ggml.token_type", &[3, 3, 3, 3, 1, 1, 1, 1])
            .count("tokenizer.ggml.unknown_token_id", 1)
            .count("tokenizer.ggml.cls_token_id", 2)
            .count("tokenizer.ggml.seperator_token_id", 3)
    };
    let check = |writer: GgufWriter, text: &str, expected: &[u32]| {
        assert_eq!(tokenizer(&writer).encode_raw(text).unwrap(), expected, "{text:?}");
    };
    check(writer(), "Unable able!", &[2, 4, 5, 7, 6, 3]);
    check(writer(), "unseen", &[2, 1, 3]);
    check(writer().boolean("tokenizer.ggml.normalizer.lowercase", false), "Un able", &[2, 1, 7, 3]);
    check(writer().boolean("tokenizer.ggml.add_eos_token", false), "un", &[2, 4]);
}

#[test]
fn the_configuration_files_say_what_the_gguf_file_says() {
    let writer =
        byte_level("gpt-2").text("tokenizer.chat_template", "{{ messages }}").count("tokenizer.ggml.eot_token_id", 13);
    let folder = companions(&writer).expect("a known tokenizer");
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(folder.path().join(name)).expect("a file")).expect("JSON")
    };
    let config = read("tokenizer_config.json");
    assert_eq!((&config["bos_token"], &config["chat_template"]), (&"<|end|>".into(), &"{{ messages }}".into()));
    assert_eq!(config.get("pad_token"), None);
    for name in ["generation_config.json", "config.json"] {
        let config = read(name);
        assert_eq!((&config["bos_token_id"], &config["eos_token_id"]), (&END.into(), &vec![END, 13].into()), "{name}");
    }
    assert_eq!(read("config.json")["vocab_size"], 16);
}

#[test]
fn unknown_tokenizers_are_refused_with_the_known_ones() {
    let check = |writer: GgufWriter, expected: &str| {
        assert_eq!(companions(&writer).err(), Some(format!("`model.gguf`: {expected}")));
    };
    check(model().text("tokenizer.ggml.model", "bert"), "no `tokenizer.ggml.tokens`");
    check(
        model().text("tokenizer.ggml.model", "bert").texts("tokenizer.ggml.tokens", &TOKENS),
        "no `tokenizer.ggml.unknown_token_id`",
    );
    check(
        model().text("tokenizer.ggml.model", "rwkv").texts("tokenizer.ggml.tokens", &TOKENS),
        "`tokenizer.ggml.model` is `rwkv`, expected one of gpt2, llama, t5, bert, gemma4",
    );
    check(
        byte_level("poro-chat"),
        "`tokenizer.ggml.pre` is `poro-chat`, expected one of gpt-2, phi-2, roberta-bpe, mpt, olmo, smollm, starcoder, \
         refact, command-r, llama-bpe, llama-v3, llama3, lfm2, dbrx, gpt-4o, llama4, qwen2, deepseek-r1-qwen, qwen35, \
         tekken, deepseek-llm, deepseek-coder, deepseek-v3, falcon, bloom",
    );
    check(
        byte_level("gpt-2").count("tokenizer.ggml.padding_token_id", 16),
        "`tokenizer.ggml.padding_token_id` is 16, but there are 16 tokens",
    );
    let base = || model().text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "gpt-2");
    check(base().texts("tokenizer.ggml.tokens", &["a", "b", "a"]), "token 2 is `a`, as token 0 is");
    check(
        base().texts("tokenizer.ggml.tokens", &["a"]).texts("tokenizer.ggml.merges", &["aa"]),
        "`tokenizer.ggml.merges` holds `aa`, expected two tokens and a space between",
    );
    let merged = base().texts("tokenizer.ggml.tokens", &["a"]).texts("tokenizer.ggml.merges", &["a b"]);
    let message = companions(&merged).expect_err("a merge of no token");
    assert!(message.starts_with("`model.gguf`: not a tokenizer: ") && !message.contains('\n'), "{message}");
}
