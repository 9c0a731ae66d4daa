//! A drafter that proposes whatever its script says: good, bad, too long, out of the vocabulary's order.

use veridraft_engine::drafters::{Draft, DraftRequest, Drafter};
use veridraft_engine::{Result, SequenceId};
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

    fn propose(&mut self, wanted: &[DraftRequest]) -> Result<Vec<Draft>> {
        let mut draft = |request: &DraftRequest| {
            self.next += 1;
            let tokens = self.script.iter().cycle().skip(self.next).take(self.next % (request.max_depth + 1));
            if self.script.is_empty() { Draft::default() } else { Draft::chain(tokens.map(|&token| (token, 0.5))) }
        };
        Ok(wanted.iter().map(&mut draft).collect())
    }

    fn release(&mut self, _: SequenceId) {}
}
