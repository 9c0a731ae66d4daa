//! Engines over a [`ScriptedModel`] and the slow obvious model that they are held to.

use std::sync::Arc;
use std::time::Duration;

use veridraft_engine::constraint::Ending;
use veridraft_engine::drafters::Drafter;
use veridraft_engine::sampling::{History, Sampler};
use veridraft_engine::{CostModel, Decode, Engine, EngineConfig, FinishReason, Parts, Request};
use veridraft_models::TokenId;

use crate::{Letters, ScriptedModel};

/// Tokens, text and why it ended.
pub type Output = (Vec<TokenId>, String, FinishReason);

/// An engine in which no time passes and every token is a letter.
pub fn scripted_engine(model: ScriptedModel, drafters: Vec<Box<dyn Drafter>>, config: EngineConfig) -> Engine {
    let parts = Parts {
        model: Box::new(model),
        decoder: Arc::new(Letters),
        drafters,
        costs: CostModel::default(),
        clock: Box::new(|| Duration::ZERO),
    };
    Engine::new(parts, config)
}

/// The output of each request, in order; checks the engine's invariants after every step.
///
/// The engine is a fresh one: its sequences are named from 0 on.
pub fn run_all(mut engine: Engine, requests: &[Request]) -> Vec<Output> {
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

/// What a request to an untouched [`ScriptedModel`] gives: no engine, no cache, no drafts; one token after the other by
/// the definition.
pub fn alone(request: &Request) -> Output {
    let model = ScriptedModel::new(1, 1);
    let mut sampler = Sampler::new(request.sampling.clone()).expect("settings in range");
    let mut history = History::new(&request.sampling);
    history.extend_prompt(&request.prompt);
    let mut constraint = request.constraint.clone();
    let (mut output, mut text) = (Vec::new(), String::new());
    loop {
        let seen = [request.prompt.as_slice(), &output].concat();
        let mut scores = match &request.source {
            Some(source) => model.scores_with(source, &seen),
            None => model.scores(&seen),
        };
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
