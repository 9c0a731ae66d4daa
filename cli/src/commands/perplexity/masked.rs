//! Pseudo-perplexity: `--recipe pll` and `pll-word`, for masked models.

use anyhow::{Result, bail};
use veridraft_engine::evaluation::Masking;
use veridraft_models::{KvType, MaskedLanguageModel};

use super::measure::measure_masked;
use super::report::{PerplexityReport, RecipeReport, Subject};
use super::sets::{encode_words, read};
use super::{PerplexityArguments, RecipeName};
use crate::open_model::{MaskedFolder, MaskedModelArguments, simd};
use crate::usage::UsageError;

impl RecipeName {
    /// What a recipe for masked models masks; `None` for those of models that go from left to right.
    pub(super) fn masking(self) -> Option<Masking> {
        match self {
            Self::Pll => Some(Masking::Token),
            Self::PllWord => Some(Masking::WordLeftToRight),
            Self::Hf | Self::LlamaCpp | Self::LmEval => None,
        }
    }
}

/// Refuses flags that mean nothing for a masked model.
pub(super) fn check_choice(arguments: &PerplexityArguments) -> Result<()> {
    let PerplexityArguments { window, stride, max_tokens, compare, tokenizer, model, .. } = arguments;
    let refusals = [
        ("--window", window.is_some()),
        ("--stride", stride.is_some()),
        ("--max-tokens", max_tokens.is_some()),
        ("--compare", compare.is_some()),
        ("--tokenizer", tokenizer.is_some()),
        ("--kv-memory", model.kv_memory.is_some()),
        ("--kv", model.kv != KvType::F32),
        ("--rows-in-pairs", model.rows_in_pairs),
    ];
    let name = arguments.recipe.name();
    if let Some((flag, _)) = refusals.into_iter().find(|(_, is_given)| *is_given) {
        bail!(UsageError::new(format!("`{flag}` is for models that go from left to right, but the recipe is {name}")));
    }
    if model.model.is_none() {
        bail!(UsageError::new(format!(
            "recipe {name} is for masked models, and the default is none; name one by `-m`"
        )));
    }
    Ok(())
}

/// Scores the files with the masked model that the arguments name.
pub(super) fn of_masked(arguments: &PerplexityArguments, masking: Masking) -> Result<PerplexityReport> {
    let sources = read(arguments)?;
    let given = &arguments.model;
    let wanted = MaskedModelArguments {
        model: given.model.clone().expect("`check_choice` has seen it"),
        weights: given.weights,
        variant: given.variant.clone(),
        threads: given.threads,
        ort_lib: given.ort_lib.clone(),
    };
    let masked = MaskedFolder::find(&wanted)?;
    let mut model = masked.open(&wanted)?;
    let limits = model.limits();
    let (sets, words) = encode_words(sources, &masked.folder.tokenizer, limits.vocabulary)?;
    let top = arguments.top.map_or(0, usize::from);
    let measured = measure_masked(&mut model, &words, (masking, masked.mask), top)?;
    let subject = Subject {
        model: masked.name,
        weights: model.weights().to_owned(),
        path: Some(simd()?.to_string()),
        order: None,
    };
    let described = RecipeReport { window: Some(limits.context_length), ..RecipeReport::new(arguments, None) };
    let report = PerplexityReport::new(subject, described, &sets, &measured.sets);
    let worst = arguments.top.map(|_| measured.worst_tokens(&sets, &masked.folder.tokenizer));
    Ok(PerplexityReport { worst, ..report })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    #[test]
    fn what_means_nothing_for_a_masked_model_is_refused() {
        let check = |flags: &str, expected: &str| {
            let line = format!("veridraft perplexity a.txt {flags}");
            let arguments =
                Arguments::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{error}"));
            let Command::Perplexity(arguments) = arguments.command else { unreachable!("the line names the command") };
            let found = check_choice(&arguments).map_or_else(|error| error.to_string(), |()| String::new());
            assert_eq!(found, expected, "{flags}");
        };
        check("--recipe pll -m bert --top 3 --limit 9 --weights q4 --threads 1", "");
        let refused = [
            "--window 8",
            "--stride 8",
            "--max-tokens 8",
            "--compare b",
            "--tokenizer b",
            "--kv-memory 1G",
            "--kv q8",
            "--rows-in-pairs",
        ];
        for flag in refused {
            let name = flag.split(' ').next().expect("a flag");
            let expected = format!("`{name}` is for models that go from left to right, but the recipe is pll-word");
            check(&format!("--recipe pll-word -m bert {flag}"), &expected);
        }
        check("--recipe pll", "recipe pll is for masked models, and the default is none; name one by `-m`");
    }
}
