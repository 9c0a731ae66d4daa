//! What a text must be: a JSON schema, a regular expression or a context-free grammar, compiled for a vocabulary.

use std::fmt::Display;

use llguidance::Matcher;
use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

use super::{Constraint, Guidance, Vocabulary};
use crate::{Error, Result};

/// Between the parts of a JSON text, where a schema does not say it otherwise. A small model may go on with white space
/// for ever where any amount is allowed; this is enough for a line end and a deep indentation.
const WHITE_SPACE: &str = r"[ \n\r\t]{1,40}";

/// A description of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grammar<'a> {
    /// A JSON schema, as text. What is valid must be expressible as a context-free grammar: a keyword that is not is
    /// an error. Options go into its top-level `x-guidance`: `{"whitespace_flexible": false}` for no white space,
    /// `coerce_one_of` and `lenient` to go without what cannot be expressed, which [`Guidance::warnings`] then names.
    JsonSchema(&'a str),
    /// A regular expression that the whole text must match, in the syntax of Rust's `regex` crate.
    Regex(&'a str),
    /// A grammar in llguidance's variant of Lark's notation.
    Lark(&'a str),
}

impl Grammar<'_> {
    /// Compiles it; the constraint is at the beginning of a text.
    pub fn compile(&self, vocabulary: &Vocabulary) -> Result<Guidance> {
        let refuse = |reason| Error::Grammar { kind: self.kind(), reason };
        let grammar = self.parse().map_err(|error| refuse(one_line(error)))?;
        let parser = vocabulary.parser(grammar).map_err(|error| refuse(self.reason(error)))?;
        let matcher = Matcher::new(Ok(parser));
        if let Some(reason) = matcher.get_error() {
            return Err(refuse(one_line(reason)));
        }
        let guidance = Guidance::new(matcher, vocabulary);
        // Also finds what no token can begin, and what is too complex from the beginning.
        let first = guidance.clone().allowed()?;
        if first.iter().all(|token| vocabulary.eos_ids().contains(&token)) {
            return Err(refuse("it allows the empty text alone".to_owned()));
        }
        Ok(guidance)
    }

    fn parse(&self) -> serde_json::Result<TopLevelGrammar> {
        Ok(match self {
            Self::JsonSchema(text) => {
                TopLevelGrammar::from_json_schema(with_bounded_space(serde_json::from_str(text)?))
            }
            Self::Regex(text) => TopLevelGrammar::from_regex(text),
            Self::Lark(text) => TopLevelGrammar::from_lark((*text).to_owned()),
        })
    }

    /// An expression becomes a grammar of one line, and its user knows no position in that.
    fn reason(&self, error: impl Display) -> String {
        let line = one_line(error);
        let at = line.split_once("): ").filter(|(at, _)| matches!(self, Self::Regex(_)) && at.starts_with("at 1("));
        at.map_or(line.clone(), |(_, rest)| rest.to_owned())
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::JsonSchema(_) => "JSON schema",
            Self::Regex(_) => "regular expression",
            Self::Lark(_) => "grammar",
        }
    }
}

fn with_bounded_space(mut schema: Value) -> Value {
    if schema == true {
        schema = json!({});
    }
    if let Value::Object(keywords) = &mut schema {
        let options = keywords.entry("x-guidance").or_insert_with(|| json!({}));
        if let Value::Object(options) = options
            && !options.contains_key("whitespace_flexible")
        {
            options.entry("whitespace_pattern").or_insert_with(|| WHITE_SPACE.into());
        }
    }
    schema
}

/// The library's messages go over several lines: quotations of the source with marks under them, and a dump of its state
/// behind the message itself.
pub(super) fn one_line(error: impl Display) -> String {
    let whole = format!("{error:#}");
    let end = ["<state>", "<non-verbose/>", "<backtrace>"].iter().filter_map(|mark| whole.find(mark)).min();
    let lines = whole[..end.unwrap_or(whole.len())].lines().filter(|line| !is_quotation(line));
    let line = lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
    line.replace("regex parse error: error: ", "")
}

/// Whether a line is `    a(b`, `     ^` or `12 | start: a`.
fn is_quotation(line: &str) -> bool {
    let numbered = line.trim_start().trim_start_matches(|character: char| character.is_ascii_digit());
    line.starts_with("    ") || line.trim().chars().all(|character| character == '^') || numbered.starts_with(" | ")
}
