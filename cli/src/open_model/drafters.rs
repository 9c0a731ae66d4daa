//! Opens the drafters that `--draft` names.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use veridraft_engine::drafters::{CrossVocabulary, DraftModel, Drafter, Lookup, NgramDrafter, Suffix, Tokenizers};
use veridraft_models::runtime::Runtime;
use veridraft_models::{AnyModel, CausalModelConfig, ModelFolder, UnsizedAnyModel};

use crate::draft_spec::{DraftSource, DraftSpec};
use crate::model_store;
use crate::ngram_file::{self, TokenIds};
use crate::texts::read_documents;

/// A second model, before its cache has a size.
pub(crate) struct OpenDraftModel {
    pub(crate) folder: ModelFolder,
    pub(crate) model: UnsizedAnyModel,
}

/// Opens the models among the drafters: none or one.
pub(crate) fn open_model(
    spec: &DraftSpec,
    runtime: &Runtime,
    config: CausalModelConfig,
) -> Result<Option<OpenDraftModel>> {
    let Some((name, weights)) = spec.model() else { return Ok(None) };
    let resolved = model_store::resolve(Some(name), weights)?;
    let folder = ModelFolder::open(&resolved.path)?;
    if folder.has_encoder() {
        bail!("`{}` has an encoder, expected a draft model without one", folder.path.display());
    }
    let model = UnsizedAnyModel::open(runtime, &folder, config)?;
    Ok(Some(OpenDraftModel { folder, model }))
}

/// The target that drafts are for.
pub(crate) struct Target<'a> {
    pub(crate) folder: &'a ModelFolder,
    pub(crate) vocabulary: usize,
}

/// Fresh drafters for one engine; `draft_model` is the folder and the model of the one that needs them.
pub(crate) fn open(
    spec: &DraftSpec,
    target: &Target,
    mut draft_model: Option<(ModelFolder, AnyModel)>,
) -> Result<Vec<Box<dyn Drafter>>> {
    let mut open = |source: &DraftSource| -> Result<Box<dyn Drafter>> {
        Ok(match source {
            DraftSource::Lookup => Box::new(Lookup::default()),
            DraftSource::Suffix(None) => Box::new(Suffix::default()),
            DraftSource::Suffix(Some(corpus)) => Box::new(suffix_with_corpus(corpus, target)?),
            DraftSource::Ngram(file) => {
                let ids = TokenIds::of(target.folder)?;
                Box::new(NgramDrafter::new(Arc::new(ngram_file::open(file, &ids)?)))
            }
            DraftSource::Model { .. } => {
                let (folder, model) = draft_model.take().expect("a spec names at most one model, which was opened");
                model_drafter(folder, model, target)?
            }
        })
    };
    spec.sources.iter().map(&mut open).collect()
}

impl OpenDraftModel {
    /// The folder beside the model.
    pub(crate) fn into_parts(self) -> (ModelFolder, UnsizedAnyModel) {
        (self.folder, self.model)
    }
}

/// A suffix drafter that knows the documents of a text file.
fn suffix_with_corpus(corpus: &Path, target: &Target) -> Result<Suffix> {
    let mut suffix = Suffix::default();
    let tokenizer = &target.folder.tokenizer;
    for document in read_documents(corpus, None)? {
        let tokens = tokenizer.encode_raw(&document).with_context(|| format!("`{}`", corpus.display()))?;
        tokenizer.check_ids(&tokens, target.vocabulary)?;
        suffix.add_text(&tokens);
    }
    Ok(suffix)
}

/// Drafts in tokens where both models have the same, else through text.
fn model_drafter(folder: ModelFolder, model: AnyModel, target: &Target) -> Result<Box<dyn Drafter>> {
    if have_same_tokens(target.folder, &folder)? {
        return Ok(Box::new(DraftModel::new(model.model, target.vocabulary)));
    }
    let tokenizers =
        Tokenizers { target: Box::new(target.folder.tokenizer.clone()), draft: Box::new(folder.tokenizer.clone()) };
    let drafter = CrossVocabulary::new(model.model, tokenizers, target.vocabulary);
    Ok(Box::new(drafter.with_context(|| format!("`{}` cannot draft", folder.path.display()))?))
}

/// Whether token ids mean the same to both.
pub(crate) fn have_same_tokens(a: &ModelFolder, b: &ModelFolder) -> Result<bool> {
    if TokenIds::of(a)?.tokenizer == TokenIds::of(b)?.tokenizer {
        return Ok(true);
    }
    let count = a.tokenizer.vocabulary();
    if count != b.tokenizer.vocabulary() {
        return Ok(false);
    }
    let same = |id: u32| a.tokenizer.token(id) == b.tokenizer.token(id);
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    if count == 0 {
        bail!("`{}` has a tokenizer without tokens", a.path.display());
    }
    Ok((0..count).all(same))
}
