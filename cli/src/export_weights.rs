//! `--weights` of `export`: a word whose meaning depends on what is written.

use std::str::FromStr;

use anyhow::Result;
use veridraft_export::{FloatFormat, Weights};

use crate::usage::UsageError;

/// A word that is a format in at least one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExportWeights {
    onnx: Option<Weights>,
    hugging_face: Option<FloatFormat>,
}

impl ExportWeights {
    /// The format in an ONNX model folder.
    pub(crate) fn onnx(self) -> Result<Weights> {
        self.onnx.ok_or_else(|| wrong(self.name(), "onnx", &Weights::ALL.map(Weights::name)))
    }

    /// The format in a Hugging Face folder.
    pub(crate) fn hugging_face(self) -> Result<FloatFormat> {
        self.hugging_face.ok_or_else(|| wrong(self.name(), "hf", &FloatFormat::ALL.map(FloatFormat::name)))
    }

    fn name(self) -> &'static str {
        let name = self.onnx.map(Weights::name).or(self.hugging_face.map(FloatFormat::name));
        name.expect("a word without a meaning is refused when it is read")
    }
}

impl FromStr for ExportWeights {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self { onnx: name.parse().ok(), hugging_face: name.parse().ok() };
        if found.onnx.is_none() && found.hugging_face.is_none() {
            return Err(format!("weights `{name}`, expected one of auto, f32, q8, q4, f16, bf16"));
        }
        Ok(found)
    }
}

fn wrong(name: &str, form: &str, known: &[&str]) -> anyhow::Error {
    UsageError::new(format!("`--weights {name}` with `--to {form}`, expected one of {}", known.join(", "))).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_what_its_form_says() {
        let check = |word: &str, onnx: Option<Weights>, hugging_face: Option<FloatFormat>| {
            let weights: ExportWeights = word.parse().expect("a known word");
            assert_eq!((weights.onnx().ok(), weights.hugging_face().ok()), (onnx, hugging_face), "{word}");
        };
        check("f32", Some(Weights::F32), Some(FloatFormat::F32));
        check("q4", Some(Weights::Q4), None);
        check("auto", Some(Weights::Auto), None);
        check("bf16", None, Some(FloatFormat::BF16));
    }

    #[test]
    fn a_word_of_the_other_form_is_a_mistake_in_usage() {
        let weights: ExportWeights = "q8".parse().expect("a known word");
        let error = weights.hugging_face().expect_err("no floats");
        assert!(error.is::<UsageError>());
        assert_eq!(error.to_string(), "`--weights q8` with `--to hf`, expected one of f32, f16, bf16");
        let weights: ExportWeights = "f16".parse().expect("a known word");
        let error = weights.onnx().expect_err("no codes");
        assert_eq!(error.to_string(), "`--weights f16` with `--to onnx`, expected one of auto, f32, q8, q4");
    }

    #[test]
    fn an_unknown_word_names_all() {
        let expected = "weights `int4`, expected one of auto, f32, q8, q4, f16, bf16";
        assert_eq!("int4".parse::<ExportWeights>(), Err(expected.to_owned()));
    }
}
