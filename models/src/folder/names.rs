//! Under which names a graph takes tokens, keys and values, and gives logits, keys and values.

/// Names of a graph's inputs and outputs; `%d` stands for a layer's number.
///
/// [`GraphNames::default`] is what Hugging Face's exporters write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphNames {
    /// Token ids, `[batch, rows]`.
    pub input_ids: String,
    /// Which tokens may be seen, `[batch, tokens]`.
    pub attention_mask: String,
    /// Where the rows stand, `[batch, rows]`.
    pub position_ids: String,
    /// Keys of earlier tokens, `[batch, heads, tokens, head_dim]`.
    pub past_key: String,
    /// Values of earlier tokens.
    pub past_value: String,
    /// Scores, `[batch, rows, vocabulary]`.
    pub logits: String,
    /// Keys of all tokens.
    pub present_key: String,
    /// Values of all tokens.
    pub present_value: String,
}

impl Default for GraphNames {
    fn default() -> Self {
        Self {
            input_ids: "input_ids".to_owned(),
            attention_mask: "attention_mask".to_owned(),
            position_ids: "position_ids".to_owned(),
            past_key: "past_key_values.%d.key".to_owned(),
            past_value: "past_key_values.%d.value".to_owned(),
            logits: "logits".to_owned(),
            present_key: "present.%d.key".to_owned(),
            present_value: "present.%d.value".to_owned(),
        }
    }
}

impl GraphNames {
    /// A layer's name by its pattern.
    pub(crate) fn of_layer(pattern: &str, layer: usize) -> String {
        pattern.replace("%d", &layer.to_string())
    }
}
