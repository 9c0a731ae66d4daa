//! What stands before a decoder that reads a source, and how both are built.

use super::{MAX_HEAD_DIM, MAX_WIDTH, check_layers, within};

/// The encoder of a model with one, and what its decoder has that a decoder by itself has not.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderConfig {
    /// Number of layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the MLP.
    pub intermediate: usize,
    /// The longest source in tokens.
    pub source_length: usize,
    /// Sources are filled up with tokens that attention sees like any others; `None` where they are as long as they are.
    pub padding: Option<Padding>,
    /// How layers are built, in encoder and decoder.
    pub style: Style,
}

/// What fills a source up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Padding {
    /// The token.
    pub token: usize,
    /// Tokens of every source with it.
    pub length: usize,
}

/// How the layers of encoder and decoder are built.
#[derive(Clone, Debug, PartialEq)]
pub enum Style {
    /// Norms before, positions by distance: T5.
    Relative {
        /// Classes of distances.
        buckets: usize,
        /// Distances from here on are of one class.
        max_distance: usize,
        /// The MLP multiplies what its function gives.
        is_gated: bool,
    },
    /// Norms behind, positions added to the embedding: BART, Marian and PyTorch's `nn.Transformer`.
    PostNorm {
        /// Where positions come from.
        positions: Positions,
        /// The embedding is multiplied by the root of its width.
        has_scaled_embedding: bool,
        /// The embedding with positions is normalised.
        has_embedding_norm: bool,
        /// The last layers' outputs are normalised once more.
        has_final_norms: bool,
        /// The tensor added to the logits.
        logits_bias: Option<&'static str>,
    },
}

/// What is added to embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// Rows of the checkpoint's table, the first so many of which are skipped.
    Stored {
        /// Rows skipped.
        skipped: usize,
    },
    /// Sines, then cosines (Vaswani et al. 2017, but not interleaved).
    Sinusoidal,
}

impl EncoderConfig {
    /// Checks what the graphs rely on, for a residual stream of so many numbers. The error is a reason without the file's
    /// name.
    pub(super) fn check(&self, hidden: usize) -> Result<(), String> {
        check_layers(self.layers)?;
        within("the number of the encoder's attention heads", self.heads, MAX_WIDTH)?;
        within("the encoder's intermediate size", self.intermediate, MAX_WIDTH)?;
        within("the source length", self.source_length, 1 << 20)?;
        if let Some(Padding { length, .. }) = self.padding {
            let most = self.source_length;
            if length != most {
                return Err(format!(
                    "sources are filled up to {length} tokens, expected {most}, the most that there are"
                ));
            }
        }
        match self.style {
            Style::Relative { buckets, max_distance, .. } => {
                within("the number of relative buckets", buckets, 1 << 16)?;
                within("the largest relative distance", max_distance, 1 << 20)?;
                let least = 4;
                if buckets < least || max_distance <= buckets / 2 {
                    return Err(format!(
                        "{buckets} buckets of distances up to {max_distance}, expected at least {least}, and distances above half \
                         as many"
                    ));
                }
                Ok(())
            }
            Style::PostNorm { .. } => {
                let head_dim = hidden / self.heads;
                if !hidden.is_multiple_of(self.heads) || head_dim > MAX_HEAD_DIM {
                    let heads = self.heads;
                    return Err(format!("{hidden} columns are not {heads} heads of up to {MAX_HEAD_DIM} numbers"));
                }
                Ok(())
            }
        }
    }
}
