//! A causal language model exported by Veridraft, run by ONNX Runtime on the CPU over paged KV.

mod batch_tensors;
pub(crate) mod encoder;
mod hidden_states;
pub(crate) mod kv_pages;
mod matmul_operators;
pub(crate) mod metadata;
mod pass;
mod profile;
pub(crate) mod source_pages;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::session::{Session, SessionOutputs};
use veridraft_kernels::{KvType, Parallel, Pool, Simd};

use self::batch_tensors::BatchTensors;
use self::encoder::Encoder;
pub use self::hidden_states::HiddenStates;
use self::kv_pages::{BLOCK_TOKENS, KvPages};
pub use self::matmul_operators::MatMulOperators;
pub use self::metadata::{FORMAT_VERSION, Metadata};
use self::pass::{rows_of, run};
pub use self::profile::Profile;
use self::profile::TraceFolder;
use self::source_pages::SourcePages;
use crate::error::one_line;
use crate::operators::{DOMAIN, Embedding, MatMul, PagedAttention};
use crate::runtime::Runtime;
use crate::{Batch, CacheSpec, EncoderSpec, Error, LanguageModel, Limits, Logits, Result, SourceId, TokenId};

/// Rows in one forward pass, at most; what row-exactness is tested up to.
const MAX_ROWS: usize = 2048;

/// Held while a session is created: ONNX Runtime looks for an operator domain in a table of the whole process and then
/// enters it, with nothing to keep a second session from doing the same in between, and refuses the second entry.
pub(crate) static CREATING: Mutex<()> = Mutex::new(());

/// How a model is opened.
#[derive(Clone, Copy, Debug)]
pub struct CausalModelConfig {
    /// Threads of a forward pass; 0 is one a hardware thread that the process may use.
    pub threads: usize,
    /// Bytes for the KV cache; `None` is one whole context, at most 1 GiB.
    pub kv_memory: Option<u64>,
    /// Type of the keys and values in the KV cache.
    pub kv: KvType,
    /// Instructions that Veridraft's kernels use.
    pub simd: Simd,
    /// Gives a row that would run alone a second one for company, in graphs of other programs: ONNX Runtime has other kernels
    /// for one row than for several, and those for several mostly give a row the same bits in any company.
    pub rows_in_pairs: bool,
    /// Times every node of every pass, for [`CausalModel::end_profile`]; the passes take longer.
    pub profile: bool,
}

impl Default for CausalModelConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            kv_memory: None,
            kv: KvType::F32,
            simd: Simd::detect(),
            rows_in_pairs: false,
            profile: false,
        }
    }
}

/// A session whose KV pages have no size yet, because several models share a budget and each must be known before it
/// is divided.
pub struct UnsizedModel {
    path: PathBuf,
    session: Session,
    encoder: Option<Encoder>,
    pages: Arc<KvPages>,
    sources: Arc<SourcePages>,
    pool: Arc<Pool>,
    metadata: Metadata,
    block_bytes: usize,
    trace: Option<TraceFolder>,
}

/// A session with its KV pages.
pub struct CausalModel {
    path: PathBuf,
    session: Session,
    encoder: Option<Encoder>,
    pages: Arc<KvPages>,
    sources: Arc<SourcePages>,
    pool: Arc<Pool>,
    cache: CacheSpec,
    metadata: Metadata,
    trace: Option<TraceFolder>,
}

impl UnsizedModel {
    /// Opens an ONNX file that `veridraft export` wrote, and the encoder beside it where it says that there is one;
    /// `kv_memory` of the settings is left for later.
    pub fn open(runtime: &Runtime, path: &Path, config: CausalModelConfig) -> Result<Self> {
        let (pages, sources) = (Arc::new(KvPages::new(config.kv)), Arc::new(SourcePages::new(config.kv)));
        let pool = Arc::new(Pool::new(config.threads).map_err(Error::Threads)?);
        let trace = if config.profile { Some(TraceFolder::create()?) } else { None };
        let operators = Operators { pages: &pages, sources: &sources, pool: &pool };
        let session = operators.open_session(runtime, path, config, trace.as_ref())?;
        let metadata = Metadata::read(&session, path)?;
        let block_bytes = pages.block_bytes().map_err(|reason| Error::model_file(path, reason))?;
        let encoder = match metadata.source_length {
            Some(length) => {
                let path = path.with_file_name(encoder::FILE);
                let session = operators.open_session(runtime, &path, config, None)?;
                Some(Encoder::new(&path, session, length))
            }
            None => None,
        };
        Ok(Self { path: path.to_owned(), session, encoder, pages, sources, pool, metadata, block_bytes, trace })
    }

    /// Bytes of one block of the KV cache, keys and values of all layers.
    pub fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Tokens of one block of the KV cache.
    pub fn block_tokens(&self) -> usize {
        BLOCK_TOKENS
    }

    /// Makes the KV cache: as many blocks as `bytes` pay for; `None` is one whole context, at most 1 GiB.
    pub fn with_memory(self, bytes: Option<u64>) -> Result<CausalModel> {
        let Self { path, session, encoder, pages, sources, pool, metadata, block_bytes, trace } = self;
        let blocks = block_count(bytes, block_bytes, metadata.context_length)?;
        pages.allocate(blocks).map_err(Error::Setting)?;
        let cache = CacheSpec { block_tokens: BLOCK_TOKENS, blocks: pages.blocks(), block_bytes };
        Ok(CausalModel { path, session, encoder, pages, sources, pool, cache, metadata, trace })
    }
}

impl CausalModel {
    /// Opens an ONNX file that `veridraft export` wrote.
    pub fn open(runtime: &Runtime, path: &Path, config: CausalModelConfig) -> Result<Self> {
        UnsizedModel::open(runtime, path, config)?.with_memory(config.kv_memory)
    }

    /// Threads of a forward pass, the caller's among them.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// What the file says of itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Ends the profile that [`CausalModelConfig::profile`] asked for; `None` if it did not, or it was ended before.
    pub fn end_profile(&mut self) -> Result<Option<Profile>> {
        // The folder, held until the trace in it is read.
        let Some(_folder) = self.trace.take() else { return Ok(None) };
        let path = self.session.end_profiling().map_err(Error::runtime)?;
        Profile::read(Path::new(&path)).map(Some)
    }

    /// Key and value of one slot, `[kv_heads * head_dim]` each; for tests of what a pass left in the cache.
    pub fn kv_row(&self, layer: usize, slot: usize) -> Option<(Vec<f32>, Vec<f32>)> {
        let pages = self.pages.layer(layer)?;
        let heads = pages.kv_heads();
        let keys = (0..heads).flat_map(|head| pages.key(slot, head)).collect();
        let values = (0..heads).flat_map(|head| pages.value(slot, head)).collect();
        Some((keys, values))
    }
}

impl LanguageModel for CausalModel {
    fn copy_slots(&mut self, copies: &[(u32, u32)]) -> Result<()> {
        self.pages.copy_slots(copies).map_err(Error::Batch)
    }

    fn cache_spec(&self) -> CacheSpec {
        self.cache
    }

    fn limits(&self) -> Limits {
        Limits {
            max_rows: MAX_ROWS,
            context_length: self.metadata.context_length,
            ragged: true,
            tree: true,
            share_blocks: true,
            row_exact: self.metadata.is_row_exact(),
        }
    }

    fn vocabulary(&self) -> usize {
        self.metadata.vocabulary
    }

    fn forward(&mut self, batch: &Batch) -> Result<Logits> {
        let tensors = BatchTensors::new(batch, self.metadata.vocabulary, self.encoder.is_some())?;
        let outputs = run(&mut self.session, &self.pool, tensors)?;
        logits(&outputs, &self.path, batch, &self.metadata)
    }

    fn encoder(&self) -> Option<EncoderSpec> {
        let encoder = self.encoder.as_ref()?;
        let (source_length, vocabulary) = (encoder.source_length, self.metadata.vocabulary);
        Some(EncoderSpec { source_length, vocabulary, shares_vocabulary: true })
    }

    fn encode(&mut self, source: &[TokenId]) -> Result<SourceId> {
        let refuse = || Error::Batch("a source to be encoded by a model without an encoder".to_owned());
        let encoder = self.encoder.as_mut().ok_or_else(refuse)?;
        encoder.encode(source, &self.pool, &self.sources)
    }

    fn drop_source(&mut self, source: SourceId) {
        self.sources.drop_source(source.0 as i64);
    }
}

fn logits(outputs: &SessionOutputs, path: &Path, batch: &Batch, metadata: &Metadata) -> Result<Logits> {
    let vocabulary = metadata.vocabulary;
    match rows_of(outputs, path, "logits", batch.logit_rows.len())? {
        (values, columns) if columns == vocabulary => Ok(Logits { vocabulary, values }),
        (_, columns) => Err(Error::model_file(
            path,
            format!("`logits` has {columns} columns, expected the vocabulary, {vocabulary}"),
        )),
    }
}

/// What the operators of a session read.
#[derive(Clone, Copy)]
struct Operators<'a> {
    pages: &'a Arc<KvPages>,
    sources: &'a Arc<SourcePages>,
    pool: &'a Arc<Pool>,
}

impl Operators<'_> {
    fn open_session(
        self,
        runtime: &Runtime,
        path: &Path,
        config: CausalModelConfig,
        trace: Option<&TraceFolder>,
    ) -> Result<Session> {
        let opened = self.try_open(runtime, path, config, trace);
        opened.map_err(|error| Error::model_file(path, format!("ONNX Runtime cannot open it: {}", one_line(&error))))
    }

    fn try_open(
        self,
        runtime: &Runtime,
        path: &Path,
        config: CausalModelConfig,
        trace: Option<&TraceFolder>,
    ) -> ort::Result<Session> {
        let (pages, sources, pool) = (self.pages.clone(), self.sources.clone(), self.pool.clone());
        let domain = ort::operator::OperatorDomain::new(DOMAIN)?
            .add(PagedAttention { pages, sources, pool, simd: config.simd })?
            .add(MatMul { pool: self.pool.clone(), simd: config.simd })?
            .add(Embedding)?;
        let _creating = CREATING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut builder = Session::builder(runtime.environment())?
            .with_intra_threads(self.pool.threads())?
            // Its threads serve operators other than ours, and while those of the pool work they must not spin beside them.
            .with_intra_op_spinning(false)?
            .with_inter_threads(1)?
            .with_operators(domain)?;
        if let Some(folder) = trace {
            builder = builder.with_profiling(folder.prefix())?;
        }
        builder.commit_from_file(path)
    }
}

/// Blocks that a budget pays for, at least one. Without a budget, no more than one whole context.
fn block_count(kv_memory: Option<u64>, block_bytes: usize, context_length: usize) -> Result<usize> {
    const DEFAULT: u64 = 1 << 30;
    let whole_context = context_length.div_ceil(BLOCK_TOKENS);
    let paid = |bytes: u64| usize::try_from(bytes / block_bytes as u64).unwrap_or(usize::MAX);
    let blocks = match kv_memory {
        Some(bytes) => paid(bytes),
        None => paid(DEFAULT).min(whole_context),
    };
    // Slots are numbered in i32 in the graph.
    let blocks = blocks.min(i32::MAX as usize / BLOCK_TOKENS);
    if blocks == 0 {
        let found = kv_memory.unwrap_or(DEFAULT);
        return Err(Error::Setting(format!("{found} bytes, expected at least {block_bytes}, the size of one block")));
    }
    Ok(blocks)
}
