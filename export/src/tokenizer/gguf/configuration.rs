//! `tokenizer_config.json`: the chat template and the special tokens by their text.

use serde_json::{Value, json};

use super::SpecialTokens;
use crate::Result;
use crate::checkpoint::gguf::GgufFile;

/// What the GGUF file says; nothing stands for what it does not say.
pub(crate) fn tokenizer_config(file: &GgufFile) -> Result<Value> {
    let tokens = file.texts("tokenizer.ggml.tokens")?.unwrap_or_default();
    let special = SpecialTokens::read(file)?;
    let mut fields = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": false,
    });
    let architecture = file.text("general.architecture")?.unwrap_or_default();
    if let Some(length) = file.count(&format!("{architecture}.context_length"))? {
        fields["model_max_length"] = json!(length);
    }
    for key in ["add_bos_token", "add_eos_token"] {
        if let Some(value) = file.boolean(&format!("tokenizer.ggml.{key}"))? {
            fields[key] = json!(value);
        }
    }
    let named = [
        ("bos_token", special.bos),
        ("eos_token", special.eos),
        ("unk_token", special.unknown),
        ("pad_token", special.padding),
        ("cls_token", special.class),
        ("sep_token", special.separator),
        ("mask_token", special.mask),
    ];
    for (field, id) in named {
        if let Some(id) = id {
            fields[field] = json!(tokens[id as usize]);
        }
    }
    if let Some(template) = file.text("tokenizer.chat_template")? {
        fields["chat_template"] = json!(template);
    }
    Ok(fields)
}
