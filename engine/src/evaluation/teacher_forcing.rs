//! Teacher forcing: given texts go through one or more models in as few passes as fit, and every prediction that is
//! wanted is shown once.
//!
//! Models run side by side: a pass computes the same rows in each, so that what is shown can be compared. Windows that
//! begin alike compute their common blocks once, as continuations of one context do.

use std::iter::Peekable;
use std::ops::Range;

use veridraft_models::{Batch, BlockId, LanguageModel, Logits, TokenId};

use super::windows::{Running, Window};
use crate::plan::plan;
use crate::{BlockPool, Error, Result};

/// Rows in one pass, at most.
const PASS_ROWS: usize = 512;
/// Bytes of the logits of one pass, at most, where a pass is more than a few rows.
const LOGIT_BYTES: usize = 128 << 20;
/// Rows of a pass that is cut for its logits, at least.
const LEAST_ROWS: usize = 16;

/// Which token is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The window, counted from 0 in the order given.
    pub window: usize,
    /// The position in it.
    pub position: usize,
    /// The token that stands there.
    pub token: TokenId,
}

/// The predictions of one pass. Those of one window come in order, in this and later passes; windows mix.
#[derive(Debug)]
pub struct Pass<'a> {
    places: &'a [Place],
    logits: &'a [Logits],
}

impl Pass<'_> {
    /// What is predicted.
    pub fn places(&self) -> &[Place] {
        self.places
    }

    /// The scores of the `model`-th model for the `index`-th place, `[vocabulary]`.
    pub fn logits(&self, index: usize, model: usize) -> &[f32] {
        self.logits[model].row(index)
    }
}

/// Runs windows through models and shows every prediction wanted to `visit`.
///
/// Overwrites the models' caches from block 0 on: no engine may use them.
///
/// # Errors
/// What `visit` returns, what a model returns, a model with an encoder, which windows have nothing for, a window that a model's context or cache cannot hold, and a token outside
/// a model's vocabulary.
///
/// # Panics
/// When there is no model, or a window has scored positions that begin at 0 or lie behind its end.
pub fn teacher_force<E: From<Error>>(
    models: &mut [&mut dyn LanguageModel],
    windows: impl IntoIterator<Item = Window>,
    mut visit: impl FnMut(&Pass<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut forcing = TeacherForcing::new(models);
    let mut windows = windows.into_iter().enumerate().peekable();
    loop {
        forcing.admit(&mut windows)?;
        if forcing.running.is_empty() {
            return Ok(());
        }
        let (places, logits) = forcing.pass()?;
        visit(&Pass { places: &places, logits: &logits })?;
    }
}

struct TeacherForcing<'a, 'b> {
    models: &'a mut [&'b mut dyn LanguageModel],
    pools: Vec<BlockPool>,
    /// Rows in one pass, at most.
    rows: usize,
    running: Vec<Running>,
    /// The last window that ended, for the next that begin like it.
    last: Option<Running>,
}

impl<'a, 'b> TeacherForcing<'a, 'b> {
    fn new(models: &'a mut [&'b mut dyn LanguageModel]) -> Self {
        assert!(!models.is_empty(), "teacher forcing needs a model");
        let pools = models.iter().map(|model| BlockPool::new(model.cache_spec().blocks)).collect();
        let fitting = |model: &&mut dyn LanguageModel| {
            let by_logits = LOGIT_BYTES / (4 * model.vocabulary().max(1));
            by_logits.max(LEAST_ROWS).min(model.limits().max_rows).min(PASS_ROWS)
        };
        let rows = models.iter().map(fitting).min().unwrap_or(1).max(1);
        Self { models, pools, rows, running: Vec::new(), last: None }
    }

    /// Starts windows until the next pass is full, as far as there are blocks.
    fn admit(&mut self, windows: &mut Peekable<impl Iterator<Item = (usize, Window)>>) -> Result<()> {
        while self.running.iter().map(Running::uncomputed).sum::<usize>() < self.rows {
            let Some((index, window)) = windows.peek() else { return Ok(()) };
            if window.scored.is_empty() {
                windows.next();
                continue;
            }
            self.check(*index, window)?;
            let Some(start) = self.start(window)? else { return Ok(()) };
            let (index, window) = windows.next().expect("it was there");
            let (computed, tables) = start;
            self.running.push(Running { index, window, computed, tables });
        }
        Ok(())
    }

    fn check(&self, index: usize, window: &Window) -> Result<()> {
        let Range { start, end } = window.scored;
        assert!(start >= 1 && end <= window.tokens.len(), "window {index} cannot be scored at {start}..{end}");
        for model in self.models.iter() {
            if model.encoder().is_some() {
                return Err(Error::MissingSource);
            }
            let (context_length, vocabulary) = (model.limits().context_length, model.vocabulary());
            if window.rows() > context_length {
                return Err(Error::WindowTooLong { found: window.rows(), context_length });
            }
            if let Some(index) = window.tokens.iter().position(|&token| token as usize >= vocabulary) {
                return Err(Error::UnknownToken { index, found: window.tokens[index], vocabulary });
            }
        }
        Ok(())
    }

    /// Blocks for a window and how many of its rows they hold already; `None` while it must wait.
    fn start(&mut self, window: &Window) -> Result<Option<(usize, Vec<Vec<BlockId>>)>> {
        let donor = self.running.iter().chain(&self.last).max_by_key(|donor| donor.common_rows(window));
        let share = self.models.iter().all(|model| model.limits().share_blocks);
        // Blocks are shared whole, and whole in every model.
        let unit = self.models.iter().map(|model| model.cache_spec().block_tokens).fold(1, least_common_multiple);
        let whole = |rows: usize| rows / unit * unit;
        let common = donor.map_or(0, |donor| if share { whole(donor.common_rows(window)) } else { 0 });
        let shared = donor.map_or(0, |donor| common.min(whole(donor.computed)));
        if shared < common {
            return Ok(None);
        }
        let mut tables: Vec<Vec<_>> = Vec::new();
        for (model, at) in self.models.iter().zip(0..) {
            let held = shared / model.cache_spec().block_tokens;
            tables.push(donor.map_or_else(Vec::new, |donor| donor.tables[at][..held].to_vec()));
        }
        for (pool, table) in self.pools.iter_mut().zip(&tables) {
            table.iter().for_each(|&block| pool.share(block));
        }
        if self.grow(window.rows(), &mut tables) {
            return Ok(Some((shared, tables)));
        }
        for (pool, table) in self.pools.iter_mut().zip(tables) {
            table.into_iter().for_each(|block| pool.release(block));
        }
        if let Some(last) = self.last.take() {
            last.release(&mut self.pools);
            return self.start(window);
        }
        if self.running.is_empty() { Err(self.too_small(window.rows())) } else { Ok(None) }
    }

    /// Takes blocks until the tables hold `rows` rows; false when there are too few.
    fn grow(&mut self, rows: usize, tables: &mut [Vec<BlockId>]) -> bool {
        for ((model, pool), table) in self.models.iter().zip(&mut self.pools).zip(tables) {
            while table.len() < rows.div_ceil(model.cache_spec().block_tokens) {
                let Some(block) = pool.allocate() else { return false };
                table.push(block);
            }
        }
        true
    }

    fn too_small(&self, tokens: usize) -> Error {
        let missing = self.models.iter().map(|model| {
            let cache = model.cache_spec();
            (tokens.div_ceil(cache.block_tokens), cache.blocks)
        });
        let (needed, blocks) =
            missing.max_by_key(|(needed, blocks)| needed.saturating_sub(*blocks)).unwrap_or_default();
        Error::CacheTooSmall { tokens, needed, blocks }
    }

    /// Computes the next rows of all models, and ends the windows that are done.
    fn pass(&mut self) -> Result<(Vec<Place>, Vec<Logits>)> {
        let uncomputed: Vec<_> = self.running.iter().map(Running::uncomputed).collect();
        let rows = plan(&uncomputed, self.rows);
        let places = self.running.iter().zip(&rows).flat_map(|(running, &rows)| running.places(rows)).collect();
        let mut logits = Vec::new();
        for (at, model) in self.models.iter_mut().enumerate() {
            let mut batch = Batch::default();
            let block_tokens = model.cache_spec().block_tokens;
            for (running, &rows) in self.running.iter().zip(&rows).filter(|(_, rows)| **rows > 0) {
                running.append(&mut batch, at, rows, block_tokens);
            }
            logits.push(model.forward(&batch)?);
        }
        self.running.iter_mut().zip(&rows).for_each(|(running, rows)| running.computed += rows);
        let (ended, running) = self.running.drain(..).partition(|running| running.uncomputed() == 0);
        self.running = running;
        for ended in Vec::from_iter::<Vec<Running>>(ended) {
            if let Some(last) = self.last.replace(ended) {
                last.release(&mut self.pools);
            }
        }
        Ok((places, logits))
    }
}

fn least_common_multiple(a: usize, b: usize) -> usize {
    let (mut greater, mut lesser) = (a.max(b), a.min(b));
    while lesser > 0 {
        (greater, lesser) = (lesser, greater % lesser);
    }
    a / greater * b
}
