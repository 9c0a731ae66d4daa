//! Admission: a waiting sequence starts when there are blocks for its tokens, first come, first served.
//!
//! A large request at the head is not overtaken, so none waits for ever; one that was preempted came earlier than those
//! behind it and is at the head again. Only the target's blocks count.
//!
//! What a sequence shares with others it does not compute: full blocks come from the prefix cache, and of the block that
//! another sequence is still writing the common part is copied. While a running sequence computes tokens that a waiting
//! one begins with, that one waits for them; so of many samples of one prompt the first computes it for all.

use super::Engine;
use crate::SequenceId;
use crate::sequence::{Sequence, State};

impl Engine {
    /// Starts waiting sequences in order, while there are blocks for their tokens.
    pub(super) fn admit(&mut self) {
        let mut running = self.in_state(State::Running).len();
        for id in self.in_state(State::Waiting) {
            // No more than can have a row each.
            if running >= self.config.max_sequences.max(1).min(self.chunk_rows()) {
                return;
            }
            if self.is_being_computed(id) {
                continue;
            }
            if !self.has_room_for(id) {
                return;
            }
            self.start(id);
            running += 1;
        }
    }

    fn start(&mut self, id: SequenceId) {
        let shares = self.parts.model.limits().share_blocks;
        let sequence = self.sequences.get_mut(&id).expect("it is waiting");
        sequence.state = State::Running;
        if !shares {
            return;
        }
        let (blocks, cached) = self.prefixes.take(sequence.shareable(), &mut self.pool);
        sequence.computed = blocks.len() * self.parts.model.cache_spec().block_tokens;
        (sequence.block_table, sequence.cached) = (blocks, cached);
        self.copy_common(id);
        let sequence = self.sequences.get_mut(&id).expect("it is running");
        if sequence.report.forwards == 0 {
            sequence.report.cached = sequence.computed;
        }
    }

    /// Whether there are blocks for its tokens and one more, beside those that others need for theirs.
    fn has_room_for(&self, id: SequenceId) -> bool {
        let block_tokens = self.cache().block_tokens;
        let wanted = |sequence: &Sequence| (sequence.tokens.len() + 1).div_ceil(block_tokens);
        let running = self.sequences.values().filter(|sequence| sequence.is_running());
        let claimed: usize =
            running.clone().map(|sequence| wanted(sequence).saturating_sub(sequence.block_table.len())).sum();
        // One further block for each that runs, so that nobody is started only to be preempted by the next few tokens; none
        // for those that never need one more, as where a block holds a whole sequence.
        let grows = |sequence: &&Sequence| sequence.token_limit.div_ceil(block_tokens) > wanted(sequence);
        let reserve = running.filter(grows).count();
        let sequence = &self.sequences[&id];
        let hits = if self.parts.model.limits().share_blocks { sequence.shareable() } else { &[] };
        let (hits, idle_hits) = self.prefixes.count(hits, &self.pool);
        wanted(sequence) - hits + claimed + reserve <= self.free_blocks() - idle_hits
    }

    /// Whether a running sequence is about to compute more of its tokens than the cache has.
    fn is_being_computed(&self, id: SequenceId) -> bool {
        if !self.parts.model.limits().share_blocks {
            return false;
        }
        let block_tokens = self.cache().block_tokens;
        let shareable = self.sequences[&id].shareable();
        let (cached, _) = self.prefixes.count(shareable, &self.pool);
        let computing = self.sequences.values().filter(|other| other.is_running() && other.uncomputed() > 1);
        computing.into_iter().any(|other| {
            let common = common(shareable, &other.tokens);
            common / block_tokens > cached && common > other.computed
        })
    }

    /// Copies from another sequence the part of a block that both begin with, behind the blocks they share.
    fn copy_common(&mut self, id: SequenceId) {
        let block_tokens = self.cache().block_tokens;
        let sequence = &self.sequences[&id];
        let (computed, shareable) = (sequence.computed, sequence.shareable());
        let others = self.sequences.values().filter(|other| other.is_running() && other.id != id);
        let known = others.map(|other| (common(shareable, &other.tokens[..other.computed]), other));
        let Some((common, other)) = known.max_by_key(|(common, other)| (*common, std::cmp::Reverse(other.id))) else {
            return;
        };
        if common / block_tokens != computed / block_tokens || common == computed {
            return;
        }
        let source = other.block_table[common / block_tokens];
        let Some(target) = self.allocate() else { return };
        let slot = |block: veridraft_models::BlockId, offset: usize| block.0 * block_tokens as u32 + offset as u32;
        let copies: Vec<_> =
            (0..common % block_tokens).map(|offset| (slot(source, offset), slot(target, offset))).collect();
        if self.parts.model.copy_slots(&copies).is_err() {
            // Then it computes them.
            self.pool.release(target);
            return;
        }
        let sequence = self.sequences.get_mut(&id).expect("it is running");
        sequence.block_table.push(target);
        sequence.computed = common;
    }

    pub(super) fn in_state(&self, wanted: State) -> Vec<SequenceId> {
        let matching = self.sequences.values().filter(|sequence| sequence.state == wanted);
        matching.map(|sequence| sequence.id).collect()
    }
}

/// Tokens that both begin with.
fn common(a: &[veridraft_models::TokenId], b: &[veridraft_models::TokenId]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
