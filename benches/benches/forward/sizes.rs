//! SmolLM2-135M in numbers, and the passes that are timed.

pub(crate) const LAYERS: usize = 30;
pub(crate) const HIDDEN: usize = 576;
pub(crate) const INTERMEDIATE: usize = 1536;
pub(crate) const HEADS: usize = 9;
pub(crate) const KV_HEADS: usize = 3;
pub(crate) const HEAD_DIM: usize = 64;
pub(crate) const VOCABULARY: usize = 49152;
/// What scores of attention are multiplied by: `HEAD_DIM^-0.5`.
pub(crate) const SCALE: f32 = 0.125;

/// Tokens that the cache of a sequence has room for.
pub(crate) const SLOTS: usize = 1280;

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

/// One forward pass.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pass {
    /// Sequences, each with as many of the new tokens.
    pub(crate) sequences: usize,
    /// New tokens of all sequences.
    pub(crate) rows: usize,
    /// Tokens of each sequence in the cache before them.
    pub(crate) context: usize,
    /// Rows, the last ones, whose logits are wanted.
    pub(crate) logits: usize,
}

const PROMPT_PASS: Pass = Pass { sequences: 1, rows: PROMPT, context: 0, logits: 1 };

/// Decoding of one sequence, plain and with drafts, then a prompt.
pub(crate) const PASSES: [Pass; 5] =
    [Pass::decoding(1, 256), Pass::decoding(4, 256), Pass::decoding(8, 256), Pass::decoding(16, 256), PROMPT_PASS];

/// The same, and decoding of sixteen sequences.
pub(crate) const FORWARD_PASSES: [Pass; 6] = [
    Pass::decoding(1, 256),
    Pass::decoding(4, 256),
    Pass::decoding(8, 256),
    Pass::decoding(16, 256),
    Pass { sequences: 16, rows: 16, context: 192, logits: 16 },
    PROMPT_PASS,
];

/// Decoding far into a sequence.
pub(crate) const LONG_PASSES: [Pass; 3] = [Pass::decoding(1, 1024), Pass::decoding(4, 1024), Pass::decoding(8, 1024)];

/// Tokens of the prompt.
pub(crate) const PROMPT: usize = 512;

impl Pass {
    const fn decoding(rows: usize, context: usize) -> Self {
        Self { sequences: 1, rows, context, logits: rows }
    }

    pub(crate) fn is_prompt(self) -> bool {
        self.context == 0
    }

    /// New tokens of each sequence.
    pub(crate) fn rows_each(self) -> usize {
        self.rows / self.sequences
    }

    /// Bytes of the keys and values of all layers, in f32.
    pub(crate) fn kv_bytes(self) -> u64 {
        (LAYERS * 2 * KV_HEADS * HEAD_DIM * size_of::<f32>() * (self.sequences * self.context + self.rows)) as u64
    }

    /// The numbers of the rows whose logits are wanted, in each sequence.
    pub(crate) fn logit_rows(self) -> Vec<i64> {
        let logits = self.logits / self.sequences;
        (self.rows_each() - logits..self.rows_each()).map(|row| row as i64).collect()
    }
}

/// The angle of a pair of numbers of a head, in a rotary embedding of base 100000.
pub(crate) fn rotary_angle(position: usize, pair: usize) -> f32 {
    position as f32 * 100_000_f32.powf(-2.0 * pair as f32 / HEAD_DIM as f32)
}
