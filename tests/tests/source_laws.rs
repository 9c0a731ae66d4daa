//! Laws of sequences with sources, against one sequence alone: a source changes its own sequence and no other, however
//! the engine runs them, is encoded once, and is dropped with its last reader.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use veridraft_engine::drafters::{Drafter, Lookup, Suffix};
use veridraft_engine::{Engine, EngineConfig, FinishReason, Request, SamplingConfig};
use veridraft_models::TokenId;
use veridraft_tests::{HeldSources, ScriptedModel, SourceScript, alone, run_all, scripted_engine};

const BLOCK_TOKENS: usize = 4;

fn model(blocks: usize) -> (ScriptedModel, Arc<Mutex<HeldSources>>) {
    let mut model = ScriptedModel::new(BLOCK_TOKENS, blocks);
    model.has_encoder = true;
    let sources = Arc::clone(&model.sources);
    (model, sources)
}

fn held(sources: &Mutex<HeldSources>) -> usize {
    sources.lock().unwrap().held()
}

fn encoded(sources: &Mutex<HeldSources>) -> u64 {
    sources.lock().unwrap().encoded()
}

fn drafters() -> Vec<Box<dyn Drafter>> {
    vec![Box::new(Lookup::default()), Box::new(Suffix::default())]
}

fn with_source(source: &[TokenId], max_tokens: usize) -> Request {
    Request { source: Some(source.to_vec()), draft_max: 4, ..Request::new(vec![0], max_tokens) }
}

/// Sources of few kinds, so that some sequences share one.
fn requests() -> impl Strategy<Value = Vec<Request>> {
    let source = proptest::collection::vec(0..12_u32, 1..20);
    let sampling = (prop_oneof![Just(0.0_f32), Just(1.0)], any::<u64>());
    let one = (proptest::collection::vec(0..12_u32, 1..9), 1..40_usize, sampling, 0..3_usize);
    (proptest::collection::vec(source, 3), proptest::collection::vec(one, 1..7)).prop_map(|(sources, requests)| {
        let request = |(prompt, max_tokens, (temperature, seed), source): (_, _, _, usize)| Request {
            sampling: SamplingConfig { temperature, seed, ..SamplingConfig::default() },
            prompt,
            ..with_source(&sources[source], max_tokens)
        };
        requests.into_iter().map(request).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_same_seed_and_source_give_the_same_text_in_any_company(
        requests in requests(),
        blocks in 14..40_usize,
        config in (1..40_usize, 1..6_usize),
        fail_every in prop_oneof![Just(0_usize), Just(3)],
        share_blocks in any::<bool>(),
    ) {
        let expected: Vec<_> = requests.iter().map(alone).collect();
        let (mut model, sources) = model(blocks);
        (model.fail_every, model.share_blocks) = (fail_every, share_blocks);
        let config = EngineConfig { chunk_rows: config.0, max_sequences: config.1 };
        prop_assert_eq!(run_all(scripted_engine(model, drafters(), config), &requests), expected);
        prop_assert_eq!(held(&sources), 0);
    }
}

fn run(engine: &mut Engine) {
    while engine.has_work() {
        engine.step().expect("nothing fails");
        engine.check().expect("blocks and sources are conserved");
    }
}

#[test]
fn samples_of_one_source_share_what_the_encoder_makes_of_it() {
    let (model, sources) = model(64);
    let mut engine = scripted_engine(model, drafters(), EngineConfig::default());
    let ids: Vec<_> = (0..4).map(|_| engine.add(with_source(&[5, 6, 7], 10)).expect("accepted")).collect();
    let other = engine.add(with_source(&[5, 6], 10)).expect("accepted");
    run(&mut engine);
    assert_eq!((held(&sources), encoded(&sources)), (2, 2));
    ids.into_iter().for_each(|id| drop(engine.remove(id)));
    assert_eq!(held(&sources), 1);
    engine.remove(other);
    assert_eq!(held(&sources), 0);
    engine.check().expect("no source leaks");
}

#[test]
fn a_preempted_sequence_keeps_its_source() {
    let (model, sources) = model(8);
    let mut engine = scripted_engine(model, Vec::new(), EngineConfig::default());
    let requests = [with_source(&[1, 2], 24), with_source(&[3, 4], 24)];
    let ids = requests.each_ref().map(|request| engine.add(request.clone()).expect("accepted"));
    run(&mut engine);
    let mut preemptions = 0;
    for (id, request) in ids.into_iter().zip(&requests) {
        let finished = engine.remove(id).expect("it was added");
        assert_eq!(finished.token_ids, alone(request).0);
        preemptions += finished.report.preemptions;
    }
    assert!(preemptions > 0);
    assert_eq!((held(&sources), encoded(&sources)), (0, 2));
}

#[test]
fn a_cancelled_sequence_drops_its_source_when_it_is_removed() {
    let (model, sources) = model(8);
    let mut engine = scripted_engine(model, Vec::new(), EngineConfig::default());
    let id = engine.add(with_source(&[1, 2], 20)).expect("accepted");
    let never_ran = engine.add(with_source(&[2], 20)).expect("accepted");
    engine.cancel(never_ran);
    engine.step().expect("nothing fails");
    engine.cancel(id);
    engine.check().expect("no source leaks");
    engine.remove(id);
    engine.remove(never_ran);
    engine.check().expect("no source leaks");
    assert_eq!((held(&sources), encoded(&sources)), (0, 1));
}

#[test]
fn a_source_that_cannot_be_encoded_ends_its_own_sequence_alone() {
    let (mut model, sources) = model(64);
    model.unreadable = Some(9);
    let mut engine = scripted_engine(model, drafters(), EngineConfig::default());
    let bad = engine.add(with_source(&[9, 1], 10)).expect("accepted");
    let good = with_source(&[1, 9], 10);
    let id = engine.add(good.clone()).expect("accepted");
    let report = engine.step().expect("an outcome of one request is no error");
    let failures: Vec<_> = report.all_failures().collect();
    assert_eq!(failures, ["sequence 0: its source cannot be encoded: ONNX Runtime: scripted refusal"]);
    let ended: Vec<_> = report.sequences.iter().map(|step| (step.sequence, step.finish)).collect();
    assert_eq!(ended, [(bad, Some(FinishReason::Failed))]);
    run(&mut engine);
    assert_eq!(engine.remove(id).expect("it was added").token_ids, alone(&good).0);
    let bad = engine.remove(bad).expect("it was added");
    assert_eq!((bad.token_ids, bad.reason), (Vec::new(), FinishReason::Failed));
    assert_eq!((held(&sources), engine.free_blocks()), (0, 64));
}

#[test]
fn sources_that_the_model_cannot_take_are_refused() {
    let check = |has_encoder: bool, source: Option<Vec<TokenId>>, expected: &str| {
        let mut model = ScriptedModel::new(BLOCK_TOKENS, 8);
        model.has_encoder = has_encoder;
        let mut engine = scripted_engine(model, Vec::new(), EngineConfig::default());
        let found = engine.add(Request { source, ..Request::new(vec![0], 3) });
        assert_eq!(found.map_err(|error| error.to_string()), Err(expected.to_owned()));
    };
    check(true, None, "no source is given, expected one, for the model has an encoder");
    check(false, Some(vec![1]), "the request has a source of 1 tokens, expected none, for the model has no encoder");
    check(true, Some(Vec::new()), "the source has 0 tokens, expected 1 to 256");
    check(true, Some(vec![1; 257]), "the source has 257 tokens, expected 1 to 256");
    check(true, Some(vec![1, 12]), "token 12 at index 1 of the source is outside the vocabulary of 12");
}

#[test]
fn costs_are_measured_with_a_source_that_is_dropped_again() {
    let (model, sources) = model(64);
    let mut engine = scripted_engine(model, Vec::new(), EngineConfig::default());
    assert!(engine.calibrate().expect("nothing fails"));
    assert_eq!((held(&sources), encoded(&sources)), (0, 1));
}

const START: TokenId = 0;
const END: TokenId = 1;
const MARK: TokenId = 2;

/// Copies the source, with a mark behind every token of `marked`, as a model of stress does.
fn copy_with_marks(marked: TokenId) -> SourceScript {
    Box::new(move |source: &[TokenId], seen: &[TokenId]| {
        let copied = seen[1..].iter().filter(|token| **token != MARK).count();
        let last = seen[seen.len() - 1];
        let next = if last == marked { MARK } else { source.get(copied).copied().unwrap_or(END) };
        (0..12).map(|token| if token == next { 5.0 } else { 0.0 }).collect()
    })
}

/// Tokens a pass, and the share of drafted tokens that stand, on a copy of 200 tokens with a mark behind one in nine.
fn copying(drafter: Box<dyn Drafter>) -> (f64, f64) {
    let (mut model, _) = model(100);
    model.source_logits = Some(copy_with_marks(5));
    let mut engine = scripted_engine(model, vec![drafter], EngineConfig::default());
    // Without order, so that a short match says little.
    let mut state = 1_u32;
    let mut random = || {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        3 + (state >> 16) % 9
    };
    let source: Vec<TokenId> = (0..200).map(|_| random()).chain([END]).collect();
    let marks = source.iter().filter(|token| **token == 5).count();
    let mut request = Request { draft_max: 8, prompt: vec![START], ..with_source(&source, 250) };
    request.stop.eos_ids = vec![END];
    let id = engine.add(request).expect("accepted");
    run(&mut engine);
    let finished = engine.remove(id).expect("it was added");
    assert_eq!((finished.token_ids.len(), finished.reason), (201 + marks, FinishReason::Eos));
    (finished.report.mean_acceptance_length(), finished.report.acceptance_rate())
}

#[test]
fn a_source_that_is_copied_with_marks_is_drafted_from_its_first_token_on() {
    let (tokens, rate) = copying(Box::new(Lookup::default()));
    assert!(tokens > 4.0 && rate > 0.5, "{tokens} tokens a pass, {rate} accepted");
    let (tokens, _) = copying(Box::new(Suffix::default()));
    assert!(tokens > 2.0, "{tokens} tokens a pass");
}
