//! Opens the drafters that `--draft` names.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use veridraft_engine::drafters::{Drafter, Lookup, NgramDrafter, Suffix};
use veridraft_models::ModelFolder;

use crate::draft_spec::{DraftSource, DraftSpec};
use crate::ngram_file::{self, TokenIds};
use crate::texts::read_documents;

/// Fresh drafters for one engine over the model of `folder`.
pub(crate) fn open(spec: &DraftSpec, folder: &ModelFolder) -> Result<Vec<Box<dyn Drafter>>> {
    let open = |source: &DraftSource| -> Result<Box<dyn Drafter>> {
        Ok(match source {
            DraftSource::Lookup => Box::new(Lookup::default()),
            DraftSource::Suffix(None) => Box::new(Suffix::default()),
            DraftSource::Suffix(Some(corpus)) => Box::new(suffix_with_corpus(corpus, folder)?),
            DraftSource::Ngram(file) => {
                Box::new(NgramDrafter::new(Arc::new(ngram_file::open(file, &TokenIds::of(folder)?)?)))
            }
            DraftSource::Model { .. } => bail!("draft models are not built yet"),
        })
    };
    spec.sources.iter().map(open).collect()
}

/// A suffix drafter that knows the documents of a text file.
fn suffix_with_corpus(corpus: &Path, folder: &ModelFolder) -> Result<Suffix> {
    let mut suffix = Suffix::default();
    for document in read_documents(corpus, None)? {
        let tokens = folder.tokenizer.encode_raw(&document);
        suffix.add_text(&tokens.with_context(|| format!("`{}`", corpus.display()))?);
    }
    Ok(suffix)
}
