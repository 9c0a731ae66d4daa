//! From flags to a recipe: defaults, and what does not go together.

use anyhow::{Result, bail};
use indicatif::HumanBytes;
use veridraft_engine::InvalidSetting;
use veridraft_engine::evaluation::Recipe;
use veridraft_export::Weights;
use veridraft_models::{KvType, LanguageModel, Tokenizer};

use super::sets::TextSet;
use super::{PerplexityArguments, RecipeName, masked};
use crate::arguments::ModelArguments;
use crate::usage::UsageError;

/// Tokens of a window of `hf`, where the context has as many and nobody says otherwise.
const HF_WINDOW: usize = 2048;
/// Tokens of a chunk of `llama.cpp`: its own default.
const LLAMA_CPP_WINDOW: usize = 512;

/// Refuses, before anything is read, flags that mean nothing beside others.
pub(super) fn check_choice(arguments: &PerplexityArguments, is_ngram: bool) -> Result<()> {
    let PerplexityArguments { recipe, window, stride, max_tokens, compare, tokenizer, model, .. } = arguments;
    if recipe.masking().is_some() && !is_ngram {
        return masked::check_choice(arguments);
    }
    let name = recipe.name();
    let refusals = [
        (
            *recipe != RecipeName::Hf && stride.is_some(),
            format!("`--stride` is for `--recipe hf`, but the recipe is {name}"),
        ),
        (
            *recipe == RecipeName::LmEval && max_tokens.is_some(),
            "`--max-tokens` cuts texts, but `--recipe lm-eval` counts words and bytes of whole ones; use `--limit`"
                .to_owned(),
        ),
        (!is_ngram && tokenizer.is_some(), "`--tokenizer` is for n-gram files, but `-m` names none".to_owned()),
        (
            is_ngram && *recipe == RecipeName::LlamaCpp,
            "`--recipe llama.cpp` cuts chunks, but an n-gram model reads a text as one; use hf or lm-eval".to_owned(),
        ),
        (
            is_ngram && (window.is_some() || stride.is_some()),
            "an n-gram model reads a text as one, without `--window` and `--stride`".to_owned(),
        ),
        (
            is_ngram && recipe.masking().is_some(),
            format!("`--recipe {name}` is for masked models, but `-m` is an n-gram file; use hf or lm-eval"),
        ),
        (is_ngram && compare.is_some(), "`--compare` is for two ONNX models, but `-m` is an n-gram file".to_owned()),
        (
            is_ngram && model.weights != Weights::Auto,
            format!("an n-gram file has no weights, so `--weights {}` cannot be", model.weights),
        ),
        (
            is_ngram && has_session_flags(model),
            "an n-gram file runs in no session, without `--variant`, `--threads`, `--kv-memory`, `--kv`, \
             `--rows-in-pairs` and `--ort-lib`"
                .to_owned(),
        ),
    ];
    match refusals.into_iter().find(|(is_wrong, _)| *is_wrong) {
        Some((_, message)) => Err(UsageError::new(message).into()),
        None => Ok(()),
    }
}

fn has_session_flags(model: &ModelArguments) -> bool {
    model.variant.is_some()
        || model.threads.is_some()
        || model.kv_memory.is_some()
        || model.kv != KvType::F32
        || model.rows_in_pairs
        || model.ort_lib.is_some()
}

/// The recipe that the flags name for a model.
pub(super) fn recipe(arguments: &PerplexityArguments, tokenizer: &Tokenizer, context_length: usize) -> Result<Recipe> {
    let given = arguments.window.map(usize::from);
    let recipe = match arguments.recipe {
        RecipeName::Hf => {
            let window = given.unwrap_or(context_length.min(HF_WINDOW));
            let stride = arguments.stride.map_or((window / 2).max(1), usize::from);
            Recipe::HuggingFace { window, stride }
        }
        RecipeName::LlamaCpp => {
            let window = given.unwrap_or(context_length.min(LLAMA_CPP_WINDOW));
            // The tokenizer adds BOS if it adds it to nothing.
            let bos = tokenizer.bos();
            let first = tokenizer.encode_raw("")?.first().copied();
            Recipe::LlamaCpp { window, bos: bos.filter(|_| first == bos) }
        }
        RecipeName::LmEval => {
            let Some(prefix) = tokenizer.bos().or(tokenizer.eos()) else {
                bail!("the tokenizer has neither a BOS nor an EOS token, of which `--recipe lm-eval` needs one");
            };
            Recipe::LmEval { window: given.unwrap_or(context_length), prefix }
        }
        RecipeName::Pll | RecipeName::PllWord => unreachable!("masked models have no windows"),
    };
    recipe.check().map_err(|InvalidSetting { field, found, expected }| {
        UsageError::new(format!("`--{field}` is {found}, expected {}", expected.replace("`window`", "`--window`")))
    })?;
    let found = recipe.window();
    if found > context_length {
        let message = format!("`--window` is {found}, but the model's context holds {context_length} tokens");
        bail!(UsageError::new(message));
    }
    Ok(recipe)
}

/// Refuses windows that the KV cache cannot hold, before any is computed.
pub(super) fn check_room(recipe: &Recipe, sets: &[TextSet], name: &str, model: &dyn LanguageModel) -> Result<()> {
    let longest = sets.iter().flat_map(|set| &set.texts).map(Vec::len).max().unwrap_or(0).min(recipe.window());
    let cache = model.cache_spec();
    let needed = longest.div_ceil(cache.block_tokens);
    if needed > cache.blocks {
        let bytes = |blocks: usize| HumanBytes((blocks * cache.block_bytes) as u64);
        let message = format!(
            "a window of {longest} tokens needs {} of keys and values for `{name}`, but there are {}; allow more by \
             `--kv-memory`, or take a smaller `--window`",
            bytes(needed),
            bytes(cache.blocks)
        );
        bail!(UsageError::new(message));
    }
    Ok(())
}

impl RecipeName {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hf => "hf",
            Self::LlamaCpp => "llama.cpp",
            Self::LmEval => "lm-eval",
            Self::Pll => "pll",
            Self::PllWord => "pll-word",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn parse(flags: &str) -> PerplexityArguments {
        let line = format!("veridraft perplexity a.txt {flags}");
        match Arguments::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{error}")).command {
            Command::Perplexity(arguments) => arguments,
            _ => unreachable!("the line names the command"),
        }
    }

    #[test]
    fn what_means_nothing_beside_other_flags_is_refused() {
        let check = |flags: &str, is_ngram: bool, start: &str| {
            let found =
                check_choice(&parse(flags), is_ngram).map_or_else(|error| error.to_string(), |()| String::new());
            assert!(found.starts_with(start) && found.is_empty() == start.is_empty(), "{flags}: {found}");
        };
        check("--stride 4 --window 8 --max-tokens 9 --compare b:q4", false, "");
        check("--recipe llama.cpp --window 8 --max-tokens 9", false, "");
        check("--recipe llama.cpp --stride 4", false, "`--stride` is for `--recipe hf`, but the recipe is llama.cpp");
        check("--recipe lm-eval --max-tokens 4", false, "`--max-tokens` cuts texts");
        check("--tokenizer b", false, "`--tokenizer` is for n-gram files");
        check("--tokenizer b --recipe lm-eval", true, "");
        check("--recipe llama.cpp", true, "`--recipe llama.cpp` cuts chunks");
        check("--recipe pll -m bert", false, "");
        check("--recipe pll --window 8", false, "`--window` is for models that go from left to right");
        check("--recipe pll-word", true, "`--recipe pll-word` is for masked models, but `-m` is an n-gram file");
        check("--window 8", true, "an n-gram model reads a text as one");
        check("--compare b", true, "`--compare` is for two ONNX models");
        check("--weights q4", true, "an n-gram file has no weights, so `--weights q4` cannot be");
        for flag in ["--variant q4", "--threads 1", "--kv-memory 1G", "--kv q8", "--rows-in-pairs", "--ort-lib a"] {
            let expected = "an n-gram file runs in no session, without `--variant`, `--threads`, `--kv-memory`, `--kv`, \
                            `--rows-in-pairs` and `--ort-lib`";
            check(flag, true, expected);
        }
    }

    /// A tokenizer of three tokens, with what `tokenizer_config.json` says.
    fn tokenizer(config: &str) -> Tokenizer {
        let json = r#"{"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
            "post_processor": null, "decoder": null, "truncation": null, "padding": null,
            "model": {"type": "WordLevel", "vocab": {"<s>": 0, "</s>": 1, "a": 2}, "unk_token": "a"}}"#;
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in [("tokenizer.json", json), ("tokenizer_config.json", config)] {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        Tokenizer::open(folder.path()).expect("a tokenizer")
    }

    #[test]
    fn defaults_come_from_the_context_and_the_tokenizer() {
        let both = tokenizer(r#"{"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true}"#);
        let none_added = tokenizer(r#"{"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": false}"#);
        let end_alone = tokenizer(r#"{"eos_token": "</s>"}"#);
        let check = |flags: &str, tokenizer: &Tokenizer, context: usize, expected: Recipe| {
            assert_eq!(recipe(&parse(flags), tokenizer, context).expect(flags), expected, "{flags}");
        };
        check("", &both, 8192, Recipe::HuggingFace { window: 2048, stride: 1024 });
        check("", &both, 100, Recipe::HuggingFace { window: 100, stride: 50 });
        check("--window 512", &both, 8192, Recipe::HuggingFace { window: 512, stride: 256 });
        check("--stride 100", &both, 8192, Recipe::HuggingFace { window: 2048, stride: 100 });
        check("--recipe llama.cpp", &both, 8192, Recipe::LlamaCpp { window: 512, bos: Some(0) });
        check("--recipe llama.cpp --window 64", &none_added, 8192, Recipe::LlamaCpp { window: 64, bos: None });
        check("--recipe llama.cpp", &end_alone, 256, Recipe::LlamaCpp { window: 256, bos: None });
        check("--recipe lm-eval", &none_added, 8192, Recipe::LmEval { window: 8192, prefix: 0 });
        check("--recipe lm-eval --window 64", &end_alone, 8192, Recipe::LmEval { window: 64, prefix: 1 });
    }

    #[test]
    fn a_window_that_cannot_be_names_its_flag() {
        let tokenizer = tokenizer("{}");
        let check = |flags: &str, expected: &str| {
            let error = recipe(&parse(flags), &tokenizer, 100).expect_err(flags);
            assert_eq!(error.to_string(), expected, "{flags}");
        };
        check("--window 101", "`--window` is 101, but the model's context holds 100 tokens");
        check("--window 1", "`--window` is 1, expected 2 or more");
        check("--window 8 --stride 9", "`--stride` is 9, expected 1 to `--window`");
        check("--recipe llama.cpp --window 2", "`--window` is 2, expected 3 or more");
        check(
            "--recipe lm-eval",
            "the tokenizer has neither a BOS nor an EOS token, of which `--recipe lm-eval` needs one",
        );
    }
}
