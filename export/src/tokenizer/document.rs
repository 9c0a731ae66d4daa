//! A `tokenizer.json` in parts.

use serde_json::{Map, Value, json};

use super::token_kind::TokenKind;

/// All that differs between tokenizers.
pub(super) struct Document {
    pub(super) steps: Steps,
    pub(super) added: Vec<AddedToken>,
    pub(super) frame: Frame,
}

/// What is done with a text, and with tokens on the way back.
pub(super) struct Steps {
    pub(super) normalizer: Value,
    pub(super) pre_tokenizer: Value,
    pub(super) decoder: Value,
    pub(super) model: Value,
}

/// A token that is found in a text before it is split.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AddedToken {
    pub(super) id: u32,
    pub(super) content: String,
    /// No text: left out when tokens become text.
    pub(super) special: bool,
    /// Looked for in the normalised text, itself normalised.
    pub(super) normalized: bool,
    /// Takes the spaces before it.
    pub(super) lstrip: bool,
    /// Takes the spaces behind it.
    pub(super) rstrip: bool,
    pub(super) single_word: bool,
}

impl AddedToken {
    /// A token that is looked for as it is.
    pub(super) fn new(id: u32, content: impl Into<String>, special: bool) -> Self {
        let content = content.into();
        Self { id, content, special, normalized: false, lstrip: false, rstrip: false, single_word: false }
    }

    /// Those that a vocabulary's types of tokens ask for.
    pub(super) fn of_kinds(tokens: &[&str], kinds: &[TokenKind], normalizes_user_defined: bool) -> Vec<Self> {
        let tokens = (0..).zip(tokens.iter().zip(kinds));
        let added = tokens.filter_map(|(id, (content, kind))| match kind {
            TokenKind::Control | TokenKind::Unknown => Some(Self::new(id, *content, true)),
            TokenKind::UserDefined => {
                Some(Self { normalized: normalizes_user_defined, ..Self::new(id, *content, false) })
            }
            TokenKind::Normal | TokenKind::Unused | TokenKind::Byte => None,
        });
        added.collect()
    }

    fn to_json(&self) -> Value {
        json!({
            "id": self.id, "content": self.content, "special": self.special, "single_word": self.single_word,
            "lstrip": self.lstrip, "rstrip": self.rstrip, "normalized": self.normalized,
        })
    }
}

/// The tokens around every text, by id and spelling.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Frame {
    pub(super) before: Option<(u32, String)>,
    pub(super) after: Option<(u32, String)>,
    pub(super) second: Second,
}

/// How the second text of a pair is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Second {
    /// As the first one is.
    #[default]
    Alike,
    /// With the token behind it alone.
    Joined,
    /// With the token behind it, and once more before it.
    Parted,
}

impl Frame {
    fn post_processor(&self) -> Value {
        if self.before.is_none() && self.after.is_none() {
            return Value::Null;
        }
        let frame = |token: &Option<(u32, String)>, type_id: u32| {
            token.as_ref().map(|(_, text)| json!({ "SpecialToken": { "id": text, "type_id": type_id } }))
        };
        let text = |name: &str, type_id: u32| json!({ "Sequence": { "id": name, "type_id": type_id } });
        let before_second = match self.second {
            Second::Alike => frame(&self.before, 1),
            Second::Joined => None,
            Second::Parted => frame(&self.after, 0),
        };
        // Models that part texts by two tokens know of one type alone.
        let type_id = if self.second == Second::Parted { 0 } else { 1 };
        let single: Vec<_> = [frame(&self.before, 0), Some(text("A", 0)), frame(&self.after, 0)].into();
        let second = [before_second, Some(text("B", type_id)), frame(&self.after, type_id)];
        let present = |parts: Vec<Option<Value>>| parts.into_iter().flatten().collect::<Vec<_>>();
        let pair = present(single.iter().cloned().chain(second).collect());
        let special = self.before.iter().chain(&self.after);
        let special = special.map(|(id, text)| (text.clone(), json!({ "id": text, "ids": [id], "tokens": [text] })));
        json!({
            "type": "TemplateProcessing",
            "single": present(single),
            "pair": pair,
            "special_tokens": special.collect::<Map<_, _>>(),
        })
    }
}

impl Document {
    /// The text of `tokenizer.json`, loaded once to see that it is one. The error is a reason without a file's name.
    pub(super) fn into_text(self) -> Result<String, String> {
        let text = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": self.added.iter().map(AddedToken::to_json).collect::<Vec<_>>(),
            "normalizer": self.steps.normalizer,
            "pre_tokenizer": self.steps.pre_tokenizer,
            "post_processor": self.frame.post_processor(),
            "decoder": self.steps.decoder,
            "model": self.steps.model,
        })
        .to_string();
        let library = load(&text)?;
        // The library numbers tokens that its model lacks by their order and does not look at the file's own number.
        for AddedToken { id, content, .. } in &self.added {
            let found = library.token_to_id(content);
            if found != Some(*id) {
                let found = found.map_or("none".to_owned(), |id| id.to_string());
                return Err(format!(
                    "the tokenizers library gives the added token `{}` id {found}, expected {id}",
                    content.escape_debug()
                ));
            }
        }
        Ok(text)
    }
}

/// The library's tokenizer of a `tokenizer.json`. The error is a reason without a file's name.
pub(crate) fn load(text: &str) -> Result<tokenizers::Tokenizer, String> {
    let one_line = |error: tokenizers::Error| error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    text.parse::<tokenizers::Tokenizer>().map_err(|error| format!("not a tokenizer: {}", one_line(error)))
}
