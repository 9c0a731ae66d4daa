//! Which file of a folder is the graph.
//!
//! Folders for other programs hold one graph or several, of which the name says what was done to the weights:
//!
//! ```text
//! onnx/model.onnx  onnx/model_q4.onnx  onnx/model_fp16.onnx      variants "", q4, fp16
//! decoder_model_merged.onnx                                      older exports; beside it those it was merged from
//! decoder_with_past_model.onnx
//! encoder_model.onnx                                             beside them in folders of a model with an encoder
//! decoder_model.onnx                                             how such a decoder begins, where it is not merged
//! ```

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Names without variant and suffix, in the order of preference.
const NAMES: [&str; 3] = ["model", "decoder_model_merged", "decoder_with_past_model"];
/// Where they may lie, in the order of preference.
const PLACES: [&str; 2] = ["onnx", ""];

/// Finds the graph of a variant; `None` is the one without a name.
pub(super) fn find(folder: &Path, variant: Option<&str>) -> Result<PathBuf> {
    let files = PLACES.iter().flat_map(|place| NAMES.iter().map(move |name| (place, name)));
    let path = |(place, name): (&&str, &&str)| {
        let suffix = variant.map(|variant| format!("_{variant}")).unwrap_or_default();
        folder.join(place).join(format!("{name}{suffix}.onnx"))
    };
    let found = files.map(path).find(|file| file.is_file());
    found.ok_or_else(|| Error::model_file(folder, missing(&variants(folder), variant)))
}

/// The graphs of a model with an encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EncoderFiles {
    /// Reads the source.
    pub(crate) encoder: PathBuf,
    /// Begins, and goes on as well where `goes_on` is `None`.
    pub(crate) begins: PathBuf,
    /// Goes on from keys and values.
    pub(crate) goes_on: Option<PathBuf>,
}

/// Finds the graphs of a variant in a folder that has an encoder; `None` in a folder of any other model.
pub(super) fn find_with_encoder(folder: &Path, variant: Option<&str>) -> Result<Option<EncoderFiles>> {
    let suffix = variant.map(|variant| format!("_{variant}")).unwrap_or_default();
    let file = |place: &str, name: &str| folder.join(place).join(format!("{name}{suffix}.onnx"));
    let Some(place) = PLACES.iter().find(|place| file(place, "encoder_model").is_file()) else { return Ok(None) };
    let [encoder, merged, begins, goes_on] =
        ["encoder_model", "decoder_model_merged", "decoder_model", "decoder_with_past_model"]
            .map(|name| file(place, name));
    if merged.is_file() {
        return Ok(Some(EncoderFiles { encoder, begins: merged, goes_on: None }));
    }
    if begins.is_file() && goes_on.is_file() {
        return Ok(Some(EncoderFiles { encoder, begins, goes_on: Some(goes_on) }));
    }
    let reason = format!(
        "`{}` has no decoder beside it, expected `decoder_model_merged{suffix}.onnx`, or `decoder_model{suffix}.onnx` and \
         `decoder_with_past_model{suffix}.onnx`",
        encoder.display()
    );
    Err(Error::model_file(folder, reason))
}

fn missing(known: &[String], variant: Option<&str>) -> String {
    let list = || known.iter().map(|variant| format!("`{variant}`")).collect::<Vec<_>>().join(", ");
    match (variant, known.is_empty()) {
        (None, true) => "no `onnx/model.onnx` or `model.onnx`; export one with `veridraft export SRC DST`".to_owned(),
        (None, false) => format!("no graph without a variant; `--variant` chooses one of {}", list()),
        (Some(variant), true) => format!("no variant `{variant}`, and no other"),
        (Some(variant), false) => format!("no variant `{variant}`, expected one of {}", list()),
    }
}

/// The variants that a folder has, by name.
fn variants(folder: &Path) -> Vec<String> {
    let entries = PLACES.iter().flat_map(|place| std::fs::read_dir(folder.join(place)).into_iter().flatten().flatten());
    let mut variants: Vec<_> = entries.filter_map(|entry| variant_of(entry.file_name().to_str()?)).collect();
    variants.sort();
    variants.dedup();
    variants
}

fn variant_of(file: &str) -> Option<String> {
    let stem = file.strip_suffix(".onnx")?;
    // The longest name first: `decoder_model_merged_q4` is no variant of `decoder_model`.
    let variant = NAMES.iter().find_map(|name| stem.strip_prefix(name)?.strip_prefix('_'))?;
    Some(variant.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in a folder with these files.
    fn check(files: &[&str], variant: Option<&str>, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("onnx")).unwrap();
        files.iter().for_each(|file| std::fs::write(folder.path().join(file), "").unwrap());
        let found = match find(folder.path(), variant) {
            Ok(path) => path.strip_prefix(folder.path()).unwrap().display().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(found.ends_with(expected), "{found}, expected {expected}");
    }

    #[test]
    fn variants_are_told_by_their_names() {
        let files = ["onnx/model.onnx", "onnx/model_q4.onnx", "onnx/model_q4f16.onnx", "onnx/model_q4.onnx_data"];
        check(&files, None, "onnx/model.onnx");
        check(&files, Some("q4"), "onnx/model_q4.onnx");
        check(&files, Some("int8"), "no variant `int8`, expected one of `q4`, `q4f16`");
        check(&files[1..3], None, "no graph without a variant; `--variant` chooses one of `q4`, `q4f16`");
        check(&files[..1], Some("q4"), "no variant `q4`, and no other");
    }

    #[test]
    fn an_encoder_has_its_decoder_beside_it() {
        let check = |files: &[&str], expected: Result<Option<[&str; 3]>, &str>| {
            let folder = tempfile::tempdir().unwrap();
            files.iter().for_each(|file| std::fs::write(folder.path().join(file), "").unwrap());
            let inside = |path: PathBuf| path.strip_prefix(folder.path()).unwrap().display().to_string();
            let names = |files: EncoderFiles| {
                [Some(files.encoder), Some(files.begins), files.goes_on]
                    .map(|path| path.map_or_else(String::new, inside))
            };
            let found = find_with_encoder(folder.path(), None).map(|files| files.map(names));
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected.map(|names| names.map(str::to_owned))),
                (found, Err(expected)) => {
                    let found = found.unwrap_err().to_string();
                    assert!(found.ends_with(expected), "{found}");
                }
                (found, expected) => panic!("{found:?}, expected {expected:?}"),
            }
        };
        check(&["decoder_model_merged.onnx"], Ok(None));
        let both = ["encoder_model.onnx", "decoder_model.onnx", "decoder_with_past_model.onnx"];
        check(&both, Ok(Some(both)));
        let merged = ["encoder_model.onnx", "decoder_model_merged.onnx", "decoder_model.onnx"];
        check(&merged, Ok(Some(["encoder_model.onnx", "decoder_model_merged.onnx", ""])));
        let expected = "has no decoder beside it, expected `decoder_model_merged.onnx`, or `decoder_model.onnx` and \
                        `decoder_with_past_model.onnx`";
        check(&both[..2], Err(expected));
    }

    #[test]
    fn older_names_come_after_newer_ones() {
        let files = ["decoder_model.onnx", "decoder_with_past_model.onnx", "decoder_model_merged.onnx"];
        check(&files, None, "decoder_model_merged.onnx");
        check(&files[..2], None, "decoder_with_past_model.onnx");
        check(&files[..1], None, "no `onnx/model.onnx` or `model.onnx`; export one with `veridraft export SRC DST`");
        check(&["onnx/decoder_model_merged_quantized.onnx"], Some("quantized"), "_quantized.onnx");
    }
}
