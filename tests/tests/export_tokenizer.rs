//! Tokenizers rebuilt from GGUF files give the ids that the models' own tokenizers give.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use veridraft_export::checkpoint::Checkpoint;
use veridraft_models::{TokenId, Tokenizer};
use veridraft_tests::shared_data;

// The exporter's unit tests have the writer; it is small, and no part of what the crate offers.
#[path = "../../export/src/checkpoint/gguf/writer.rs"]
#[allow(dead_code)]
mod gguf_writer;
use gguf_writer::GgufWriter;

/// The tokenizer of a GGUF file, by way of the files that an export writes.
fn tokenizer(gguf: &Path) -> Result<Tokenizer> {
    let folder = tempfile::tempdir()?;
    for (name, text) in Checkpoint::open(gguf)?.companion_files()? {
        fs::write(folder.path().join(name), text)?;
    }
    Ok(Tokenizer::open(folder.path())?)
}

fn gunzip(path: &Path) -> Result<String> {
    let output = Command::new("gzip").arg("-dc").arg(path).output().context("cannot run `gzip`")?;
    ensure!(output.status.success(), "`gzip -dc {}` failed", path.display());
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn the_default_model_has_the_prompt_ids_of_its_own_tokenizer() -> Result<()> {
    #[derive(Deserialize)]
    struct Row {
        text: String,
        prompt_ids: Vec<TokenId>,
    }
    let Some(rows) = shared_data("reference/smollm2-135m/chat/greedy.jsonl") else { return Ok(()) };
    let Some(gguf) = std::env::var_os("VERIDRAFT_TEST_GGUF").map(PathBuf::from) else {
        println!("skipped: `VERIDRAFT_TEST_GGUF` does not name the default model's GGUF file");
        return Ok(());
    };
    let tokenizer = tokenizer(&gguf)?;
    for line in fs::read_to_string(rows)?.lines() {
        let row: Row = serde_json::from_str(line)?;
        assert_eq!(tokenizer.encode_raw(&row.text)?, row.prompt_ids, "{}", row.text);
    }
    Ok(())
}

#[test]
fn gpt_2_from_its_vocabulary_and_merges_has_the_known_ids() -> Result<()> {
    let Some(data) = shared_data("data/tokenizer_kat") else { return Ok(()) };
    let vocabulary: BTreeMap<String, usize> = serde_json::from_str(&gunzip(&data.join("gpt2/vocab.json.gz"))?)?;
    let mut tokens = vec![""; vocabulary.len()];
    for (token, &id) in &vocabulary {
        tokens[id] = token;
    }
    let mut kinds = vec![1; tokens.len()];
    kinds[vocabulary["<|endoftext|>"]] = 3;
    let merges = fs::read_to_string(data.join("gpt2/merges.txt"))?;
    let merges: Vec<&str> = merges.lines().filter(|line| !line.starts_with("#version")).collect();
    let gguf = tempfile::NamedTempFile::new()?;
    let writer = GgufWriter::tiny_llama()
        .text("tokenizer.ggml.pre", "gpt-2")
        .texts("tokenizer.ggml.tokens", &tokens)
        .integers("tokenizer.ggml.token_type", &kinds)
        .texts("tokenizer.ggml.merges", &merges)
        .halves("token_embd.weight", &[tokens.len() as u64, 32]);
    fs::write(gguf.path(), writer.bytes())?;
    let tokenizer = tokenizer(gguf.path())?;
    let check = |text: &Value, ids: &Value| -> Result<()> {
        let text = text.as_str().context("a text")?;
        let expected: Vec<TokenId> = serde_json::from_value(ids.clone())?;
        assert_eq!(tokenizer.encode_raw(text)?, expected, "{text:?}");
        Ok(())
    };
    for line in gunzip(&data.join("kat.jsonl.gz"))?.lines() {
        let row: Value = serde_json::from_str(line)?;
        check(&row["text"], &row["gpt2"])?;
    }
    for line in fs::read_to_string(data.join("llama_cpp_vectors.jsonl"))?.lines() {
        let row: Value = serde_json::from_str(line)?;
        check(&row["text"], &row["ids"]["gpt-2"])?;
    }
    Ok(())
}

/// The fixtures' vocabulary was trained, and their texts encoded, by the `sentencepiece` Python package.
#[test]
fn a_sentence_piece_vocabulary_has_the_ids_of_the_sentencepiece_package() -> Result<()> {
    #[derive(Deserialize)]
    struct Row {
        text: String,
        ids: Vec<TokenId>,
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let tokenizer = tokenizer(&fixtures.join("gguf_tiny_llama.gguf"))?;
    let rows: Vec<Row> = serde_json::from_slice(&fs::read(fixtures.join("gguf_tiny_llama.json"))?)?;
    for row in rows {
        assert_eq!(tokenizer.encode_raw(&row.text)?, row.ids, "{:?}", row.text);
        // The mark that stands for a space cannot be told from a space afterwards.
        assert_eq!(tokenizer.decode(&row.ids), row.text.replace('\u{2581}', " "));
    }
    Ok(())
}
