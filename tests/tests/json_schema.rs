//! Constrained decoding against an independent validator: whatever the logits say, the text is valid, and it is the same
//! with drafts.
//!
//! The schemas are those of the official test suite, in `shared/` beside the repository; without it the test says that
//! it is skipped.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use veridraft_engine::constraint::{Grammar, Guidance};
use veridraft_engine::drafters::{Drafter, Lookup, Suffix};
use veridraft_engine::{
    CostModel, Decode, Engine, EngineConfig, FinishReason, Parts, Request, SamplingConfig, StopConditions,
};
use veridraft_models::TokenId;
use veridraft_tests::{
    BYTE_VOCABULARY, END_OF_TEXT, ScriptedModel, byte_vocabulary, constrained_tokens, hashed_logits, shared_data,
    text_of,
};

/// Schemas taken, in the order of the file.
const SCHEMAS: usize = 100;
/// Texts for each.
const SEEDS: u64 = 4;

/// One schema of the suite.
struct Case {
    id: String,
    schema: Value,
}

/// The schemas that need no other document. One of an older draft says so in the suite's layout, not in itself.
fn cases() -> Result<Option<Vec<Case>>> {
    let Some(path) = shared_data("data/json_schema_test_suite/groups.jsonl") else { return Ok(None) };
    let mut cases = Vec::new();
    for line in std::fs::read_to_string(path)?.lines() {
        let mut group: Value = serde_json::from_str(line)?;
        let draft7 = group["draft"] == "draft7";
        let mut schema = group["schema"].take();
        if let (true, Value::Object(keywords)) = (draft7, &mut schema) {
            keywords.entry("$schema").or_insert_with(|| "http://json-schema.org/draft-07/schema#".into());
        }
        if group["needs_remote"] == false {
            cases.push(Case { id: group["id"].as_str().context("a group has an id")?.to_owned(), schema });
        }
    }
    Ok(Some(cases))
}

/// The first schemas that can be served, and the messages about those refused on the way.
fn served(cases: Vec<Case>) -> (Vec<(Case, Guidance)>, Vec<String>) {
    let vocabulary = byte_vocabulary(&[END_OF_TEXT]);
    let (mut served, mut refused) = (Vec::new(), Vec::new());
    for case in cases {
        if served.len() == SCHEMAS {
            break;
        }
        match Grammar::JsonSchema(&case.schema.to_string()).compile(&vocabulary) {
            Ok(constraint) => served.push((case, constraint)),
            Err(error) => refused.push(format!("{}: {error}", case.id)),
        }
    }
    (served, refused)
}

/// A text drawn under a schema; some end as soon as they can, others wander first.
fn text_under(constraint: &Guidance, seed: u64) -> Result<String> {
    let sampling = SamplingConfig { seed, temperature: 1.0, ..SamplingConfig::default() };
    let brief_from = [0, 8, 40, 120][seed as usize % 4];
    let logits = |tokens: &[TokenId]| hashed_logits(seed, tokens, brief_from);
    let tokens = constrained_tokens(&mut constraint.clone(), sampling, 1000, logits)?;
    Ok(String::from_utf8(text_of(&tokens.context("the text does not come to an end")?))?)
}

/// Bytes that are no text of their own until their character is whole.
struct Bytes;

impl Decode for Bytes {
    fn decode(&self, ids: &[TokenId]) -> String {
        String::from_utf8_lossy(&text_of(ids)).into_owned()
    }
}

/// The tokens of the same text by an engine, and how many drafted ones stand in it.
fn by_engine(constraint: &Guidance, seed: u64, drafters: Vec<Box<dyn Drafter>>) -> Result<(Vec<TokenId>, usize)> {
    let brief_from = [0, 8, 20, 40][seed as usize % 4];
    let mut model = ScriptedModel::new(16, 80);
    model.vocabulary = BYTE_VOCABULARY;
    model.context_length = 1200;
    model.logits = Some(Box::new(move |seen| hashed_logits(seed, &seen[1..], brief_from)));
    let draft_max = if drafters.is_empty() { 0 } else { 8 };
    let parts = Parts {
        model: Box::new(model),
        decoder: Arc::new(Bytes),
        drafters,
        costs: CostModel::default(),
        clock: Box::new(|| Duration::ZERO),
    };
    let mut engine = Engine::new(parts, EngineConfig::default());
    let request = Request {
        draft_max,
        sampling: SamplingConfig { seed, temperature: 1.0, ..SamplingConfig::default() },
        stop: StopConditions { eos_ids: vec![END_OF_TEXT], ..StopConditions::default() },
        constraint: Some(Box::new(constraint.clone())),
        ..Request::new(vec![0], 1000)
    };
    let id = engine.add(request)?;
    while engine.has_work() {
        let report = engine.step()?;
        assert_eq!(report.all_failures().next(), None);
    }
    let finished = engine.remove(id).context("it was added")?;
    let accepted = finished.report.sources.values().map(|source| source.accepted).sum();
    assert!(matches!(finished.reason, FinishReason::Eos | FinishReason::Complete), "{:?}", finished.reason);
    Ok((finished.token_ids, accepted))
}

/// Whether the validator, which reads numbers as doubles, can judge the value.
fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|number| number.abs() < (1_u64 << 53) as f64),
        Value::Array(values) => values.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        _ => true,
    }
}

/// Whether it is an e-mail address whose part before the `@` may be longer than the 64 characters that RFC 5321 allows:
/// constraints do not count them.
fn is_long_address(schema: &Value, value: &Value) -> bool {
    let format = schema["format"].as_str().unwrap_or_default();
    format.ends_with("email") && value.as_str().is_some_and(|address| address.len() > 64)
}

#[test]
fn a_text_under_a_schema_is_valid_whatever_the_logits() -> Result<()> {
    let Some(cases) = cases()? else { return Ok(()) };
    let (served, refused) = served(cases);
    println!("{} schemas served, {} refused: {refused:#?}", served.len(), refused.len());
    assert_eq!(served.len(), SCHEMAS);
    let (mut judged, mut accepted) = (0, 0);
    for (Case { id, schema }, constraint) in served {
        let validator = jsonschema::options().should_validate_formats(true).build(&schema)?;
        for seed in 0..SEEDS {
            let text = text_under(&constraint, seed).with_context(|| id.clone())?;
            let value: Value = serde_json::from_str(&text).with_context(|| format!("{id}: {text}"))?;
            let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty() || !is_exact(&value), "{id}: {schema}\n{text}\n{errors:?}");
            judged += u64::from(is_exact(&value));
            let (plain, _) = by_engine(&constraint, seed, Vec::new())?;
            let drafters: Vec<Box<dyn Drafter>> = vec![Box::new(Suffix::default()), Box::new(Lookup::default())];
            let (drafted, stand) = by_engine(&constraint, seed, drafters)?;
            assert_eq!(drafted, plain, "{id}");
            accepted += stand;
            let whole = plain.strip_suffix(&[END_OF_TEXT]).unwrap_or(&plain);
            let value: Value = serde_json::from_slice(&text_of(whole)).with_context(|| id.clone())?;
            assert!(
                validator.is_valid(&value) || !is_exact(&value) || is_long_address(&schema, &value),
                "{id}: {value}"
            );
        }
    }
    println!("{judged} texts judged, {accepted} drafted tokens stand in them");
    assert!(accepted > 100);
    assert!(judged > SCHEMAS as u64 * SEEDS * 9 / 10);
    Ok(())
}
