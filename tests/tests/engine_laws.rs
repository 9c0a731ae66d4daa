//! Laws of the engine against the slow obvious model: one sequence alone, one token a pass, no drafts.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use veridraft_engine::constraint::Constraint;
use veridraft_engine::drafters::{Drafter, Lookup};
use veridraft_engine::{Engine, EngineConfig, FinishReason, Request, SamplingConfig, StopConditions};
use veridraft_models::TokenId;
use veridraft_tests::{Company, ScriptedConstraint, ScriptedModel, Small, alone, run_all, scripted_engine};

const BLOCK_TOKENS: usize = 4;

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

/// Any drafters, each at most once, in any order.
fn company() -> impl Strategy<Value = Vec<Company>> {
    let script = || proptest::collection::vec(0..12_u32, 0..9);
    let fails = prop_oneof![Just(None), (0..9_usize).prop_map(Some)];
    // Memory 2 is the target's own: its drafts are right.
    let small = || (1..4_usize, 1..12_usize, prop_oneof![2 => Just(0_usize), 1 => 2..9_usize]);
    let small = move || small().prop_map(|(memory, blocks, fail_every)| Small { memory, blocks, fail_every });
    let scripted = |like_a_model| move |(script, fails_after)| Company::Scripted { script, like_a_model, fails_after };
    let all = (
        (script(), fails).prop_map(scripted(false)),
        script().prop_map(|script| (script, None)).prop_map(scripted(true)),
        small().prop_map(Company::Model),
        small().prop_map(Company::CrossVocabulary),
    );
    let all = all.prop_map(|(table, model, small, other)| {
        vec![table, Company::Lookup, Company::Suffix, Company::Ngram, model, small, other]
    });
    let some = |all: Vec<Company>| (proptest::sample::subsequence(all, 0..=7)).prop_shuffle();
    all.prop_flat_map(some)
}

/// What may vary without changing a text.
#[derive(Clone, Debug)]
struct Setting {
    company: Vec<Company>,
    draft_levels: (usize, usize),
    config: EngineConfig,
    blocks: usize,
    fail_every: usize,
    tree: bool,
    share_blocks: bool,
}

fn setting() -> impl Strategy<Value = Setting> {
    let levels = prop_oneof![(0..9_usize).prop_map(|n| (0, n)), (0..9_usize).prop_map(|n| (n, n)), Just((2, 6))];
    (
        (company(), levels),
        (1..40_usize, 1..6_usize, 20..60_usize),
        (prop_oneof![Just(0_usize), Just(3)], any::<bool>(), prop_oneof![3 => Just(true), 1 => Just(false)]),
    )
        .prop_map(|(drafts, sizes, (fail_every, tree, share_blocks))| Setting {
            company: drafts.0,
            draft_levels: drafts.1,
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
        scripted_engine(model, self.company.iter().map(Company::drafter).collect(), self.config)
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
        prop_assert_eq!(run_all(setting.engine(), &requests), expected);
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
        company: vec![
            Company::Scripted { script: vec![1, 2, 3, 4, 5], like_a_model: false, fails_after: None },
            Company::Lookup,
            Company::Suffix,
            Company::Model(Small { memory: 1, blocks: 30, fail_every: 0 }),
        ],
        draft_levels: (0, 6),
        config: EngineConfig { chunk_rows: 24, max_sequences: 8 },
        blocks: 30,
        fail_every: 7,
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
    assert_eq!(engine.free_blocks(), 30);
    engine.forget();
    engine.check().expect("blocks are conserved");
}

#[test]
fn samples_of_one_prompt_compute_it_once() {
    let mut engine = scripted_engine(ScriptedModel::new(BLOCK_TOKENS, 64), Vec::new(), EngineConfig::default());
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
        let mut engine = scripted_engine(ScriptedModel::new(BLOCK_TOKENS, 64), drafters, EngineConfig::default());
        let id = engine.add(request.clone()).unwrap();
        while engine.has_work() {
            engine.step().unwrap();
        }
        engine.remove(id).unwrap().report.forwards
    };
    assert_eq!(passes(Vec::new()), 120);
    assert!(passes(vec![Box::new(Lookup::default())]) < 60);
}

/// Or the laws would say little.
#[test]
fn every_drafter_of_the_company_is_right_now_and_then() {
    let right = Small { memory: 2, blocks: 40, fail_every: 0 };
    let script: Vec<TokenId> = (0..12).collect();
    let all = [
        Company::Scripted { script: script.clone(), like_a_model: false, fails_after: None },
        Company::Scripted { script, like_a_model: true, fails_after: None },
        Company::Lookup,
        Company::Suffix,
        Company::Ngram,
        Company::Model(right),
        Company::CrossVocabulary(right),
    ];
    for kind in all {
        let mut engine =
            scripted_engine(ScriptedModel::new(BLOCK_TOKENS, 64), vec![kind.drafter()], EngineConfig::default());
        let sampling = SamplingConfig { temperature: 1.0, ..SamplingConfig::default() };
        let id = engine.add(Request { sampling, draft_min: 3, ..plain(vec![1, 2, 3, 4], 120) }).expect("accepted");
        while engine.has_work() {
            assert_eq!(engine.step().expect("nothing fails").all_failures().next(), None);
        }
        let sources = engine.remove(id).expect("it was added").report.sources;
        assert!(sources.values().any(|source| source.accepted > 0), "{kind:?}: {sources:?}");
    }
}

#[test]
fn a_full_context_ends_the_sequence() {
    let mut model = ScriptedModel::new(BLOCK_TOKENS, 8);
    model.context_length = 10;
    let engine = scripted_engine(model, vec![Box::new(Lookup::default())], EngineConfig::default());
    let (tokens, _, reason) = run_all(engine, &[plain(vec![1, 2, 3, 4], 100)]).remove(0);
    assert_eq!((tokens.len(), reason), (6, FinishReason::ContextFull));
}

#[test]
fn what_can_never_run_is_refused_with_its_reason() {
    let mut engine = scripted_engine(ScriptedModel::new(BLOCK_TOKENS, 4), Vec::new(), EngineConfig::default());
    let mut check = |request: Request, expected: &str| {
        assert_eq!(engine.add(request).map_err(|error| error.to_string()), Err(expected.to_owned()));
    };
    check(plain(Vec::new(), 1), "the prompt has no tokens, expected at least one");
    check(plain(vec![99], 1), "token 99 at index 0 is outside the vocabulary of 12");
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
    let mut engine = scripted_engine(ScriptedModel::new(BLOCK_TOKENS, 8), Vec::new(), EngineConfig::default());
    let id = engine.add(plain(vec![1, 2, 3], 20)).unwrap();
    engine.step().unwrap();
    engine.cancel(id);
    assert!(!engine.has_work());
    assert_eq!(engine.remove(id).unwrap().reason, FinishReason::Cancelled);
    assert_eq!(engine.free_blocks(), 8);
}
