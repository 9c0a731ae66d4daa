//! What an exported ONNX file says of itself in `metadata_props`.

use std::path::Path;

use ort::session::Session;

use super::MatMulOperators;
use crate::{Error, Result};

/// The version of Veridraft's graph conventions: inputs, outputs and metadata keys.
pub const FORMAT_VERSION: &str = "2";

/// The key that a decoder behind an encoder has.
pub(crate) const SOURCE_LENGTH: &str = "veridraft.source_length";

/// The self-description of a model file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The architecture, as `config.json` spells its `model_type`.
    pub architecture: String,
    /// Format of the weights: "auto", "f32", "q8" or "q4".
    pub weights: String,
    /// Operators that multiply.
    pub matmul: MatMulOperators,
    /// Columns of the logits.
    pub vocabulary: usize,
    /// Tokens in one sequence, at most.
    pub context_length: usize,
    /// Transformer layers.
    pub layers: usize,
    /// Tokens in one source, at most, of a model with an encoder.
    pub source_length: Option<usize>,
    /// Numbers of layers behind which the graph gives out the residual stream, in the order of the outputs.
    pub hidden_states: Vec<usize>,
}

impl Metadata {
    /// Whether a row's logits have the same bits in any company: ONNX Runtime's quantised products do not give that.
    pub fn is_row_exact(&self) -> bool {
        match self.matmul {
            MatMulOperators::Veridraft => true,
            MatMulOperators::Standard => self.weights == "f32",
        }
    }

    pub(crate) fn read(session: &Session, path: &Path) -> Result<Self> {
        let metadata = session.metadata().map_err(|error| Error::model_file(path, error.to_string()))?;
        let text = |key: &str| {
            let missing =
                || Error::model_file(path, format!("no metadata `{key}`; it was not written by `veridraft export`"));
            metadata.custom(key).ok_or_else(missing)
        };
        let count = |key: &str| {
            let found = text(key)?;
            let wrong =
                || Error::model_file(path, format!("metadata `{key}` is \"{found}\", expected a positive number"));
            found.parse().ok().filter(|&count: &usize| count > 0).ok_or_else(wrong)
        };
        let version = text("veridraft.format_version")?;
        if version != FORMAT_VERSION {
            let reason = format!(
                "graph format version {version}, expected {FORMAT_VERSION}; delete the folder and export again"
            );
            return Err(Error::model_file(path, reason));
        }
        Ok(Self {
            architecture: text("veridraft.architecture")?,
            weights: text("veridraft.weights")?,
            matmul: text("veridraft.matmul")?.parse().map_err(|reason: String| Error::model_file(path, reason))?,
            vocabulary: count("veridraft.vocabulary")?,
            context_length: count("veridraft.context_length")?,
            layers: count("veridraft.layers")?,
            source_length: metadata.custom(SOURCE_LENGTH).map(|_| count(SOURCE_LENGTH)).transpose()?,
            hidden_states: hidden_states(metadata.custom("veridraft.hidden_states").as_deref())
                .map_err(|reason| Error::model_file(path, reason))?,
        })
    }
}

fn hidden_states(found: Option<&str>) -> Result<Vec<usize>, String> {
    let wrong = |found| format!("metadata `veridraft.hidden_states` is \"{found}\", expected numbers and commas");
    let Some(found) = found else { return Ok(Vec::new()) };
    found.split(',').map(|layers| layers.parse().map_err(|_| wrong(found))).collect()
}

#[cfg(test)]
mod tests {
    use super::hidden_states;

    #[test]
    fn hidden_states_are_numbers_with_commas_between() {
        assert_eq!(hidden_states(None), Ok(Vec::new()));
        assert_eq!(hidden_states(Some("2,15,0")), Ok(vec![2, 15, 0]));
        for found in ["", "2,", "2;3", "-1", "two"] {
            let expected = format!("metadata `veridraft.hidden_states` is \"{found}\", expected numbers and commas");
            assert_eq!(hidden_states(Some(found)), Err(expected));
        }
    }
}
