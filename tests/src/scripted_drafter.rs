//! A drafter that proposes whatever its script says: good, bad, too long, out of the vocabulary's order.

use veridraft_engine::SequenceId;
use veridraft_engine::drafters::{Draft, DraftRequest, Drafter};
use veridraft_models::TokenId;

/// Proposes slices of a fixed list, a different one each time.
pub struct ScriptedDrafter {
    script: Vec<TokenId>,
    next: usize,
}

impl ScriptedDrafter {
    /// A drafter over `script`, which holds tokens of the vocabulary.
    pub fn new(script: Vec<TokenId>) -> Self {
        Self { script, next: 0 }
    }
}

impl Drafter for ScriptedDrafter {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn extend(&mut self, _: SequenceId, _: &[TokenId]) {}

    fn propose(&mut self, wanted: &[DraftRequest]) -> Vec<Draft> {
        let mut draft = |request: &DraftRequest| {
            self.next += 1;
            let tokens = self.script.iter().cycle().skip(self.next).take(self.next % (request.max_tokens + 1));
            Draft { tokens: if self.script.is_empty() { Vec::new() } else { tokens.copied().collect() } }
        };
        wanted.iter().map(&mut draft).collect()
    }

    fn release(&mut self, _: SequenceId) {}
}
