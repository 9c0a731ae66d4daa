//! Laws of the engine against the slow obvious model: one sequence alone, one token a pass, no drafts.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use veridraft_engine::constraint::{Constraint, Ending};
use veridraft_engine::drafters::{Drafter, Lookup};
use veridraft_engine::sampling::{History, Sampler};
use veridraft_engine::{
    CostModel, Decode, Engine, EngineConfig, FinishReason, Parts, Request, SamplingConfig, StopConditions,
};
use veridraft_models::TokenId;
use veridraft_tests::{ScriptedConstraint, ScriptedDrafter, ScriptedModel};

const BLOCK_TOKENS: usize = 4;

/// Every token is a letter.
struct Letters;

impl Decode for Letters {
    fn decode(&self, ids: &[TokenId]) -> String {
        ids.iter().map(|&id| char::from(b'a' + id as u8)).collect()
    }
}

fn engine(model: ScriptedModel, drafters: Vec<Box<dyn Drafter>>, config: EngineConfig) -> Engine {
    let parts = Parts {
        model: Box::new(model),
        decoder: Arc::new(Letters),
        drafters,
        costs: CostModel::default(),
        clock: Box::new(|| Duration::ZERO),
    };
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
    let mut constraint = request.constraint.clone();
    let (mut output, mut text) = (Vec::new(), String::new());
    loop {
        let seen = [request.prompt.as_slice(), &output].concat();
        let mut scores = model.scores(&seen);
        if let Some(constraint) = &mut constraint {
            constraint.allowed().expect("it never fails").mask(&mut scores);
        }
        let token = sampler.sample(&scores, &history, seen.len() as u32);
        let ending = constraint.as_mut().map(|constraint| {
            constraint.push(token).expect("it was allowed");
            constraint.ending().expect("it never fails")
        });
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
        if ending == Some(Ending::Must) {
            return (output, text, FinishReason::Complete);
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
    let constraint = prop_oneof![
        2 => Just(None),
        1 => (any::<u64>(), 1..40_usize).prop_map(|(seed, length)| {
            let constraint = ScriptedConstraint { seed, vocabulary: 12, eos: Some(3), length, pushed: Vec::new() };
            Some(Box::new(constraint) as Box<dyn Constraint>)
        }),
    ];
    let prompt = proptest::collection::vec(0..12_u32, 1..40);
    (prompt, 1..40_usize, sampling(), stop, constraint).prop_map(|(prompt, max_tokens, sampling, stop, constraint)| {
        Request { draft_max: 4, sampling, stop, constraint, ..Request::new(prompt, max_tokens) }
    })
}

/// What may vary without changing a text.
#[derive(Clone, Debug)]
struct Setting {
    script: Vec<TokenId>,
    draft_levels: (usize, usize),
    config: EngineConfig,
    blocks: usize,
    fail_every: usize,
    drafter_fails: Option<usize>,
    tree: bool,
    share_blocks: bool,
}

fn setting() -> impl Strategy<Value = Setting> {
    let levels = prop_oneof![(0..9_usize).prop_map(|n| (0, n)), (0..9_usize).prop_map(|n| (n, n)), Just((2, 6))];
    (
        (proptest::collection::vec(0..12_u32, 0..9), levels, prop_oneof![Just(None), (0..9_usize).prop_map(Some)]),
        (1..40_usize, 1..6_usize, 20..60_usize),
        (prop_oneof![Just(0_usize), Just(3)], any::<bool>(), prop_oneof![3 => Just(true), 1 => Just(false)]),
    )
        .prop_map(|(drafts, sizes, (fail_every, tree, share_blocks))| Setting {
            script: drafts.0,
            draft_levels: drafts.1,
            drafter_fails: drafts.2,
            config: EngineConfig { chunk_rows: sizes.0, max_sequences: sizes.1 },
            blocks: sizes.2,
            fail_every,
            tree,
            share_blocks,
        })
}

impl Setting {
    fn engine(&self) -> Engine {
        let mut model = ScriptedModel::new(BLOCK_TOKENS, self.blocks);
        model.fail_every = self.fail_every;
        model.tree = self.tree;
        model.share_blocks = self.share_blocks;
        let script = self.script.clone();
        let scripted = match self.drafter_fails {
            Some(after) => ScriptedDrafter::failing(script.clone(), after),
            None => ScriptedDrafter::new(script.clone()),
        };
        let drafters: Vec<Box<dyn Drafter>> =
            vec![Box::new(scripted), Box::new(Lookup::default()), Box::new(ScriptedDrafter::like_a_model(script))];
        engine(model, drafters, self.config)
    }

    fn request(&self, request: Request) -> Request {
        Request { draft_min: self.draft_levels.0, draft_max: self.draft_levels.1, ..request }
    }
}

/// Requests of which some begin alike, or are the same.
fn requests() -> impl Strategy<Value = Vec<Request>> {
    let stem = proptest::collection::vec(0..12_u32, 30);
    (stem, proptest::collection::vec((request(), 0..30_usize), 1..6)).prop_map(|(stem, requests)| {
        let begin = |(request, common): (Request, usize)| {
            let prompt = [&stem[..common], &request.prompt[common.min(request.prompt.len() - 1)..]].concat();
            Request { prompt, ..request }
        };
        requests.into_iter().map(begin).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_same_seed_gives_the_same_text_in_any_company(requests in requests(), setting in setting()) {
        let expected: Vec<_> = requests.iter().map(alone).collect();
        let requests: Vec<_> = requests.into_iter().map(|request| setting.request(request)).collect();
        prop_assert_eq!(run(setting.engine(), &requests), expected);
    }

    #[test]
    fn a_turn_on_the_history_equals_a_fresh_one(
        first in request(),
        more in proptest::collection::vec(0..12_u32, 1..9),
        keep in 0..60_usize,
        setting in setting(),
    ) {
        let mut engine = Setting { fail_every: 0, blocks: 64, ..setting.clone() }.engine();
        let first = setting.request(first);
        let id = engine.add(first.clone()).unwrap();
        while engine.has_work() {
            engine.step().unwrap();
        }
        let mut prompt = first.prompt.clone();
        prompt.extend(engine.remove(id).unwrap().token_ids);
        prompt.truncate(keep);
        let full_blocks = (prompt.len().min(first.prompt.len()) / BLOCK_TOKENS) * BLOCK_TOKENS;
        prompt.extend(more);
        let second = Request { prompt, ..first };
        let id = engine.add(second.clone()).unwrap();
        let mut text = String::new();
        while engine.has_work() {
            engine.step().unwrap().sequences.iter().for_each(|step| text += &step.text);
            engine.check().unwrap();
        }
        let finished = engine.remove(id).unwrap();
        if setting.share_blocks {
            prop_assert!(finished.report.cached + BLOCK_TOKENS > full_blocks, "{} of {full_blocks}", finished.report.cached);
        }
        prop_assert_eq!((finished.token_ids, text, finished.reason), alone(&second));
        prop_assert_eq!(engine.free_blocks(), 64);
    }
}

/// Many sequences that come and go, some cancelled, in a pool too small for all of them.
#[test]
fn blocks_are_conserved_in_ten_thousand_random_steps() {
    let mut runner = TestRunner::deterministic();
    let strategy = request();
    let mut engine = Setting {
        script: vec![1, 2, 3, 4, 5],
        draft_levels: (0, 6),
        config: EngineConfig { chunk_rows: 24, max_sequences: 8 },
        blocks: 40,
        fail_every: 7,
        drafter_fails: None,
        tree: true,
        share_blocks: true,
    }
    .engine();
    let mut open: Vec<(veridraft_engine::SequenceId, Request)> = Vec::new();
    let (mut finished, mut preempted, mut cached) = (0, 0, 0);
    for step in 0..10_000_u32 {
        if open.len() < 12 && step % 3 == 0 {
            let request = strategy.new_tree(&mut runner).expect("a request").current();
            let request = Request { draft_max: 6, ..request };
            open.push((engine.add(request.clone()).expect("it fits"), request));
        }
        if step % 50 == 49 && !open.is_empty() {
            let (id, _) = open.swap_remove(step as usize % open.len());
            engine.cancel(id);
            engine.check().expect("blocks are conserved");
            engine.remove(id).expect("it was added");
        }
        let ended: Vec<_> = match engine.step() {
            Ok(report) => {
                report.sequences.iter().filter(|step| step.finish.is_some()).map(|step| step.sequence).collect()
            }
            Err(_) => Vec::new(),
        };
        engine.check().expect("blocks are conserved");
        for id in ended {
            let place = open.iter().position(|(other, _)| *other == id).expect("it is open");
            let (_, request) = open.swap_remove(place);
            let result = engine.remove(id).expect("it was added");
            assert_eq!(result.token_ids, alone(&request).0);
            preempted += result.report.preemptions;
            cached += result.report.cached;
            finished += 1;
        }
    }
    assert!(finished > 1000 && preempted > 100 && cached > 100, "{finished} {preempted} {cached}");
    for (id, _) in open {
        engine.remove(id);
    }
    assert_eq!(engine.free_blocks(), 40);
    engine.clear_prefixes();
    engine.check().expect("blocks are conserved");
}

#[test]
fn samples_of_one_prompt_compute_it_once() {
    let mut engine = engine(ScriptedModel::new(BLOCK_TOKENS, 64), Vec::new(), EngineConfig::default());
    let prompt: Vec<TokenId> = (0..30).map(|n| n % 12).collect();
    let sample = |sample_index| Request {
        sampling: SamplingConfig { temperature: 1.0, sample_index, ..SamplingConfig::default() },
        ..plain(prompt.clone(), 10)
    };
    let ids: Vec<_> = (0..5).map(|index| engine.add(sample(index)).expect("accepted")).collect();
    let mut rows = 0;
    while engine.has_work() {
        rows += engine.step().expect("nothing fails").rows;
        engine.check().expect("blocks are conserved");
    }
    // 30 rows of the prompt once, its last token for four others, and nine further tokens for each.
    assert_eq!(rows, 30 + 4 + 5 * 9);
    for (index, id) in ids.into_iter().enumerate() {
        let finished = engine.remove(id).expect("it was added");
        assert_eq!(finished.token_ids, alone(&sample(index as u32)).0);
        assert_eq!(finished.report.cached, if index == 0 { 0 } else { 29 });
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
        plain(vec![0; 7], 10),
        "prompt and new tokens, 17 together, need 5 blocks of the KV cache, but it has 4; \
         allow more memory or ask for fewer tokens",
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
