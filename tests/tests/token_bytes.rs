//! The bytes of tokens, on the tokenizers that other tools write: they make up the text, or there are none.
//!
//! The folders lie in `shared/` beside the repository; without them the test says that it is skipped.

use anyhow::{Context, Result};
use veridraft_engine::constraint::{Constraint, Grammar, Vocabulary};
use veridraft_models::Tokenizer;
use veridraft_tests::shared_data;

const TEXTS: [&str; 4] = ["the cat sat on the mat", " {\"name\": [1, 20]}\n", "naïve 猫", ""];

#[test]
fn the_bytes_of_a_texts_tokens_are_the_text() -> Result<()> {
    let Some(folder) = shared_data("foreign") else { return Ok(()) };
    let mut read = 0;
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if !path.join("tokenizer.json").is_file() {
            continue;
        }
        let tokenizer = Tokenizer::open(&path)?;
        let name = path.file_name().and_then(|name| name.to_str()).context("a folder has a name")?;
        if name.starts_with("tiny-bert") {
            let error = Vocabulary::of(&tokenizer, &[]).unwrap_err().to_string();
            assert!(error.ends_with("its decoder puts spaces between words"), "{name}: {error}");
            continue;
        }
        let bytes = tokenizer.token_bytes()?;
        for text in TEXTS {
            let ids = tokenizer.encode_continuation(text)?;
            let found: Vec<u8> = ids.iter().flat_map(|&id| bytes[id as usize].clone()).collect();
            // Where the vocabulary lacks a character, the decoder's own text lacks it too.
            let lacking = tokenizer.decode(&ids).trim_start() != text.trim_start();
            assert!(found == text.as_bytes() || lacking, "{name}: {text:?} became {found:?}");
        }
        check_forced(name, &tokenizer)?;
        read += 1;
    }
    assert!(read > 0);
    Ok(())
}

/// What a grammar forces is what the tokenizer makes of the text.
fn check_forced(name: &str, tokenizer: &Tokenizer) -> Result<()> {
    let text = "the cat sat on the mat";
    let mut constraint = Grammar::Regex(text).compile(&Vocabulary::of(tokenizer, &[])?)?;
    assert_eq!(constraint.forced(usize::MAX), tokenizer.encode_continuation(text)?, "{name}");
    Ok(())
}
