//! Perplexity by each recipe: against windows computed alone, against the functions of lm-evaluation-harness, and with the
//! default model against reference figures.

use std::fs;
use std::io::Read;

use anyhow::{Result, ensure};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Deserialize;
use veridraft_engine::evaluation::{Recipe, Score, Softmax, TextPlace, TextSize, force_texts};
use veridraft_engine::{Error, TokenLogprobs};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{CausalModel, CausalModelConfig, LanguageModel, ModelFolder, TokenId, cache};
use veridraft_tests::{ScriptedModel, shared_data};

const VOCABULARY: TokenId = 12;

/// Two models that look at the whole window, so that a token too many or too few before a place changes its logits.
fn models() -> [ScriptedModel; 2] {
    let model = |max_rows| {
        let mut model = ScriptedModel::new(4, 64);
        (model.memory, model.max_rows) = (usize::MAX, max_rows);
        model
    };
    let [one, mut other] = [24, 64].map(model);
    // The second turns what the first would say around, and so looks at as much.
    let scores = model(1);
    other.logits = Some(Box::new(move |seen| scores.scores(seen).into_iter().rev().collect()));
    [one, other]
}

/// Predictions in the order of their places: the place and the token's log-probability by both models.
type Predictions = Vec<((usize, usize, TokenId), [f64; 2])>;

fn found(recipe: &Recipe, texts: &[Vec<TokenId>]) -> Result<Predictions, Error> {
    let [mut one, mut other] = models();
    let mut found = Vec::new();
    force_texts(&mut [&mut one, &mut other], recipe, texts, |places, pass| {
        for (index, &TextPlace { text, position, token }) in places.iter().enumerate() {
            let logprobs = [0, 1].map(|model| Softmax::of(pass.logits(index, model)).logprob(token));
            found.push(((text, position, token), logprobs));
        }
        Ok::<(), Error>(())
    })?;
    found.sort_by_key(|(place, _)| *place);
    Ok(found)
}

/// Computes `window` by itself; `text_start` is where its first token stands in the text.
fn alone(text: usize, window: &[TokenId], scored: std::ops::Range<usize>, text_start: isize) -> Predictions {
    let models = models();
    let predict = |position: usize| {
        let token = window[position];
        let by = |model: &ScriptedModel| TokenLogprobs::new(&model.scores(&window[..position]), token, 0).logprob;
        let place = (text, text_start.wrapping_add_unsigned(position) as usize, token);
        (place, [by(&models[0]), by(&models[1])])
    };
    scored.map(predict).collect()
}

fn check(recipe: &Recipe, texts: &[Vec<TokenId>], expected: &Predictions) -> Result<(), TestCaseError> {
    let found = found(recipe, texts).expect("it fits");
    let places = |predictions: &Predictions| predictions.iter().map(|(place, _)| *place).collect::<Vec<_>>();
    prop_assert_eq!(places(&found), places(expected));
    for ((place, found), (_, expected)) in found.iter().zip(expected) {
        for (found, expected) in found.iter().zip(expected) {
            prop_assert!((found - expected).abs() < 1e-6, "{place:?}: {found}, expected {expected}");
        }
    }
    Ok(())
}

fn texts() -> impl Strategy<Value = Vec<Vec<TokenId>>> {
    vec(vec(0..VOCABULARY, 0..70), 0..5)
}

proptest! {
    #[test]
    fn the_hf_recipe_is_the_loop_over_windows_computed_alone(texts in texts(), window in 2..30_usize, share in 0.0..1.0) {
        let stride = 1 + (share * window as f64) as usize;
        let mut expected = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let (mut begin, mut previous) = (0, 0);
            while begin < text.len() && previous < text.len() {
                let end = (begin + window).min(text.len());
                let new = (previous - begin).max(1);
                expected.extend(alone(index, &text[begin..end], new.min(end - begin)..end - begin, begin as isize));
                (previous, begin) = (end, begin + stride);
            }
        }
        check(&Recipe::HuggingFace { window, stride }, &texts, &expected)?;
    }

    #[test]
    fn the_llama_cpp_recipe_is_the_loop_over_chunks_computed_alone(
        texts in texts(), window in 3..30_usize, has_bos in any::<bool>(),
    ) {
        let bos = has_bos.then_some(VOCABULARY - 1);
        let mut expected = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            for (number, chunk) in text.chunks_exact(window).enumerate() {
                let mut chunk = chunk.to_vec();
                chunk[0] = bos.unwrap_or(chunk[0]);
                expected.extend(alone(index, &chunk, window / 2 + 1..window, (number * window) as isize));
            }
        }
        check(&Recipe::LlamaCpp { window, bos }, &texts, &expected)?;
    }
}

/// What the harness makes of texts whose tokens are their positions; `make_rolling_windows.py` writes it.
#[derive(Deserialize)]
struct Harness {
    prefix: TokenId,
    cases: Vec<Case>,
    sizes: Vec<Size>,
}

#[derive(Deserialize)]
struct Case {
    length: usize,
    window: usize,
    /// For each window the rows that the model computes, and the tokens that are predicted from the last of them.
    windows: Vec<(Vec<TokenId>, Vec<TokenId>)>,
}

#[derive(Deserialize)]
struct Size {
    text: String,
    words: usize,
    bytes: usize,
}

#[test]
fn rolling_windows_and_sizes_are_those_of_the_harness() -> Result<()> {
    let harness: Harness = serde_json::from_str(include_str!("../fixtures/rolling_windows.json"))?;
    assert!(harness.cases.len() >= 10 && harness.sizes.len() >= 8);
    for Case { length, window, windows } in harness.cases {
        let text: Vec<TokenId> = (0..length as TokenId).collect();
        let stretches = Recipe::LmEval { window, prefix: harness.prefix }.stretches(length);
        let found: Vec<_> = stretches
            .iter()
            .map(|stretch| stretch.window(&text))
            .map(|found| (found.tokens[..found.scored.end - 1].to_vec(), found.tokens[found.scored].to_vec()))
            .collect();
        assert_eq!(found, windows, "{length} tokens in windows of {window}");
    }
    for Size { text, words, bytes } in harness.sizes {
        assert_eq!(TextSize::of(&text), TextSize { words, bytes }, "{text:?}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_lm_eval_recipe_is_the_loop_over_rolling_windows_computed_alone(texts in texts(), window in 1..30_usize) {
        let prefix = VOCABULARY - 1;
        let mut expected = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let with_prefix = [&[prefix], &text[..]].concat();
            // In `with_prefix` a token stands one behind its place in the text.
            for from in (1..with_prefix.len()).step_by(window) {
                let to = with_prefix.len().min(from + window);
                let start = if from == 1 { 0 } else { to - window - 1 };
                expected.extend(alone(index, &with_prefix[start..to], from - start..to - start, start as isize - 1));
            }
        }
        check(&Recipe::LmEval { window, prefix }, &texts, &expected)?;
    }
}

#[test]
fn parameters_that_cannot_be_are_refused() {
    let recipe = Recipe::HuggingFace { window: 4, stride: 5 };
    let error = found(&recipe, &[vec![1; 9]]).expect_err("a stride longer than the window leaves tokens out");
    assert_eq!(error.to_string(), "`stride` is 5, but must be 1 to `window`");
}

#[derive(Deserialize)]
struct Reference {
    token_ids_first_256: Vec<TokenId>,
    perplexity: std::collections::BTreeMap<String, Figures>,
}

#[derive(Deserialize)]
struct Figures {
    nll_sum: f64,
    tokens: usize,
    perplexity: f64,
}

/// Tokens of the reference's text.
const REFERENCE_TOKENS: usize = 4096;

#[test]
#[ignore = "needs the default model"]
fn perplexities_agree_with_the_reference() -> Result<()> {
    let Some(reference) = shared_data("reference/smollm2-135m/chat/perplexity.json") else { return Ok(()) };
    let Some(text) = shared_data("data/wikitext2/wiki.valid.raw.gz") else { return Ok(()) };
    let reference: Reference = serde_json::from_slice(&fs::read(reference)?)?;
    let path = cache::cache_directory()?.join("models/smollm2-135m/f32");
    ensure!(path.exists(), "`{}` is missing; run `veridraft model pull smollm2-135m --weights f32`", path.display());
    let folder = ModelFolder::open(path)?;
    let mut content = String::new();
    flate2::read::GzDecoder::new(fs::File::open(text)?).read_to_string(&mut content)?;
    let mut tokens = folder.tokenizer.encode_chat(&content)?;
    tokens.truncate(REFERENCE_TOKENS);
    assert_eq!(tokens[..256], reference.token_ids_first_256);
    let runtime = Runtime::load(&LibraryChoice::default())?;
    let mut model = CausalModel::open(&runtime, &folder.onnx_path, CausalModelConfig::default())?;
    for (window, stride) in [(512, 512), (512, 256), (1024, 512)] {
        let expected = &reference.perplexity[&format!("window{window}_stride{stride}")];
        let recipe = Recipe::HuggingFace { window, stride };
        let score = score(&mut model, &recipe, std::slice::from_ref(&tokens))?;
        let (found, change) = (score.perplexity(), score.perplexity() / expected.perplexity - 1.0);
        println!(
            "{window}/{stride}: perplexity {found:.4}, expected {:.4} ({:+.5} %)",
            expected.perplexity,
            100.0 * change
        );
        assert_eq!(score.token_count, expected.tokens);
        assert!(change.abs() < 1e-3, "{found}, expected {}", expected.perplexity);
        assert!((score.nll_sum / expected.nll_sum - 1.0).abs() < 1e-3, "{}", score.nll_sum);
    }
    Ok(())
}

fn score(model: &mut dyn LanguageModel, recipe: &Recipe, texts: &[Vec<TokenId>]) -> Result<Score> {
    let mut score = Score::default();
    force_texts(&mut [model], recipe, texts, |places, pass| {
        for (index, place) in places.iter().enumerate() {
            score.push(Softmax::of(pass.logits(index, 0)).logprob(place.token));
        }
        anyhow::Ok(())
    })?;
    Ok(score)
}
