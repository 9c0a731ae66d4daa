//! Admission: a waiting sequence starts when the blocks it may ever need are promised to nobody else.
//!
//! Only the target's blocks count, and they are counted for the whole request, so a sequence that runs can always
//! run to its end. First come, first served: a large request at the head is not overtaken for ever. Blocks that
//! finished sequences keep for a next turn, and those that later waiting ones took over, are given up for it.

use super::Engine;
use crate::SequenceId;
use crate::sequence::{Sequence, State};

impl Engine {
    /// Starts waiting sequences in order, while their blocks can be promised.
    pub(super) fn admit(&mut self) {
        let block_tokens = self.cache().block_tokens;
        let promised = |sequence: &Sequence| sequence.token_limit.div_ceil(block_tokens);
        let claims = self.sequences.values().map(|sequence| match sequence.state {
            State::Running => promised(sequence),
            State::Waiting | State::Finished(_) => sequence.block_table.len(),
        });
        let mut unclaimed = self.pool.blocks() - claims.sum::<usize>();
        for id in self.in_state(|state| state == State::Waiting) {
            let sequence = &self.sequences[&id];
            let needed = promised(sequence) - sequence.block_table.len();
            unclaimed += self.give_up_idle(needed.saturating_sub(unclaimed), id);
            if needed > unclaimed {
                break;
            }
            unclaimed -= needed;
            self.sequences.get_mut(&id).expect("it is waiting").state = State::Running;
        }
    }

    /// Frees blocks that serve no running sequence until `wanted` are free, or none if there are not as many, those of finished sequences
    /// first, those of `waiting` never; returns how many were freed.
    fn give_up_idle(&mut self, wanted: usize, waiting: SequenceId) -> usize {
        let mut idle = self.in_state(|state| matches!(state, State::Finished(_)));
        idle.extend(self.in_state(|state| state == State::Waiting).into_iter().rev().filter(|&id| id != waiting));
        let held = |id: &SequenceId| self.sequences[id].block_table.len();
        if idle.iter().map(held).sum::<usize>() < wanted {
            return 0;
        }
        let mut freed = 0;
        for id in idle {
            if freed >= wanted {
                break;
            }
            let sequence = self.sequences.get_mut(&id).expect("it is idle");
            freed += sequence.block_table.len();
            sequence.computed = 0;
            sequence.release_behind(0, &mut self.pool);
        }
        freed
    }

    fn in_state(&self, wanted: impl Fn(State) -> bool) -> Vec<SequenceId> {
        let matching = self.sequences.values().filter(|sequence| wanted(sequence.state));
        matching.map(|sequence| sequence.id).collect()
    }
}
