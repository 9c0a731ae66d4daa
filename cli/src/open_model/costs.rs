//! What passes of a model cost on this machine: measured once, kept in the cache directory.
//!
//! ```text
//! $VERIDRAFT_CACHE/costs/KEY.json      KEY: a hash of the model's files, how it is run, and versions
//! ```
//!
//! Costs decide how much is drafted and never what is written, so a file that cannot be read is measured anew.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};
use veridraft_engine::{CostModel, Engine};
use veridraft_models::cache::{cache_directory, sha256_of_text};
use veridraft_models::{AnyModel, CausalModelConfig, ModelFolder};

/// Where the costs of a model are kept.
pub(crate) struct CostFile(PathBuf);

impl CostFile {
    /// The file for a model that was opened as `config` says.
    pub(crate) fn of(folder: &ModelFolder, model: &AnyModel, config: CausalModelConfig, runtime: &str) -> Result<Self> {
        let mut parts = folder.graph_files().iter().map(|file| stamp(file)).collect::<Result<Vec<_>>>()?;
        parts.extend([
            model.weights.clone(),
            format!("{} {} threads {} kv {}", config.simd, std::env::consts::ARCH, model.threads, config.kv),
            format!("rows in pairs: {}", config.rows_in_pairs),
            format!("onnxruntime {runtime}, veridraft {}", env!("CARGO_PKG_VERSION")),
        ]);
        let key = &sha256_of_text(&parts.join("\n"))[..16];
        Ok(Self(cache_directory()?.join("costs").join(format!("{key}.json"))))
    }

    /// The costs kept there, if any.
    pub(crate) fn read(&self) -> Option<CostModel> {
        serde_json::from_slice(&std::fs::read(&self.0).ok()?).ok()
    }

    /// Measures the costs and keeps them, if that can be.
    pub(crate) fn measure(&self, engine: &mut Engine) -> Result<()> {
        if engine.calibrate()?
            && let Err(error) = self.keep(engine.costs())
        {
            eprintln!("note: what passes cost is not kept: {error:#}");
        }
        Ok(())
    }

    fn keep(&self, costs: &CostModel) -> Result<()> {
        let folder = self.0.parent().expect("the file is in a folder");
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
        // Written elsewhere and renamed, so that no other process reads half of it.
        let place = || format!("cannot write `{}`", self.0.display());
        let mut hidden = tempfile::NamedTempFile::new_in(folder).with_context(place)?;
        hidden.write_all(&serde_json::to_vec(costs)?).with_context(place)?;
        hidden.persist(&self.0).with_context(place)?;
        Ok(())
    }
}

/// A file's path, size and time of change: to hash the weights themselves would take longer than to measure.
fn stamp(path: &Path) -> Result<String> {
    let metadata = path.metadata().with_context(|| format!("cannot read `{}`", path.display()))?;
    let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    Ok(format!("{} {} {}", path.display(), metadata.len(), changed.as_nanos()))
}
