//! What stays the same over the life of an attention node.

use crate::lanes::LANES;
use crate::{Error, Result};

/// Largest head: a tile's outputs stay in the first-level cache.
const MAX_HEAD_DIM: usize = 256;

/// Heads, sizes and reach of one layer's attention.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionConfig {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Numbers in a head, a multiple of 8 up to 256.
    pub head_dim: usize,
    /// What scores are multiplied by, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
    /// Numbers of a head that the rotary embedding turns, even; 0 for none.
    pub rotary_dim: usize,
    /// A row sees this many latest positions, itself included; `None` is all.
    pub window: Option<usize>,
    /// Scores are bent to stay below it: `softcap * tanh(score / softcap)`; `None` leaves them.
    pub softcap: Option<f32>,
    /// Slots in a block, a multiple of 8 up to 64.
    pub block_tokens: usize,
}

impl AttentionConfig {
    /// Refuses what the kernels cannot do.
    pub fn check(&self) -> Result<()> {
        let Self { heads, kv_heads, head_dim, rotary_dim, block_tokens, .. } = *self;
        let check = |valid: bool, name: &str, found: usize, expected: &str| {
            Error::unless(valid, || format!("`{name}` is {found}, expected {expected}"))
        };
        check((1..=1 << 16).contains(&kv_heads), "kv_heads", kv_heads, "1 to 65536")?;
        let grouped = (1..=1 << 16).contains(&heads) && heads.is_multiple_of(kv_heads);
        check(grouped, "heads", heads, "a multiple of `kv_heads`, at most 65536")?;
        let tiled = |value: usize, most: usize| value > 0 && value <= most && value.is_multiple_of(LANES);
        check(tiled(head_dim, MAX_HEAD_DIM), "head_dim", head_dim, "a multiple of 8, at most 256")?;
        let turned = rotary_dim <= head_dim && rotary_dim.is_multiple_of(2);
        check(turned, "rotary_dim", rotary_dim, "an even number, at most `head_dim`")?;
        check(tiled(block_tokens, 64), "block_tokens", block_tokens, "a multiple of 8, at most 64")?;
        check(self.window != Some(0), "window", 0, "at least 1")?;
        let positive = |name: &str, found: f32| {
            let valid = found.is_finite() && found > 0.0;
            Error::unless(valid, || format!("`{name}` is {found}, expected a positive number"))
        };
        positive("scale", self.scale)?;
        self.softcap.map_or(Ok(()), |softcap| positive("softcap", softcap))
    }

    /// Query heads that share a key and value head.
    pub(crate) fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}
