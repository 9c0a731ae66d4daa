//! Keys and values that a decoder's cross-attention reads: pages of every source, each source's its own.
//!
//! A source is written once and read by any rows of any sequences until it is dropped, so its pages are as many as it
//! needs, stand in order, and need no table. They are no part of the pool that the engine hands out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use veridraft_kernels::{AttentionConfig, Columns, KvType, LayerPages, PagedRows, append};

/// The sources that one model holds.
pub(crate) struct SourcePages {
    kv_type: KvType,
    announced: Mutex<BTreeMap<usize, AttentionConfig>>,
    held: Mutex<BTreeMap<i64, Arc<HeldSource>>>,
}

/// One source.
pub(crate) struct HeldSource {
    pub(crate) positions: usize,
    /// By layer of the decoder.
    pub(crate) layers: Vec<LayerPages>,
}

impl SourcePages {
    /// No layers and no sources yet.
    pub(crate) fn new(kv_type: KvType) -> Self {
        Self { kv_type, announced: Mutex::default(), held: Mutex::default() }
    }

    /// Called by each cross-attention node while its session is created.
    pub(crate) fn announce(&self, layer: usize, config: &AttentionConfig) -> Result<(), String> {
        let previous = lock(&self.announced).insert(layer, config.clone());
        if previous.is_some() { Err(format!("two cross-attention nodes name layer {layer}")) } else { Ok(()) }
    }

    /// Layers with cross-attention; an error when they are not 0, 1, 2 ...
    pub(crate) fn layers(&self) -> Result<usize, String> {
        let announced = lock(&self.announced);
        match announced.keys().enumerate().find(|(index, layer)| index != *layer) {
            Some((expected, found)) => Err(format!("cross-attention layers go on with {found}, expected {expected}")),
            None => Ok(announced.len()),
        }
    }

    /// Holds a source under `id`: for each layer keys, then values of each position, `[positions, 2 * kv_columns]`.
    pub(crate) fn hold(&self, id: i64, positions: usize, keys_and_values: &[Vec<f32>]) -> Result<(), String> {
        let announced = lock(&self.announced);
        let layers = announced.values().zip(keys_and_values);
        let layers = layers.map(|(config, values)| self.pages(config, positions, values)).collect::<Result<_, _>>()?;
        lock(&self.held).insert(id, Arc::new(HeldSource { positions, layers }));
        Ok(())
    }

    pub(crate) fn drop_source(&self, id: i64) {
        lock(&self.held).remove(&id);
    }

    pub(crate) fn source(&self, id: i64) -> Result<Arc<HeldSource>, String> {
        lock(&self.held).get(&id).cloned().ok_or_else(|| format!("source {id} is not encoded"))
    }

    fn pages(&self, config: &AttentionConfig, positions: usize, values: &[f32]) -> Result<LayerPages, String> {
        let columns = config.kv_heads * config.head_dim;
        if values.len() != positions * 2 * columns {
            let (found, expected) = (values.len(), positions * 2 * columns);
            return Err(format!("keys and values are {found} numbers, expected {expected}"));
        }
        let blocks = positions.div_ceil(config.block_tokens);
        let places: Vec<i32> = (0..positions as i32).collect();
        let tables: Vec<i32> = (0..blocks as i32).collect();
        let rows = PagedRows {
            positions: &places,
            slot_mapping: &places,
            block_tables: &tables,
            blocks_per_table: blocks,
            query_starts: &[0, positions as i32],
            tree: None,
        };
        let rows = rows.check(config, blocks, None).map_err(|error| error.to_string())?;
        let mut pages = LayerPages::new(config, self.kv_type, blocks);
        let part = |offset| Columns { data: values, stride: 2 * columns, offset };
        append(config, &mut pages, &rows, part(0), part(columns), None);
        Ok(pages)
    }
}

/// Nothing behind these locks can be left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
