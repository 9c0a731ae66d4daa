//! The residual stream between layers, for draft heads that read it (Li et al. 2025, EAGLE-3).

use super::batch_tensors::BatchTensors;
use super::pass::{rows_of, run};
use super::{CausalModel, logits};
use crate::{Batch, Logits, Result};

/// The residual stream of every row of a batch behind some layers.
#[derive(Clone, Debug, PartialEq)]
pub struct HiddenStates {
    /// How many layers stand before it: 0 is the embedding.
    pub layers: usize,
    /// Numbers in a row.
    pub width: usize,
    /// `[rows, width]`
    pub values: Vec<f32>,
}

impl CausalModel {
    /// [`forward`](crate::LanguageModel::forward), and the hidden states that the checkpoint was exported with, in the
    /// order of [`Metadata::hidden_states`](super::Metadata::hidden_states).
    pub fn forward_with_hidden_states(&mut self, batch: &Batch) -> Result<(Logits, Vec<HiddenStates>)> {
        let tensors = BatchTensors::new(batch, self.metadata.vocabulary, self.encoder.is_some())?;
        let outputs = run(&mut self.session, &self.pool, tensors)?;
        let logits = logits(&outputs, &self.path, batch, &self.metadata)?;
        let states = self.metadata.hidden_states.iter().map(|&layers| {
            let (values, width) = rows_of(&outputs, &self.path, &format!("hidden_states.{layers}"), batch.rows())?;
            Ok(HiddenStates { layers, width, values })
        });
        Ok((logits, states.collect::<Result<_>>()?))
    }
}
