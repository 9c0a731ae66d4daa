//! Trees of drafts through a real session: what was accepted beside wrong guesses is moved, and the text goes on as it would.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use veridraft_engine::drafters::{Draft, DraftNode, DraftRequest, Drafter};
use veridraft_engine::{CostModel, Engine, EngineConfig, Finished, Parts, Request, SequenceId};
use veridraft_models::{CausalModelConfig, KvType, ModelFolder, TokenId};
use veridraft_tests::TinyLlama;

/// Knows the text, and proposes each of its next tokens behind wrong ones, so that no right one lies where it belongs.
struct Oracle {
    text: Vec<TokenId>,
    seen: usize,
}

impl Drafter for Oracle {
    fn name(&self) -> &'static str {
        "oracle"
    }

    fn extend(&mut self, _: SequenceId, tokens: &[TokenId]) {
        self.seen += tokens.len();
    }

    fn propose(&mut self, wanted: &[DraftRequest]) -> veridraft_engine::Result<Vec<Draft>> {
        let mut draft = Draft::default();
        let mut parent = None;
        for &token in self.text[self.seen..].iter().take(3) {
            let node = |token, confidence| DraftNode { token, parent, confidence, drawn_from: None };
            draft.nodes.push(node((token + 1) % 256, 0.9));
            draft.nodes.push(node(token, 0.8));
            parent = Some(draft.nodes.len() - 1);
        }
        Ok(vec![draft; wanted.len()])
    }

    fn release(&mut self, _: SequenceId) {}
}

fn run(tiny: &TinyLlama, kv: KvType, request: &Request, drafters: Vec<Box<dyn Drafter>>) -> Result<Finished> {
    let parts = Parts {
        model: Box::new(tiny.open_with(256, CausalModelConfig { threads: 1, kv, ..CausalModelConfig::default() })?),
        decoder: Arc::new(ModelFolder::open(tiny.model())?.tokenizer),
        drafters,
        costs: CostModel::default(),
        clock: Box::new(|| Duration::ZERO),
    };
    let mut engine = Engine::new(parts, EngineConfig::default());
    let id = engine.add(request.clone())?;
    while engine.has_work() {
        let report = engine.step()?;
        assert_eq!(report.all_failures().next(), None);
        engine.check().expect("blocks are conserved");
    }
    Ok(engine.remove(id).expect("it was added"))
}

#[test]
fn rows_that_were_accepted_beside_wrong_ones_are_moved_with_every_type_of_keys_and_values() -> Result<()> {
    let tiny = TinyLlama::create()?;
    for kv in KvType::ALL {
        let plain = Request::new((0..21).map(|n| n * 11 % 256).collect(), 60);
        let expected = run(&tiny, kv, &plain, Vec::new())?.token_ids;
        let oracle = Oracle { text: [&plain.prompt[..], &expected].concat(), seen: 0 };
        let found = run(&tiny, kv, &Request { draft_max: 8, ..plain }, vec![Box::new(oracle)])?;
        assert_eq!(found.token_ids, expected, "{kv}");
        assert!(found.report.forwards < 40, "{kv}: {} passes, so few guesses were verified", found.report.forwards);
    }
    Ok(())
}
