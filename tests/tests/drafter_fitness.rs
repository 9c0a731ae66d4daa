//! What teacher forcing predicts of drafters against engines that really draft: on text that the target wrote itself the
//! steps are the same, one by one, for every drafter, draft length and temperature.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::Result;
use proptest::collection::vec;
use proptest::prelude::*;
use veridraft_engine::drafters::{DraftModel, Drafter, Lookup, NgramDrafter, Suffix};
use veridraft_engine::evaluation::Window;
use veridraft_engine::evaluation::fitness::{
    Contender, Fitness, at_positions, guess_along, mean_acceptance_length, observe,
};
use veridraft_engine::ngram::{NgramConfig, NgramModel, train};
use veridraft_engine::{CostModel, Engine, EngineConfig, Parts, Request, SamplingConfig};
use veridraft_export::{ExportConfig, Weights};
use veridraft_models::{CausalModel, LanguageModel, ModelFolder, TokenId};
use veridraft_tests::{ScriptedModel, TinyLlama, scripted_engine};

const VOCABULARY: usize = 12;
/// The longest draft that is asked about.
const MOST: usize = 8;
const NEW_TOKENS: usize = 60;

/// A model that looks at two tokens; `other` of 8 pairs of them have logits of their own in a draft model.
fn model(other: u64) -> ScriptedModel {
    let (mut model, mut scores) = (ScriptedModel::new(4, 80), ScriptedModel::new(1, 1));
    scores.memory = 3;
    let logits = move |seen: &[TokenId]| {
        let recent = &seen[seen.len().saturating_sub(2)..];
        let pair = recent.iter().fold(1, |pair, &token| pair * VOCABULARY as u64 + u64::from(token));
        let is_other = pair.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61 < other;
        scores.scores(&[recent, if is_other { &[0] } else { &[] }].concat())
    };
    model.logits = Some(Box::new(logits));
    model
}

/// One way to draft.
#[derive(Clone, Debug)]
struct Case {
    tables: Vec<Table>,
    /// Of 8 pairs of tokens, those that its draft model sees otherwise.
    model: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Table {
    Lookup,
    Suffix,
    Ngram,
}

impl Case {
    fn tables(&self) -> Vec<Box<dyn Drafter>> {
        let table = |table: &Table| -> Box<dyn Drafter> {
            match table {
                Table::Lookup => Box::new(Lookup::default()),
                Table::Suffix => Box::new(Suffix::default()),
                Table::Ngram => Box::new(NgramDrafter::new(Arc::clone(&NGRAMS))),
            }
        };
        self.tables.iter().map(table).collect()
    }

    fn drafters(&self) -> Vec<Box<dyn Drafter>> {
        let model = self
            .model
            .map(|other| -> Box<dyn Drafter> { Box::new(DraftModel::new(Box::new(model(other)), VOCABULARY)) });
        self.tables().into_iter().chain(model).collect()
    }
}

/// Trained on texts of the target, greedy ones, so that it is right often.
static NGRAMS: LazyLock<Arc<NgramModel<Vec<u8>>>> = LazyLock::new(|| {
    let greedy = SamplingConfig::default();
    let texts: Vec<_> = (0..12).map(|token| run(&[], &greedy, &[vec![token, 3]], 0).texts.remove(0).tokens).collect();
    let config = NgramConfig { order: 3, vocabulary: VOCABULARY, tokenizer: [0; 32] };
    Arc::new(train(&texts, &config).expect("tokens of the vocabulary"))
});

/// What an engine did.
#[derive(Default)]
struct Run {
    /// Prompts with what it wrote behind them.
    texts: Vec<Window>,
    tokens: usize,
    steps: usize,
    accepted: usize,
}

/// Answers prompts one after the other, with drafts of one length.
fn run(case: &[&Case], sampling: &SamplingConfig, prompts: &[Vec<TokenId>], draft_length: usize) -> Run {
    let drafters = case.iter().flat_map(|case| case.drafters()).collect();
    answer(scripted_engine(model(0), drafters, EngineConfig::default()), sampling, prompts, draft_length)
}

fn answer(mut engine: Engine, sampling: &SamplingConfig, prompts: &[Vec<TokenId>], draft_length: usize) -> Run {
    let mut run = Run::default();
    for prompt in prompts {
        let request = Request {
            draft_min: draft_length,
            draft_max: draft_length,
            sampling: sampling.clone(),
            ..Request::new(prompt.clone(), NEW_TOKENS)
        };
        let id = engine.add(request).expect("accepted");
        while engine.has_work() {
            let report = engine.step().expect("scripted models do not fail");
            run.steps += 1;
            run.accepted += report.sequences.iter().map(|step| step.accepted).sum::<usize>();
        }
        let written = engine.remove(id).expect("it was added").token_ids;
        run.tokens += written.len();
        let tokens = [prompt.as_slice(), &written].concat();
        run.texts.push(Window { scored: prompt.len()..tokens.len(), tokens });
    }
    run
}

fn fitness(case: &Case, sampling: &SamplingConfig, texts: &[Window]) -> Fitness {
    let mut drafters = case.tables();
    let guesses = match drafters.is_empty() {
        true => Vec::new(),
        false => guess_along(&mut drafters, texts, sampling, MOST).expect("tables do not fail"),
    };
    let (mut target, mut draft) = (model(0), case.model.map(model));
    let mut models: Vec<&mut dyn LanguageModel> = vec![&mut target];
    models.extend(draft.as_mut().map(|draft| draft as &mut dyn LanguageModel));
    let contender = Contender { guesses, model: case.model.map(|_| 0) };
    observe(&mut models, texts, &[contender], sampling, MOST).expect("it fits").remove(0)
}

fn case() -> impl Strategy<Value = Case> {
    let tables = prop_oneof![
        Just(vec![]),
        Just(vec![Table::Lookup]),
        Just(vec![Table::Suffix]),
        Just(vec![Table::Ngram]),
        Just(vec![Table::Suffix, Table::Lookup]),
    ];
    (tables, prop::option::of(0..6_u64))
        .prop_map(|(tables, model)| Case { tables, model })
        .prop_filter("somebody drafts", |case| !case.tables.is_empty() || case.model.is_some())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn steps_on_the_targets_own_text_are_those_of_an_engine(
        case in case(),
        prompts in vec(vec(0..VOCABULARY as TokenId, 1..12), 1..4),
        (temperature, seed) in prop_oneof![Just(0.0_f32), 0.3..1.2_f32].prop_flat_map(|t| (Just(t), 0..9_u64)),
        repetition_penalty in prop_oneof![Just(1.0_f32), Just(1.2)],
    ) {
        let sampling = SamplingConfig { temperature, seed, repetition_penalty, ..SamplingConfig::default() };
        let plain = run(&[], &sampling, &prompts, 0);
        let found = fitness(&case, &sampling, &plain.texts);
        prop_assert_eq!(found.tokens, plain.tokens);
        for draft_length in 1..=MOST {
            let drafted = run(&[&case], &sampling, &prompts, draft_length);
            prop_assert_eq!(&drafted.texts, &plain.texts, "drafts change nothing");
            let tau = mean_acceptance_length(&found.texts, draft_length).expect("tokens");
            prop_assert_eq!(tau, drafted.tokens as f64 / drafted.steps as f64, "draft length {}", draft_length);
            let accepted: usize = at_positions(&found.texts, draft_length).iter().map(|place| place.accepted).sum();
            prop_assert_eq!(accepted, drafted.accepted);
        }
    }
}

/// A fixed case of each kind, in which drafts do stand, so that the law above is not one about nothing.
#[test]
fn predictions_tell_good_drafters_from_bad_ones() {
    let greedy = SamplingConfig::default();
    let prompts: Vec<Vec<TokenId>> = (0..6).map(|token| vec![token, 2 * token, 7]).collect();
    let texts = run(&[], &greedy, &prompts, 0).texts;
    let tau = |tables: &[Table], model: Option<u64>| {
        let found = fitness(&Case { tables: tables.to_vec(), model }, &greedy, &texts);
        mean_acceptance_length(&found.texts, 4).expect("tokens")
    };
    assert_eq!(tau(&[], Some(0)), 5.0, "a draft model that is the target itself is always right");
    assert!(tau(&[], Some(3)) < tau(&[], Some(1)));
    assert!(tau(&[], Some(1)) < 5.0);
    for table in [Table::Lookup, Table::Suffix, Table::Ngram] {
        assert!(tau(&[table], None) > 1.5, "{table:?}: {}", tau(&[table], None));
    }
}

#[test]
fn agreement_is_that_of_the_distributions() {
    let sampling = SamplingConfig { temperature: 0.7, top_k: 6, ..SamplingConfig::default() };
    let texts = run(&[], &sampling, &[vec![1, 2, 3]], 0).texts;
    let itself = fitness(&Case { tables: vec![], model: Some(0) }, &sampling, &texts);
    assert_eq!([itself.accepted, itself.same_best], [1.0, 1.0]);
    assert!((itself.overlap - 1.0).abs() < 1e-5, "{}", itself.overlap);
    assert_eq!(itself.guessed, NEW_TOKENS);
    // Coupled sampling accepts no more than the optimum and at least (1 - TV) / (1 + TV); 60 tokens are no many.
    let other = fitness(&Case { tables: vec![], model: Some(4) }, &sampling, &texts);
    let optimum = other.overlap;
    assert!(optimum < 0.9 && other.accepted < optimum + 0.15 && other.accepted > optimum / (2.0 - optimum) - 0.15);
    // A guess from text is certain of itself: what is accepted is its probability, at temperature 0 a yes or no.
    let lookup = fitness(&Case { tables: vec![Table::Lookup], model: None }, &sampling, &texts);
    assert!(lookup.guessed > 0 && lookup.guessed < NEW_TOKENS);
    assert_eq!(lookup.overlap, lookup.accepted);
    let greedy = SamplingConfig::default();
    let texts = run(&[], &greedy, &[vec![1, 2, 3]], 0).texts;
    let lookup = fitness(&Case { tables: vec![Table::Lookup], model: None }, &greedy, &texts);
    assert_eq!(lookup.accepted, lookup.same_best);
    assert!(lookup.overlap < lookup.accepted, "{lookup:?}");
}

#[test]
fn text_of_somebody_else_ends_a_draft_where_the_target_goes_another_way() {
    let greedy = SamplingConfig::default();
    let mut target = model(0);
    // The target's best token behind `1 2`; the text goes on with another one.
    let best = |model: &ScriptedModel, seen: &[TokenId]| {
        let scores = model.scores(seen);
        (0..VOCABULARY).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).expect("tokens") as TokenId
    };
    let (first, other) = (best(&target, &[1, 2]), (best(&target, &[1, 2]) + 1) % VOCABULARY as TokenId);
    let second = best(&target, &[2, other]);
    let text = Window { tokens: vec![1, 2, other, second], scored: 2..4 };
    let guesses = vec![vec![vec![first, second], vec![second]]];
    let contender = Contender { guesses, model: None };
    let found = observe(&mut [&mut target], std::slice::from_ref(&text), &[contender], &greedy, MOST).expect("it fits");
    let accepted: Vec<_> = found[0].texts[0].guesses.iter().map(|guessed| guessed.accepted).collect();
    assert_eq!(accepted, [1, 1]);
    // Above 0 the text is what was drawn.
    let sampling = SamplingConfig { temperature: 1.0, ..greedy };
    let contender = Contender { guesses: vec![vec![vec![first, second], vec![second]]], model: None };
    let found = observe(&mut [&mut target], &[text], &[contender], &sampling, MOST).expect("it fits");
    let accepted: Vec<_> = found[0].texts[0].guesses.iter().map(|guessed| guessed.accepted).collect();
    assert_eq!(accepted, [0, 1]);
}

/// The same through real sessions: passes of a whole text, of one row and of drafts give the same bits.
#[test]
fn a_coarser_export_drafts_for_a_finer_one_as_predicted() -> Result<()> {
    let (fine, coarse) =
        (TinyLlama::create()?, TinyLlama::create_with(&ExportConfig { weights: Weights::Q4, ..<_>::default() })?);
    let open = |tiny: &TinyLlama| tiny.open(1, 512);
    let tokenizer = ModelFolder::open(fine.model())?.tokenizer;
    let engine = |target: CausalModel, drafters: Vec<Box<dyn Drafter>>| {
        let (decoder, clock) = (Arc::new(tokenizer.clone()), Box::new(|| Duration::ZERO));
        let parts = Parts { model: Box::new(target), decoder, drafters, costs: CostModel::default(), clock };
        Engine::new(parts, EngineConfig::default())
    };
    let sampling = SamplingConfig { temperature: 0.8, ..SamplingConfig::default() };
    let prompts: Vec<Vec<TokenId>> = vec![(10..30).collect(), vec![7; 5]];
    let texts = answer(engine(open(&fine)?, Vec::new()), &sampling, &prompts, 0).texts;
    let contender = Contender { guesses: Vec::new(), model: Some(0) };
    let (mut target, mut draft) = (open(&fine)?, open(&coarse)?);
    let found = observe(&mut [&mut target, &mut draft], &texts, &[contender], &sampling, MOST)?.remove(0);
    for draft_length in [1, 3, 8] {
        let drafter = DraftModel::new(Box::new(open(&coarse)?), TinyLlama::VOCABULARY);
        let drafted = answer(engine(open(&fine)?, vec![Box::new(drafter)]), &sampling, &prompts, draft_length);
        let measured = drafted.tokens as f64 / drafted.steps as f64;
        let predicted = mean_acceptance_length(&found.texts, draft_length).expect("tokens");
        println!("draft length {draft_length}: predicted {predicted:.3}, measured {measured:.3}");
        assert_eq!(predicted, measured);
        assert!(measured > 1.2, "the models agree often");
    }
    Ok(())
}
