//! RoBERTa (Liu et al. 2019) and XLM-R (Conneau et al. 2020): BERT's layers; positions are counted from the padding
//! token's id on and skip padding, and there is one token type.

use super::{HeadNames, LayerNames, Names};

pub(super) const NAMES: Names = Names {
    embeddings: "roberta.embeddings",
    projection: None,
    layers: "roberta.encoder.layer",
    layer: LayerNames::BERT,
    head: HeadNames {
        dense: "lm_head.dense",
        norm: "lm_head.layer_norm",
        decoder: "lm_head.decoder",
        biases: ["lm_head.bias", "lm_head.decoder.bias"],
        is_gelu: true,
    },
    unused: &["roberta.pooler."],
};
