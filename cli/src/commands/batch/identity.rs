//! What a run is: the digest of everything that its output depends on.
//!
//! In it: the program's version, ONNX Runtime's, the SIMD path, the input's rows and the numbers of their lines, every byte
//! of the files that the model is made of, and the flags that change what is written. Not in it: threads, concurrency, the
//! cache's size but where it is limited, and who drafts, for none of them changes a text. Under another rule than coupled
//! verification drafts do change it, and are in. (Of models that are not row-exact the same is hoped, not promised.)
//!
//! The model's files are read as a whole (a second or so for a gigabyte), not judged by their dates: a run is resumed
//! perhaps on another machine, with a copy of the model.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sha2::{Digest, Sha256};
use veridraft_engine::Verification;
use veridraft_models::ModelFolder;
use veridraft_models::cache::sha256_of;

use super::BatchArguments;
use crate::constraint::Source;
use crate::open_model::{OpenModel, session};

/// Files beside the graph that say how prompts become tokens and tokens text.
const FILES: [&str; 6] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
    "genai_config.json",
];

/// The digest of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Of all but the shard: shards of one input together are the whole, ids included.
    pub(super) whole: [u8; 32],
    /// Of this run's part.
    pub(super) part: [u8; 32],
}

impl Identity {
    /// The digest of a run over an input of that digest.
    pub(super) fn of(arguments: &BatchArguments, open: &OpenModel, input: [u8; 32]) -> Result<Self> {
        let mut hasher = Sha256::new();
        let mut add = |name: &str, value: &[u8]| {
            [name.as_bytes(), value].iter().for_each(|part| {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            });
        };
        add("input", &input);
        for (name, digest) in files(&open.folder)? {
            add(&name, digest.as_bytes());
        }
        add("flags", flags(arguments, open)?.as_bytes());
        let whole: [u8; 32] = hasher.finalize().into();
        let part = Sha256::new_with_prefix(whole).chain_update(arguments.shard.to_string()).finalize().into();
        Ok(Self { whole, part })
    }

    /// The part's digest in hexadecimal.
    pub(super) fn hexadecimal(&self) -> String {
        self.part.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Names and digests of the model's files.
fn files(folder: &ModelFolder) -> Result<Vec<(String, String)>> {
    let mut paths: Vec<PathBuf> =
        FILES.iter().map(|name| folder.path.join(name)).filter(|path| path.is_file()).collect();
    paths.extend(folder.graph_files());
    paths.into_iter().map(|path| Ok((name_of(&path), sha256_of(&path)?))).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The flags that change what is written, as text.
fn flags(arguments: &BatchArguments, open: &OpenModel) -> Result<String> {
    let generation = &arguments.generation;
    let model = &generation.model;
    let rule = Verification::from(generation.draft.verify);
    let drafts = (rule != Verification::Coupled).then_some(&generation.draft);
    // A cache with a limit refuses rows that have no room in it; a draft model takes its part of it.
    let room = model.kv_memory.map(|bytes| (bytes, generation.draft.draft.model()));
    let parts = [
        format!("veridraft {}", env!("CARGO_PKG_VERSION")),
        format!("onnxruntime {}", open.runtime_version),
        format!("{} {}", session(model)?.simd, std::env::consts::ARCH),
        format!("model {} check {:?}", open.name, arguments.check_model.then_some(&model.model)),
        format!("kv {} {room:?} pairs {}", model.kv, model.rows_in_pairs),
        format!("field {:?} raw {} created {:?}", arguments.field, arguments.raw, arguments.created),
        format!("system {:?} max_tokens {}", generation.system, generation.max_tokens),
        format!("sampling {:?}", generation.sampling),
        format!("constraint {:?}", generation.constraint.read()?.as_ref().map(Source::text)),
        format!("verify {rule:?} {drafts:?}"),
    ];
    Ok(parts.join("\n"))
}
