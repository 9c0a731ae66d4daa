//! The likelihood of a text is the sum over its tokens of what the model says behind all tokens before each, in whatever
//! company, order and windows texts come; and the engine's own log-probabilities of a prompt are the same numbers.

use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use veridraft_engine::evaluation::{Likelihood, Window, likelihoods};
use veridraft_engine::{CostModel, Engine, EngineConfig, Error, Logprobs, Parts, Request, TokenLogprobs};
use veridraft_models::{LanguageModel, ModelFolder, TokenId};
use veridraft_tests::{ScriptedModel, TinyLlama};

const VOCABULARY: TokenId = 12;

/// A model that looks at the whole text, so that one wrong token before a place changes what is found.
fn scripted(blocks: usize) -> ScriptedModel {
    let mut model = ScriptedModel::new(4, blocks);
    (model.memory, model.max_rows) = (usize::MAX, 24);
    model
}

/// Texts of no to three windows that begin alike.
fn texts() -> impl Strategy<Value = Vec<Vec<Window>>> {
    let window = (0..20_usize, vec(0..VOCABULARY, 1..9), 0.0..1.0).prop_map(|(kept, end, from)| {
        let tokens: Vec<_> = (0..kept as TokenId).map(|index| index * 7 % VOCABULARY).chain(end).collect();
        let first = 1 + (from * (tokens.len() - 1) as f64) as usize;
        Window { scored: first.min(tokens.len())..tokens.len(), tokens }
    });
    vec(vec(window, 0..4), 0..20)
}

fn slow(model: &ScriptedModel, windows: &[Window]) -> Likelihood {
    let mut likelihood = Likelihood { tokens: Vec::new(), is_greedy: true };
    for window in windows {
        for position in window.scored.clone() {
            let token = window.tokens[position];
            let found = TokenLogprobs::new(&model.scores(&window.tokens[..position]), token, 1);
            likelihood.tokens.push((token, found.logprob));
            likelihood.is_greedy &= found.top[0].0 == token;
        }
    }
    likelihood
}

fn run(
    model: &mut dyn LanguageModel,
    texts: impl IntoIterator<Item = Vec<Window>>,
) -> Result<Vec<(usize, Likelihood)>, Error> {
    let mut answers = Vec::new();
    likelihoods(model, texts.into_iter().enumerate(), |name, likelihood| {
        answers.push((name, likelihood));
        Ok::<(), Error>(())
    })?;
    Ok(answers)
}

fn close(one: &Likelihood, other: &Likelihood) -> bool {
    let pairs = || one.tokens.iter().zip(&other.tokens);
    one.is_greedy == other.is_greedy
        && one.tokens.len() == other.tokens.len()
        && pairs().all(|(one, other)| one.0 == other.0 && (one.1 - other.1).abs() < 1e-6)
}

proptest! {
    #[test]
    fn every_text_is_answered_in_its_turn_with_the_numbers_of_the_definition(texts in texts(), spare in 0..30_usize) {
        let mut model = scripted(8 + spare);
        let found = run(&mut model, texts.clone()).expect("it fits");
        prop_assert_eq!(found.len(), texts.len());
        for ((index, text), (name, likelihood)) in texts.iter().enumerate().zip(&found) {
            prop_assert_eq!(index, *name);
            let expected = slow(&model, text);
            prop_assert!(close(likelihood, &expected), "{text:?}: {likelihood:?}, expected {expected:?}");
        }
    }

    #[test]
    fn company_and_order_change_no_bit(texts in texts(), spare in 0..30_usize) {
        let mut model = scripted(8 + spare);
        let together = run(&mut model, texts.clone()).expect("it fits");
        let mut backwards = run(&mut model, texts.iter().rev().cloned()).expect("it fits");
        backwards.reverse();
        for ((text, (_, found)), (_, other)) in texts.into_iter().zip(&together).zip(&backwards) {
            let alone = run(&mut model, [text]).expect("it fits");
            prop_assert_eq!(found, other);
            prop_assert_eq!(found, &alone[0].1);
            prop_assert_eq!(found.logprob().to_bits(), alone[0].1.logprob().to_bits());
        }
    }
}

#[test]
fn texts_are_answered_before_those_behind_them_are_asked_for() {
    let (mut model, asked) = (scripted(40), std::cell::Cell::new(0));
    let text = |index: TokenId| vec![Window { tokens: vec![index % VOCABULARY; 12], scored: 6..12 }];
    let texts = (0..100).map(|index| {
        asked.set(asked.get() + 1);
        (index, text(index))
    });
    let mut most_ahead = 0;
    likelihoods(&mut model, texts, |index, _| {
        most_ahead = most_ahead.max(asked.get() - index as usize);
        Ok::<(), Error>(())
    })
    .expect("it fits");
    // 24 rows a pass are of two to four texts, and one is looked at behind those.
    assert!((2..12).contains(&most_ahead), "{most_ahead}");
}

#[test]
fn what_the_answer_returns_ends_the_run() {
    let texts = (0..9).map(|index| (index, vec![Window { tokens: vec![1, 2], scored: 1..2 }]));
    let mut answered = 0;
    let outcome = likelihoods(&mut scripted(40), texts, |index, _| {
        answered += 1;
        if index == 3 { Err(Error::EmptyPrompt) } else { Ok(()) }
    });
    assert!(matches!(outcome, Err(Error::EmptyPrompt)));
    assert_eq!(answered, 4);
}

/// Byte strings that begin alike, of one token to a few chunks of a prompt.
fn prompts() -> Vec<Vec<TokenId>> {
    let mut state = 7_u32;
    let mut random = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    let stem: Vec<TokenId> = (0..90).map(|_| random(257)).collect();
    let lengths = [(0, 2), (0, 40), (17, 1), (40, 30), (90, 1), (90, 1), (90, 5), (64, 200), (90, 40)];
    lengths
        .iter()
        .map(|&(kept, own)| stem[..kept].iter().copied().chain((0..own).map(|_| random(257))).collect())
        .collect()
}

#[test]
fn a_real_session_scores_as_the_engine_scores_prompts() -> anyhow::Result<()> {
    let tiny = TinyLlama::create()?;
    let folder = ModelFolder::open(tiny.model())?;
    let prompts = prompts();
    let start = |index: usize, prompt: &Vec<TokenId>| (prompt.len() / (1 + index % 3)).clamp(1, prompt.len() - 1);
    let window = |(index, prompt): (usize, &Vec<TokenId>)| {
        vec![Window { tokens: prompt.clone(), scored: start(index, prompt)..prompt.len() }]
    };
    let found = run(&mut tiny.open(2, 1024)?, prompts.iter().enumerate().map(window))?;
    let parts = Parts {
        model: Box::new(tiny.open(1, 1024)?),
        decoder: Arc::new(folder.tokenizer.clone()),
        costs: CostModel::default(),
        drafters: Vec::new(),
        clock: Box::new(|| Duration::ZERO),
    };
    let mut engine = Engine::new(parts, EngineConfig::default());
    for ((index, prompt), (_, likelihood)) in prompts.iter().enumerate().zip(&found) {
        let logprobs = Logprobs { prompt: Some(1), ..Logprobs::default() };
        engine.add(Request { logprobs, ..Request::new(prompt.clone(), 1) })?;
        let mut told = Vec::new();
        while engine.has_work() {
            engine.step()?.sequences.into_iter().for_each(|step| told.extend(step.prompt_logprobs));
        }
        let told = &told[start(index, prompt) - 1..];
        let tokens = told.iter().map(|told| (told.token, told.logprob)).collect();
        let expected = Likelihood { tokens, is_greedy: told.iter().all(|told| told.top[0].0 == told.token) };
        assert!(close(likelihood, &expected), "{prompt:?}: {likelihood:?}, expected {expected:?}");
    }
    Ok(())
}
