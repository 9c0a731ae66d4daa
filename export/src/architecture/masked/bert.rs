//! BERT (Devlin et al. 2019): learned positions from 0 on, token types, a head with the layers' activation.

use super::{HeadNames, LayerNames, Names};

pub(super) const NAMES: Names = Names {
    embeddings: "bert.embeddings",
    projection: None,
    layers: "bert.encoder.layer",
    layer: LayerNames::BERT,
    head: HeadNames {
        dense: "cls.predictions.transform.dense",
        norm: "cls.predictions.transform.LayerNorm",
        decoder: "cls.predictions.decoder",
        biases: ["cls.predictions.bias", "cls.predictions.decoder.bias"],
        is_gelu: false,
    },
    unused: &["bert.pooler.", "cls.seq_relationship."],
};
