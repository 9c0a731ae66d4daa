//! A drafter that proposes whatever its script says: good, bad, too much, chains and trees.

use veridraft_engine::drafters::{Draft, DraftNode, DraftRequest, Drafter, Effort};
use veridraft_engine::{Error, Result, SequenceId};
use veridraft_models::TokenId;

/// Proposes trees over slices of a fixed list, a different one each time.
pub struct ScriptedDrafter {
    script: Vec<TokenId>,
    effort: Effort,
    /// Fails this many proposals from now; `None` never.
    fails_after: Option<usize>,
    next: usize,
}

impl ScriptedDrafter {
    /// A drafter over `script`, which holds tokens of the vocabulary.
    pub fn new(script: Vec<TokenId>) -> Self {
        Self { script, effort: Effort::Table, fails_after: None, next: 0 }
    }

    /// The same, asked like a draft model.
    pub fn like_a_model(script: Vec<TokenId>) -> Self {
        Self { effort: Effort::Model, ..Self::new(script) }
    }

    /// The same, failing for good after some proposals.
    pub fn failing(script: Vec<TokenId>, after: usize) -> Self {
        Self { fails_after: Some(after), ..Self::new(script) }
    }

    /// Node `n` follows node `n - 1`, or some other one before it where alternatives are asked for.
    fn draft(&mut self, request: &DraftRequest) -> Draft {
        self.next += 1;
        let mut draft = Draft::default();
        let wanted = if self.script.is_empty() { 0 } else { self.next % (request.max_nodes + 2) };
        for node in 0..wanted {
            let place = self.next.wrapping_mul(31).wrapping_add(node * 7);
            let branches = request.max_children > 1 && place.is_multiple_of(3);
            let parent =
                if branches { (place / 3 % (node + 1)).checked_sub(1) } else { draft.nodes.len().checked_sub(1) };
            let parent = parent.filter(|parent| *parent < draft.nodes.len());
            let token = self.script[(self.next + node) % self.script.len()];
            if draft.child(parent, token).is_none() {
                let confidence = (place % 10) as f32 / 10.0;
                draft.nodes.push(DraftNode { token, parent, confidence, drawn_from: None });
            }
        }
        draft
    }
}

impl Drafter for ScriptedDrafter {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn effort(&self) -> Effort {
        self.effort
    }

    fn extend(&mut self, _: SequenceId, _: &[TokenId]) {}

    fn propose(&mut self, wanted: &[DraftRequest]) -> Result<Vec<Draft>> {
        if self.fails_after.is_some_and(|after| self.next >= after) {
            return Err(Error::Model(veridraft_models::Error::Runtime("scripted failure".to_owned())));
        }
        Ok(wanted.iter().map(|request| self.draft(request)).collect())
    }

    fn release(&mut self, _: SequenceId) {}
}
