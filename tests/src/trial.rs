//! Thousands of short texts of one prompt, by the whole engine, and the exact probability of each.
//!
//! Four tokens and texts of three make 64 texts, few enough to count each of them often.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use veridraft_engine::constraint::Constraint;
use veridraft_engine::drafters::Drafter;
use veridraft_engine::sampling::{History, Sampler};
use veridraft_engine::{CostModel, Engine, EngineConfig, Outcome, Parts, Request, SamplingConfig, Verification};
use veridraft_models::TokenId;

use crate::{Letters, Outcomes, ScriptedModel};

/// Tokens that there are.
pub const VOCABULARY: usize = 4;
/// Tokens of a text.
pub const NEW_TOKENS: usize = 3;
/// Texts that there are.
pub const TEXTS: usize = VOCABULARY.pow(NEW_TOKENS as u32);
/// What every text begins with: it repeats itself, so that there is something to look up.
pub const PROMPT: [TokenId; 10] = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1];
/// Texts of a trial, each of a seed of its own.
const RUNS: u64 = 12_288;
/// Sequences in the engine at once.
pub const WAVE: u64 = 128;

type Drafters = Vec<Box<dyn Drafter>>;

/// One way to run all seeds.
#[derive(Clone)]
pub struct Trial {
    /// When drafts stand.
    pub verification: Verification,
    /// The seed apart.
    pub sampling: SamplingConfig,
    /// Levels of a draft, at least and at most.
    pub draft_levels: (usize, usize),
    /// Whether the target understands trees.
    pub tree: bool,
    /// Makes the target.
    pub target: fn() -> ScriptedModel,
    /// What the texts must be; it never ends them.
    pub constraint: Option<Box<dyn Constraint>>,
}

/// What a trial gave.
pub struct Found {
    /// In the order of the seeds, 0 on.
    pub texts: Vec<Vec<TokenId>>,
    /// Drafted tokens, by drafter.
    pub sources: BTreeMap<&'static str, Outcome>,
}

impl Trial {
    /// Adaptive trees for plain draws from `target`.
    pub fn new(target: fn() -> ScriptedModel, verification: Verification) -> Self {
        let sampling = SamplingConfig { temperature: 1.0, ..SamplingConfig::default() };
        Self { verification, sampling, draft_levels: (0, 4), tree: true, target, constraint: None }
    }

    /// That, chains under cut-offs, and drafts of fixed length.
    pub fn all(target: fn() -> ScriptedModel, verification: Verification) -> [Self; 3] {
        let adaptive = Self::new(target, verification);
        let sampling = SamplingConfig { temperature: 0.7, top_k: 3, ..SamplingConfig::default() };
        let cut_off = Self { sampling, tree: false, ..adaptive.clone() };
        let fixed = Self { draft_levels: (3, 3), ..adaptive.clone() };
        [adaptive, cut_off, fixed]
    }

    /// The text of a seed.
    pub fn request(&self, seed: u64) -> Request {
        Request {
            sampling: SamplingConfig { seed, ..self.sampling.clone() },
            verification: self.verification,
            draft_min: self.draft_levels.0,
            draft_max: self.draft_levels.1,
            constraint: self.constraint.clone(),
            ..Request::new(PROMPT.to_vec(), NEW_TOKENS)
        }
    }

    /// The texts of all seeds. `drafters` serve all of them, one engine.
    pub fn run(&self, drafters: Drafters) -> Found {
        let mut engine = self.engine(drafters);
        let mut found = Found { texts: Vec::new(), sources: BTreeMap::new() };
        for wave in 0..RUNS / WAVE {
            let seeds = wave * WAVE..(wave + 1) * WAVE;
            let ids: Vec<_> = seeds.map(|seed| engine.add(self.request(seed)).expect("accepted")).collect();
            while engine.has_work() {
                let report = engine.step().expect("nothing fails");
                assert_eq!(report.all_failures().next(), None);
                for (name, outcome) in report.sequences.iter().flat_map(|step| &step.sources) {
                    let source = found.sources.entry(name).or_default();
                    source.proposed += outcome.proposed;
                    source.accepted += outcome.accepted;
                }
            }
            let text = |id| engine.remove(id).expect("it was added").token_ids;
            found.texts.extend(ids.into_iter().map(text));
        }
        engine.check().expect("blocks are conserved");
        found
    }

    /// An engine for [`WAVE`] sequences at once. A further row costs a thousandth of the first, so that unlikely guesses
    /// are tried too, and not all of them.
    pub fn engine(&self, drafters: Drafters) -> Engine {
        let mut model = (self.target)();
        model.tree = self.tree;
        let costs = r#"{"curve": [[1, 1.0], [1001, 2.0]], "context": 0.0, "row_context": 0.0}"#;
        let parts = Parts {
            model: Box::new(model),
            decoder: Arc::new(Letters),
            drafters,
            costs: serde_json::from_str::<CostModel>(costs).expect("a cost model"),
            clock: Box::new(|| Duration::ZERO),
        };
        Engine::new(parts, EngineConfig { chunk_rows: 2048, max_sequences: WAVE as usize })
    }

    /// The texts against what they should be.
    pub fn outcomes(&self, texts: &[Vec<TokenId>]) -> Outcomes {
        let mut outcomes = Outcomes::new(self.probabilities());
        texts.iter().for_each(|text| outcomes.count(number_of(text)));
        outcomes
    }

    /// Of every text, by the definition.
    fn probabilities(&self) -> Vec<f64> {
        let model = (self.target)();
        let mut sampler = Sampler::new(self.sampling.clone()).expect("settings in range");
        let mut probability = |text: &[TokenId]| -> f64 {
            let next = |length: usize| {
                let mut scores = model.scores(&[&PROMPT, &text[..length]].concat());
                if let Some(mut constraint) = self.constraint.clone() {
                    text[..length].iter().for_each(|&token| constraint.push(token).expect("it never fails"));
                    constraint.allowed().expect("it never fails").mask(&mut scores);
                }
                let mut distribution = Vec::new();
                sampler.distribution(&scores, &History::new(&self.sampling), &mut distribution);
                f64::from(distribution[text[length] as usize])
            };
            (0..NEW_TOKENS).map(next).product()
        };
        (0..TEXTS).map(|number| probability(&text_of(number))).collect()
    }
}

/// Logits between 0 and 2.5, so that no text is too rare to be counted, and a pool in which some drafts find no block.
pub fn small_model(memory: usize) -> ScriptedModel {
    let mut hash = ScriptedModel::new(4, 1);
    (hash.memory, hash.vocabulary) = (memory, VOCABULARY);
    let mut model = ScriptedModel::new(4, 3 * WAVE as usize);
    (model.vocabulary, model.max_rows) = (VOCABULARY, 4096);
    model.logits = Some(Box::new(move |seen| hash.scores(seen).into_iter().map(|score| score / 3.2).collect()));
    model
}

/// The place of a text among all.
fn number_of(text: &[TokenId]) -> usize {
    text.iter().fold(0, |number, &token| number * VOCABULARY + token as usize)
}

/// The text of a place.
pub fn text_of(number: usize) -> Vec<TokenId> {
    [16, 4, 1].map(|place| (number / place % VOCABULARY) as TokenId).to_vec()
}
