//! What has been pulled, and how much room it takes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::models_in;

/// An exported model in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PulledModel {
    pub(crate) name: String,
    /// The name of its weights' format.
    pub(crate) weights: String,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// All exported models, by name and weights.
pub(crate) fn pulled_models(cache: &Path) -> anyhow::Result<Vec<PulledModel>> {
    let mut models = Vec::new();
    for (name, folder) in visible_folders(&models_in(cache))? {
        for (weights, path) in visible_folders(&folder)? {
            models.push(PulledModel { name: name.clone(), weights, bytes: folder_bytes(&path)?, path });
        }
    }
    Ok(models)
}

/// The total size of the files in a folder; links count as what they lead to.
pub(crate) fn folder_bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for path in sorted_entries(folder)? {
        let metadata = fs::metadata(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        bytes += if metadata.is_dir() { folder_bytes(&path)? } else { metadata.len() };
    }
    Ok(bytes)
}

/// Names that begin with a dot are locks and unfinished work.
fn visible_folders(folder: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let paths = sorted_entries(folder)?.into_iter().filter(|path| path.is_dir());
    let named = paths.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)));
    Ok(named.filter(|(name, _)| !name.starts_with('.')).collect())
}

fn sorted_entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_models_are_not_listed() {
        let cache = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(pulled_models(cache.path()).expect("read"), []);
        for (file, text) in [("a/f32/config.json", "{}"), ("a/f32/onnx/m", "xyz"), ("a/.q4.partial-x/q4/m", "half")] {
            let path = models_in(cache.path()).join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        let found = pulled_models(cache.path()).expect("read");
        let summary: Vec<_> = found.iter().map(|model| (&*model.name, &*model.weights, model.bytes)).collect();
        assert_eq!(summary, [("a", "f32", 5)]);
    }
}
