//! Safetensors folders: values, exact messages for wrong files, and hostile bytes.

use half::{bf16, f16};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::writer::{safetensors, with_header};
use super::*;

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// The message for a folder, without the folder's own path.
fn message(files: &[(&str, &[u8])]) -> String {
    let folder = folder(files);
    let error = SafetensorsSource::open(folder.path()).err().expect("the folder should be refused").to_string();
    error.replace(&format!("{}/", folder.path().display()), "").replace(&folder.path().display().to_string(), "FOLDER")
}

#[test]
fn one_file_gives_its_tensors() {
    let file = safetensors(&[("a", &[2, 2], &[1.0, 2.0, 3.0, 4.0]), ("b", &[1], &[-0.5])]);
    let folder = folder(&[("model.safetensors", &file)]);
    let source = SafetensorsSource::open(folder.path()).unwrap();
    assert_eq!(source.names(), ["a", "b"]);
    assert_eq!(source.shape("a"), Some(vec![2, 2]));
    assert_eq!(source.read_f32("a").unwrap(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(source.shape("c"), None);
    assert!(source.read_f32("c").unwrap_err().to_string().ends_with("model.safetensors`: tensor `c` is missing"));
}

#[test]
fn sixteen_bit_floats_become_f32() {
    let data = [f16::from_f32(1.5).to_le_bytes(), bf16::from_f32(-3.0).to_le_bytes()].concat();
    let header = r#"{"h":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[2,4]}}"#;
    let folder = folder(&[("model.safetensors", &with_header(header, &data))]);
    let source = SafetensorsSource::open(folder.path()).unwrap();
    assert_eq!(source.read_f32("h").unwrap(), [1.5]);
    assert_eq!(source.read_f32("b").unwrap(), [-3.0]);
}

#[test]
fn rows_are_floats_whatever_the_type() {
    let data = [1.5, -3.0, 0.25, 8.0].map(|value| bf16::from_f32(value).to_le_bytes()).concat();
    let header = r#"{"a":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}}"#;
    let folder = folder(&[("model.safetensors", &with_header(header, &data))]);
    let source = SafetensorsSource::open(folder.path()).unwrap();
    assert_eq!(source.format("a"), Some(WeightFormat::F32));
    assert_eq!(source.format("b"), None);
    let row = |weights: [f32; 2]| WeightRow::F32(weights.to_vec());
    assert_eq!(source.read_rows("a", 0..2).unwrap(), [row([1.5, -3.0]), row([0.25, 8.0])]);
    assert_eq!(source.read_rows("a", 1..2).unwrap(), [row([0.25, 8.0])]);
    assert_eq!(source.read_rows("a", 2..2).unwrap(), []);
    let error = source.read_rows("a", 1..3).unwrap_err().to_string();
    assert!(error.ends_with("`: tensor `a` has 2 rows, expected rows 1 to 3"), "{error}");
}

#[test]
fn tensors_that_have_no_rows_or_columns_are_refused() {
    let folder = folder(&[("model.safetensors", &safetensors(&[("a", &[2, 0], &[]), ("b", &[0, 2], &[])]))]);
    let source = SafetensorsSource::open(folder.path()).unwrap();
    for (name, shape) in [("a", "[2, 0]"), ("b", "[0, 2]")] {
        let error = source.read_rows(name, 0..0).unwrap_err().to_string();
        let expected = format!("`: tensor `{name}` has shape {shape}, expected rows and columns");
        assert!(error.ends_with(&expected), "{error}");
    }
}

#[test]
fn shards_are_found_through_the_index() {
    let (first, second) = (safetensors(&[("a", &[1], &[1.0])]), safetensors(&[("b", &[1], &[2.0])]));
    let index = json!({ "metadata": {}, "weight_map": { "a": "1.safetensors", "b": "2.safetensors" } }).to_string();
    let files: &[(&str, &[u8])] = &[("1.safetensors", &first), ("2.safetensors", &second), (INDEX, index.as_bytes())];
    let folder = folder(files);
    let source = SafetensorsSource::open(folder.path()).unwrap();
    assert_eq!(source.names(), ["a", "b"]);
    assert_eq!(source.read_f32("b").unwrap(), [2.0]);
    assert_eq!(source.path(), folder.path().join(INDEX));
}

#[test]
fn a_wrong_index_is_refused() {
    let shard = safetensors(&[("a", &[1], &[1.0])]);
    let with_map = |map: serde_json::Value| {
        message(&[("1.safetensors", &shard), (INDEX, json!({ "weight_map": map }).to_string().as_bytes())])
    };
    assert_eq!(
        with_map(json!({ "b": "1.safetensors" })),
        "`model.safetensors.index.json`: tensor `b` should be in `1.safetensors`, which does not have it"
    );
    assert_eq!(
        with_map(json!({ "a": "../1.safetensors" })),
        "`model.safetensors.index.json`: tensor `a` is in `../1.safetensors`, expected a file name"
    );
    assert!(with_map(json!({ "a": "2.safetensors" })).starts_with("cannot open `2.safetensors`: "));
    assert_eq!(
        message(&[(INDEX, b"{}")]),
        "`model.safetensors.index.json`: not an index of shards: missing field `weight_map` at line 1 column 2"
    );
}

#[test]
fn wrong_files_are_refused() {
    let single = |bytes: &[u8]| message(&[("model.safetensors", bytes)]);
    assert_eq!(
        message(&[]),
        "`FOLDER`: neither `model.safetensors` nor `model.safetensors.index.json` is in the folder"
    );
    assert_eq!(single(b""), "`model.safetensors`: has 0 bytes, expected at least 8");
    assert_eq!(
        single(&[&(1_u64 << 60).to_le_bytes()[..], b"{}"].concat()),
        "`model.safetensors`: the header takes 1152921504606846976 bytes, but only 2 follow"
    );
    let refused = |header: &str, expected: &str| {
        assert_eq!(single(&with_header(header, &[0; 8])), format!("`model.safetensors`: {expected}"));
    };
    refused("{", "the header is not a JSON object: EOF while parsing an object at line 1 column 1");
    refused("{}", "the tensors take 0 bytes, but the data has 8");
    let entry = |fields: &str| format!(r#"{{"a":{{{fields}}}}}"#);
    refused(&entry(r#""dtype":"F32""#), "the entry of tensor `a`: missing field `shape`");
    refused(
        &entry(r#""dtype":"F32","shape":[3],"data_offsets":[0,8]"#),
        "tensor `a` has 8 bytes, which do not hold `F32` of shape [3]",
    );
    refused(
        &entry(r#""dtype":"F32","shape":[1],"data_offsets":[4,8]"#),
        "tensor `a` starts at byte 4 of the data, expected 0",
    );
    refused(
        &entry(r#""dtype":"F32","shape":[1],"data_offsets":[0,4]"#),
        "the tensors take 4 bytes, but the data has 8",
    );
    refused(
        &entry(r#""dtype":"F32","shape":[3],"data_offsets":[0,12]"#),
        "tensor `a` stands at bytes 0 to 12 of the data, which has 8",
    );
    refused(
        &entry(r#""dtype":"F32","shape":[2],"data_offsets":[8,0]"#),
        "tensor `a` stands at bytes 8 to 0 of the data, which has 8",
    );
    refused(
        &entry(r#""dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,8]"#),
        "tensor `a` has 8 bytes, which do not hold `F32` of shape [4294967296, 4294967296, 4294967296]",
    );
    let error = single(&with_header(&entry(r#""dtype":"X9","shape":[1],"data_offsets":[0,8]"#), &[0; 8]));
    assert!(error.starts_with("`model.safetensors`: the entry of tensor `a`: unknown variant `X9`"), "{error}");
}

#[test]
fn a_type_that_is_not_float_is_refused_when_read() {
    let file = with_header(r#"{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#, &[0; 8]);
    let folder = folder(&[("model.safetensors", &file)]);
    let error = SafetensorsSource::open(folder.path()).unwrap().read_f32("a").unwrap_err().to_string();
    assert!(error.ends_with("tensor `a` has type `I64`, expected one of F32, F16, BF16"), "{error}");
}

fn read_everything(bytes: &[u8]) {
    let folder = folder(&[("model.safetensors", bytes)]);
    let Ok(source) = SafetensorsSource::open(folder.path()) else { return };
    for name in source.names() {
        if let Ok(values) = source.read_f32(name) {
            assert!(values.len() * 2 <= bytes.len());
        }
        let _ = source.read_rows(name, 0..2);
    }
}

fn small_file() -> Vec<u8> {
    safetensors(&[("a", &[2, 2], &[1.0, 2.0, 3.0, 4.0]), ("b", &[3], &[0.0; 3])])
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let bytes = small_file();
    for length in 0..bytes.len() {
        assert!(SafetensorsSource::open(folder(&[("model.safetensors", &bytes[..length])]).path()).is_err());
    }
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = small_file();
        for (place, byte) in changes {
            *place.get_mut(&mut bytes) = byte;
        }
        read_everything(&bytes);
    }

    #[test]
    fn hostile_numbers_in_the_header_never_panic(place in any::<prop::sample::Index>(), number in any::<u64>()) {
        // Digits are replaced by a large number, so that shapes and offsets stay valid JSON.
        let file = small_file();
        let header = std::str::from_utf8(&file[8..file.len() - 28]).unwrap();
        let digits: Vec<usize> = header.match_indices(|c: char| c.is_ascii_digit()).map(|(place, _)| place).collect();
        let place = digits[place.index(digits.len())];
        let changed = format!("{}{number}{}", &header[..place], &header[place + 1..]);
        read_everything(&with_header(&changed, &[0; 28]));
    }
}
