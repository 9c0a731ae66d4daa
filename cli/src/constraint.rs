//! What an answer must be: `--json-schema`, `--regex` and `--grammar`, read and compiled for a model's vocabulary.
//!
//! The vocabulary's trie is built for these flags alone, since nothing else reads it.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use veridraft_engine::constraint::{Constraint, Grammar, Guidance, Vocabulary};
use veridraft_models::{ModelFolder, TokenId};

use crate::prompt::read_file;
use crate::usage::UsageError;

/// At most one of them.
#[derive(Debug, Default, Args)]
#[group(multiple = false)]
#[command(next_help_heading = "Constraint (at most one)")]
pub(crate) struct ConstraintArguments {
    /// The answer is JSON that is valid by the JSON schema in a file
    #[arg(long, value_name = "FILE")]
    pub(crate) json_schema: Option<PathBuf>,
    /// The whole answer matches a regular expression, in the syntax of Rust's regex crate
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) regex: Option<String>,
    /// The answer is a text of the context-free grammar in a file, in llguidance's variant of Lark's notation
    #[arg(long, value_name = "FILE")]
    pub(crate) grammar: Option<PathBuf>,
}

/// The text of a constraint, and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    JsonSchema(PathBuf, String),
    Regex(String),
    Lark(PathBuf, String),
}

impl Source {
    /// The kind of grammar and its text, wherever that stands.
    pub(crate) fn text(&self) -> (&'static str, &str) {
        match self {
            Self::JsonSchema(_, text) => ("json-schema", text),
            Self::Lark(_, text) => ("lark", text),
            Self::Regex(text) => ("regex", text),
        }
    }
}

impl ConstraintArguments {
    /// Reads the constraint that is asked for, if any.
    pub(crate) fn read(&self) -> Result<Option<Source>> {
        if let Some(path) = &self.json_schema {
            return Ok(Some(Source::JsonSchema(path.clone(), read_file(path)?)));
        }
        if let Some(path) = &self.grammar {
            return Ok(Some(Source::Lark(path.clone(), read_file(path)?)));
        }
        Ok(self.regex.clone().map(Source::Regex))
    }
}

/// The constraint at the beginning of an answer; `eos_ids` may end it, none to go on without an end.
pub(crate) fn compile(source: &Source, folder: &ModelFolder, eos_ids: &[TokenId]) -> Result<Box<dyn Constraint>> {
    let vocabulary = Vocabulary::of(&folder.tokenizer, eos_ids)
        .with_context(|| format!("`{}` takes no constraints", folder.path.display()))?;
    let guidance = guidance(source, &vocabulary)?;
    guidance.warnings().iter().for_each(|warning| eprintln!("note: {warning}"));
    Ok(Box::new(guidance))
}

fn guidance(source: &Source, vocabulary: &Vocabulary) -> Result<Guidance> {
    match source {
        Source::JsonSchema(path, text) => {
            Grammar::JsonSchema(text).compile(vocabulary).with_context(|| format!("`{}`", path.display()))
        }
        Source::Lark(path, text) => {
            Grammar::Lark(text).compile(vocabulary).with_context(|| format!("`{}`", path.display()))
        }
        Source::Regex(text) => {
            let refuse = |error| UsageError::new(format!("`--regex`: {error}")).into();
            Grammar::Regex(text).compile(vocabulary).map_err(refuse)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        constraint: ConstraintArguments,
    }

    /// One token a byte, and one that ends.
    fn bytes() -> Vocabulary {
        let tokens = (0..=255).map(|byte| vec![byte]).chain([Vec::new()]).collect();
        let cut = |text: &str| text.bytes().map(u32::from).collect();
        Vocabulary::new(tokens, &[256], cut).expect("a vocabulary of bytes serves grammars")
    }

    fn refusal(source: &Source) -> (String, bool) {
        let error = guidance(source, &bytes()).expect_err("it is refused");
        (format!("{error:#}"), error.is::<UsageError>())
    }

    #[test]
    fn one_constraint_at_most_is_taken() {
        let parse = |line: &str| Line::try_parse_from(line.split(' '));
        for pair in ["x --json-schema a --regex b", "x --regex a --grammar b", "x --grammar a --json-schema b"] {
            let error = parse(pair).expect_err(pair);
            assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict, "{pair}");
        }
        assert_eq!(parse("x").expect("no constraint").constraint.read().expect("nothing is read"), None);
        let found = parse("x --regex a+").expect("one constraint").constraint.read().expect("no file is read");
        assert_eq!(found, Some(Source::Regex("a+".to_owned())));
    }

    #[test]
    fn files_are_read_and_what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("schema.json");
        let arguments = ConstraintArguments { json_schema: Some(path.clone()), ..ConstraintArguments::default() };
        let error = arguments.read().expect_err("there is no such file");
        assert!(error.to_string().contains("schema.json"), "{error}");
        std::fs::write(&path, [b'"', 0xff]).expect("written");
        let error = arguments.read().expect_err("it is no text");
        assert!(error.to_string().contains("schema.json` is not UTF-8 at byte 1"), "{error}");
        std::fs::write(&path, "{}").expect("written");
        assert_eq!(arguments.read().expect("a file"), Some(Source::JsonSchema(path, "{}".to_owned())));
    }

    #[test]
    fn refusals_are_one_line_and_name_the_file_or_the_flag() {
        let check = |source: Source, expected: &str, is_usage: bool| {
            let (message, found) = refusal(&source);
            assert!(message.starts_with(expected), "{message}");
            assert!(!message.contains('\n'), "{message}");
            assert_eq!(found, is_usage, "{message}");
        };
        check(Source::JsonSchema("a.json".into(), "{".to_owned()), "`a.json`: JSON schema: ", false);
        check(Source::Lark("b.lark".into(), "start: missing".to_owned()), "`b.lark`: grammar: ", false);
        check(Source::Regex("a(".to_owned()), "`--regex`: regular expression: ", true);
    }

    #[test]
    fn each_source_holds_the_text_to_its_own_notation() {
        let check = |source: Source, text: &str, expected: usize| {
            let mut guidance = guidance(&source, &bytes()).expect("it compiles");
            let tokens: Vec<_> = text.bytes().map(u32::from).collect();
            assert_eq!(guidance.accepts(&tokens), expected, "{source:?}");
        };
        check(Source::JsonSchema("a".into(), r#"{"type": "integer"}"#.to_owned()), "12x", 2);
        check(Source::Regex("[ab]{3}".to_owned()), "abcab", 2);
        check(Source::Lark("a".into(), r#"start: "(" start ")" | "x""#.to_owned()), "((x)))", 5);
    }
}
