//! The folder says what the GGUF file says: read back it has the same configuration, tensors and tokenizer.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::layout::{Origin, Tensor};
use super::*;
use crate::checkpoint::TensorSource;
use crate::checkpoint::gguf::writer::GgufWriter;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures");

fn fixture() -> PathBuf {
    Path::new(FIXTURES).join("gguf_tiny_llama.gguf")
}

fn folder_of(source: &Path, floats: FloatFormat) -> Result<TempDir> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    export_hugging_face(source, folder.path(), floats, &|_| {})?;
    Ok(folder)
}

/// The error of an export of this file, without the file's place.
fn refused(writer: &GgufWriter) -> String {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), writer.bytes()).expect("room for it");
    let error = folder_of(file.path(), FloatFormat::F32).expect_err("refused").to_string();
    error.replace(&file.path().display().to_string(), "model.gguf")
}

#[test]
fn the_folder_has_the_files_numbers_bit_for_bit() {
    let gguf = Checkpoint::open(&fixture()).expect("a valid fixture");
    let folder = folder_of(&fixture(), FloatFormat::F32).expect("exported");
    let read = Checkpoint::open(folder.path()).expect("a valid folder");
    assert_eq!(read.config, gguf.config);
    assert_eq!(read.tensors.names(), gguf.tensors.names());
    for name in gguf.tensors.names() {
        assert_eq!(read.tensors.shape(name), gguf.tensors.shape(name));
        let bits = |source: &dyn TensorSource| -> Vec<u32> {
            source.read_f32(name).expect("there").into_iter().map(f32::to_bits).collect()
        };
        assert_eq!(bits(&*read.tensors), bits(&*gguf.tensors), "{name}");
    }
    let tokenizer = |checkpoint: &Checkpoint| {
        let files = checkpoint.companion_files().expect("a known tokenizer");
        files.into_iter().find(|(name, _)| *name == "tokenizer.json").expect("every checkpoint has it").1
    };
    assert_eq!(tokenizer(&read), tokenizer(&gguf));
}

#[test]
fn half_floats_are_the_nearest_ones_and_named_in_the_configuration() {
    let gguf = Checkpoint::open(&fixture()).expect("a valid fixture");
    for (floats, name, most) in
        [(FloatFormat::F16, "float16", 2.0_f32.powi(-11)), (FloatFormat::BF16, "bfloat16", 2.0_f32.powi(-8))]
    {
        let folder = folder_of(&fixture(), floats).expect("exported");
        let config = std::fs::read(folder.path().join("config.json")).expect("written");
        let config: Value = serde_json::from_slice(&config).expect("JSON");
        assert_eq!(config["torch_dtype"], name);
        let read = Checkpoint::open(folder.path()).expect("a valid folder");
        for tensor in gguf.tensors.names() {
            let (found, expected) =
                (read.tensors.read_f32(tensor).expect("there"), gguf.tensors.read_f32(tensor).expect("there"));
            let close = |(found, expected): (&f32, &f32)| (found - expected).abs() <= expected.abs() * most + 1e-7;
            assert!(found.iter().zip(&expected).all(close), "{tensor} in {floats}");
        }
    }
}

#[test]
fn every_tensor_is_counted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let seen = std::cell::RefCell::new(Vec::new());
    let note = |progress: ExportProgress| seen.borrow_mut().push((progress.tensors_done, progress.tensors_total));
    export_hugging_face(&fixture(), folder.path(), FloatFormat::F32, &note).expect("exported");
    let total = seen.borrow().len();
    assert_eq!(seen.into_inner(), (1..=total).map(|done| (done, total)).collect::<Vec<_>>());
}

#[test]
fn a_tensor_too_many_or_too_few_or_in_another_shape_is_refused() {
    let writer = || GgufWriter::tiny_llama();
    assert_eq!(
        refused(&writer().halves("blk.1.attn_norm.weight", &[32])),
        "`model.gguf`: tensor `model.layers.1.input_layernorm.weight` has no place in the model as the file's metadata \
         describes it"
    );
    assert_eq!(
        refused(&writer().count("llama.block_count", 2)),
        "`model.gguf`: tensor `model.layers.1.input_layernorm.weight` is missing, expected [32]"
    );
    assert_eq!(
        refused(&writer().halves("blk.0.ffn_norm.weight", &[64])),
        "`model.gguf`: tensor `model.layers.0.post_attention_layernorm.weight` is [64], expected [32]"
    );
}

#[test]
fn a_number_that_16_bits_cannot_hold_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let origin = Origin::Same("t".to_owned());
    let tensors = [Tensor { name: "t".to_owned(), shape: vec![2], origin }];
    let path = folder.path().join("file");
    let mut file = SafetensorsFile::create(&path, FloatFormat::F16, &tensors).expect("room for it");
    let error = file.append("t", &[65504.0, 70000.0]).expect_err("too large").to_string();
    assert!(error.ends_with("tensor `t` has 70000, which f16 cannot hold; expected f32"), "{error}");
    file.append("t", &[f32::INFINITY, 65504.0]).expect("an infinity is none that rounding made");
}

#[test]
fn a_folder_is_refused() {
    let error = folder_of(Path::new(FIXTURES), FloatFormat::F32).expect_err("a folder").to_string();
    assert!(error.ends_with("`: is a folder, expected a GGUF file"), "{error}");
}
