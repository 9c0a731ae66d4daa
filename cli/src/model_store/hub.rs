//! Checkpoints from Hugging Face repositories, with the cargo feature `hub`.

use std::path::Path;

use anyhow::Context;
use hf_hub::HFClientSync;
use veridraft_models::cache::place_once;

use super::{Checkpoint, checkpoints_in, with_spinner};

/// Configuration, tokenizer, chat template and weights; repositories hold much else.
const WANTED: [&str; 3] = ["*.json", "*.jinja", "*.safetensors"];

/// Downloads the repository's main branch once; what is in the cache is not brought up to date.
pub(super) fn download(cache: &Path, name: &str, owner: &str, model: &str) -> anyhow::Result<Checkpoint> {
    let path = checkpoints_in(cache).join(name);
    with_spinner(|notify| {
        place_once(&path, notify, |folder| {
            notify(&format!("fetching {owner}/{model}"));
            let repository = HFClientSync::new()?.model(owner, model);
            let wanted = WANTED.map(str::to_owned).to_vec();
            repository.snapshot_download().allow_patterns(wanted).local_dir(folder).send()?;
            anyhow::Ok(())
        })
    })
    .with_context(|| format!("cannot pull `hf:{owner}/{model}`"))?;
    Ok(Checkpoint { path, name: name.to_owned() })
}
