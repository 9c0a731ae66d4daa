//! Tokenizers made from SentencePiece models and vocabularies as text, against known answers.
//!
//! The fixtures are small and stand beside the tests, with the ids that the `sentencepiece` package gives. Larger
//! vocabularies lie in `shared/` beside the repository; without it, their tests say that they are skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use veridraft_export::{ExportConfig, FloatFormat, export, export_hugging_face, tokenizer_files};
use veridraft_models::{ChatTemplate, TokenId, Tokenizer};
use veridraft_tests::shared_data;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// A Hugging Face folder of a class with these files.
fn folder(class: &str, files: &[(&str, &[u8])]) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("tokenizer_config.json"), json!({ "tokenizer_class": class }).to_string())?;
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes)?;
    }
    Ok(folder)
}

/// The tokenizer of a folder, by way of the files that an export writes.
fn tokenizer(folder: &TempDir) -> Result<Tokenizer> {
    let target = tempfile::tempdir()?;
    for (name, text) in tokenizer_files(folder.path())? {
        fs::write(target.path().join(name), text)?;
    }
    Ok(Tokenizer::open(target.path())?)
}

fn gunzip(path: &Path) -> Result<Vec<u8>> {
    let output = Command::new("gzip").arg("-dc").arg(path).output().context("cannot run `gzip`")?;
    ensure!(output.status.success(), "`gzip -dc {}` failed", path.display());
    Ok(output.stdout)
}

fn json_lines(text: &[u8]) -> Result<Vec<Value>> {
    std::str::from_utf8(text)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Every row's text must have the ids under `answer`, without the tokens around a text.
fn check<'a>(tokenizer: &Tokenizer, rows: impl IntoIterator<Item = &'a Value>, answer: &str) -> Result<usize> {
    let mut checked = 0;
    for row in rows {
        let text = row["text"].as_str().context("a row has a text")?;
        let ids = row.pointer(answer).with_context(|| format!("a row has `{answer}`"))?;
        let expected: Vec<TokenId> = serde_json::from_value(ids.clone())?;
        assert_eq!(tokenizer.encode_chat(text)?, expected, "{text:?}");
        checked += 1;
    }
    ensure!(checked > 0, "no rows with `{answer}`");
    Ok(checked)
}

fn fixture_answers(name: &str) -> Result<Vec<Value>> {
    let answers: Value = serde_json::from_slice(&fs::read(fixtures().join("sentencepiece.json"))?)?;
    answers[name].as_array().cloned().context("the fixture has the rows")
}

#[test]
fn a_unigram_model_has_the_ids_of_the_sentencepiece_package() -> Result<()> {
    let model = fs::read(fixtures().join("sentencepiece_unigram.model"))?;
    let tokenizer = tokenizer(&folder("T5Tokenizer", &[("spiece.model", &model)])?)?;
    check(&tokenizer, &fixture_answers("unigram")?, "/ids")?;
    let framed = tokenizer.encode_raw("The <extra_id_0>")?;
    assert_eq!(framed.last().copied(), tokenizer.eos());
    assert_eq!(framed[framed.len() - 2], 110 + 99, "extra ids are counted downwards behind 110 pieces");
    Ok(())
}

#[test]
fn a_bpe_model_has_the_ids_of_the_sentencepiece_package() -> Result<()> {
    let model = fs::read(fixtures().join("sentencepiece_bpe.model"))?;
    let tokenizer = tokenizer(&folder("LlamaTokenizer", &[("tokenizer.model", &model)])?)?;
    let rows = fixture_answers("bpe")?;
    check(&tokenizer, &rows, "/ids")?;
    for row in rows {
        let text = row["text"].as_str().context("a row has a text")?;
        let ids = tokenizer.encode_raw(text)?;
        assert_eq!(ids.first().copied(), tokenizer.bos());
        assert_eq!(tokenizer.decode(&ids), text.replace('\u{2581}', " "));
    }
    let symbol = tokenizer.token_id("<|user|>");
    assert_eq!(tokenizer.encode_chat("<|user|>")?, symbol.into_iter().collect::<Vec<_>>());
    Ok(())
}

#[test]
fn an_export_makes_the_tokenizer_that_its_folder_lacks() -> Result<()> {
    let (checkpoint, model) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let gguf = fixtures().join("gguf_tiny_llama.gguf");
    export_hugging_face(&gguf, checkpoint.path(), FloatFormat::F32, &|_| {})?;
    fs::remove_file(checkpoint.path().join("tokenizer.json"))?;
    let config = json!({ "tokenizer_class": "LlamaTokenizer", "chat_template": "{{ messages }}" });
    fs::write(checkpoint.path().join("tokenizer_config.json"), config.to_string())?;
    fs::copy(fixtures().join("sentencepiece_bpe.model"), checkpoint.path().join("tokenizer.model"))?;
    export(checkpoint.path(), model.path(), &ExportConfig::default(), &|_| {})?;
    check(&Tokenizer::open(model.path())?, &fixture_answers("bpe")?, "/ids")?;
    assert!(ChatTemplate::open(model.path())?.is_some(), "the folder's own settings stay");
    Ok(())
}

/// The list has every piece, in another order, and some that the model does not know.
#[test]
fn a_list_of_ids_renumbers_a_models_pieces() -> Result<()> {
    let model = fs::read(fixtures().join("sentencepiece_unigram.model"))?;
    let plain = tokenizer(&folder("T5Tokenizer", &[("spiece.model", &model)])?)?;
    let pieces: Vec<_> = (0..110).map(|id| plain.token(id).expect("110 pieces")).collect();
    let others = ["\u{2581}quickbrown", "\u{2581}The\u{2581}quick", "nd"].map(str::to_owned);
    let others: Vec<_> = others.into_iter().filter(|other| !pieces.contains(other)).collect();
    ensure!(!others.is_empty());
    let listed: Vec<_> = others.iter().chain(pieces.iter().rev()).collect();
    let ids: Map<String, Value> = listed.iter().enumerate().map(|(id, piece)| ((*piece).clone(), id.into())).collect();
    let list = Value::Object(ids).to_string();
    let folder = folder("MarianTokenizer", &[("source.spm", &model), ("vocab.json", list.as_bytes())])?;
    let renumbered = tokenizer(&folder)?;
    for row in fixture_answers("unigram")? {
        let text = row["text"].as_str().context("a row has a text")?;
        let expected: Vec<_> =
            plain.encode_raw(text)?.into_iter().map(|id| (others.len() + 109) as TokenId - id).collect();
        assert_eq!(renumbered.encode_raw(text)?, expected, "{text:?}");
    }
    Ok(())
}

#[test]
fn gpt_2s_own_files_give_the_known_ids() -> Result<()> {
    let Some(data) = shared_data("data/tokenizer_kat") else { return Ok(()) };
    let (ids, merges) = (gunzip(&data.join("gpt2/vocab.json.gz"))?, fs::read(data.join("gpt2/merges.txt"))?);
    let tokenizer = tokenizer(&folder("GPT2Tokenizer", &[("vocab.json", &ids), ("merges.txt", &merges)])?)?;
    let long = check(&tokenizer, &json_lines(&gunzip(&data.join("kat.jsonl.gz"))?)?, "/gpt2")?;
    let short = check(&tokenizer, &json_lines(&fs::read(data.join("llama_cpp_vectors.jsonl"))?)?, "/ids/gpt-2")?;
    println!("GPT-2: {long} and {short} texts");
    Ok(())
}

#[test]
fn berts_own_files_give_the_known_ids() -> Result<()> {
    let Some(data) = shared_data("data/tokenizer_kat") else { return Ok(()) };
    let words = fs::read(data.join("bert_uncased/vocab.txt"))?;
    let tokenizer = tokenizer(&folder("BertTokenizer", &[("vocab.txt", &words)])?)?;
    let long = check(&tokenizer, &json_lines(&gunzip(&data.join("kat.jsonl.gz"))?)?, "/bert_uncased")?;
    let short = check(&tokenizer, &json_lines(&fs::read(data.join("llama_cpp_vectors.jsonl"))?)?, "/ids/bert-bge")?;
    println!("BERT: {long} and {short} texts");
    Ok(())
}

#[test]
fn sentencepieces_own_models_give_the_known_ids() -> Result<()> {
    let Some(data) = shared_data("data/tokenizer_kat") else { return Ok(()) };
    let rows = json_lines(&fs::read(data.join("sp_kat.jsonl"))?)?;
    let long = json_lines(&gunzip(&data.join("kat.jsonl.gz"))?)?;
    for (name, column) in [("test_model", "/sp_unigram"), ("test_ja_model", "/sp_ja_unigram")] {
        let model = fs::read(data.join(format!("sp_unigram/{name}.model")))?;
        let tokenizer = tokenizer(&folder("T5Tokenizer", &[("spiece.model", &model)])?)?;
        let short = check(&tokenizer, rows.iter().filter(|row| row["model"] == name), "/ids")?;
        let long = check(&tokenizer, &long, column)?;
        println!("{name}: {short} and {long} texts");
    }
    Ok(())
}
