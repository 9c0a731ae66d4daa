//! What a model is made for, which `config.json` says by the class that its authors ran it with.

use std::fmt;
use std::path::Path;

use serde_json::Value;

use super::json_object::JsonObject;
use crate::{Error, Result};

/// What a model's graph computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Scores of the token that comes next, from those before it.
    Causal,
    /// Scores of every token of a text, from those on both sides.
    Masked,
    /// Scores of the token that comes next, from those before it and another text.
    EncoderDecoder,
}

/// Values of `model_type` whose models read in both directions unless a file says otherwise.
const BIDIRECTIONAL: &[&str] = &[
    "albert",
    "bert",
    "camembert",
    "deberta-v2",
    "distilbert",
    "electra",
    "modernbert",
    "mpnet",
    "roberta",
    "xlm-roberta",
];

impl Task {
    /// Reads `config.json` of a folder; without one the model is taken for a causal one.
    pub fn of(folder: &Path) -> Result<Self> {
        let Some(json) = JsonObject::open_if_exists(&folder.join("config.json"))? else { return Ok(Self::Causal) };
        if json.boolean("is_encoder_decoder")? == Some(true) {
            return Ok(Self::EncoderDecoder);
        }
        let classes = match json.value("architectures") {
            None => Vec::new(),
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            Some(other) => return Err(json.wrong_type("architectures", other, "a list of class names")),
        };
        let has = |ending: &str| classes.iter().any(|class| class.ends_with(ending));
        let is_bidirectional = json.string("model_type")?.is_some_and(|found| BIDIRECTIONAL.contains(&found));
        // BERT's layers are run as a decoder by classes of these names.
        let runs_as_decoder = has("ForCausalLM") || has("LMHeadModel");
        Ok(if has("ForMaskedLM") || is_bidirectional && !runs_as_decoder { Self::Masked } else { Self::Causal })
    }

    /// Refuses a folder whose model is made for something else. A model with an encoder is taken for a causal one too: both
    /// produce text, and what a decoder alone can do refuses it by itself.
    pub(super) fn expect(self, expected: Self, folder: &Path) -> Result<()> {
        let instead = match self {
            _ if self == expected || (self, expected) == (Self::EncoderDecoder, Self::Causal) => return Ok(()),
            Self::Causal => "`veridraft generate` continues texts with it",
            Self::Masked => "`veridraft fill` fills blanks with it, `perplexity --recipe pll` scores texts",
            Self::EncoderDecoder => "`veridraft generate` answers texts with it",
        };
        Err(Error::model_file(folder, format!("holds {self}, expected {expected}; {instead}")))
    }
}

impl fmt::Display for Task {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Causal => "a causal language model",
            Self::Masked => "a masked language model",
            Self::EncoderDecoder => "an encoder-decoder model",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(config: &str) -> Result<Task> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("config.json"), config).expect("written");
        Task::of(folder.path())
    }

    #[test]
    fn the_class_decides_and_then_the_type() {
        let check = |config: &str, expected: Task| assert_eq!(of(config).expect(config), expected, "{config}");
        check(r#"{"architectures": ["BertForMaskedLM"], "model_type": "bert"}"#, Task::Masked);
        check(r#"{"architectures": ["SomethingForMaskedLM"], "model_type": "something"}"#, Task::Masked);
        check(r#"{"architectures": ["BertForPreTraining"], "model_type": "bert"}"#, Task::Masked);
        check(r#"{"model_type": "distilbert"}"#, Task::Masked);
        check(r#"{"architectures": ["BertLMHeadModel"], "model_type": "bert"}"#, Task::Causal);
        check(r#"{"architectures": ["RobertaForCausalLM"], "model_type": "roberta"}"#, Task::Causal);
        check(r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}"#, Task::Causal);
        check(r#"{"architectures": null, "model_type": "llama"}"#, Task::Causal);
        check(r#"{"model_type": "t5", "is_encoder_decoder": true}"#, Task::EncoderDecoder);
        check("{}", Task::Causal);
        let error = of(r#"{"architectures": "BertForMaskedLM"}"#).expect_err("no list").to_string();
        assert!(error.ends_with("`architectures` is a string, expected a list of class names"), "{error}");
    }

    #[test]
    fn another_task_is_refused_with_what_runs_it() {
        let check = |found: Task, expected: Task, message: &str| {
            let error = found.expect(expected, Path::new("m")).expect_err("another task").to_string();
            assert_eq!(error, format!("`m`: {message}"));
        };
        check(
            Task::Masked,
            Task::Causal,
            "holds a masked language model, expected a causal language model; `veridraft fill` fills blanks with it, `perplexity --recipe pll` scores texts",
        );
        check(
            Task::Causal,
            Task::Masked,
            "holds a causal language model, expected a masked language model; `veridraft generate` continues texts with it",
        );
        assert!(Task::Masked.expect(Task::Masked, Path::new("m")).is_ok());
    }
}
