//! Where an encoder's tensors are in its checkpoint. Each is a `.weight` and, but for embeddings, a `.bias`.

/// Names of one architecture's tensors, and what else tells it from the others.
pub(in crate::architecture) struct Names {
    /// What leads to `word_embeddings`, `position_embeddings`, `token_type_embeddings` and `LayerNorm`.
    pub(in crate::architecture) embeddings: &'static str,
    /// From the width of the embeddings to that of the layers, where they differ.
    pub(in crate::architecture) projection: Option<&'static str>,
    /// What leads to a layer's number.
    pub(in crate::architecture) layers: &'static str,
    /// Behind a layer's number.
    pub(in crate::architecture) layer: LayerNames,
    pub(in crate::architecture) head: HeadNames,
    /// Beginnings of the names of tensors that such checkpoints may have and that predict no tokens.
    pub(in crate::architecture) unused: &'static [&'static str],
}

/// Names of a layer's parts.
pub(in crate::architecture) struct LayerNames {
    pub(in crate::architecture) query: &'static str,
    pub(in crate::architecture) key: &'static str,
    pub(in crate::architecture) value: &'static str,
    pub(in crate::architecture) attention_output: &'static str,
    pub(in crate::architecture) attention_norm: &'static str,
    pub(in crate::architecture) intermediate: &'static str,
    pub(in crate::architecture) output: &'static str,
    pub(in crate::architecture) output_norm: &'static str,
}

/// Names of the head's parts.
pub(in crate::architecture) struct HeadNames {
    pub(in crate::architecture) dense: &'static str,
    pub(in crate::architecture) norm: &'static str,
    /// Its weight is left out where it is the word embedding.
    pub(in crate::architecture) decoder: &'static str,
    /// The bias of the scores: the head's own, and the decoder's, which is the same where the decoder is tied.
    pub(in crate::architecture) biases: [&'static str; 2],
    /// The head's activation is GELU whatever that of the layers is.
    pub(in crate::architecture) is_gelu: bool,
}

impl LayerNames {
    /// Of BERT and of those whose code began as BERT's.
    pub(in crate::architecture) const BERT: Self = Self {
        query: "attention.self.query",
        key: "attention.self.key",
        value: "attention.self.value",
        attention_output: "attention.output.dense",
        attention_norm: "attention.output.LayerNorm",
        intermediate: "intermediate.dense",
        output: "output.dense",
        output_norm: "output.LayerNorm",
    };
}
