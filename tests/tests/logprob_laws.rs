//! Log-probabilities are those of the definition, bit for bit, however the tokens were computed: in chunks, from cached
//! prefixes, again after a preemption or a failure, with drafts or without.

use std::collections::BTreeMap;

use proptest::prelude::*;
use veridraft_engine::{Engine, EngineConfig, Logprobs, Request, SamplingConfig, SequenceId, TokenLogprobs};
use veridraft_models::TokenId;
use veridraft_tests::{Company, ScriptedModel, Small, alone, scripted_engine};

const BLOCK_TOKENS: usize = 4;

/// What a sequence was told.
#[derive(Clone, Debug, Default, PartialEq)]
struct Told {
    tokens: Vec<TokenId>,
    output: Vec<TokenLogprobs>,
    prompt: Vec<TokenLogprobs>,
}

/// Steps until nothing is left to do; at most as often as failures allow.
fn run(engine: &mut Engine, requests: &[Request]) -> (Vec<SequenceId>, Vec<Told>) {
    let ids: Vec<_> = requests.iter().map(|request| engine.add(request.clone()).expect("accepted")).collect();
    let mut told: BTreeMap<_, Told> = ids.iter().map(|&id| (id, Told::default())).collect();
    for _ in 0..10_000 {
        if !engine.has_work() {
            break;
        }
        let Ok(report) = engine.step() else { continue };
        for step in report.sequences {
            let told = told.get_mut(&step.sequence).expect("it was added");
            told.tokens.extend(step.tokens);
            told.output.extend(step.logprobs);
            told.prompt.extend(step.prompt_logprobs);
        }
    }
    (ids, told.into_values().collect())
}

/// By the definition: no engine, each token from the logits behind all tokens before it.
fn expected(request: &Request) -> Told {
    let model = ScriptedModel::new(BLOCK_TOKENS, 1);
    let (tokens, _, _) = alone(request);
    let all = [request.prompt.as_slice(), &tokens].concat();
    let of = |positions: std::ops::Range<usize>, top: Option<usize>| match top {
        None => Vec::new(),
        Some(top) => positions.map(|index| TokenLogprobs::new(&model.scores(&all[..index]), all[index], top)).collect(),
    };
    let prompt = of(1..request.prompt.len(), request.logprobs.prompt);
    let output = of(request.prompt.len()..all.len(), request.logprobs.output);
    Told { tokens, output, prompt }
}

fn company() -> Vec<Company> {
    vec![
        Company::Scripted { script: vec![3, 1, 4, 1, 5], like_a_model: false, fails_after: None },
        Company::Suffix,
        Company::Model(Small { memory: 2, blocks: 40, fail_every: 0 }),
    ]
}

fn engine(model: ScriptedModel, company: &[Company], chunk_rows: usize) -> Engine {
    let config = EngineConfig { chunk_rows, max_sequences: 4 };
    scripted_engine(model, company.iter().map(Company::drafter).collect(), config)
}

/// Drawn and greedy requests that begin alike.
fn requests() -> impl Strategy<Value = Vec<Request>> {
    let wants = || prop_oneof![1 => Just(None), 3 => (0..14_usize).prop_map(Some)];
    let text = (proptest::collection::vec(0..12_u32, 1..10), 1..20_usize);
    let sampling = (prop_oneof![Just(0.0_f32), Just(1.0)], any::<u64>()).prop_map(|(temperature, seed)| {
        SamplingConfig { temperature, seed, repetition_penalty: 1.2, ..SamplingConfig::default() }
    });
    let logprobs = (wants(), wants()).prop_map(|(output, prompt)| Logprobs { output, prompt });
    let levels = prop_oneof![Just((0, 6)), Just((3, 3)), Just((0, 0))];
    let request = (text, sampling, logprobs, levels).prop_map(|((prompt, max_tokens), sampling, logprobs, levels)| {
        Request { sampling, logprobs, draft_min: levels.0, draft_max: levels.1, ..Request::new(prompt, max_tokens) }
    });
    let stem = proptest::collection::vec(0..12_u32, 30);
    (stem, proptest::collection::vec((0..30_usize, request), 1..6)).prop_map(|(stem, requests)| {
        let begin = |(common, request): (usize, Request)| {
            let prompt = [&stem[..common], &request.prompt].concat();
            Request { prompt, ..request }
        };
        requests.into_iter().map(begin).collect()
    })
}

proptest! {
    #[test]
    fn log_probabilities_are_those_of_the_definition(
        requests in requests(),
        chunk_rows in 1..40_usize,
        blocks in 16..40_usize,
        fail_every in prop_oneof![Just(0_usize), Just(3)],
        tree: bool,
        share_blocks: bool,
        is_alone: bool,
    ) {
        let mut model = ScriptedModel::new(BLOCK_TOKENS, blocks);
        (model.fail_every, model.tree, model.share_blocks) = (fail_every, tree, share_blocks);
        let drafters = if is_alone { Vec::new() } else { company() };
        let (_, told) = run(&mut engine(model, &drafters, chunk_rows), &requests);
        prop_assert_eq!(told, requests.iter().map(expected).collect::<Vec<_>>());
    }
}

fn request(common: usize, seed: u64, logprobs: Logprobs) -> Request {
    Request {
        sampling: SamplingConfig { temperature: 1.0, seed, ..SamplingConfig::default() },
        logprobs,
        draft_max: 4,
        ..Request::new((0..common as TokenId).map(|token| token * 5 % 12).collect(), 20)
    }
}

/// The same prompt three times: cached tokens have no logits, so who wants the prompt's computes them all again.
#[test]
fn a_prefix_hit_takes_nothing_from_the_log_probabilities() {
    let mut engine = engine(ScriptedModel::new(BLOCK_TOKENS, 64), &company(), 7);
    let both = Logprobs { output: Some(3), prompt: Some(2) };
    for (logprobs, cached) in [(both, 0), (both, 0), (Logprobs { prompt: None, ..both }, 28)] {
        let request = request(30, 1, logprobs);
        let (ids, told) = run(&mut engine, std::slice::from_ref(&request));
        assert_eq!(told, [expected(&request)]);
        assert_eq!(told[0].prompt.len(), if logprobs.prompt.is_some() { 29 } else { 0 });
        let report = engine.remove(ids[0]).expect("it was added").report;
        assert_eq!(report.cached, cached);
        assert!(report.acceptance_rate() > 0.0);
    }
}

/// A pool for two of four sequences, so that some are preempted, before and after their prompts were scored.
#[test]
fn a_preemption_takes_nothing_from_the_log_probabilities() {
    let mut preempted = 0;
    for chunk_rows in 1..40 {
        let mut engine = engine(ScriptedModel::new(BLOCK_TOKENS, 20), &company(), chunk_rows);
        let both = Logprobs { output: Some(1), prompt: Some(1) };
        let requests: Vec<_> = (0..4).map(|seed| request(20 + 3 * seed as usize, seed, both)).collect();
        let (ids, told) = run(&mut engine, &requests);
        assert_eq!(told, requests.iter().map(expected).collect::<Vec<_>>());
        let preemptions = |id| engine.remove(id).expect("it was added").report.preemptions;
        preempted += ids.into_iter().map(preemptions).sum::<usize>();
    }
    assert!(preempted > 20, "{preempted}");
}
