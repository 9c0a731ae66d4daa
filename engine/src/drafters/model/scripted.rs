//! A language model for tests: its logits are a hash of the tokens that it finds in the cache.
//!
//! It reads a sequence back through the block table, slot by slot, so a misplaced token, a forgotten block or a trusted
//! rejected row gives other logits, or a panic.

use std::sync::{Arc, Mutex};

use veridraft_models::{Batch, CacheSpec, Error, LanguageModel, Limits, Logits, Result, TokenId};

/// What a test may change and see while a drafter owns the model.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Rows of each forward so far.
    pub(super) rows: Vec<usize>,
    /// Forwards that still succeed before one fails; `None` when none fails.
    pub(super) until_failure: Option<usize>,
}

/// From the tokens seen to logits, `[vocabulary]`.
pub(super) type Script = Arc<dyn Fn(&[TokenId]) -> Vec<f32> + Send + Sync>;

#[derive(Clone)]
pub(super) struct Scripted {
    pub(super) vocabulary: usize,
    pub(super) limits: Limits,
    /// Tokens that the logits depend on, at most.
    pub(super) memory: usize,
    /// Greatest less least logit.
    pub(super) spread: f32,
    /// Tells models apart.
    pub(super) seed: u64,
    /// What the logits are instead of a hash.
    pub(super) script: Option<Script>,
    cache: CacheSpec,
    slots: Vec<Option<(TokenId, usize)>>,
    pub(super) log: Arc<Mutex<Log>>,
}

impl Scripted {
    pub(super) fn new(block_tokens: usize, blocks: usize) -> Self {
        let limits = Limits {
            max_rows: 16,
            context_length: 256,
            ragged: true,
            tree: false,
            share_blocks: false,
            row_exact: true,
        };
        Self {
            vocabulary: 12,
            limits,
            memory: 4,
            spread: 8.0,
            seed: 17,
            script: None,
            cache: CacheSpec { block_tokens, blocks, block_bytes: 1 },
            slots: vec![None; block_tokens * blocks],
            log: Arc::default(),
        }
    }

    /// The logits behind the tokens `seen`, `[vocabulary]`.
    pub(super) fn scores(&self, seen: &[TokenId]) -> Vec<f32> {
        if let Some(script) = &self.script {
            return script(seen);
        }
        let recent = &seen[seen.len().saturating_sub(self.memory)..];
        let state = recent.iter().fold(self.seed, |state, &token| mix(state ^ u64::from(token)));
        let score = |token: u64| (mix(state ^ (token << 32)) >> 40) as f32 / (1 << 24) as f32 * self.spread;
        (0..self.vocabulary as u64).map(score).collect()
    }

    /// The tokens from the start of the row's sequence to the row, as the cache holds them.
    fn seen(&self, batch: &Batch, row: usize) -> Vec<TokenId> {
        let sequence = batch.query_starts.partition_point(|&start| start as usize <= row) - 1;
        let table = &batch.block_tables[sequence];
        let block_tokens = self.cache.block_tokens;
        let token = |position: usize| {
            let slot = table[position / block_tokens].0 as usize * block_tokens + position % block_tokens;
            let (token, written) = self.slots[slot].expect("a row attends to written slots");
            assert_eq!(written, position, "slot {slot} holds another position");
            token
        };
        (0..=batch.positions[row] as usize).map(token).collect()
    }
}

impl LanguageModel for Scripted {
    fn cache_spec(&self) -> CacheSpec {
        self.cache
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn forward(&mut self, batch: &Batch) -> Result<Logits> {
        assert!(batch.rows() > 0 && batch.rows() <= self.limits.max_rows, "{} rows", batch.rows());
        let counts: Vec<_> = batch.query_starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(counts.iter().all(|&count| count > 0 && (self.limits.ragged || count == counts[0])), "{counts:?}");
        let mut log = self.log.lock().unwrap();
        log.rows.push(batch.rows());
        let fails = log.until_failure == Some(0);
        log.until_failure = log.until_failure.map(|left| left.saturating_sub(1));
        for row in 0..batch.rows() {
            let position = batch.positions[row] as usize;
            assert!(position < self.limits.context_length, "position {position}");
            assert!((batch.token_ids[row] as usize) < self.vocabulary, "token {}", batch.token_ids[row]);
            let written = (batch.token_ids[row], position);
            self.slots[batch.slot_mapping[row] as usize] = (!fails).then_some(written);
        }
        if fails {
            return Err(Error::Runtime("scripted failure".to_owned()));
        }
        let values = batch.logit_rows.iter().flat_map(|&row| self.scores(&self.seen(batch, row as usize))).collect();
        Ok(Logits { vocabulary: self.vocabulary, values })
    }

    fn copy_slots(&mut self, _: &[(u32, u32)]) -> Result<()> {
        unreachable!("a draft model's sequences share nothing and are chains")
    }
}

/// SplitMix64's finaliser (Steele, Lea, Flood 2014).
pub(super) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
