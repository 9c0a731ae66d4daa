//! The tokenizer against known answers: real vocabularies of three kinds, and the folders that other tools write.
//!
//! The data lies in `shared/` beside the repository; without it, each test says that it is skipped.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use veridraft_models::{ChatTemplate, Tokenizer};
use veridraft_tests::shared_data;

fn gunzip(path: &Path) -> Result<String> {
    let output = Command::new("gzip").arg("-dc").arg(path).output().context("cannot run `gzip`")?;
    ensure!(output.status.success(), "`gzip -dc {}` failed", path.display());
    Ok(String::from_utf8(output.stdout)?)
}

fn json_lines(text: &str) -> Result<Vec<Value>> {
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn ids_of(value: &Value) -> Result<Vec<u32>> {
    Ok(serde_json::from_value(value.clone())?)
}

/// Opens a `tokenizer.json` made of the parts in `parts`.
fn tokenizer(parts: Value) -> Result<Tokenizer> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("tokenizer.json"), parts.to_string())?;
    Ok(Tokenizer::open(folder.path())?)
}

fn gpt2(folder: &Path) -> Result<Tokenizer> {
    let merges = std::fs::read_to_string(folder.join("gpt2/merges.txt"))?;
    let merges: Vec<_> = merges.lines().filter(|line| !line.starts_with("#version")).collect();
    let vocabulary: Map<String, Value> = serde_json::from_str(&gunzip(&folder.join("gpt2/vocab.json.gz"))?)?;
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    tokenizer(json!({
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": merges},
    }))
}

fn bert(folder: &Path) -> Result<Tokenizer> {
    let words = std::fs::read_to_string(folder.join("bert_uncased/vocab.txt"))?;
    let vocabulary: Map<String, Value> =
        words.lines().enumerate().map(|(id, word)| (word.to_owned(), Value::from(id))).collect();
    tokenizer(json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "vocab": vocabulary, "unk_token": "[UNK]",
            "continuing_subword_prefix": "##", "max_input_chars_per_word": 100},
    }))
}

/// Every row that has an answer under `answer` must be encoded to it.
fn check_rows(tokenizer: &Tokenizer, rows: &[Value], answer: &str) -> Result<()> {
    ensure!(!rows.is_empty(), "no rows with `{answer}`");
    for row in rows {
        let text = row["text"].as_str().context("a row has a text")?;
        let expected = ids_of(row.pointer(answer).with_context(|| format!("a row has `{answer}`"))?)?;
        assert_eq!(tokenizer.encode_raw(text)?, expected, "{text:?}");
    }
    Ok(())
}

#[test]
fn a_byte_level_vocabulary_gives_the_known_ids_and_the_text_back() -> Result<()> {
    let Some(folder) = shared_data("data/tokenizer_kat") else { return Ok(()) };
    let tokenizer = gpt2(&folder)?;
    let long = json_lines(&gunzip(&folder.join("kat.jsonl.gz"))?)?;
    let short = json_lines(&std::fs::read_to_string(folder.join("llama_cpp_vectors.jsonl"))?)?;
    check_rows(&tokenizer, &long, "/gpt2")?;
    check_rows(&tokenizer, &short, "/ids/gpt-2")?;
    for row in long.iter().chain(&short) {
        let text = row["text"].as_str().context("a row has a text")?;
        assert_eq!(tokenizer.decode(&tokenizer.encode_chat(text)?), text);
    }
    Ok(())
}

#[test]
fn a_word_piece_vocabulary_gives_the_known_ids() -> Result<()> {
    let Some(folder) = shared_data("data/tokenizer_kat") else { return Ok(()) };
    let tokenizer = bert(&folder)?;
    check_rows(&tokenizer, &json_lines(&gunzip(&folder.join("kat.jsonl.gz"))?)?, "/bert_uncased")?;
    let short = std::fs::read_to_string(folder.join("llama_cpp_vectors.jsonl"))?;
    check_rows(&tokenizer, &json_lines(&short)?, "/ids/bert-bge")
}

/// A text and its token ids.
type Answer = (String, Vec<u32>);

/// Texts and ids by the model whose tokenizer made them: `tiny-llama`, `tiny-t5`, `tiny-bert`.
fn foreign_answers(folder: &Path) -> Result<HashMap<&'static str, Vec<Answer>>> {
    let sources = [
        ("tiny-llama", "/transformers", "prompt", "prompt_ids"),
        ("tiny-t5", "", "source", "source_ids"),
        ("tiny-bert", "/fill", "text", "ids"),
    ];
    let mut answers = HashMap::new();
    for (model, rows, text, ids) in sources {
        let json: Value = serde_json::from_slice(&std::fs::read(folder.join(format!("{model}-reference.json")))?)?;
        let rows = json.pointer(rows).and_then(Value::as_array).context("a reference file has rows")?;
        let pairs =
            rows.iter().map(|row| Ok((row[text].as_str().context("a row has a text")?.to_owned(), ids_of(&row[ids])?)));
        answers.insert(model, pairs.collect::<Result<Vec<_>>>()?);
    }
    Ok(answers)
}

#[test]
fn the_folders_of_other_tools_give_their_reference_ids() -> Result<()> {
    let Some(folder) = shared_data("foreign") else { return Ok(()) };
    let answers = foreign_answers(&folder)?;
    let mut opened = 0;
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str()).context("a folder has a name")?;
        let tokenizer = Tokenizer::open(&path)?;
        assert!(ChatTemplate::open(&path)?.is_none(), "`{name}` is not made for chat");
        let (_, rows) = answers.iter().find(|(model, _)| name.starts_with(**model)).context("an unknown folder")?;
        for (text, ids) in rows {
            assert_eq!(&tokenizer.encode_raw(text)?, ids, "{name}: {text:?}");
            if name.starts_with("tiny-llama") {
                assert_eq!(&tokenizer.decode(ids), text, "{name}");
            }
        }
        opened += 1;
    }
    assert_eq!(opened, 8);
    Ok(())
}
