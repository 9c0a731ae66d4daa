//! The prefix cache: full blocks of computed tokens, found again by the tokens that lead to them.
//!
//! A chain of hashes, as vLLM's: a block's key is its parent's entry and its own tokens, so equal keys mean equal tokens
//! from the first one on. The map hashes the key and compares all of it, so a hit is never by hash alone; entries are
//! numbered and no number is used twice, so a block that was evicted and filled anew cannot be taken for the old one.
//!
//! The cache is one holder of each of its blocks. One that nobody else holds can be evicted; the least recently used
//! goes first, of equal ones the deepest. Whoever leaves a block leaves all before it at the same time ([`PrefixCache::touch`]),
//! so of those that can be evicted a parent is never older than its child, and leaves go first.

use std::cmp::Reverse;
use std::collections::HashMap;

use veridraft_models::{BlockId, TokenId};

use crate::block_pool::BlockPool;

/// Full blocks by the tokens that lead to them.
#[derive(Debug)]
pub(crate) struct PrefixCache {
    block_tokens: usize,
    entries: HashMap<Key, Entry>,
    last_entry: EntryId,
    clock: u64,
}

/// Names an entry for ever; 0 is the empty prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EntryId(u64);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    parent: EntryId,
    /// `[block_tokens]`
    tokens: Box<[TokenId]>,
}

#[derive(Debug)]
struct Entry {
    id: EntryId,
    block: BlockId,
    depth: usize,
    last_used: u64,
}

/// How far a sequence's blocks are in the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cached {
    /// Blocks, from the first on.
    pub(crate) blocks: usize,
    last: EntryId,
}

impl PrefixCache {
    /// An empty cache over blocks of `block_tokens` tokens.
    pub(crate) fn new(block_tokens: usize) -> Self {
        Self { block_tokens, entries: HashMap::new(), last_entry: EntryId::default(), clock: 0 }
    }

    /// Whole blocks of `tokens`, from the first on, that the cache could give, and how many of them nobody else holds.
    pub(crate) fn count(&self, tokens: &[TokenId], pool: &BlockPool) -> (usize, usize) {
        let (mut parent, mut blocks, mut idle) = (EntryId::default(), 0, 0);
        for tokens in tokens.chunks_exact(self.block_tokens) {
            let Some(entry) = self.entries.get(&Key { parent, tokens: tokens.into() }) else { break };
            parent = entry.id;
            blocks += 1;
            idle += usize::from(pool.references(entry.block) == 1);
        }
        (blocks, idle)
    }

    /// Takes the blocks of the longest beginning of `tokens` that is known, held once more each.
    pub(crate) fn take(&mut self, tokens: &[TokenId], pool: &mut BlockPool) -> (Vec<BlockId>, Cached) {
        self.clock += 1;
        let mut cached = Cached::default();
        let mut blocks = Vec::new();
        for tokens in tokens.chunks_exact(self.block_tokens) {
            let key = Key { parent: cached.last, tokens: tokens.into() };
            let Some(entry) = self.entries.get_mut(&key) else { break };
            entry.last_used = self.clock;
            pool.share(entry.block);
            blocks.push(entry.block);
            cached = Cached { blocks: blocks.len(), last: entry.id };
        }
        (blocks, cached)
    }

    /// Marks blocks as used just now: the first of `tokens`, as far as `cached` says.
    pub(crate) fn touch(&mut self, tokens: &[TokenId], cached: Cached) {
        self.clock += 1;
        let mut parent = EntryId::default();
        for tokens in tokens.chunks_exact(self.block_tokens).take(cached.blocks) {
            let Some(entry) = self.entries.get_mut(&Key { parent, tokens: tokens.into() }) else { return };
            entry.last_used = self.clock;
            parent = entry.id;
        }
    }

    /// Enters the full blocks of `tokens`, computed in the blocks of `table`, behind those already `cached`. Where the
    /// cache has a block of the same tokens, the table takes that one and gives its own back.
    pub(crate) fn enter(
        &mut self,
        tokens: &[TokenId],
        table: &mut [BlockId],
        cached: &mut Cached,
        pool: &mut BlockPool,
    ) {
        let blocks = tokens.chunks_exact(self.block_tokens).zip(table).skip(cached.blocks);
        for (tokens, block) in blocks {
            let key = Key { parent: cached.last, tokens: tokens.into() };
            let fresh = Entry {
                id: EntryId(self.last_entry.0 + 1),
                block: *block,
                depth: cached.blocks,
                last_used: self.clock,
            };
            let entry = self.entries.entry(key).or_insert(fresh);
            if entry.id > self.last_entry {
                self.last_entry = entry.id;
                pool.share(*block);
            } else {
                pool.share(entry.block);
                pool.release(std::mem::replace(block, entry.block));
            }
            *cached = Cached { blocks: cached.blocks + 1, last: entry.id };
        }
    }

    /// Blocks that only the cache holds.
    pub(crate) fn evictable(&self, pool: &BlockPool) -> usize {
        self.entries.values().filter(|entry| pool.references(entry.block) == 1).count()
    }

    /// Frees the least recently used block that only the cache holds; `false` when there is none.
    pub(crate) fn evict(&mut self, pool: &mut BlockPool) -> bool {
        let idle = self.entries.iter().filter(|(_, entry)| pool.references(entry.block) == 1);
        let oldest = idle.min_by_key(|(_, entry)| (entry.last_used, Reverse(entry.depth), entry.id));
        let Some(key) = oldest.map(|(key, _)| key.clone()) else { return false };
        let entry = self.entries.remove(&key).expect("it was found just now");
        pool.release(entry.block);
        true
    }

    /// Gives every block back that only the cache holds.
    pub(crate) fn clear(&mut self, pool: &mut BlockPool) {
        let idle = self.entries.iter().filter(|(_, entry)| pool.references(entry.block) == 1);
        let mut idle: Vec<_> =
            idle.map(|(key, entry)| ((entry.last_used, Reverse(entry.depth), entry.id), key.clone())).collect();
        // In the order of eviction, because the order of a map is not the same each time.
        idle.sort_by_key(|(order, _)| *order);
        for (_, key) in idle {
            let entry = self.entries.remove(&key).expect("it was found above");
            pool.release(entry.block);
        }
    }

    /// The blocks that the cache holds, each once.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = BlockId> {
        self.entries.values().map(|entry| entry.block)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK_TOKENS: usize = 2;

    struct Setting {
        cache: PrefixCache,
        pool: BlockPool,
    }

    impl Setting {
        fn new(blocks: usize) -> Self {
            Self { cache: PrefixCache::new(BLOCK_TOKENS), pool: BlockPool::new(blocks) }
        }

        /// Computes `tokens` in blocks of its own, enters them and leaves; returns the blocks of the table.
        fn run(&mut self, tokens: &[TokenId]) -> Vec<BlockId> {
            let (mut table, mut cached) = self.cache.take(tokens, &mut self.pool);
            while table.len() < tokens.len() / BLOCK_TOKENS {
                table.push(self.pool.allocate().expect("room"));
            }
            self.cache.enter(tokens, &mut table, &mut cached, &mut self.pool);
            assert_eq!(cached.blocks, table.len());
            self.cache.touch(tokens, cached);
            table.iter().for_each(|&block| self.pool.release(block));
            table
        }
    }

    #[test]
    fn a_beginning_is_found_by_its_tokens_alone() {
        let mut setting = Setting::new(8);
        let table = setting.run(&[1, 2, 3, 4, 5, 6]);
        let mut check = |tokens: &[TokenId], expected: &[BlockId]| {
            assert_eq!(setting.cache.count(tokens, &setting.pool).0, expected.len());
            let (blocks, cached) = setting.cache.take(tokens, &mut setting.pool);
            assert_eq!((&blocks[..], cached.blocks), (expected, expected.len()));
            blocks.into_iter().for_each(|block| setting.pool.release(block));
        };
        check(&[1, 2, 3, 4, 5, 6, 7], &table);
        check(&[1, 2, 3, 4, 5], &table[..2]);
        check(&[1, 2, 9, 4, 5, 6], &table[..1]);
        check(&[3, 4, 5, 6], &[]);
        check(&[1], &[]);
    }

    #[test]
    fn the_least_recently_used_leaf_goes_first() {
        let mut setting = Setting::new(8);
        setting.run(&[1, 2, 3, 4]);
        setting.run(&[1, 2, 5, 6]);
        setting.run(&[1, 2, 3, 4]);
        let counts = |setting: &Setting| {
            [&[1, 2, 3, 4], &[1, 2, 5, 6]].map(|tokens| setting.cache.count(tokens, &setting.pool).0)
        };
        assert_eq!((counts(&setting), setting.cache.evictable(&setting.pool)), ([2, 2], 3));
        assert!(setting.cache.evict(&mut setting.pool));
        assert_eq!(counts(&setting), [2, 1]);
        assert!(setting.cache.evict(&mut setting.pool));
        assert_eq!(counts(&setting), [1, 1]);
        assert!(setting.cache.evict(&mut setting.pool));
        assert!(!setting.cache.evict(&mut setting.pool));
        assert_eq!(setting.pool.free_blocks(), 8);
    }

    #[test]
    fn what_is_in_use_stays() {
        let mut setting = Setting::new(2);
        setting.run(&[1, 2, 3, 4]);
        let (held, _) = setting.cache.take(&[1, 2], &mut setting.pool);
        assert!(setting.cache.evict(&mut setting.pool));
        assert!(!setting.cache.evict(&mut setting.pool));
        assert_eq!(setting.cache.count(&[1, 2, 3, 4], &setting.pool), (1, 0));
        setting.pool.release(held[0]);
    }

    #[test]
    fn the_same_tokens_computed_twice_are_kept_once() {
        let mut setting = Setting::new(4);
        let mut tables: Vec<Vec<_>> =
            (0..2).map(|_| (0..2).map(|_| setting.pool.allocate().expect("room")).collect()).collect();
        for table in &mut tables {
            let mut cached = Cached::default();
            setting.cache.enter(&[1, 2, 3, 4], table, &mut cached, &mut setting.pool);
        }
        assert_eq!(tables[0], tables[1]);
        assert_eq!((setting.pool.free_blocks(), setting.pool.references(tables[0][0])), (2, 3));
    }

    proptest! {
        /// The slow model: the texts run so far. What the cache gives leads to the very tokens that were computed there.
        #[test]
        fn a_hit_holds_the_tokens_asked_for(
            texts in prop::collection::vec(prop::collection::vec(0u32..3, 0..9), 1..30),
            evictions in prop::collection::vec(0usize..3, 30),
        ) {
            let mut setting = Setting::new(12);
            let mut written: HashMap<BlockId, Vec<TokenId>> = HashMap::new();
            for (text, evictions) in texts.iter().zip(evictions) {
                while setting.pool.free_blocks() < 4 {
                    prop_assert!(setting.cache.evict(&mut setting.pool));
                }
                let (hit, _) = setting.cache.take(text, &mut setting.pool);
                for (index, block) in hit.iter().enumerate() {
                    prop_assert_eq!(&written[block], &text[..(index + 1) * BLOCK_TOKENS]);
                }
                hit.iter().for_each(|&block| setting.pool.release(block));
                for (index, block) in setting.run(text).into_iter().enumerate() {
                    written.insert(block, text[..(index + 1) * BLOCK_TOKENS].to_vec());
                }
                prop_assert_eq!(setting.cache.count(text, &setting.pool).0, text.len() / BLOCK_TOKENS);
                (0..evictions).for_each(|_| { setting.cache.evict(&mut setting.pool); });
                prop_assert_eq!(setting.pool.check(), Ok(()));
                prop_assert_eq!(setting.pool.free_blocks() + setting.cache.evictable(&setting.pool), 12);
            }
        }
    }
}
