//! Tokenizers of GGUF files against the known answers that lie beside them.
//!
//! llama.cpp keeps vocabularies of many models as `NAME.gguf`, texts as `NAME.gguf.inp` and ids as `NAME.gguf.out`; they
//! are too large to stand here. `VERIDRAFT_TEST_VOCABULARIES` names a folder of such files (llama.cpp's `models/`, which
//! the source package `llama-cpp-python` contains as well).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use veridraft_export::tokenizer_files;
use veridraft_models::{TokenId, Tokenizer};

/// Stands between texts.
const SEPARATOR: &str = "\n__ggml_vocab_test__\n";

fn tokenizer(gguf: &Path) -> Result<Tokenizer> {
    let target = tempfile::tempdir()?;
    for (name, text) in tokenizer_files(gguf)? {
        fs::write(target.path().join(name), text)?;
    }
    Ok(Tokenizer::open(target.path())?)
}

/// Vocabularies whose models bring texts into Unicode's composed form. llama.cpp does not and has its own answers for them.
const COMPOSING: [&str; 1] = ["ggml-vocab-qwen35.gguf"];

/// Whether a text has a combining mark, which the composed form may put into the letter before.
fn has_marks(text: &str) -> bool {
    text.contains(|character| ('\u{300}'..='\u{36f}').contains(&character))
}

/// A path with more behind its name.
fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    name.into()
}

/// Checks the texts of a vocabulary and returns how many they were, and of how many.
fn check(gguf: &Path) -> Result<(usize, usize)> {
    let texts = fs::read_to_string(beside(gguf, ".inp"))?;
    let answers = fs::read_to_string(beside(gguf, ".out"))?;
    // In most files, the separator also ends the last text.
    let texts: Vec<_> = texts.strip_suffix(SEPARATOR).unwrap_or(&texts).split(SEPARATOR).collect();
    let answers: Vec<_> = answers.lines().collect();
    ensure!(texts.len() == answers.len(), "{} texts and {} answers", texts.len(), answers.len());
    let tokenizer = tokenizer(gguf)?;
    let composes = COMPOSING.iter().any(|name| gguf.ends_with(name));
    let mut checked = 0;
    for (text, answer) in texts.iter().zip(&answers).filter(|(text, _)| !(composes && has_marks(text))) {
        let expected: Vec<TokenId> = answer.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        ensure!(tokenizer.encode_chat(text)? == expected, "{text:?} has not the ids {expected:?}");
        checked += 1;
    }
    Ok((checked, answers.len()))
}

#[test]
fn every_vocabulary_with_known_answers_passes_them() -> Result<()> {
    let Some(folder) = std::env::var_os("VERIDRAFT_TEST_VOCABULARIES").map(PathBuf::from) else {
        println!("skipped: `VERIDRAFT_TEST_VOCABULARIES` does not name a folder of vocabularies");
        return Ok(());
    };
    let mut failed = Vec::new();
    let mut passed = 0;
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let is_vocabulary = path.extension().is_some_and(|extension| extension == "gguf");
        if !is_vocabulary || !beside(&path, ".inp").exists() {
            continue;
        }
        match check(&path) {
            Ok((checked, all)) => println!("{}: {checked} of {all} texts", path.display()),
            Err(error) => failed.push(format!("{}: {error:#}", path.display())),
        }
        passed += 1;
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    ensure!(passed > 0, "`{}` has no vocabulary with known answers", folder.display());
    Ok(())
}
