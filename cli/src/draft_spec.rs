//! `--draft SPEC`: who drafts.

use std::str::FromStr;

use veridraft_engine::drafters::{Drafter, Lookup};

/// What can be given today; the words of `--help` and of errors.
const AVAILABLE: &str = "none, lookup";

/// Drafters in the order in which they are asked; none is plain decoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DraftSpec(Vec<DraftSource>);

/// One kind of drafter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DraftSource {
    /// Prompt lookup: copy what followed the last occurrence of the latest tokens.
    Lookup,
}

impl DraftSpec {
    /// Whether nobody drafts.
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Fresh drafters for one engine.
    pub(crate) fn drafters(&self) -> Vec<Box<dyn Drafter>> {
        let drafter = |source: &DraftSource| -> Box<dyn Drafter> {
            match source {
                DraftSource::Lookup => Box::new(Lookup::default()),
            }
        };
        self.0.iter().map(drafter).collect()
    }
}

impl FromStr for DraftSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        let mut sources = Vec::new();
        for part in text.split('+') {
            let source = part.parse()?;
            if sources.contains(&source) {
                return Err(format!("`{part}` is given twice, expected each source once"));
            }
            sources.push(source);
        }
        Ok(Self(sources))
    }
}

impl FromStr for DraftSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split('=').next().unwrap_or(text) {
            "lookup" if text == "lookup" => Ok(Self::Lookup),
            "auto" | "suffix" | "ngram" | "model" => Err(format!("`{text}` is not built yet, expected {AVAILABLE}")),
            "none" => Err(format!("`{text}` stands alone, it cannot be joined")),
            _ => Err(format!("`{text}` is unknown, expected {AVAILABLE}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&[DraftSource], &str>) {
        let found = text.parse::<DraftSpec>().map(|spec| spec.0);
        assert_eq!(found, expected.map(<[_]>::to_vec).map_err(str::to_owned), "{text}");
    }

    #[test]
    fn a_spec_names_drafters_that_exist() {
        check("none", Ok(&[]));
        check("lookup", Ok(&[DraftSource::Lookup]));
        check("lookup+lookup", Err("`lookup` is given twice, expected each source once"));
        check("none+lookup", Err("`none` stands alone, it cannot be joined"));
        check("suffix=notes.txt", Err("`suffix=notes.txt` is not built yet, expected none, lookup"));
        check("lookup+auto", Err("`auto` is not built yet, expected none, lookup"));
        check("magic", Err("`magic` is unknown, expected none, lookup"));
        check("lookup=3", Err("`lookup=3` is unknown, expected none, lookup"));
        check("", Err("`` is unknown, expected none, lookup"));
    }
}
