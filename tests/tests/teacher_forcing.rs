//! Given texts through models: every prediction that is wanted is shown once, with the logits that the model has behind
//! all tokens before it, however windows are batched, share blocks and wait for them.

use proptest::collection::vec;
use proptest::prelude::*;
use veridraft_engine::Error;
use veridraft_engine::evaluation::{Window, teacher_force};
use veridraft_models::{LanguageModel, TokenId};
use veridraft_tests::ScriptedModel;

const VOCABULARY: TokenId = 12;

/// A model that looks at the whole text, so that one wrong token before a place changes what is shown.
fn model(block_tokens: usize, blocks: usize, share_blocks: bool) -> ScriptedModel {
    let mut model = ScriptedModel::new(block_tokens, blocks);
    (model.memory, model.max_rows, model.share_blocks) = (usize::MAX, 24, share_blocks);
    model
}

/// Texts that begin alike in many ways, and what of each is scored.
fn windows() -> impl Strategy<Value = Vec<Window>> {
    let stems = vec(vec(0..VOCABULARY, 0..30), 1..4);
    let branch = (any::<prop::sample::Index>(), 0..30_usize, vec(0..VOCABULARY, 1..12), 0.0..1.0, 0.0..1.0);
    (stems, vec(branch, 0..12)).prop_map(|(stems, branches)| {
        let window = |(stem, kept, end, from, to): (prop::sample::Index, usize, Vec<TokenId>, f64, f64)| {
            let mut tokens = stem.get(&stems).clone();
            tokens.truncate(kept);
            tokens.extend(end);
            let place = |share: f64| 1 + (share * tokens.len() as f64) as usize;
            let (from, to) = (place(from.min(to)), place(from.max(to)).min(tokens.len()));
            let scored = from.min(to)..to;
            Window { scored, tokens }
        };
        branches.into_iter().map(window).collect()
    })
}

proptest! {
    #[test]
    fn every_prediction_is_shown_once_with_the_logits_of_its_text(
        windows in windows(),
        (block_tokens, other_tokens) in (1..9_usize, 1..9_usize),
        (spare, other_spare) in (0..20_usize, 0..20_usize),
        share in any::<bool>(),
    ) {
        let longest = windows.iter().map(|window| window.tokens.len()).max().unwrap_or(0);
        let mut one = model(block_tokens, longest.div_ceil(block_tokens) + spare, share);
        let mut other = model(other_tokens, longest.div_ceil(other_tokens) + other_spare, true);
        other.max_rows = 17;
        let shown = shown(&mut [&mut one, &mut other], &windows);
        let mut expected = Vec::new();
        for (index, window) in windows.iter().enumerate() {
            for position in window.scored.clone() {
                let scores = one.scores(&window.tokens[..position]);
                expected.push((index, position, window.tokens[position], scores.clone(), scores));
            }
        }
        prop_assert_eq!(shown.expect("it fits"), expected);
    }
}

type Shown = (usize, usize, TokenId, Vec<f32>, Vec<f32>);

/// What is shown, sorted by window alone: those of one window come in order.
fn shown(models: &mut [&mut dyn LanguageModel; 2], windows: &[Window]) -> Result<Vec<Shown>, Error> {
    let mut shown = Vec::new();
    teacher_force(models, windows.iter().cloned(), |pass| {
        for (index, place) in pass.places().iter().enumerate() {
            let logits = [0, 1].map(|model| pass.logits(index, model).to_vec());
            let [one, other] = logits;
            shown.push((place.window, place.position, place.token, one, other));
        }
        Ok::<(), Error>(())
    })?;
    shown.sort_by_key(|(window, ..)| *window);
    Ok(shown)
}

/// Passes and the rows that a model computed in them.
struct Counted {
    model: ScriptedModel,
    rows: Vec<usize>,
}

impl LanguageModel for Counted {
    fn cache_spec(&self) -> veridraft_models::CacheSpec {
        self.model.cache_spec()
    }
    fn limits(&self) -> veridraft_models::Limits {
        self.model.limits()
    }
    fn vocabulary(&self) -> usize {
        self.model.vocabulary()
    }
    fn forward(&mut self, batch: &veridraft_models::Batch) -> veridraft_models::Result<veridraft_models::Logits> {
        self.rows.push(batch.rows());
        self.model.forward(batch)
    }
    fn copy_slots(&mut self, copies: &[(u32, u32)]) -> veridraft_models::Result<()> {
        self.model.copy_slots(copies)
    }
}

fn rows(windows: Vec<Window>, share_blocks: bool) -> Vec<usize> {
    let mut counted = Counted { model: model(4, 40, share_blocks), rows: Vec::new() };
    teacher_force::<Error>(&mut [&mut counted], windows, |_| Ok(())).expect("it fits");
    counted.rows
}

#[test]
fn continuations_of_one_context_compute_it_once() {
    let context: Vec<TokenId> = (0..16).map(|token| token % VOCABULARY).collect();
    let window = |end: TokenId| Window { tokens: [&context[..], &[end, end]].concat(), scored: 16..18 };
    let windows = || (0..4).map(window).collect();
    // Of the sixteen tokens of the context the last gives a prediction, so the last block is computed each time.
    assert_eq!(rows(windows(), true), [17, 5 + 5 + 5]);
    assert_eq!(rows(windows(), false), [24, 24, 20]);
}

#[test]
fn short_windows_share_a_pass_and_long_ones_are_cut() {
    let window = |length: usize| Window { tokens: vec![length as TokenId % VOCABULARY; length], scored: 1..length };
    assert_eq!(rows(vec![window(5), window(6), window(7)], true), [4 + 5 + 6]);
    assert_eq!(rows(vec![window(60)], true), [24, 24, 11]);
}

#[test]
fn what_a_model_cannot_hold_is_refused() {
    let check = |tokens: Vec<TokenId>, expected: &str| {
        let scored = 1..tokens.len();
        let mut model = model(4, 10, true);
        model.context_length = 50;
        let outcome = teacher_force::<Error>(&mut [&mut model], [Window { tokens, scored }], |_| Ok(()));
        assert_eq!(outcome.expect_err(expected).to_string(), expected);
    };
    check(vec![1; 52], "a window computes 51 tokens, but the model's context holds 50");
    check(vec![1, 2, 99], "token 99 at index 2 is outside the vocabulary of 12");
    let room = "need 11 blocks of the KV cache, but it has 10; allow more memory or ask for fewer tokens";
    check(vec![1; 42], &format!("prompt and new tokens, 41 together, {room}"));
}

#[test]
fn what_the_visitor_says_ends_it() {
    let windows = vec![Window { tokens: vec![1; 40], scored: 1..40 }; 3];
    let mut passes = 0;
    let outcome = teacher_force(&mut [&mut model(4, 40, true)], windows, |_| {
        passes += 1;
        Err(Error::NothingWanted)
    });
    assert!(matches!(outcome, Err(Error::NothingWanted)));
    assert_eq!(passes, 1);
}

#[test]
fn a_window_with_nothing_to_predict_is_nothing_to_do() {
    let (mut model, mut other) = (model(4, 2, true), model(2, 3, true));
    let empty = |tokens: Vec<TokenId>, at: usize| Window { tokens, scored: at..at };
    let windows = vec![
        empty(vec![], 0),
        empty(vec![1], 0),
        empty(vec![1, 2], 1),
        Window { tokens: vec![1, 2], scored: 1..2 },
        empty(vec![1; 1000], 7),
        empty(vec![VOCABULARY + 1], 0),
        Window { tokens: vec![1, 3], scored: 1..2 },
        empty(vec![], 0),
    ];
    let shown = shown(&mut [&mut model, &mut other], &windows).expect("there is nothing wrong");
    let places: Vec<_> = shown.iter().map(|(window, position, token, ..)| (*window, *position, *token)).collect();
    assert_eq!(places, [(3, 1, 2), (6, 1, 3)]);
}
