//! Blocks for the rows of a step, and what gives way when there are none.

use super::Engine;
use super::step::Part;
use crate::SequenceId;
use crate::sequence::State;
use veridraft_models::BlockId;

impl Engine {
    /// Takes blocks for everyone's own rows, in order; whoever came last is preempted for those before.
    pub(super) fn reserve(&mut self, parts: &mut Vec<Part>) {
        let mut index = 0;
        while let Some(part) = parts.get(index) {
            let (id, rows) = (part.sequence, part.rows);
            if self.extend_table(id, rows) == rows {
                index += 1;
                continue;
            }
            let last = self.in_state(State::Running).into_iter().next_back().expect("one of them runs");
            self.preempt(last);
            parts.retain(|part| part.sequence != last);
        }
    }

    /// Lengthens a block table for `rows` rows behind the computed ones; returns the rows that it covers now.
    pub(super) fn extend_table(&mut self, id: SequenceId, rows: usize) -> usize {
        let block_tokens = self.cache().block_tokens;
        loop {
            let sequence = &self.sequences[&id];
            let covered = sequence.block_table.len() * block_tokens - sequence.computed;
            if covered >= rows {
                return rows;
            }
            let Some(block) = self.allocate() else { return covered };
            self.sequences.get_mut(&id).expect("it was found above").block_table.push(block);
        }
    }

    /// A free block, if need be that of a cached prefix.
    pub(super) fn allocate(&mut self) -> Option<BlockId> {
        if self.pool.free_blocks() == 0 {
            self.prefixes.evict(&mut self.pool);
        }
        self.pool.allocate()
    }

    /// Returns the blocks behind the computed tokens: those of rejected drafts.
    pub(super) fn trim(&mut self, id: SequenceId) {
        let block_tokens = self.cache().block_tokens;
        let sequence = self.sequences.get_mut(&id).expect("a planned sequence exists");
        let keep = sequence.computed.div_ceil(block_tokens);
        sequence.release_behind(keep, &mut self.pool);
    }

    /// Its blocks go back, its tokens stay; it starts again when there is room.
    fn preempt(&mut self, id: SequenceId) {
        let sequence = self.sequences.get_mut(&id).expect("it runs");
        sequence.release(&mut self.pool, &mut self.prefixes);
        sequence.state = State::Waiting;
        sequence.report.preemptions += 1;
    }
}
