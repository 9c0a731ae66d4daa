//! DistilBERT (Sanh et al. 2019): half of BERT's layers under names of its own, without token types.

use super::{HeadNames, LayerNames, Names};

pub(super) const NAMES: Names = Names {
    embeddings: "distilbert.embeddings",
    projection: None,
    layers: "distilbert.transformer.layer",
    layer: LayerNames {
        query: "attention.q_lin",
        key: "attention.k_lin",
        value: "attention.v_lin",
        attention_output: "attention.out_lin",
        attention_norm: "sa_layer_norm",
        intermediate: "ffn.lin1",
        output: "ffn.lin2",
        output_norm: "output_layer_norm",
    },
    head: HeadNames {
        dense: "vocab_transform",
        norm: "vocab_layer_norm",
        decoder: "vocab_projector",
        biases: ["vocab_projector.bias"; 2],
        is_gelu: false,
    },
    unused: &[],
};
