//! The rules as a table. Tokens: `a` 0, `b` 1, space 2, `ab` 3, ` a` 4, newline 5; BOS 10, EOS 11.

use serde_json::{Value, json};

use super::*;

const BOS: TokenId = 10;
const EOS: TokenId = 11;

/// A tokenizer that joins `ab` and ` a`; `names` are those of `tokenizer_config.json`.
fn tokenizer(adds_bos: bool, names: &Value) -> Tokenizer {
    let special = |id: TokenId, content: &str| {
        json!({"id": id, "content": content, "special": true,
               "single_word": false, "lstrip": false, "rstrip": false, "normalized": false})
    };
    let template = json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [BOS], "tokens": ["<s>"]}},
    });
    let file = json!({
        "version": "1.0",
        "added_tokens": [special(BOS, "<s>"), special(EOS, "</s>")],
        "post_processor": if adds_bos { template } else { json!(null) },
        "model": {
            "type": "BPE", "merges": [["a", "b"], [" ", "a"]],
            "vocab": {"a": 0, "b": 1, " ": 2, "ab": 3, " a": 4, "\n": 5, "<s>": BOS, "</s>": EOS},
        },
    });
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, file: &Value| std::fs::write(folder.path().join(name), file.to_string()).expect("written");
    write("tokenizer.json", &file);
    write("tokenizer_config.json", names);
    Tokenizer::open(folder.path()).expect("the file is sound")
}

fn encoder(adds_bos: bool, names: Value) -> Encoder {
    Encoder { tokenizer: tokenizer(adds_bos, &names), max_length: 8, cache_tokens: 64, vocabulary: 12 }
}

fn bare() -> Encoder {
    encoder(false, json!({"bos_token": "<s>", "eos_token": "</s>"}))
}

fn continuation(context: &str, continuation: &str) -> Subject {
    Subject::Continuation { context: context.to_owned(), continuation: continuation.to_owned() }
}

/// `read` is all that stands before the scored tokens.
fn check(encoder: &Encoder, subject: &Subject, (read, scored): (&[TokenId], &[TokenId]), cut: usize) {
    let tokens = [read, scored].concat();
    let window = Window { scored: read.len()..tokens.len(), tokens };
    assert_eq!(encoder.encode(subject), Ok(Encoded { windows: vec![window], cut }), "{subject:?}");
}

fn check_refused(encoder: &Encoder, subject: &Subject, expected: &str) {
    let found = encoder.encode(subject).expect_err("refused");
    assert!(found.contains(expected) && !found.contains('\n'), "{subject:?}: {found:?}, expected {expected:?}");
}

#[test]
fn a_continuation_is_what_the_whole_has_behind_the_context() {
    let check = |context: &str, next: &str, read: &[TokenId], scored: &[TokenId]| {
        check(&bare(), &continuation(context, next), (read, scored), 0);
    };
    check("a", "a", &[0], &[0]);
    check("b", " a", &[1], &[4]);
    // White space at the end of the context is scored, as the token of the continuation may begin with it.
    check("b ", "a", &[1], &[4]);
    check("b \n ", "a", &[1], &[2, 5, 4]);
    check("b\u{1c}", "a", &[1], &[0]);
    // The context keeps its own tokens where those of the whole are others: as many of these are left out.
    check("a", "bb", &[0], &[1]);
    check("ab", "a", &[3], &[0]);
    check("a</s>", "b", &[0, EOS], &[1]);
}

#[test]
fn an_empty_context_is_bos_or_else_eos() {
    check(&bare(), &continuation("", "ab"), (&[BOS], &[3]), 0);
    check(&bare(), &continuation("", "<s>ab"), (&[BOS], &[3]), 0);
    check(&bare(), &continuation(" ", "a"), (&[BOS], &[4]), 0);
    let without_bos = encoder(false, json!({"eos_token": "</s>"}));
    check(&without_bos, &continuation("", "ab"), (&[EOS], &[3]), 0);
    check(&without_bos, &continuation("", "<s>ab"), (&[EOS], &[BOS, 3]), 0);
    let nameless = encoder(false, json!({}));
    check_refused(&nameless, &continuation("", "ab"), "names no BOS and no EOS token");
    check_refused(&nameless, &Subject::Text("ab".to_owned()), "names no BOS and no EOS token");
    check(&nameless, &continuation("a", "a"), (&[0], &[0]), 0);
}

#[test]
fn a_tokenizer_that_adds_bos_adds_it_to_contexts_alone() {
    let adding = encoder(true, json!({"bos_token": "<s>"}));
    check(&adding, &continuation("b", " a"), (&[BOS, 1], &[4]), 0);
    check(&adding, &continuation("<s>b", " a"), (&[BOS, 1], &[4]), 0);
    check(&adding, &continuation("", "ab"), (&[BOS], &[3]), 0);
    check(&adding, &continuation(" ", "a"), (&[BOS], &[4]), 0);
    // The harness puts its own before that of the tokenizer.
    check(&adding, &Subject::Text("ab".to_owned()), (&[BOS], &[BOS, 3]), 0);
}

#[test]
fn tokens_are_taken_as_they_are() {
    let subject = |context: &[TokenId], continuation: &[TokenId]| Subject::ContinuationTokens {
        context: context.to_vec(),
        continuation: continuation.to_vec(),
    };
    check(&bare(), &subject(&[0, 1], &[0, 1]), (&[0, 1], &[0, 1]), 0);
    check(&bare(), &subject(&[], &[0]), (&[BOS], &[0]), 0);
    check(&bare(), &subject(&[], &[BOS, 0]), (&[BOS], &[0]), 0);
    check_refused(&bare(), &subject(&[0], &[]), "the continuation adds no token to the context");
    check_refused(&bare(), &subject(&[], &[BOS]), "the continuation adds no token to the context");
    check_refused(&bare(), &subject(&[0, 12], &[0]), "the model's vocabulary has 12 tokens");
}

#[test]
fn what_is_too_long_is_cut_from_the_left() {
    let tokens = |context: TokenId, count: TokenId| Subject::ContinuationTokens {
        context: (0..context).map(|index| index % 6).collect(),
        continuation: vec![7; count as usize],
    };
    check(&bare(), &tokens(6, 3), (&[0, 1, 2, 3, 4, 5], &[7; 3]), 0);
    check(&bare(), &tokens(7, 3), (&[1, 2, 3, 4, 5, 0], &[7; 3]), 1);
    check(&bare(), &tokens(12, 8), (&[5], &[7; 8]), 11);
    check_refused(&bare(), &tokens(1, 9), "the continuation has 9 tokens, but the model takes 8");
    let small = Encoder { cache_tokens: 7, ..bare() };
    check(&small, &tokens(5, 3), (&[0, 1, 2, 3, 4], &[7; 3]), 0);
    check_refused(&small, &tokens(6, 3), "8 tokens, but the KV cache holds 7; `--kv-memory` makes it larger");
}

#[test]
fn what_adds_no_token_has_no_score() {
    check_refused(&bare(), &continuation("a", ""), "the continuation adds no token to the context");
    check_refused(&bare(), &continuation("a", "b"), "the continuation adds no token to the context");
    check_refused(&bare(), &continuation("", ""), "the continuation adds no token to the context");
}

/// `get_rolling_token_windows` with a context of one token, then `make_disjoint_window`, on a text of distinct tokens.
fn harness_windows(text: &[TokenId], length: usize) -> Vec<(Vec<TokenId>, Vec<TokenId>)> {
    let mut windows = Vec::new();
    let mut predicted = 0;
    while predicted < text.len() {
        let end = text.len().min(predicted + length);
        let scored = text[predicted..end].to_vec();
        let input = match end.checked_sub(length + 1) {
            Some(start) if predicted > 0 => text[start..end - 1].to_vec(),
            _ => [&[BOS], &text[..end - 1]].concat(),
        };
        windows.push((input[..input.len() - (scored.len() - 1)].to_vec(), scored));
        predicted = end;
    }
    windows
}

#[test]
fn a_text_is_cut_as_the_harness_cuts_it() {
    for (length, count) in (1..7).flat_map(|length| (0..25).map(move |count| (length, count))) {
        let text: Vec<TokenId> = (100..100 + count).collect();
        let encoder = Encoder { max_length: length, ..bare() };
        let found = encoder.text(&text).expect("it has a BOS").windows;
        let parts = |window: &Window| {
            let (read, scored) = window.tokens.split_at(window.scored.start);
            (read.to_vec(), scored.to_vec())
        };
        assert_eq!(found.iter().map(parts).collect::<Vec<_>>(), harness_windows(&text, length), "{length} {count}");
    }
    check(&bare(), &Subject::Text("ab a ".to_owned()), (&[BOS], &[3, 4, 2]), 0);
    assert_eq!(bare().encode(&Subject::Text(String::new())), Ok(Encoded::default()));
}
