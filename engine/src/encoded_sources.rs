//! Which sources a model keeps the encoder's output of, and how many sequences read each.
//!
//! Invariant: a source is here from its first reader's first step to its last reader's removal, and no longer in the
//! model when it is no longer here.

use std::collections::HashMap;
use std::sync::Arc;

use veridraft_models::{SourceId, TokenId};

/// The sources that are encoded.
#[derive(Debug, Default)]
pub(crate) struct EncodedSources {
    by_tokens: HashMap<Arc<[TokenId]>, Encoded>,
}

#[derive(Debug)]
struct Encoded {
    id: SourceId,
    readers: usize,
}

impl EncodedSources {
    /// Adds a reader of a source that is here; `None` where it is not.
    pub(crate) fn share(&mut self, tokens: &[TokenId]) -> Option<SourceId> {
        let encoded = self.by_tokens.get_mut(tokens)?;
        encoded.readers += 1;
        Some(encoded.id)
    }

    /// Takes a source in that was just encoded, with one reader.
    pub(crate) fn enter(&mut self, tokens: Arc<[TokenId]>, id: SourceId) {
        let before = self.by_tokens.insert(tokens, Encoded { id, readers: 1 });
        assert!(before.is_none(), "a source that is here is shared");
    }

    /// Takes a reader away; returns what the model is to drop where it was the last.
    pub(crate) fn release(&mut self, tokens: &[TokenId]) -> Option<SourceId> {
        let encoded = self.by_tokens.get_mut(tokens).expect("a source stays while somebody reads it");
        encoded.readers -= 1;
        let (id, is_last) = (encoded.id, encoded.readers == 0);
        is_last.then(|| {
            self.by_tokens.remove(tokens);
            id
        })
    }

    /// Each source with its readers.
    pub(crate) fn readers(&self) -> impl Iterator<Item = (SourceId, usize)> {
        self.by_tokens.values().map(|encoded| (encoded.id, encoded.readers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_goes_with_its_last_reader() {
        let mut sources = EncodedSources::default();
        assert_eq!(sources.share(&[1, 2]), None);
        sources.enter([1, 2].into(), SourceId(7));
        sources.enter([1].into(), SourceId(8));
        assert_eq!(sources.share(&[1, 2]), Some(SourceId(7)));
        assert_eq!(sources.release(&[1, 2]), None);
        assert_eq!(sources.release(&[1, 2]), Some(SourceId(7)));
        assert_eq!(sources.readers().collect::<Vec<_>>(), [(SourceId(8), 1)]);
        assert_eq!(sources.share(&[1, 2]), None);
    }
}
