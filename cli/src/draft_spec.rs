//! `--draft SPEC`: who drafts.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use veridraft_export::Weights;

/// What can be given; the words of `--help` and of errors.
pub(crate) const AVAILABLE: &str = "none, auto, lookup, suffix[=TEXT], ngram=FILE, model=MODEL[:WEIGHTS]";

/// Drafters in the order in which they are asked; none is plain decoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DraftSpec {
    text: String,
    pub(crate) sources: Vec<DraftSource>,
}

/// One kind of drafter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DraftSource {
    /// What followed the last occurrence of the latest tokens in the same text.
    Lookup,
    /// What followed the latest tokens in this and all earlier texts, counted; in a corpus as well, where one is named.
    Suffix(Option<PathBuf>),
    /// A file that `veridraft train ngram` wrote.
    Ngram(PathBuf),
    /// A second, smaller model.
    Model { name: String, weights: Weights },
}

impl DraftSpec {
    /// Whether nobody drafts.
    pub(crate) fn is_none(&self) -> bool {
        self.sources.is_empty()
    }

    /// The model among the drafters, as it was named.
    pub(crate) fn model(&self) -> Option<(&str, Weights)> {
        self.sources.iter().find_map(|source| match source {
            DraftSource::Model { name, weights } => Some((name.as_str(), *weights)),
            _ => None,
        })
    }

    /// The same without its model.
    pub(crate) fn without_model(&self) -> Self {
        let is_no_model = |source: &&DraftSource| !matches!(source, DraftSource::Model { .. });
        Self { text: self.text.clone(), sources: self.sources.iter().filter(is_no_model).cloned().collect() }
    }

    /// The same with its model alone.
    pub(crate) fn model_alone(&self) -> Self {
        let is_model = |source: &&DraftSource| matches!(source, DraftSource::Model { .. });
        Self { text: self.text.clone(), sources: self.sources.iter().filter(is_model).cloned().collect() }
    }
}

/// The text that was typed.
impl fmt::Display for DraftSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for DraftSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut sources: Vec<DraftSource> = Vec::new();
        for part in &parts(text) {
            let parsed = match part.as_str() {
                "none" if part == text => Vec::new(),
                "none" => return Err(format!("`{part}` stands alone, it cannot be joined")),
                "auto" => vec![DraftSource::Suffix(None), DraftSource::Lookup],
                _ => vec![part.parse()?],
            };
            for source in parsed {
                if sources.iter().any(|other| other.kind() == source.kind()) {
                    return Err(format!("`{text}` has {} twice, expected each source once", source.kind()));
                }
                sources.push(source);
            }
        }
        Ok(Self { text: text.to_owned(), sources })
    }
}

/// The sources that `+` joins. A name of a file may have a `+` of its own: it is cut only where a source begins.
fn parts(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for piece in text.split('+') {
        let kind = piece.split('=').next().unwrap_or_default();
        let begins = ["none", "auto", "lookup", "suffix", "ngram", "model"].contains(&kind);
        match parts.last_mut() {
            Some(last) if last.contains('=') && !begins => {
                last.push('+');
                last.push_str(piece);
            }
            _ => parts.push(piece.to_owned()),
        }
    }
    parts
}

impl DraftSource {
    fn kind(&self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Suffix(_) => "suffix",
            Self::Ngram(_) => "ngram",
            Self::Model { .. } => "model",
        }
    }
}

impl FromStr for DraftSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, value) = match text.split_once('=') {
            Some((kind, value)) => (kind, Some(value).filter(|value| !value.is_empty())),
            None => (text, None),
        };
        let is_bare = !text.contains('=');
        match (kind, value) {
            ("lookup", None) if is_bare => Ok(Self::Lookup),
            ("suffix", None) if is_bare => Ok(Self::Suffix(None)),
            ("suffix", Some(corpus)) => Ok(Self::Suffix(Some(corpus.into()))),
            ("ngram", Some(file)) => Ok(Self::Ngram(file.into())),
            ("model", Some(model)) => Ok(Self::model(model)),
            ("ngram" | "model" | "suffix", None) => Err(format!("`{text}` names no file, expected {AVAILABLE}")),
            _ => Err(format!("`{text}` is unknown, expected {AVAILABLE}")),
        }
    }
}

impl DraftSource {
    fn model(text: &str) -> Self {
        let (name, weights) = model_and_weights(text);
        Self::Model { name: name.to_owned(), weights }
    }
}

/// Reads `MODEL[:WEIGHTS]`. The last part names a format if it is one; a path may have colons of its own.
pub(crate) fn model_and_weights(text: &str) -> (&str, Weights) {
    let named = text.rsplit_once(':').and_then(|(name, weights)| Some((name, weights.parse().ok()?)));
    named.unwrap_or((text, Weights::Auto))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&[DraftSource], String>) {
        let found = text.parse::<DraftSpec>().map(|spec| spec.sources);
        assert_eq!(found, expected.map(<[_]>::to_vec), "{text}");
    }

    #[test]
    fn a_spec_names_drafters() {
        let model = |name: &str, weights| DraftSource::Model { name: name.to_owned(), weights };
        check("none", Ok(&[]));
        check("lookup", Ok(&[DraftSource::Lookup]));
        check("auto", Ok(&[DraftSource::Suffix(None), DraftSource::Lookup]));
        check("suffix=notes.txt", Ok(&[DraftSource::Suffix(Some("notes.txt".into()))]));
        check("ngram=a=b.ngram", Ok(&[DraftSource::Ngram("a=b.ngram".into())]));
        check("model=./small:q4", Ok(&[model("./small", Weights::Q4)]));
        check("model=hf:owner/name", Ok(&[model("hf:owner/name", Weights::Auto)]));
        check("suffix=c++.txt+lookup", Ok(&[DraftSource::Suffix(Some("c++.txt".into())), DraftSource::Lookup]));
        check("lookup+model=x", Ok(&[DraftSource::Lookup, model("x", Weights::Auto)]));
    }

    #[test]
    fn what_names_none_is_refused() {
        let unknown = |part: &str| Err(format!("`{part}` is unknown, expected {AVAILABLE}"));
        check("lookup+lookup", Err("`lookup+lookup` has lookup twice, expected each source once".to_owned()));
        check("auto+suffix=a", Err("`auto+suffix=a` has suffix twice, expected each source once".to_owned()));
        check("none+lookup", Err("`none` stands alone, it cannot be joined".to_owned()));
        check("ngram", Err(format!("`ngram` names no file, expected {AVAILABLE}")));
        check("suffix=", Err(format!("`suffix=` names no file, expected {AVAILABLE}")));
        check("magic", unknown("magic"));
        check("lookup=3", unknown("lookup=3"));
        check("", unknown(""));
        check("lookup+", unknown(""));
    }
}
