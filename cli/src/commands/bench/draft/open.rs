//! The target and every drafter, opened so that the models can read side by side before they draft.

use anyhow::{Context, Result, bail};
use veridraft_engine::SamplingConfig;
use veridraft_engine::drafters::Drafter;
use veridraft_engine::evaluation::Window;
use veridraft_engine::evaluation::fitness::{Contender, Fitness, guess_along, observe};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{AnyModel, LanguageModel, ModelFolder, UnsizedAnyModel};

use crate::arguments::{ModelArguments, SamplingArguments};
use crate::draft_spec::DraftSpec;
use crate::model_store;
use crate::open_model::drafters::{Target, have_same_tokens};
use crate::open_model::{BareModel, check_reads_alone, check_session, drafters, memory, sampling_config, session};
use crate::progress::Spinner;

/// All that is asked.
pub(super) struct Opened {
    pub(super) target: BareModel,
    pub(super) simd: String,
    pub(super) sampling: SamplingConfig,
    /// One for each `--draft`.
    pub(super) drafts: Vec<OpenDraft>,
}

/// One `--draft`, with its model if it names one.
pub(super) struct OpenDraft {
    spec: DraftSpec,
    model: Option<(ModelFolder, AnyModel)>,
}

impl Opened {
    pub(super) fn open(arguments: &ModelArguments, specs: &[DraftSpec], sampling: &SamplingArguments) -> Result<Self> {
        let config = session(arguments)?;
        let (name, folder) = model_store::open(arguments)?;
        check_session(&config, &folder)?;
        check_reads_alone(&folder)?;
        let sampling = sampling_config(sampling, &folder);
        sampling.check().with_context(|| format!("`{}`", folder.generation_file().display()))?;
        let runtime = Runtime::load(&LibraryChoice::from(arguments.ort_lib.clone()))?;
        let mut models = vec![UnsizedAnyModel::open(&runtime, &folder, config)?];
        let mut folders = Vec::new();
        for spec in specs {
            let (draft_folder, model) =
                drafters::open_model(spec, &runtime, config)?.map(|open| open.into_parts()).unzip();
            if let Some(draft_folder) = &draft_folder {
                check_tokens(spec, &folder, draft_folder)?;
            }
            folders.push(draft_folder);
            models.extend(model);
        }
        let mut models = memory::size(models, arguments.kv_memory)?.into_iter();
        let target = models.next().expect("as many models as were given");
        let target = BareModel::new(name, folder, target)?;
        let mut draft = |(spec, folder): (&DraftSpec, Option<ModelFolder>)| {
            let model = folder.map(|folder| (folder, models.next().expect("a model for each folder")));
            OpenDraft { spec: spec.clone(), model }
        };
        let drafts = specs.iter().zip(folders).map(&mut draft).collect();
        Ok(Self { target, simd: config.simd.to_string(), sampling, drafts })
    }

    /// Tokens of a text that every model has room for.
    pub(super) fn room(&self) -> usize {
        let room = |model: &dyn LanguageModel| {
            let cache = model.cache_spec();
            model.limits().context_length.min(cache.blocks * cache.block_tokens)
        };
        let models = self.drafts.iter().filter_map(|draft| draft.model.as_ref()).map(|(_, model)| &*model.model);
        models.chain([&*self.target.model]).map(room).min().unwrap_or(0)
    }

    /// How each `--draft` does on the texts.
    pub(super) fn observe(&mut self, texts: &[Window], draft_max: usize, spinner: &Spinner) -> Result<Vec<Fitness>> {
        let mut contenders = Vec::new();
        let mut models: Vec<&mut dyn LanguageModel> = Vec::new();
        let BareModel { folder, model, .. } = &mut self.target;
        let vocabulary = model.vocabulary();
        models.push(&mut **model);
        for draft in &mut self.drafts {
            let mut tables = draft.tables(folder, vocabulary)?;
            let guesses = if tables.is_empty() {
                Vec::new()
            } else {
                spinner.say(&format!("guesses of {}", draft.spec));
                guess_along(&mut tables, texts, &self.sampling, draft_max)?
            };
            contenders.push(Contender { guesses, model: draft.model.as_ref().map(|_| models.len() - 1) });
            models.extend(draft.model.as_mut().map(|(_, model)| &mut *model.model as &mut dyn LanguageModel));
        }
        spinner.say(&format!("{} texts through {}", texts.len(), counted(models.len())));
        Ok(observe(&mut models, texts, &contenders, &self.sampling, draft_max)?)
    }
}

impl OpenDraft {
    /// Fresh drafters that guess from text.
    fn tables(&self, folder: &ModelFolder, vocabulary: usize) -> Result<Vec<Box<dyn Drafter>>> {
        drafters::open(&self.spec.without_model(), &Target { folder, vocabulary }, None)
    }

    /// Fresh drafters: those that guess from text, and the model.
    pub(super) fn into_drafters(self, folder: &ModelFolder, vocabulary: usize) -> Result<[Vec<Box<dyn Drafter>>; 2]> {
        let tables = self.tables(folder, vocabulary)?;
        let model = drafters::open(&self.spec.model_alone(), &Target { folder, vocabulary }, self.model)?;
        Ok([tables, model])
    }
}

/// Refuses a draft model that cannot be compared with the target token by token.
fn check_tokens(spec: &DraftSpec, target: &ModelFolder, draft: &ModelFolder) -> Result<()> {
    if have_same_tokens(target, draft)? {
        return Ok(());
    }
    let (target, draft) = (target.path.display(), draft.path.display());
    bail!(
        "`--draft {spec}`: the tokens of `{draft}` are not those of `{target}`, expected the same, to compare what both \
         say of each; `bench speculate` measures drafts across tokenizers"
    );
}

fn counted(models: usize) -> String {
    if models == 1 { "the target".to_owned() } else { format!("{models} models") }
}
