//! `generation_config.json`: how the model's authors would have it sampled.

use std::path::Path;

use super::json_object::JsonObject;
use crate::{Result, TokenId};

/// The sampling settings of `generation_config.json`; `None` where the file is silent or absent.
///
/// As in Hugging Face's `generate`, `do_sample` decides first: unless it is true, decoding is greedy whatever
/// `temperature`, `top_k` and `top_p` say; [`GenerationDefaults::temperature_in_use`] applies that rule.
/// Unlike there, a `top_k` that is absent means no limit, not 50: a file should not cut what it does not mention.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerationDefaults {
    /// Whether to sample at all; absent means no.
    pub do_sample: Option<bool>,
    /// Divides the logits, at least 0.
    pub temperature: Option<f32>,
    /// Keeps this many of the likeliest tokens; 0 keeps all.
    pub top_k: Option<usize>,
    /// Keeps the likeliest tokens up to this total probability.
    pub top_p: Option<f32>,
    /// Drops tokens less likely than this fraction of the likeliest.
    pub min_p: Option<f32>,
    /// Divides positive and multiplies negative logits of tokens already seen; it acts on greedy decoding too.
    pub repetition_penalty: Option<f32>,
    /// The token that a decoder behind an encoder starts with.
    pub decoder_start_token_id: Option<TokenId>,
    /// The tokens that end the answer: here those of `generation_config.json`, and in
    /// [`ModelFolder::generation`](super::ModelFolder::generation) those of `config.json` and the tokenizer as well.
    pub eos_token_ids: Vec<TokenId>,
}

impl GenerationDefaults {
    /// Reads `generation_config.json` of a model folder; without one, nothing is set.
    pub fn open(folder: &Path) -> Result<Self> {
        let Some(json) = JsonObject::open_if_exists(&folder.join("generation_config.json"))? else {
            return Ok(Self::default());
        };
        Ok(Self {
            do_sample: json.boolean("do_sample")?,
            temperature: json.number("temperature")?,
            top_k: json.count("top_k")?,
            top_p: json.number("top_p")?,
            min_p: json.number("min_p")?,
            repetition_penalty: json.number("repetition_penalty")?,
            decoder_start_token_id: json.token_ids("decoder_start_token_id")?.first().copied(),
            eos_token_ids: json.token_ids("eos_token_id")?,
        })
    }

    /// The temperature to use when the user names none: 0 (greedy) unless `do_sample` is true, then the file's, else 1.
    pub fn temperature_in_use(&self) -> f32 {
        if self.do_sample == Some(true) { self.temperature.unwrap_or(1.0) } else { 0.0 }
    }
}
