//! Opens what a generating command needs: runtime library, model folder, session, engine.

mod bare;
mod costs;
pub(crate) mod drafters;
mod masked;
pub(crate) mod memory;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use veridraft_engine::constraint::Constraint;
use veridraft_engine::drafters::Drafter;
use veridraft_engine::{Engine, EngineConfig, Parts, Request, SamplingConfig, StopConditions, Verification};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{
    CausalModelConfig, FolderKind, KvType, LanguageModel, ModelFolder, Simd, TokenId, UnsizedAnyModel,
};

pub(crate) use self::bare::{BareModel, check_reads_alone, open_bare};
use self::costs::CostFile;
pub(crate) use self::drafters::have_same_tokens;
pub(crate) use self::masked::{MaskedFolder, MaskedModelArguments};
use crate::arguments::{DraftArguments, GenerationArguments, ModelArguments, SamplingArguments, VerifyRule};
use crate::constraint;
use crate::model_store;
use crate::usage::UsageError;

/// A model ready to generate.
pub(crate) struct OpenModel {
    pub(crate) name: String,
    pub(crate) weights: String,
    pub(crate) simd: Simd,
    /// ONNX Runtime's version.
    pub(crate) runtime_version: String,
    pub(crate) folder: ModelFolder,
    /// Whether a row's text does not depend on what is computed beside it.
    pub(crate) is_row_exact: bool,
    pub(crate) engine: Engine,
    /// What a decoder behind an encoder starts with; what is asked is then the encoder's.
    decoder_start: Option<TokenId>,
    stop: StopConditions,
    sampling: SamplingConfig,
    max_tokens: usize,
    draft_min: usize,
    draft_max: usize,
    verification: Verification,
    constraint: Option<Box<dyn Constraint>>,
}

impl OpenModel {
    /// Finds or makes the model folder that the arguments name, and opens it.
    pub(crate) fn open(arguments: &GenerationArguments) -> Result<Self> {
        let sampling = &arguments.sampling;
        check_sampling(sampling)?;
        check_levels(&arguments.draft)?;
        note_loss(&arguments.draft);
        let source = arguments.constraint.read()?;
        let model = &arguments.model;
        let session = session(model)?;
        let (name, folder) = model_store::open(model)?;
        check_session(&session, &folder)?;
        let config = sampling_config(sampling, &folder);
        config.check().with_context(|| format!("`{}`", folder.generation_file().display()))?;
        let stop = stop_conditions(sampling, &folder);
        let constraint = source.map(|source| constraint::compile(&source, &folder, &stop.eos_ids)).transpose()?;
        let runtime = Runtime::load(&LibraryChoice::from(model.ort_lib.clone()))?;
        let target = UnsizedAnyModel::open(&runtime, &folder, session)?;
        let spec = &arguments.draft.draft;
        let (draft_folder, draft) =
            drafters::open_model(spec, &runtime, session)?.map(|open| open.into_parts()).unzip();
        let mut models = memory::size([target].into_iter().chain(draft).collect(), model.kv_memory)?.into_iter();
        let target = models.next().expect("as many models as were given");
        target.notes.iter().for_each(|note| eprintln!("note: {note}"));
        let is_row_exact = target.model.limits().row_exact;
        if !is_row_exact && !spec.is_none() {
            eprintln!("note: the products of `{name}` are not row-exact; drafts may change its text");
        }
        let vocabulary = target.model.vocabulary();
        check_vocabulary(&folder, vocabulary)?;
        let drafting_for = drafters::Target { folder: &folder, vocabulary };
        let drafters = drafters::open(spec, &drafting_for, draft_folder.zip(models.next()))?;
        let cost_file = CostFile::of(&folder, &target, session, &runtime.version())?;
        let engine = engine(target.model, &folder, drafters, &cost_file)?;
        Ok(Self {
            name,
            weights: target.weights,
            simd: session.simd,
            runtime_version: runtime.version(),
            is_row_exact,
            engine,
            decoder_start: folder.decoder_start()?,
            draft_min: arguments.draft.draft_min,
            stop,
            sampling: config,
            max_tokens: arguments.max_tokens.get(),
            draft_max: arguments.draft.draft_max.get(),
            verification: arguments.draft.verify.into(),
            constraint,
            folder,
        })
    }

    /// A request to continue `asked` as the arguments say, or to answer it, where an encoder reads it.
    pub(crate) fn request(&self, asked: Vec<TokenId>) -> Request {
        let (source, prompt) = match self.decoder_start {
            Some(start) => (Some(asked), vec![start]),
            None => (None, asked),
        };
        Request {
            source,
            draft_min: self.draft_min,
            draft_max: self.draft_max,
            sampling: self.sampling.clone(),
            verification: self.verification,
            stop: self.stop.clone(),
            constraint: self.constraint.clone(),
            ..Request::new(prompt, self.max_tokens)
        }
    }

    /// Whether every sample takes the likeliest tokens.
    pub(crate) fn is_greedy(&self) -> bool {
        self.sampling.is_greedy()
    }

    pub(crate) fn seed(&self) -> u64 {
        self.sampling.seed
    }
}

fn check_vocabulary(folder: &ModelFolder, expected: usize) -> Result<()> {
    let found = folder.tokenizer.vocabulary();
    if found > expected {
        bail!("`{}`: the tokenizer has {found} tokens, but the model {expected}", folder.path.display());
    }
    Ok(())
}

/// An engine that knows what passes cost: as the file says, else as measured now, where somebody drafts.
fn engine(
    model: Box<dyn LanguageModel>,
    folder: &ModelFolder,
    drafters: Vec<Box<dyn Drafter>>,
    cost_file: &CostFile,
) -> Result<Engine> {
    let costs = cost_file.read();
    let lacks_costs = costs.is_none() && !drafters.is_empty();
    let decoder = Arc::new(folder.tokenizer.clone());
    let parts = Parts { model, decoder, costs: costs.unwrap_or_default(), drafters, clock: Box::new(clock()) };
    let mut engine = Engine::new(parts, EngineConfig::default());
    if lacks_costs {
        cost_file.measure(&mut engine)?;
    }
    Ok(engine)
}

/// How the arguments want a model opened.
pub(crate) fn session(arguments: &ModelArguments) -> Result<CausalModelConfig> {
    Ok(CausalModelConfig {
        threads: arguments.threads.map_or(0, usize::from),
        kv_memory: arguments.kv_memory,
        kv: arguments.kv,
        simd: simd()?,
        rows_in_pairs: arguments.rows_in_pairs,
        ..CausalModelConfig::default()
    })
}

/// Refuses settings of a session that the graph of a folder cannot heed.
pub(crate) fn check_session(session: &CausalModelConfig, folder: &ModelFolder) -> Result<()> {
    let path = folder.path.display();
    let is_ours = folder.kind == FolderKind::Veridraft;
    let message = if session.kv != KvType::F32 && !is_ours {
        format!("`--kv {}` cannot change `{path}`, whose graph has its own type of keys and values", session.kv)
    } else if session.rows_in_pairs && is_ours {
        format!("`--rows-in-pairs` is for graphs of other programs, but `{path}` is row-exact without it")
    } else if session.rows_in_pairs && folder.has_encoder() {
        format!("`--rows-in-pairs` is for decoders by themselves, but `{path}` has an encoder")
    } else {
        return Ok(());
    };
    Err(UsageError::new(message).into())
}

/// `$VERIDRAFT_SIMD`, else the fastest path.
pub(crate) fn simd() -> Result<Simd> {
    match std::env::var_os("VERIDRAFT_SIMD").filter(|name| !name.is_empty()) {
        None => Ok(Simd::detect()),
        Some(name) => {
            let refuse = |reason| UsageError::new(format!("`VERIDRAFT_SIMD` is {reason}")).into();
            name.to_string_lossy().parse().map_err(refuse)
        }
    }
}

/// The one setting of a session that can be refused is the memory.
pub(crate) fn name_the_flag(error: veridraft_models::Error) -> anyhow::Error {
    match error {
        veridraft_models::Error::Setting(reason) => UsageError::new(format!("`--kv-memory`: {reason}")).into(),
        other => other.into(),
    }
}

fn clock() -> impl FnMut() -> Duration + Send {
    let start = Instant::now();
    move || start.elapsed()
}

fn check_levels(arguments: &DraftArguments) -> Result<()> {
    let (least, most) = (arguments.draft_min, arguments.draft_max.get());
    if least > most {
        return Err(UsageError::new(format!("`--draft-min` is {least}, expected at most `--draft-max`, {most}")).into());
    }
    Ok(())
}

/// Says of the one rule that promises nothing that it does not.
fn note_loss(arguments: &DraftArguments) {
    if arguments.verify == VerifyRule::Typical {
        eprintln!("note: `--verify typical` is lossy: the text may differ from the model's distribution");
    }
}

/// Refuses values out of range before anything is opened.
pub(crate) fn check_sampling(arguments: &SamplingArguments) -> Result<()> {
    let defaults = SamplingConfig::default();
    let given = SamplingConfig {
        temperature: arguments.temperature.unwrap_or(defaults.temperature),
        top_p: arguments.top_p.unwrap_or(defaults.top_p),
        min_p: arguments.min_p.unwrap_or(defaults.min_p),
        repetition_penalty: arguments.repetition_penalty.unwrap_or(defaults.repetition_penalty),
        presence_penalty: arguments.presence_penalty.unwrap_or(defaults.presence_penalty),
        frequency_penalty: arguments.frequency_penalty.unwrap_or(defaults.frequency_penalty),
        ..defaults
    };
    given.check().map_err(|error| {
        let flag = error.field.replace('_', "-");
        UsageError::new(format!("`--{flag}` is {}, expected {}", error.found, error.expected))
    })?;
    if arguments.stop.iter().any(String::is_empty) {
        return Err(UsageError::new("`--stop` is empty, expected some text").into());
    }
    Ok(())
}

/// The user's settings over those of `generation_config.json`.
pub(crate) fn sampling_config(arguments: &SamplingArguments, folder: &ModelFolder) -> SamplingConfig {
    let model = &folder.generation;
    let neutral = SamplingConfig::default();
    SamplingConfig {
        temperature: arguments.temperature.unwrap_or_else(|| model.temperature_in_use()),
        top_k: arguments.top_k.or(model.top_k).unwrap_or(neutral.top_k),
        top_p: arguments.top_p.or(model.top_p).unwrap_or(neutral.top_p),
        min_p: arguments.min_p.or(model.min_p).unwrap_or(neutral.min_p),
        repetition_penalty: arguments
            .repetition_penalty
            .or(model.repetition_penalty)
            .unwrap_or(neutral.repetition_penalty),
        presence_penalty: arguments.presence_penalty.unwrap_or(neutral.presence_penalty),
        frequency_penalty: arguments.frequency_penalty.unwrap_or(neutral.frequency_penalty),
        seed: arguments.seed,
        sample_index: 0,
    }
}

fn stop_conditions(arguments: &SamplingArguments, folder: &ModelFolder) -> StopConditions {
    let eos_ids = if arguments.ignore_eos { Vec::new() } else { folder.generation.eos_token_ids.clone() };
    StopConditions { eos_ids, token_ids: Vec::new(), strings: arguments.stop.clone() }
}
