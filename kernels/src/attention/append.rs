//! Writes new keys, rotated to their positions, and values to their slots.

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
    let head_dim = config.head_dim;
    let mut key = vec![0.0; head_dim];
    for (index, row) in rows.rows.iter().enumerate() {
        for kv_head in 0..config.kv_heads {
            key.copy_from_slice(keys.part(index, kv_head * head_dim, head_dim));
            if let Some(cos_sin) = cos_sin {
                cos_sin.rotate(&mut key, config.rotary_dim, row.position);
            }
            pages.write(row.slot, kv_head, &key, values.part(index, kv_head * head_dim, head_dim));
        }
    }
}
