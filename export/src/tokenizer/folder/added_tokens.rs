//! The tokens of a folder that are found in a text before it is split: those of the vocabulary's own, those that JSON files
//! list with ids, the special tokens that are named, and numbered ones behind the vocabulary.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Vocabulary;
use super::settings::{Settings, text_of};
use crate::Result;
use crate::tokenizer::document::AddedToken;

/// Far above every published vocabulary.
const MAX_ID: u32 = 1 << 24;

/// All of them, sorted by id.
pub(super) fn read(settings: &Settings, vocabulary: &Vocabulary) -> Result<Vec<AddedToken>> {
    let mut list = List { settings, vocabulary, tokens: BTreeMap::new() };
    for token in &vocabulary.whole {
        list.tokens.insert(token.id, token.clone());
    }
    list.add_extra_ids()?;
    list.add_listed()?;
    list.add_described()?;
    list.add_special()?;
    Ok(list.tokens.into_values().collect())
}

struct List<'a> {
    settings: &'a Settings,
    vocabulary: &'a Vocabulary,
    /// By id.
    tokens: BTreeMap<u32, AddedToken>,
}

impl List<'_> {
    /// Behind the vocabulary, counted downwards.
    fn add_extra_ids(&mut self) -> Result<()> {
        let count = self.settings.extra_ids()?;
        for index in (0..count).rev() {
            let id = self.next_id();
            self.tokens.insert(id, AddedToken::new(id, format!("<extra_id_{index}>"), true));
        }
        Ok(())
    }

    /// `added_tokens.json`: ids alone.
    fn add_listed(&mut self) -> Result<()> {
        for (content, id) in &self.settings.added {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).filter(|id| *id <= MAX_ID);
            let id = id.ok_or_else(|| self.settings.error(format!("`{content}` in `added_tokens.json` has no id")))?;
            let token =
                AddedToken { normalized: self.vocabulary.normalizes_added, ..AddedToken::new(id, content, false) };
            self.tokens.insert(id, token);
        }
        Ok(())
    }

    /// `added_tokens_decoder`: ids and rules.
    fn add_described(&mut self) -> Result<()> {
        for (id, rules) in self.settings.described()? {
            let number = id.parse().ok().filter(|id| *id <= MAX_ID);
            let (Some(id), Some(content)) = (number, text_of(rules)) else {
                let reason = format!("`added_tokens_decoder` has `{id}`: {rules}, expected an id and a token's rules");
                return Err(self.settings.error(reason));
            };
            let rule = |name: &str| rules.get(name).and_then(Value::as_bool).unwrap_or(false);
            let token = AddedToken {
                normalized: rule("normalized") && self.vocabulary.normalizes_added,
                lstrip: rule("lstrip"),
                rstrip: rule("rstrip"),
                single_word: rule("single_word"),
                ..AddedToken::new(id, content, rule("special"))
            };
            self.tokens.insert(id, token);
        }
        Ok(())
    }

    /// The special tokens, behind all others where nothing gives them an id.
    fn add_special(&mut self) -> Result<()> {
        for content in self.settings.special_tokens()? {
            if let Some(token) = self.tokens.values_mut().find(|token| token.content == content) {
                token.special = true;
                continue;
            }
            let id = self.vocabulary.ids.get(content).copied().unwrap_or_else(|| self.next_id());
            let lstrip = self.settings.takes_space(content)?;
            self.tokens.insert(id, AddedToken { lstrip, ..AddedToken::new(id, content, true) });
        }
        Ok(())
    }

    fn next_id(&self) -> u32 {
        let last = self.tokens.last_key_value().map(|(id, _)| *id);
        let last = last.into_iter().chain(self.vocabulary.ids.values().copied()).max();
        last.map_or(0, |last| last + 1)
    }
}
