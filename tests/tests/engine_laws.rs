//! Laws of the engine against the slow obvious model: one sequence alone, one token a pass, no drafts.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use veridraft_engine::drafters::{Drafter, Lookup};
use veridraft_engine::sampling::{History, Sampler};
use veridraft_engine::{Decode, Engine, EngineConfig, FinishReason, Parts, Request, SamplingConfig, StopConditions};
use veridraft_models::TokenId;
use veridraft_tests::{ScriptedDrafter, ScriptedModel};

const BLOCK_TOKENS: usize = 4;

/// Every token is a letter.
struct Letters;

impl Decode for Letters {
    fn decode(&self, ids: &[TokenId]) -> String {
        ids.iter().map(|&id| char::from(b'a' + id as u8)).collect()
    }
}

fn engine(model: ScriptedModel, drafters: Vec<Box<dyn Drafter>>, config: EngineConfig) -> Engine {
    let parts =
        Parts { model: Box::new(model), decoder: Arc::new(Letters), drafters, clock: Box::new(|| Duration::ZERO) };
    Engine::new(parts, config)
}

/// Tokens, text and reason of each request, in order; checks the engine's invariants after every step.
fn run(mut engine: Engine, requests: &[Request]) -> Vec<(Vec<TokenId>, String, FinishReason)> {
    let ids: Vec<_> = requests.iter().map(|request| engine.add(request.clone()).expect("accepted")).collect();
    let mut texts = vec![String::new(); ids.len()];
    for _ in 0..10_000 {
        if !engine.has_work() {
            break;
        }
        // A scripted failure must leave everything as it was; the next step tries again.
        if let Ok(report) = engine.step() {
            for step in report.sequences {
                texts[step.sequence.0 as usize] += &step.text;
            }
        }
        engine.check().expect("blocks are conserved");
    }
    let finish = |(id, text)| {
        let finished = engine.remove(id).expect("it was added");
        (finished.token_ids, text, finished.reason)
    };
    let outputs = ids.into_iter().zip(texts).map(finish).collect();
    engine.check().expect("blocks are conserved");
    outputs
}

/// The slow obvious model: no engine, no cache, no drafts; one token after the other by the definition.
fn alone(request: &Request) -> (Vec<TokenId>, String, FinishReason) {
    let model = ScriptedModel::new(BLOCK_TOKENS, 1);
    let mut sampler = Sampler::new(request.sampling.clone()).expect("settings in range");
    let mut history = History::new(&request.sampling);
    history.extend_prompt(&request.prompt);
    let (mut output, mut text) = (Vec::new(), String::new());
    loop {
        let seen = [request.prompt.as_slice(), &output].concat();
        let token = sampler.sample(&model.scores(&seen), &history, seen.len() as u32);
        history.push_output(token);
        output.push(token);
        if request.stop.eos_ids.contains(&token) {
            return (output, text, FinishReason::Eos);
        }
        if request.stop.token_ids.contains(&token) {
            return (output, text, FinishReason::StopToken);
        }
        text += &Letters.decode(&[token]);
        let completed = request.stop.strings.iter().filter(|stop| text.ends_with(*stop)).map(String::len).max();
        if let Some(length) = completed {
            text.truncate(text.len() - length);
            return (output, text, FinishReason::StopString);
        }
        if output.len() == request.max_tokens {
            return (output, text, FinishReason::Length);
        }
    }
}

fn sampling() -> impl Strategy<Value = SamplingConfig> {
    let penalty = prop_oneof![Just(1.0_f32), Just(1.3)];
    (
        prop_oneof![Just(0.0_f32), Just(0.8), Just(2.0)],
        0..6_usize,
        prop_oneof![Just(1.0_f32), Just(0.7)],
        penalty,
        any::<u64>(),
    )
        .prop_map(|(temperature, top_k, top_p, repetition_penalty, seed)| SamplingConfig {
            temperature,
            top_k,
            top_p,
            repetition_penalty,
            seed,
            ..SamplingConfig::default()
        })
}

fn request() -> impl Strategy<Value = Request> {
    let stop = prop_oneof![
        Just(StopConditions::default()),
        Just(StopConditions { eos_ids: vec![3], token_ids: vec![5], strings: Vec::new() }),
        Just(StopConditions { strings: vec!["ab".to_owned(), "cde".to_owned()], ..StopConditions::default() }),
    ];
    (proptest::collection::vec(0..12_u32, 1..40), 1..40_usize, sampling(), stop).prop_map(
        |(prompt, max_tokens, sampling, stop)| Request {
            draft_max: 4,
            sampling,
            stop,
            ..Request::new(prompt, max_tokens)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_same_seed_gives_the_same_text_in_any_company(
        requests in proptest::collection::vec(request(), 1..5),
        script in proptest::collection::vec(0..12_u32, 0..9),
        (draft_max, chunk_rows, blocks) in (1..9_usize, 1..40_usize, 20..60_usize),
        fail_every in prop_oneof![Just(0_usize), Just(3)],
    ) {
        let expected: Vec<_> = requests.iter().map(alone).collect();
        let requests: Vec<_> = requests.into_iter().map(|request| Request { draft_max, ..request }).collect();
        let drafters: Vec<Box<dyn Drafter>> = vec![Box::new(ScriptedDrafter::new(script)), Box::new(Lookup::default())];
        let mut model = ScriptedModel::new(BLOCK_TOKENS, blocks);
        model.fail_every = fail_every;
        let engine = engine(model, drafters, EngineConfig { chunk_rows });
        prop_assert_eq!(run(engine, &requests), expected);
    }

    #[test]
    fn a_turn_on_the_history_equals_a_fresh_one(first in request(), more in proptest::collection::vec(0..12_u32, 1..9), keep in 0..60_usize) {
        let mut engine = engine(ScriptedModel::new(BLOCK_TOKENS, 64), vec![Box::new(Lookup::default())], EngineConfig::default());
        let id = engine.add(first.clone()).unwrap();
        while engine.has_work() {
            engine.step().unwrap();
        }
        let mut prompt = first.prompt.clone();
        prompt.extend(engine.inspect(id).unwrap().token_ids);
        prompt.truncate(keep);
        prompt.extend(more);
        let second = Request { prompt, ..first };
        let id = engine.add_after(id, second.clone()).unwrap();
        engine.check().unwrap();
        let mut text = String::new();
        while engine.has_work() {
            engine.step().unwrap().sequences.iter().for_each(|step| text += &step.text);
            engine.check().unwrap();
        }
        let finished = engine.remove(id).unwrap();
        prop_assert_eq!((finished.token_ids, text, finished.reason), alone(&second));
        prop_assert_eq!(engine.free_blocks(), 64);
    }
}

fn plain(prompt: Vec<TokenId>, max_tokens: usize) -> Request {
    Request { draft_max: 8, ..Request::new(prompt, max_tokens) }
}

#[test]
fn repetitive_text_takes_fewer_passes_with_lookup() {
    let request = plain(vec![1, 2, 3, 4], 120);
    let passes = |drafters: Vec<Box<dyn Drafter>>| {
        let mut engine = engine(ScriptedModel::new(BLOCK_TOKENS, 64), drafters, EngineConfig::default());
        let id = engine.add(request.clone()).unwrap();
        while engine.has_work() {
            engine.step().unwrap();
        }
        engine.remove(id).unwrap().report.forwards
    };
    assert_eq!(passes(Vec::new()), 120);
    assert!(passes(vec![Box::new(Lookup::default())]) < 60);
}

#[test]
fn a_full_context_ends_the_sequence() {
    let mut model = ScriptedModel::new(BLOCK_TOKENS, 8);
    model.context_length = 10;
    let engine = engine(model, vec![Box::new(Lookup::default())], EngineConfig::default());
    let (tokens, _, reason) = run(engine, &[plain(vec![1, 2, 3, 4], 100)]).remove(0);
    assert_eq!((tokens.len(), reason), (6, FinishReason::ContextFull));
}

#[test]
fn what_can_never_run_is_refused_with_its_reason() {
    let mut engine = engine(ScriptedModel::new(BLOCK_TOKENS, 4), Vec::new(), EngineConfig::default());
    let mut check = |request: Request, expected: &str| {
        assert_eq!(engine.add(request).map_err(|error| error.to_string()), Err(expected.to_owned()));
    };
    check(plain(Vec::new(), 1), "the prompt has no tokens, expected at least one");
    check(plain(vec![99], 1), "prompt token 99 at index 0 is outside the vocabulary of 12");
    check(plain(vec![0; 256], 1), "the prompt has 256 tokens, but the model's context holds 256, one of them new");
    check(plain(vec![1], 0), "the request is for 0 new tokens, expected at least 1");
    check(
        plain(vec![0; 16], 10),
        "the prompt and a new token need 5 blocks of the KV cache, but it has 4; allow more memory",
    );
}

#[test]
fn cancelling_frees_the_blocks_and_ends_the_work() {
    let mut engine = engine(ScriptedModel::new(BLOCK_TOKENS, 8), Vec::new(), EngineConfig::default());
    let id = engine.add(plain(vec![1, 2, 3], 20)).unwrap();
    engine.step().unwrap();
    engine.cancel(id);
    assert!(!engine.has_work());
    assert_eq!(engine.remove(id).unwrap().reason, FinishReason::Cancelled);
    assert_eq!(engine.free_blocks(), 8);
}
