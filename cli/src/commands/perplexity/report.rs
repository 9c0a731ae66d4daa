//! What `veridraft perplexity` reports.

use serde::Serialize;
use veridraft_engine::evaluation::{ComparisonSummary, Recipe, Score, TextSize};
use veridraft_models::TokenId;

use super::sets::TextSet;
use super::{PerplexityArguments, RecipeName};

/// The object of `--json`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PerplexityReport {
    #[serde(flatten)]
    pub(super) subject: Subject,
    #[serde(flatten)]
    pub(super) recipe: RecipeReport,
    /// Of all files together.
    #[serde(flatten)]
    pub(super) total: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comparison: Option<ComparisonReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) worst: Option<Vec<WorstToken>>,
    pub(super) files: Vec<FileReport>,
}

/// What ran.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Subject {
    pub(super) model: String,
    /// The format of the weights; `ngram` for an n-gram file.
    pub(super) weights: String,
    /// The SIMD path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    /// Tokens of the longest n-grams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) order: Option<usize>,
}

/// The recipe and its parameters; an n-gram model has no windows.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct RecipeReport {
    pub(super) recipe: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) window: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stride: Option<usize>,
    /// The token in place of the first of each chunk; `null` where the tokenizer adds none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bos_token: Option<Option<TokenId>>,
    /// The token before the first of each text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prefix_token: Option<TokenId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<usize>,
}

/// The figures of some texts.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    pub(super) perplexity: f64,
    pub(super) standard_error: Option<f64>,
    pub(super) nll_sum: f64,
    /// Tokens scored.
    pub(super) token_count: usize,
    /// Tokens of the texts.
    pub(super) tokens: usize,
    pub(super) documents: usize,
    #[serde(flatten)]
    pub(super) by_size: Option<BySize>,
}

/// What `lm-eval` adds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct BySize {
    pub(super) words: usize,
    pub(super) bytes: usize,
    pub(super) word_perplexity: f64,
    pub(super) byte_perplexity: f64,
    pub(super) bits_per_byte: f64,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct FileReport {
    pub(super) file: String,
    #[serde(flatten)]
    pub(super) figures: Figures,
}

/// How alike the second model is.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ComparisonReport {
    pub(super) model: String,
    pub(super) weights: String,
    pub(super) perplexity: f64,
    pub(super) nll_sum: f64,
    /// Of the second model from the first, in nats.
    pub(super) kl_divergence: Divergence,
    /// The share of predictions with the same likeliest token.
    pub(super) top1_agreement: f64,
    /// The mean of Σ min(p, q).
    pub(super) acceptance: f64,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Divergence {
    pub(super) mean: f64,
    pub(super) median: f64,
    pub(super) p99: f64,
}

/// A token that was hardly expected.
#[derive(Clone, Debug, Serialize)]
pub(super) struct WorstToken {
    pub(super) file: String,
    /// The text of the file, from 0.
    pub(super) document: usize,
    /// The token of the text, from 0.
    pub(super) position: usize,
    /// The last tokens before it.
    pub(super) context: String,
    pub(super) token: TokenId,
    pub(super) text: String,
    pub(super) logprob: f64,
    /// The likeliest token there.
    pub(super) best: TokenId,
    pub(super) best_text: String,
    pub(super) best_logprob: f64,
}

impl PerplexityReport {
    /// `scores`: one for each set.
    pub(super) fn new(subject: Subject, recipe: RecipeReport, sets: &[TextSet], scores: &[Score]) -> Self {
        let by_size = recipe.recipe == RecipeName::LmEval.name();
        let (mut score, mut size) = (Score::default(), TextSize::default());
        let mut files = Vec::new();
        for (set, own) in sets.iter().zip(scores) {
            score.merge(own);
            size.merge(&set.size);
            let own_size = by_size.then_some(&set.size);
            let figures = Figures::new(own, set.tokens(), set.texts.len(), own_size);
            files.push(FileReport { file: set.file.clone(), figures });
        }
        let tokens = sets.iter().map(TextSet::tokens).sum();
        let documents = sets.iter().map(|set| set.texts.len()).sum();
        let total = Figures::new(&score, tokens, documents, by_size.then_some(&size));
        Self { subject, recipe, total, comparison: None, worst: None, files }
    }
}

impl RecipeReport {
    /// `recipe`: what a model's windows are; `None` for an n-gram model.
    pub(super) fn new(arguments: &PerplexityArguments, recipe: Option<&Recipe>) -> Self {
        let of_all = Self {
            recipe: arguments.recipe.name(),
            max_tokens: arguments.max_tokens.map(usize::from),
            limit: arguments.limit.map(usize::from),
            window: recipe.map(Recipe::window),
            ..Self::default()
        };
        match recipe {
            None => of_all,
            Some(Recipe::HuggingFace { stride, .. }) => Self { stride: Some(*stride), ..of_all },
            Some(Recipe::LlamaCpp { bos, .. }) => Self { bos_token: Some(*bos), ..of_all },
            Some(Recipe::LmEval { prefix, .. }) => Self { prefix_token: Some(*prefix), ..of_all },
        }
    }
}

impl Figures {
    fn new(score: &Score, tokens: usize, documents: usize, size: Option<&TextSize>) -> Self {
        let nll_sum = score.nll_sum;
        Self {
            perplexity: score.perplexity(),
            standard_error: score.standard_error(),
            nll_sum,
            token_count: score.token_count,
            tokens,
            documents,
            by_size: size.map(|size| BySize {
                words: size.words,
                bytes: size.bytes,
                word_perplexity: size.word_perplexity(nll_sum),
                byte_perplexity: size.byte_perplexity(nll_sum),
                bits_per_byte: size.bits_per_byte(nll_sum),
            }),
        }
    }
}

impl ComparisonReport {
    pub(super) fn new(model: &str, weights: &str, score: &Score, summary: &ComparisonSummary) -> Self {
        Self {
            model: model.to_owned(),
            weights: weights.to_owned(),
            perplexity: score.perplexity(),
            nll_sum: score.nll_sum,
            kl_divergence: Divergence {
                mean: summary.mean_divergence,
                median: summary.median_divergence,
                p99: summary.divergence_99,
            },
            top1_agreement: summary.same_best,
            acceptance: summary.acceptance,
        }
    }
}
