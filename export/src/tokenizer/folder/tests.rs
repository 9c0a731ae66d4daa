//! Folders without a `tokenizer.json` get one that does what their class does.

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;
use veridraft_models::Tokenizer;

use super::*;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("room for it");
    }
    folder
}

/// The tokenizer of these files, or the error without the folder's place.
fn tokenizer(files: &[(&str, &str)]) -> Result<Tokenizer, String> {
    let folder = folder(files);
    let place = format!("{}/", folder.path().display());
    let made = of_folder(folder.path()).map_err(|error| error.to_string().replace(&place, ""))?;
    let target = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in made {
        std::fs::write(target.path().join(name), text).expect("room for it");
    }
    Ok(Tokenizer::open(target.path()).expect("a valid folder"))
}

const BERT: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##able\n!\ne\n\u{e9}\n";

#[test]
fn a_list_of_words_is_word_piece_between_class_and_separator() {
    let check = |config: &str, text: &str, expected: &[u32]| {
        let tokenizer = tokenizer(&[("tokenizer_config.json", config), ("vocab.txt", BERT)]).expect("a known class");
        assert_eq!(tokenizer.encode_raw(text).expect("any text"), expected, "{config}, {text}");
    };
    check(r#"{"tokenizer_class": "BertTokenizer"}"#, "Unable [MASK]!", &[2, 5, 6, 4, 7, 3]);
    check(r#"{"tokenizer_class": "ElectraTokenizerFast", "do_lower_case": false}"#, "Un un", &[2, 1, 5, 3]);
    check(r#"{"tokenizer_class": "BertTokenizer"}"#, "\u{e9}", &[2, 8, 3]);
    check(r#"{"tokenizer_class": "BertTokenizer", "strip_accents": false}"#, "\u{e9}", &[2, 9, 3]);
}

const IDS: &str = r#"{"h": 0, "i": 1, "hi": 2, "\u0120": 3, "\u0120hi": 4, "<s>": 5, "</s>": 6, "<mask>": 7, "<unk>": 8, "<pad>": 9, "<|endoftext|>": 10}"#;
const MERGES: &str = "#version: 0.2\nh i\n\u{120} hi\n";

#[test]
fn ids_and_merges_are_byte_level_bpe() {
    let files = |config| [("tokenizer_config.json", config), ("vocab.json", IDS), ("merges.txt", MERGES)];
    let check = |config: &'static str, text: &str, expected: &[u32]| {
        let tokenizer = tokenizer(&files(config)).expect("a known class");
        assert_eq!(tokenizer.encode_raw(text).expect("any text"), expected, "{config}, {text}");
    };
    check(r#"{"tokenizer_class": "GPT2Tokenizer"}"#, "hi hi<|endoftext|>", &[2, 4, 10]);
    check(r#"{"tokenizer_class": "GPT2Tokenizer", "add_bos_token": true}"#, "hi", &[10, 2]);
    check(r#"{"tokenizer_class": "RobertaTokenizer"}"#, "hi <mask>", &[5, 2, 7, 6]);
}

#[test]
fn without_a_class_the_model_says_it() {
    let check = |model_type: &str, expected: Result<&[u32], &str>| {
        let config = json!({ "model_type": model_type }).to_string();
        let tokenizer = tokenizer(&[("config.json", &config), ("vocab.json", IDS), ("merges.txt", MERGES)]);
        let ids = tokenizer.map(|tokenizer| tokenizer.encode_raw("hi").expect("any text"));
        match (ids, expected) {
            (Ok(ids), Ok(expected)) => assert_eq!(ids, expected),
            (Err(error), Err(expected)) => assert!(error.starts_with(expected), "{error}"),
            (found, _) => panic!("{found:?}"),
        }
    };
    check("gpt2", Ok(&[2]));
    check("roberta", Ok(&[5, 2, 6]));
    check("rwkv", Err("`config.json`: `model_type` is `rwkv`, expected one of bert, distilbert, "));
}

#[test]
fn special_tokens_are_named_in_any_of_the_files() {
    let tokenizer = tokenizer(&[
        (
            "tokenizer_config.json",
            r#"{"tokenizer_class": "GPT2Tokenizer", "pad_token": null, "bos_token": {"content": "<s>"}}"#,
        ),
        ("special_tokens_map.json", r#"{"eos_token": {"content": "</s>"}, "pad_token": "<pad>"}"#),
        ("added_tokens.json", r#"{"<one>": 11}"#),
        ("vocab.json", IDS),
        ("merges.txt", MERGES),
    ]);
    let tokenizer = tokenizer.expect("a known class");
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(5), Some(6)));
    assert_eq!(tokenizer.encode_raw("<one><pad>hi").expect("any text")[0], 11);
    assert!(!tokenizer.is_special(9) && !tokenizer.is_special(11) && tokenizer.is_special(6));
}

#[test]
fn a_special_token_without_an_id_gets_the_next() {
    let tokenizer = tokenizer(&[
        ("tokenizer_config.json", r#"{"tokenizer_class": "GPT2Tokenizer", "pad_token": "<new>"}"#),
        ("vocab.json", IDS),
        ("merges.txt", MERGES),
    ]);
    assert_eq!(tokenizer.expect("a known class").encode_raw("hi<new>").expect("any text"), [2, 11]);
}

#[test]
fn what_is_missing_or_unknown_is_named() {
    let check = |files: &[(&str, &str)], expected: &str| {
        let error = tokenizer(files).expect_err("refused");
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    };
    check(&[], "`config.json`: `model_type` is `missing`, expected one of ");
    check(
        &[("tokenizer_config.json", r#"{"tokenizer_class": "WhisperTokenizer"}"#)],
        "`tokenizer_config.json`: `tokenizer_class` is `WhisperTokenizer`, expected one of BertTokenizer, ",
    );
    check(&[("tokenizer_config.json", "[]")], "`tokenizer_config.json`: not a JSON object: ");
    check(&[("tokenizer_config.json", r#"{"tokenizer_class": "BertTokenizer"}"#)], "cannot read `vocab.txt`: ");
    check(&[("tokenizer_config.json", r#"{"tokenizer_class": "T5Tokenizer"}"#)], "cannot read `spiece.model`: ");
    let bert = |setting: &str| format!(r#"{{"tokenizer_class": "BertTokenizer", {setting}}}"#);
    check(
        &[("tokenizer_config.json", &bert(r#""do_basic_tokenize": false"#)), ("vocab.txt", BERT)],
        "`tokenizer_config.json`: `do_basic_tokenize` is false, expected true",
    );
    check(
        &[("tokenizer_config.json", &bert(r#""cls_token": null"#)), ("vocab.txt", BERT)],
        "`tokenizer_config.json`: texts get the `cls_token`, but the folder has none",
    );
    check(
        &[
            ("tokenizer_config.json", &bert(r#""added_tokens_decoder": {"77": {"content": "<x>"}}"#)),
            ("vocab.txt", BERT),
        ],
        "the tokenizers library gives the added token `<x>` id 10, expected 77",
    );
    check(
        &[("tokenizer_config.json", &bert(r#""added_tokens_decoder": {"4294967295": "<x>"}"#)), ("vocab.txt", BERT)],
        "`added_tokens_decoder` has `4294967295`: \"<x>\", expected an id and a token's rules",
    );
}

/// The files of a folder of each kind of text, to be damaged.
fn kinds() -> [Vec<(&'static str, &'static str)>; 2] {
    let added = ("added_tokens.json", r#"{"<one>": 11, "<two>": 12}"#);
    let roberta = r#"{"tokenizer_class": "RobertaTokenizer", "add_bos_token": true, "extra_ids": 2, "mask_token": {"content": "<mask>"}, "added_tokens_decoder": {"7": {"content": "<mask>", "lstrip": true}}}"#;
    let bert =
        r#"{"tokenizer_class": "BertTokenizer", "do_lower_case": true, "additional_special_tokens": ["<x>", 1]}"#;
    [
        vec![("tokenizer_config.json", roberta), ("vocab.json", IDS), ("merges.txt", MERGES), added],
        vec![("tokenizer_config.json", bert), ("vocab.txt", BERT)],
    ]
}

proptest! {
    #[test]
    fn damaged_files_are_read_or_refused_in_one_line(
        kind in 0_usize..2,
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u8..128), 1..4),
    ) {
        let mut files: Vec<_> = kinds()[kind].iter().map(|(name, text)| (*name, text.as_bytes().to_vec())).collect();
        for (file, place, byte) in damages {
            let bytes = &mut files[file.index(kinds()[kind].len())].1;
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).expect("room for it");
        }
        if let Err(error) = of_folder(folder.path()) {
            prop_assert!(!error.to_string().contains('\n'), "{}", error);
        }
    }
}
