//! The KV pool of one model: pages of every layer, allocated once, never seen by the engine.
//!
//! Attention operators announce their layers while a session is created; then the pool is sized and filled in. The
//! operating system gives memory as pages are first written, so an idle pool costs nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use veridraft_kernels::{AttentionConfig, KvType, LayerPages};

/// Slots of a block. Sixteen keep the waste of a last block low and a K column of a block one cache line.
pub(crate) const BLOCK_TOKENS: usize = 16;

/// Pages of all layers of one model.
pub(crate) struct KvPages {
    kv_type: KvType,
    announced: Mutex<BTreeMap<usize, AttentionConfig>>,
    layers: OnceLock<Vec<Mutex<LayerPages>>>,
    blocks: OnceLock<usize>,
}

impl KvPages {
    /// No layers yet.
    pub(crate) fn new(kv_type: KvType) -> Self {
        Self { kv_type, announced: Mutex::default(), layers: OnceLock::new(), blocks: OnceLock::new() }
    }

    /// Called by each attention node while its session is created.
    pub(crate) fn announce(&self, layer: usize, config: &AttentionConfig) -> Result<(), String> {
        let previous = lock(&self.announced).insert(layer, config.clone());
        if previous.is_some() { Err(format!("two attention nodes name layer {layer}")) } else { Ok(()) }
    }

    /// Bytes of one block in all layers together; an error when the layers are not 0, 1, 2 ...
    pub(crate) fn block_bytes(&self) -> Result<usize, String> {
        let announced = lock(&self.announced);
        if announced.is_empty() {
            return Err("no `veridraft.PagedAttention` node, expected one a layer; export the checkpoint again".into());
        }
        if let Some((expected, found)) = announced.keys().enumerate().find(|(index, layer)| index != *layer) {
            return Err(format!("attention layers go on with {found}, expected {expected}"));
        }
        Ok(announced.values().map(|config| self.kv_type.block_bytes(config)).sum())
    }

    /// Makes room for `blocks` blocks in every layer, if the system has as much.
    pub(crate) fn allocate(&self, blocks: usize) -> Result<(), String> {
        let bytes = self.block_bytes()?.saturating_mul(blocks);
        // Reserved and given back at once, untouched: the pages' own allocation could not report a failure.
        let probe = Vec::<u8>::new().try_reserve_exact(bytes);
        probe.map_err(|_| format!("{bytes} bytes cannot be had, expected what the system has free"))?;
        let announced = lock(&self.announced);
        let pages = announced.values().map(|config| Mutex::new(LayerPages::new(config, self.kv_type, blocks)));
        self.layers.set(pages.collect()).ok().expect("a pool is allocated once");
        self.blocks.set(blocks).expect("a pool is allocated once");
        Ok(())
    }

    /// Blocks in the pool; 0 before it is allocated.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.get().copied().unwrap_or(0)
    }

    /// Copies key and value of slots in every layer, `(from, to)` one after the other.
    pub(crate) fn copy_slots(&self, copies: &[(u32, u32)]) -> Result<(), String> {
        let slots = self.blocks() * BLOCK_TOKENS;
        let copies: Vec<_> = copies.iter().map(|&(from, to)| (from as usize, to as usize)).collect();
        if let Some((from, to)) = copies.iter().find(|(from, to)| *from.max(to) >= slots) {
            return Err(format!("a copy of slot {from} to {to}, expected less than {slots}"));
        }
        let layers = self.layers.get().into_iter().flatten();
        layers.for_each(|layer| lock(layer).copy_slots(&copies));
        Ok(())
    }

    /// One layer's pages; `None` before the pool is allocated.
    pub(crate) fn layer(&self, layer: usize) -> Option<MutexGuard<'_, LayerPages>> {
        self.layers.get()?.get(layer).map(lock)
    }
}

/// A panic in a kernel leaves unknown numbers in slots of its own batch, which the caller must not use anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
