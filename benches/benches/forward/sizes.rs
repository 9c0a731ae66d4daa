//! SmolLM2-135M in numbers, and the passes that are timed.

pub(crate) const LAYERS: usize = 30;
pub(crate) const HIDDEN: usize = 576;
pub(crate) const INTERMEDIATE: usize = 1536;
pub(crate) const HEADS: usize = 9;
pub(crate) const KV_HEADS: usize = 3;
pub(crate) const HEAD_DIM: usize = 64;
pub(crate) const VOCABULARY: usize = 49152;

/// A weight matrix, quantised in blocks of 32 along `ins`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix {
    pub(crate) ins: usize,
    pub(crate) outs: usize,
    pub(crate) bits: usize,
}

/// Queries, keys and values as one matrix.
pub(crate) const QKV: Matrix = Matrix { ins: HIDDEN, outs: (HEADS + 2 * KV_HEADS) * HEAD_DIM, bits: 4 };
pub(crate) const O: Matrix = Matrix { ins: HEADS * HEAD_DIM, outs: HIDDEN, bits: 4 };
/// Gate and up as one matrix.
pub(crate) const GATE_UP: Matrix = Matrix { ins: HIDDEN, outs: 2 * INTERMEDIATE, bits: 4 };
pub(crate) const DOWN: Matrix = Matrix { ins: INTERMEDIATE, outs: HIDDEN, bits: 4 };
pub(crate) const HEAD: Matrix = Matrix { ins: HIDDEN, outs: VOCABULARY, bits: 8 };

/// One forward pass of one sequence.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pass {
    /// New tokens.
    pub(crate) rows: usize,
    /// Tokens in the cache before them.
    pub(crate) context: usize,
    /// Rows, the last ones, whose logits are wanted.
    pub(crate) logits: usize,
}

/// Decoding, plain and with drafts.
pub(crate) const DECODING: [Pass; 4] = [decoding(1), decoding(4), decoding(8), decoding(16)];
/// A prompt.
pub(crate) const PREFILL: Pass = Pass { rows: 512, context: 0, logits: 1 };

const fn decoding(rows: usize) -> Pass {
    Pass { rows, context: 256, logits: rows }
}

impl Pass {
    /// The numbers of the rows whose logits are wanted.
    pub(crate) fn logit_rows(self) -> Vec<i64> {
        (self.rows - self.logits..self.rows).map(|row| row as i64).collect()
    }
}
