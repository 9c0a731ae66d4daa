//! Hands out blocks of a model's KV pool and counts who holds them.
//!
//! Invariant: a block is either on the free list or held by at least one sequence (or cache entry), never both and
//! never neither. No block being free is an outcome that the scheduler acts on; releasing what nobody holds is a bug
//! of the caller and panics. The order is deterministic: fresh blocks by rising id, then the last one released first,
//! because its pages are the warmest.

use veridraft_models::BlockId;

/// The free list and the reference count of every block. Compare clones to see what a step changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockPool {
    /// A stack: the next block to hand out is the last.
    free: Vec<BlockId>,
    /// `[blocks]`: how many hold the block.
    references: Vec<u32>,
}

impl BlockPool {
    /// A pool of `blocks` free blocks with the ids `0..blocks`.
    ///
    /// # Panics
    /// When `blocks` does not fit a block id.
    pub fn new(blocks: usize) -> Self {
        let count = u32::try_from(blocks).expect("a pool has at most as many blocks as there are block ids");
        Self { free: (0..count).rev().map(BlockId).collect(), references: vec![0; blocks] }
    }

    /// Takes a free block for one holder; `None` when there is none.
    pub fn allocate(&mut self) -> Option<BlockId> {
        let block = self.free.pop()?;
        self.references[block.0 as usize] = 1;
        Some(block)
    }

    /// Adds a holder to a block that has one.
    ///
    /// # Panics
    /// When the block is free or outside the pool.
    pub fn share(&mut self, block: BlockId) {
        *self.held(block, "share") += 1;
    }

    /// Takes a holder from a block; the last one frees it.
    ///
    /// # Panics
    /// When the block is free or outside the pool.
    pub fn release(&mut self, block: BlockId) {
        let references = self.held(block, "release");
        *references -= 1;
        if *references == 0 {
            self.free.push(block);
        }
    }

    /// How many blocks [`allocate`](Self::allocate) can still give.
    pub fn free_blocks(&self) -> usize {
        self.free.len()
    }

    /// How many blocks there are, free or held.
    pub fn blocks(&self) -> usize {
        self.references.len()
    }

    /// How many hold the block; 0 when it is free or outside the pool.
    pub fn references(&self, block: BlockId) -> u32 {
        self.references.get(block.0 as usize).copied().unwrap_or(0)
    }

    /// Says which block breaks the invariant, for tests and debug assertions.
    pub fn check(&self) -> Result<(), String> {
        let mut times_free = vec![0u32; self.references.len()];
        for block in &self.free {
            match times_free.get_mut(block.0 as usize) {
                Some(times) => *times += 1,
                None => return Err(format!("block {} is on the free list of a pool of {}", block.0, self.blocks())),
            }
        }
        let broken = times_free.iter().zip(&self.references).position(|(&free, &held)| free != u32::from(held == 0));
        match broken {
            None => Ok(()),
            Some(block) => Err(format!(
                "block {block} is {} times on the free list and has {} holders",
                times_free[block], self.references[block]
            )),
        }
    }

    fn held(&mut self, block: BlockId, action: &str) -> &mut u32 {
        match self.references.get_mut(block.0 as usize) {
            Some(references) if *references > 0 => references,
            Some(_) => panic!("cannot {action} block {}: it is free", block.0),
            None => panic!("cannot {action} block {}: it is outside the pool", block.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_come_by_rising_id_and_the_last_released_first() {
        let mut pool = BlockPool::new(3);
        let taken: Vec<_> = std::iter::from_fn(|| pool.allocate()).collect();
        assert_eq!(taken, [BlockId(0), BlockId(1), BlockId(2)]);
        pool.release(BlockId(0));
        pool.release(BlockId(2));
        assert_eq!([pool.allocate(), pool.allocate(), pool.allocate()], [Some(BlockId(2)), Some(BlockId(0)), None]);
    }

    #[test]
    fn a_shared_block_is_freed_by_its_last_holder() {
        let mut pool = BlockPool::new(1);
        let block = pool.allocate().unwrap();
        pool.share(block);
        pool.release(block);
        assert_eq!((pool.references(block), pool.free_blocks()), (1, 0));
        pool.release(block);
        assert_eq!((pool.references(block), pool.free_blocks()), (0, 1));
    }

    #[test]
    #[should_panic(expected = "cannot release block 0: it is free")]
    fn releasing_a_free_block_is_a_bug() {
        BlockPool::new(1).release(BlockId(0));
    }

    #[test]
    fn a_broken_pool_is_found_out() {
        let lost = BlockPool { free: vec![], references: vec![0] };
        assert_eq!(lost.check().unwrap_err(), "block 0 is 0 times on the free list and has 0 holders");
        let doubled = BlockPool { free: vec![BlockId(0)], references: vec![2] };
        assert_eq!(doubled.check().unwrap_err(), "block 0 is 1 times on the free list and has 2 holders");
        let foreign = BlockPool { free: vec![BlockId(7)], references: vec![1] };
        assert_eq!(foreign.check().unwrap_err(), "block 7 is on the free list of a pool of 1");
    }

    proptest! {
        /// The model is the plain list of holdings: a block appears once for each holder.
        #[test]
        fn blocks_are_conserved(blocks in 0usize..6, steps in prop::collection::vec((0u8..3, any::<usize>()), 0..200)) {
            let mut pool = BlockPool::new(blocks);
            let mut holdings: Vec<BlockId> = Vec::new();
            for (action, pick) in steps {
                match (action, holdings.len()) {
                    (0, _) => match pool.allocate() {
                        Some(block) => {
                            prop_assert!(!holdings.contains(&block));
                            holdings.push(block);
                        }
                        None => prop_assert!((0..blocks).all(|id| holdings.contains(&BlockId(id as u32)))),
                    },
                    (_, 0) => (),
                    (1, count) => {
                        let block = holdings[pick % count];
                        pool.share(block);
                        holdings.push(block);
                    }
                    (_, count) => pool.release(holdings.swap_remove(pick % count)),
                }
                prop_assert_eq!(pool.check(), Ok(()));
                for id in 0..blocks as u32 {
                    let expected = holdings.iter().filter(|block| block.0 == id).count();
                    prop_assert_eq!(pool.references(BlockId(id)) as usize, expected);
                }
            }
        }
    }
}
