//! A GGUF file's tensors under their Hugging Face names and in their Hugging Face order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::GgufFile;
use crate::checkpoint::{DecoderConfig, TensorSource};
use crate::{Error, Result};

/// Names outside the layers: in the file, and in a Hugging Face checkpoint.
const MODEL_NAMES: [(&str, &str); 3] = [
    ("token_embd.weight", "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", "lm_head.weight"),
];

/// Names behind `blk.N.` in the file and behind `model.layers.N.` in a Hugging Face checkpoint.
const LAYER_NAMES: [(&str, &str); 12] = [
    ("attn_norm.weight", "input_layernorm.weight"),
    ("attn_q.weight", "self_attn.q_proj.weight"),
    ("attn_q.bias", "self_attn.q_proj.bias"),
    ("attn_k.weight", "self_attn.k_proj.weight"),
    ("attn_k.bias", "self_attn.k_proj.bias"),
    ("attn_v.weight", "self_attn.v_proj.weight"),
    ("attn_v.bias", "self_attn.v_proj.bias"),
    ("attn_output.weight", "self_attn.o_proj.weight"),
    ("ffn_norm.weight", "post_attention_layernorm.weight"),
    ("ffn_gate.weight", "mlp.gate_proj.weight"),
    ("ffn_up.weight", "mlp.up_proj.weight"),
    ("ffn_down.weight", "mlp.down_proj.weight"),
];

/// Divisors of the rotary frequencies, which become part of the configuration.
pub(crate) const ROPE_FACTORS: &str = "rope_freqs.weight";

/// The weights of a LLaMA-family GGUF file.
pub(crate) struct GgufTensors {
    file: Arc<GgufFile>,
    /// By Hugging Face name.
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    name_in_file: String,
    row_order: RowOrder,
}

/// How a tensor's rows stand in the file.
#[derive(Clone, Copy)]
enum RowOrder {
    /// As in the Hugging Face checkpoint.
    Same,
    /// Within each of `heads`, row `2 * j + i` of the file is row `i * half + j` of the checkpoint, where `half` is
    /// half a head: files of architecture `llama` turn neighbours by the rotary angle, not values half a head apart.
    PairsInterleaved { heads: usize },
}

impl GgufTensors {
    /// Maps the names; a tensor that the LLaMA family does not have is an error, as leaving it out would change the
    /// model.
    pub(crate) fn new(file: Arc<GgufFile>, config: &DecoderConfig) -> Result<Self> {
        let interleaved = file.text("general.architecture")? == Some("llama");
        let mut entries = BTreeMap::new();
        for name_in_file in file.tensor_names().filter(|&name| name != ROPE_FACTORS) {
            let name = checkpoint_name(name_in_file).ok_or_else(|| {
                file.error(format!("tensor `{name_in_file}` is not one that models of the LLaMA family have"))
            })?;
            let heads = rotated_heads(&name, config).filter(|_| interleaved);
            let row_order = heads.map_or(RowOrder::Same, |heads| RowOrder::PairsInterleaved { heads });
            entries.insert(name, Entry { name_in_file: name_in_file.to_owned(), row_order });
        }
        Ok(Self { file, entries })
    }
}

impl TensorSource for GgufTensors {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn names(&self) -> Vec<&str> {
        self.entries.keys().map(String::as_str).collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.file.tensor_shape(&self.entries.get(name)?.name_in_file).map(<[usize]>::to_vec)
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        let missing = || self.file.error(format!("tensor `{name}` is missing"));
        let Entry { name_in_file, row_order } = self.entries.get(name).ok_or_else(missing)?;
        let values = self.file.tensor_f32(name_in_file).ok_or_else(missing)?;
        let shape = self.file.tensor_shape(name_in_file).ok_or_else(missing)?;
        match *row_order {
            RowOrder::Same => Ok(values),
            RowOrder::PairsInterleaved { heads } => separate_pairs(&values, shape[0], heads).ok_or_else(|| {
                let rows = shape[0];
                let reason = format!("tensor `{name_in_file}` has {rows} rows, expected {heads} heads of even size");
                Error::Checkpoint { path: self.path().to_owned(), reason }
            }),
        }
    }
}

/// The Hugging Face name of a tensor that a GGUF file calls `name`.
fn checkpoint_name(name: &str) -> Option<String> {
    let find = |table: &[(&str, &'static str)], name: &str| {
        table.iter().find(|(in_file, _)| *in_file == name).map(|(_, name)| *name)
    };
    if let Some(found) = find(&MODEL_NAMES, name) {
        return Some(found.to_owned());
    }
    let (layer, part) = name.strip_prefix("blk.")?.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    Some(format!("model.layers.{layer}.{}", find(&LAYER_NAMES, part)?))
}

/// The heads that the rows of a q or k projection are split into; `None` for any other tensor.
fn rotated_heads(name: &str, config: &DecoderConfig) -> Option<usize> {
    if name.contains(".self_attn.q_proj.") {
        Some(config.heads)
    } else if name.contains(".self_attn.k_proj.") {
        Some(config.kv_heads)
    } else {
        None
    }
}

/// Undoes [`RowOrder::PairsInterleaved`]; `None` when the rows are not `heads` heads of even size.
fn separate_pairs(values: &[f32], rows: usize, heads: usize) -> Option<Vec<f32>> {
    let half = rows / heads / 2;
    if half * heads * 2 != rows {
        return None;
    }
    let columns = values.len() / rows;
    let row = |head: usize, i: usize, j: usize| &values[((head * half + j) * 2 + i) * columns..][..columns];
    let mut separated = Vec::with_capacity(values.len());
    for head in 0..heads {
        for i in 0..2 {
            (0..half).for_each(|j| separated.extend_from_slice(row(head, i, j)));
        }
    }
    Some(separated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_hugging_face_checkpoint() {
        let check = |name: &str, expected: Option<&str>| assert_eq!(checkpoint_name(name).as_deref(), expected);
        check("token_embd.weight", Some("model.embed_tokens.weight"));
        check("output.weight", Some("lm_head.weight"));
        check("blk.17.attn_q.bias", Some("model.layers.17.self_attn.q_proj.bias"));
        check("blk.0.ffn_down.weight", Some("model.layers.0.mlp.down_proj.weight"));
        check("blk.0.attn_output.bias", None);
        check("blk.0.ffn_gate_exps.weight", None);
        check("blk.x.attn_q.weight", None);
    }

    #[test]
    fn interleaved_pairs_are_separated_within_each_head() {
        // Two heads of four rows with one column; a row's value is its place in the checkpoint.
        let in_file = [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0];
        assert_eq!(separate_pairs(&in_file, 8, 2).unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        assert_eq!(separate_pairs(&in_file, 8, 3), None);
    }
}
