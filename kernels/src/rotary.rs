//! Rotary position embedding (Su et al. 2021), with halves rotated against each other as in LLaMA and GPT-NeoX.

/// Cosines and sines by position.
#[derive(Clone, Copy, Debug)]
pub struct CosSin<'a> {
    /// `[positions, rotary_dim]`: `rotary_dim / 2` cosines, then as many sines.
    pub table: &'a [f32],
    /// Rows of the table.
    pub positions: usize,
}

impl CosSin<'_> {
    /// Rotates the first `rotary_dim` numbers of a head to `position`.
    pub(crate) fn rotate(&self, head: &mut [f32], rotary_dim: usize, position: usize) {
        let (cosines, sines) = self.table[position * rotary_dim..][..rotary_dim].split_at(rotary_dim / 2);
        let (first, second) = head[..rotary_dim].split_at_mut(rotary_dim / 2);
        for index in 0..rotary_dim / 2 {
            let (x, y) = (first[index], second[index]);
            first[index] = x * cosines[index] - y * sines[index];
            second[index] = y * cosines[index] + x * sines[index];
        }
    }
}
