//! Why a line has no answer: what its error record says.

use serde::Serialize;

/// A line that is refused; the run goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Refusal {
    code: Code,
    message: String,
}

/// Kinds of refusals, for programs that read error records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Code {
    /// The line is not a JSON object.
    InvalidJson,
    /// A field is missing or has a value that it cannot have.
    InvalidRequest,
    /// A field that nobody knows.
    UnknownField,
    /// A field that asks for something that there is not.
    Unsupported,
    /// An earlier line has the same `custom_id`.
    DuplicateCustomId,
    /// `body.model` is another model.
    ModelNotFound,
    /// The prompt and its answer have no room, or the line is longer than any is read.
    TooLong,
    /// The model is not made for chat.
    NoChatTemplate,
    /// The grammar of the answer failed, or the encoder on the prompt.
    GenerationFailed,
}

impl Refusal {
    /// A refusal for one reason: what, found, expected.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The same, with the place in front, of which some messages say something.
    pub(super) fn at(self, place: &str) -> Self {
        let goes_on = ["is ", "has "].iter().any(|verb| self.message.starts_with(verb));
        let joint = if goes_on { " " } else { ": " };
        Self { message: format!("{place}{joint}{}", self.message), ..self }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    #[cfg(test)]
    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_stands_in_front_as_a_sentence() {
        let check =
            |message: &str, expected: &str| assert_eq!(Refusal::invalid(message).at("line 3").message(), expected);
        check("is a list, expected an object", "line 3 is a list, expected an object");
        check("`body.n` is 0, expected 1", "line 3: `body.n` is 0, expected 1");
    }
}
