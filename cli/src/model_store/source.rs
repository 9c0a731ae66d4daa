//! What a `-m` or `model pull` argument means.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::catalogue::{Catalogue, Entry};
use crate::usage::UsageError;

/// The meanings, in the order in which they are tried.
#[derive(Debug)]
pub(crate) enum Source {
    /// `hf:owner/name`
    Hub { owner: String, model: String },
    /// A name in the catalogue.
    Catalogue { name: &'static str, entry: &'static Entry },
    /// A folder with an ONNX graph, used as it is.
    Folder(PathBuf),
    /// A GGUF file, or a Hugging Face folder with safetensors.
    Checkpoint(PathBuf),
    /// The name of a model in the cache, as `model list` shows it.
    Pulled(String),
}

impl Source {
    /// Reads the argument. A file or folder whose name is also in the catalogue is meant by `./NAME`.
    pub(crate) fn parse(argument: &str, models: &Path) -> anyhow::Result<Self> {
        if let Some(repository) = argument.strip_prefix("hf:") {
            return parse_repository(repository);
        }
        if let Some((name, entry)) = Catalogue::get().models.get_key_value(argument) {
            return Ok(Self::Catalogue { name, entry });
        }
        let path = Path::new(argument);
        if path.is_dir() {
            return parse_folder(path);
        }
        if path.is_file() {
            return Ok(Self::Checkpoint(path.to_owned()));
        }
        if is_plain_name(argument) && models.join(argument).is_dir() {
            return Ok(Self::Pulled(argument.to_owned()));
        }
        let known = Catalogue::get().names();
        bail!("no model `{argument}`: no such file or folder, and the catalogue has {known}")
    }
}

fn parse_repository(repository: &str) -> anyhow::Result<Source> {
    match repository.split_once('/') {
        Some((owner, model)) if is_plain_name(owner) && is_plain_name(model) => {
            Ok(Source::Hub { owner: owner.to_owned(), model: model.to_owned() })
        }
        _ => bail!(UsageError::new(format!("`hf:{repository}` is no repository, expected `hf:owner/name`"))),
    }
}

fn parse_folder(path: &Path) -> anyhow::Result<Source> {
    if has_file(&path.join("onnx"), ".onnx") || has_file(path, ".onnx") {
        return Ok(Source::Folder(path.to_owned()));
    }
    if has_file(path, ".safetensors") {
        return Ok(Source::Checkpoint(path.to_owned()));
    }
    bail!("`{}` holds no model: no `.onnx` file, in it or in its `onnx`, and no `.safetensors` file", path.display())
}

fn has_file(folder: &Path, suffix: &str) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().ends_with(suffix))
}

/// A name that stays in its folder and is not hidden there.
fn is_plain_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `argument` means in a folder with one of each; a `%` stands for that folder.
    fn check(argument: &str, expected: &str) {
        let root = tempfile::tempdir().expect("a temporary folder");
        let files = ["ours/onnx/model.onnx", "theirs/model.onnx", "hf/model.safetensors", "empty/readme", "a.gguf"];
        for file in files.iter().chain(&["models/pulled-1/f32/config.json", "models/.hidden/x"]) {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, "").expect("written");
        }
        let place = root.path().display().to_string();
        let found = match Source::parse(&argument.replace('%', &place), &root.path().join("models")) {
            Ok(source) => format!("{source:?}"),
            Err(error) => error.to_string(),
        };
        assert!(found.starts_with(&expected.replace('%', &place)), "`{argument}` gives {found}, expected {expected}");
    }

    #[test]
    fn every_kind_of_argument_is_told_apart() {
        check("smollm2-135m", "Catalogue { name: \"smollm2-135m\"");
        check("%/ours", "Folder(\"%/ours\")");
        check("%/theirs", "Folder(\"%/theirs\")");
        check("%/hf", "Checkpoint(\"%/hf\")");
        check("%/a.gguf", "Checkpoint(\"%/a.gguf\")");
        check("pulled-1", "Pulled(\"pulled-1\")");
        check("hf:owner/a.model", "Hub { owner: \"owner\", model: \"a.model\" }");
    }

    #[test]
    fn an_argument_without_meaning_says_what_was_looked_for() {
        check("%/empty", "`%/empty` holds no model: no `.onnx` file");
        check("%/missing", "no model `%/missing`: no such file or folder, and the catalogue has `smollm2-135m`");
        check(".hidden", "no model `.hidden`");
        check("", "no model ``");
        for repository in ["owner", "owner/", "/x", "a/b/c", "../x", ""] {
            check(&format!("hf:{repository}"), &format!("`hf:{repository}` is no repository"));
        }
    }
}
