use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Words `a` to `d`, `<s>` = 0 and `</s>` = 1, joined by nothing.
fn tiny(post_processor: Value) -> Value {
    let special = |id: u32, text: &str| {
        json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "<s>"},
        "added_tokens": [special(0, "<s>"), special(1, "</s>")],
        "normalizer": null,
        "pre_tokenizer": null,
        "post_processor": post_processor,
        "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "dropout": 0.9, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {"<s>": 0, "</s>": 1, "a": 2, "b": 3, "c": 4, "ab": 5}, "merges": ["a b"]}
    })
}

fn template(single: &str) -> Value {
    let piece = |token: &str| match token {
        "A" => json!({"Sequence": {"id": "A", "type_id": 0}}),
        special => json!({"SpecialToken": {"id": special, "type_id": 0}}),
    };
    let pieces: Vec<_> = single.split(' ').map(piece).collect();
    let tokens = json!({"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
        "</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}});
    json!({"type": "TemplateProcessing", "single": pieces, "pair": pieces, "special_tokens": tokens})
}

fn tokenizer(post_processor: Value, config: TokenizerConfig) -> Tokenizer {
    Tokenizer::from_json(tiny(post_processor).to_string().as_bytes(), config).unwrap()
}

fn named(add_bos_token: Option<bool>) -> TokenizerConfig {
    let name = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    TokenizerConfig { named_tokens: vec![name("bos_token", "<s>"), name("eos_token", "</s>")], add_bos_token }
}

fn check_raw(post_processor: Value, add_bos_token: Option<bool>, text: &str, expected: &[TokenId]) {
    let ids = tokenizer(post_processor, named(add_bos_token)).encode_raw(text).unwrap();
    assert_eq!(ids, expected, "{text:?}, add_bos_token {add_bos_token:?}");
}

#[test]
fn a_raw_text_gets_bos_unless_it_begins_with_it() {
    check_raw(template("<s> A"), None, "abc", &[0, 5, 4]);
    check_raw(template("<s> A"), None, "<s>abc", &[0, 5, 4]);
    check_raw(template("<s> A"), None, "<s><s>abc", &[0, 0, 5, 4]);
    check_raw(template("<s> A"), None, "", &[0]);
    check_raw(template("<s> A </s>"), None, "c<s>", &[0, 4, 0, 1]);
    check_raw(Value::Null, None, "abc", &[5, 4]);
}

#[test]
fn add_bos_token_decides_against_the_post_processor() {
    check_raw(Value::Null, Some(true), "abc", &[0, 5, 4]);
    check_raw(Value::Null, Some(true), "<s>abc", &[0, 5, 4]);
    check_raw(template("<s> A"), Some(true), "abc", &[0, 5, 4]);
    check_raw(template("<s> A"), Some(false), "abc", &[5, 4]);
    check_raw(template("</s> A"), Some(false), "abc", &[1, 5, 4]);
}

#[test]
fn a_chat_text_gets_nothing_added_and_has_its_special_tokens() {
    let tokenizer = tokenizer(template("<s> A </s>"), named(None));
    assert_eq!(tokenizer.encode_chat("a</s>b<s>").unwrap(), [2, 1, 3, 0]);
    assert_eq!(tokenizer.encode_chat("").unwrap(), [0; 0]);
}

#[test]
fn truncation_padding_and_dropout_are_off() {
    let tokenizer = tokenizer(template("<s> A"), named(None));
    let long = "ab".repeat(100);
    assert_eq!(tokenizer.encode_chat(&long).unwrap(), [5; 100]);
    assert_eq!(tokenizer.encode_raw(&long).unwrap().len(), 101);
}

#[test]
fn decoding_skips_special_tokens_and_ids_that_are_none() {
    let tokenizer = tokenizer(Value::Null, named(None));
    assert_eq!(tokenizer.decode(&[0, 5, 4, 999, u32::MAX, 1]), "abc");
    assert_eq!(tokenizer.decode_with_special(&[0, 5, 4, 999, u32::MAX, 1]), "<s>abc</s>");
    assert_eq!(tokenizer.decode(&[]), "");
}

#[test]
fn tokens_are_known_by_spelling_and_by_id() {
    let tokenizer = tokenizer(Value::Null, named(None));
    assert_eq!(
        (tokenizer.token_id("ab"), tokenizer.token_id("</s>"), tokenizer.token_id("x")),
        (Some(5), Some(1), None)
    );
    assert_eq!(tokenizer.token(5).as_deref(), Some("ab"));
    assert_eq!((tokenizer.is_special(0), tokenizer.is_special(5), tokenizer.is_special(999)), (true, false, false));
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.vocabulary()), (Some(0), Some(1), 6));
}

#[test]
fn an_id_beyond_the_model_names_token_and_place() {
    let tokenizer = tokenizer(Value::Null, named(None));
    tokenizer.check_ids(&[0, 5], 6).unwrap();
    let error = tokenizer.check_ids(&[0, 5], 5).unwrap_err().to_string();
    assert_eq!(error, "tokenizer: token `ab` at position 1 has id 5, but the model's vocabulary has 5 tokens");
}

fn open_error(tokenizer_json: Option<&str>) -> String {
    let folder = tempfile::tempdir().unwrap();
    if let Some(text) = tokenizer_json {
        std::fs::write(folder.path().join("tokenizer.json"), text).unwrap();
    }
    Tokenizer::open(folder.path()).unwrap_err().to_string()
}

#[test]
fn a_missing_or_corrupt_tokenizer_is_named() {
    assert!(open_error(None).ends_with("no `tokenizer.json`, which every model folder has"));
    for (text, expected) in
        [("{\n\"version\": \"1.0\"\n,,}", "line 3"), ("[]", ""), ("", "line 1"), ("{}", ""), ("\u{0}", "line 1")]
    {
        let error = open_error(Some(text));
        assert!(error.contains("tokenizer.json`: not a tokenizer: ") && error.contains(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_post_processor_that_names_an_undefined_token_is_an_error() {
    let mut post_processor = template("<s> A");
    post_processor["special_tokens"] = json!({});
    let error = tokenizer(post_processor, named(None)).encode_raw("abc").unwrap_err().to_string();
    assert_eq!(error, "tokenizer: cannot encode the text: `tokenizer.json` describes something that cannot work");
}

#[test]
fn clones_encode_alike_on_several_threads() {
    let tokenizer = tokenizer(Value::Null, named(None));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let tokenizer = tokenizer.clone();
            scope.spawn(move || assert_eq!(tokenizer.encode_raw("abcab").unwrap(), [5, 4, 5]));
        }
    });
}

proptest! {
    #[test]
    fn a_mutated_tokenizer_never_panics(at in any::<prop::sample::Index>(), with in any::<u8>(), text in "[abc<>/s ]{0,20}") {
        let mut bytes = tiny(template("<s> A </s>")).to_string().into_bytes();
        let place = at.index(bytes.len());
        bytes[place] = with;
        if let Ok(tokenizer) = Tokenizer::from_json(&bytes, named(None)) {
            let ids = tokenizer.encode_raw(&text).unwrap_or_default();
            tokenizer.decode(&ids);
        }
    }

    #[test]
    fn decoding_gives_back_what_was_encoded(text in "[abc]{0,40}") {
        let tokenizer = tokenizer(template("<s> A </s>"), named(None));
        prop_assert_eq!(tokenizer.decode(&tokenizer.encode_raw(&text).unwrap()), text);
    }
}
