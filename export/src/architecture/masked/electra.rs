//! The generator of ELECTRA (Clark et al. 2020): BERT with embeddings narrower than its layers, projected to them and
//! back.

use super::{HeadNames, LayerNames, Names};

pub(super) const NAMES: Names = Names {
    embeddings: "electra.embeddings",
    projection: Some("electra.embeddings_project"),
    layers: "electra.encoder.layer",
    layer: LayerNames::BERT,
    head: HeadNames {
        dense: "generator_predictions.dense",
        norm: "generator_predictions.LayerNorm",
        decoder: "generator_lm_head",
        biases: ["generator_lm_head.bias"; 2],
        is_gelu: true,
    },
    unused: &[],
};
