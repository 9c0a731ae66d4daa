//! Writes new keys, rotated to their positions, and values to their slots.

use super::pages::{Element, Pool, with_pool};
use super::{AttentionConfig, CheckedRows, Columns, LayerPages};
use crate::rotary::CosSin;

/// Appends each row's key and value, `[kv_heads * head_dim]` columns each, to its slot.
///
/// # Panics
/// When `keys` or `values` have fewer rows or columns than `rows` and `config` say, or `rows` were checked for another
/// configuration or a larger pool.
pub fn append(
    config: &AttentionConfig,
    pages: &mut LayerPages,
    rows: &CheckedRows,
    keys: Columns,
    values: Columns,
    cos_sin: Option<&CosSin>,
) {
    rows.assert_fit(config, pages);
    with_pool!(&mut pages.0, pool => append_to(config, pool, rows, keys, values, cos_sin));
}

/// Stores every row by itself: how rows are cut into calls changes nothing.
fn append_to<E: Element>(
    config: &AttentionConfig,
    pool: &mut Pool<E>,
    rows: &CheckedRows,
    keys: Columns,
    values: Columns,
    cos_sin: Option<&CosSin>,
) {
    let head_dim = config.head_dim;
    let mut key = vec![0.0; head_dim];
    for (index, row) in rows.rows.iter().enumerate() {
        for kv_head in 0..config.kv_heads {
            key.copy_from_slice(keys.part(index, kv_head * head_dim, head_dim));
            if let Some(cos_sin) = cos_sin {
                cos_sin.rotate(&mut key, config.rotary_dim, row.position);
            }
            pool.write(row.slot, kv_head, &key, values.part(index, kv_head * head_dim, head_dim));
        }
    }
}
