//! GGUF files: known values from a foreign writer, exact messages for wrong files, and hostile bytes.

use proptest::prelude::*;

use super::reader::read_header;
use super::writer::GgufWriter;
use super::*;
use crate::checkpoint::Checkpoint;

/// Written by the `gguf` Python package; see `tests/fixtures/make_gguf.py`.
const TINY_LLAMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/gguf_tiny_llama.gguf");

const BILLION_BILLION: u64 = 1 << 60;

fn open(bytes: &[u8]) -> Result<GgufFile> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    GgufFile::open(file.path())
}

/// The reason why the file is refused.
fn reason(bytes: &[u8]) -> String {
    read_header(bytes).expect_err("the file should be refused")
}

#[test]
fn a_file_of_the_gguf_package_reads_back() {
    let checkpoint = Checkpoint::open(Path::new(TINY_LLAMA)).unwrap();
    let config = &checkpoint.config;
    assert_eq!((config.layers, config.hidden, config.heads, config.kv_heads), (1, 32, 2, 1));
    assert_eq!((config.vocabulary, config.context_length, config.norm_eps), (380, 128, 1e-5));
    assert!(config.tied_embeddings && !config.attention_bias);
    assert_eq!(checkpoint.tensors.names().len(), 11);
    assert_eq!(checkpoint.tensors.shape("model.layers.0.self_attn.k_proj.weight"), Some(vec![16, 32]));
}

/// The fixture's q, k and v rows hold the row numbers of the Hugging Face checkpoint.
#[test]
fn rows_of_q_and_k_stand_as_in_the_hugging_face_checkpoint() {
    let checkpoint = Checkpoint::open(Path::new(TINY_LLAMA)).unwrap();
    for (part, rows) in [("q", 32), ("k", 16), ("v", 16)] {
        let values = checkpoint.tensors.read_f32(&format!("model.layers.0.self_attn.{part}_proj.weight")).unwrap();
        let expected: Vec<f32> = (0..rows).flat_map(|row| [row as f32; 32]).collect();
        assert_eq!(values, expected, "{part}");
    }
}

#[test]
fn rows_taken_in_pieces_are_the_rows_of_the_whole() {
    let checkpoint = Checkpoint::open(Path::new(TINY_LLAMA)).unwrap();
    let tensors = &checkpoint.tensors;
    let mut matrices = 0;
    for name in tensors.names() {
        let Some([out, columns]) = tensors.shape(name).and_then(|shape| <[usize; 2]>::try_from(shape).ok()) else {
            continue;
        };
        let whole = tensors.read_f32(name).unwrap();
        for rows in [0..out, 0..1, 1..3, out - 1..out, 2..2] {
            let found = tensors.read_rows(name, rows.clone()).unwrap();
            assert!(found.iter().all(|row| Some(row.format()) == tensors.format(name)));
            let found: Vec<f32> = found.iter().flat_map(|row| row.dequantize()).collect();
            assert_eq!(found, whole[rows.start * columns..rows.end * columns], "{name} {rows:?}");
        }
        matrices += 1;
    }
    assert_eq!(matrices, 8);
    assert_eq!(tensors.format("absent"), None);
}

#[test]
fn rows_that_a_tensor_does_not_have_are_refused() {
    let checkpoint = Checkpoint::open(Path::new(TINY_LLAMA)).unwrap();
    let refused = |name: &str, rows: std::ops::Range<usize>, expected: &str| {
        let error = checkpoint.tensors.read_rows(name, rows).unwrap_err();
        assert_eq!(error.to_string(), format!("`{TINY_LLAMA}`: tensor {expected}"));
    };
    let k = "model.layers.0.self_attn.k_proj.weight";
    refused(k, 10..17, &format!("`{k}` has 16 rows, expected rows 10 to 17"));
    refused(k, 17..17, &format!("`{k}` has 16 rows, expected rows 17 to 17"));
    #[expect(clippy::reversed_empty_ranges, reason = "what a wrong caller would ask for")]
    refused(k, 3..2, &format!("`{k}` has 16 rows, expected rows 3 to 2"));
    refused("model.norm.weight", 0..1, "`model.norm.weight` has shape [32], expected rows and columns");
    refused("absent", 0..1, "`absent` is missing");
}

#[test]
fn heads_of_uneven_size_are_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), GgufWriter::tiny_llama().halves("blk.0.attn_k.weight", &[15, 32]).bytes()).unwrap();
    let checkpoint = Checkpoint::open(file.path()).unwrap();
    let k = "model.layers.0.self_attn.k_proj.weight";
    let expected = "`: tensor `blk.0.attn_k.weight` has 15 rows, expected 1 heads of even size";
    for error in [checkpoint.tensors.read_f32(k).unwrap_err(), checkpoint.tensors.read_rows(k, 0..1).unwrap_err()] {
        assert!(error.to_string().ends_with(expected), "{error}");
    }
}

#[test]
fn rows_of_qwen_files_stay_where_they_are() {
    let numbers: Vec<f32> = (0..32 * 32).map(|number| number as f32).collect();
    let mut writer = GgufWriter::tiny_llama()
        .text("general.architecture", "qwen2")
        .tensor("blk.0.attn_q.weight", &[32, 32], &numbers)
        .halves("blk.0.attn_q.bias", &[32]);
    for name in ["block_count", "context_length", "embedding_length", "feed_forward_length"] {
        writer = writer.rename(&format!("llama.{name}"), &format!("qwen2.{name}"));
    }
    for name in ["head_count", "head_count_kv", "layer_norm_rms_epsilon"] {
        writer = writer.rename(&format!("llama.attention.{name}"), &format!("qwen2.attention.{name}"));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), writer.bytes()).unwrap();
    let checkpoint = Checkpoint::open(file.path()).unwrap();
    assert!(checkpoint.config.attention_bias);
    let values = checkpoint.tensors.read_f32("model.layers.0.self_attn.q_proj.weight").unwrap();
    assert_eq!(values, numbers);
}

#[test]
fn versions_2_and_3_are_read_and_others_refused() {
    let with = |version| {
        let mut writer = GgufWriter::tiny_llama();
        writer.version = version;
        writer.bytes()
    };
    assert!(read_header(&with(2)).is_ok());
    assert!(read_header(&with(3)).is_ok());
    assert_eq!(reason(&with(1)), "is GGUF version 1, expected 2 or 3");
    assert_eq!(reason(&with(4)), "is GGUF version 4, expected 2 or 3");
    assert_eq!(reason(&with(3_u32.swap_bytes())), "is big-endian GGUF, expected little-endian");
    assert_eq!(reason(b"PK\x03\x04...."), "begins with `PK\\x03\\x04`, expected `GGUF`");
    assert_eq!(reason(b"GG"), "the file type at byte 0 takes 4 bytes, but the file ends at byte 2");
}

#[test]
fn hostile_counts_are_refused_before_anything_of_that_size_happens() {
    let patched = |offset: usize, value: u64| {
        let mut bytes = GgufWriter::default().text("general.name", "x").bytes();
        bytes[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        reason(&bytes)
    };
    assert_eq!(
        patched(8, BILLION_BILLION),
        "the number of tensors at byte 8 is 1152921504606846976, but the 48 bytes behind it have room for 1 at most"
    );
    assert_eq!(
        patched(16, u64::MAX),
        "the number of metadata entries at byte 16 is 18446744073709551615, but the 40 bytes behind it have room for 3 \
         at most"
    );
    assert_eq!(
        patched(24, BILLION_BILLION),
        "the key of metadata entry 0 at byte 32 takes 1152921504606846976 bytes, but the file ends at byte 64"
    );
    assert_eq!(
        patched(48, u64::MAX),
        "`general.name` at byte 56 takes 18446744073709551615 bytes, but the file ends at byte 64"
    );
}

#[test]
fn hostile_arrays_are_refused() {
    let array =
        |item_type, count, items: &[u8]| reason(&GgufWriter::default().array("k", item_type, count, items).bytes());
    assert_eq!(
        array(0, BILLION_BILLION, &[0; 8]),
        "the length of `k` at byte 41 is 1152921504606846976, but the 15 bytes behind it have room for 15 at most"
    );
    assert_eq!(
        array(8, 1, &u64::MAX.to_le_bytes()),
        "`k` at byte 57 takes 18446744073709551615 bytes, but the file ends at byte 64"
    );
    assert_eq!(array(13, 1, &[0; 8]), "`k` has value type 13, expected 0 to 12");
    // Each level: items are arrays, there is one.
    let nested = [&9_u32.to_le_bytes()[..], &1_u64.to_le_bytes()].concat().repeat(5000);
    assert_eq!(array(9, 1, &nested), "`k` nests arrays more than 4 deep");
}

#[test]
fn hostile_tensors_are_refused() {
    let refused = |writer: GgufWriter, expected: &str| assert_eq!(reason(&writer.bytes()), expected);
    let tensor = |shape: &[u64], code| GgufWriter::default().stored("t", shape, code, &[0; 64]);
    refused(tensor(&[1; 5], 0), "tensor `t` has 5 dimensions, expected 1 to 4");
    refused(tensor(&[], 0), "tensor `t` has 0 dimensions, expected 1 to 4");
    refused(tensor(&[4, 0], 0), "tensor `t` has shape [4, 0], expected sizes of at least 1");
    refused(tensor(&[2, 33], 8), "tensor `t` has rows of 33 values, expected a multiple of 32 for `Q8_0`");
    refused(
        tensor(&[1 << 40, 1 << 40], 0),
        "tensor `t` has shape [1099511627776, 1099511627776], which is more than any file can hold",
    );
    refused(tensor(&[1 << 62], 0), "tensor `t` has shape [4611686018427387904], which is more than any file can hold");
    refused(
        tensor(&[17], 0),
        "tensor `t` needs 68 bytes at offset 0 of the data at byte 64, but the file ends at byte 128",
    );
    refused(
        tensor(&[16], 0).offset("t", u64::MAX - 31),
        "tensor `t` needs 64 bytes at offset 18446744073709551584 of the data at byte 64, but the file ends at byte 128",
    );
    refused(tensor(&[4], 0).offset("t", 8), "tensor `t` starts at offset 8, expected a multiple of 32");
    refused(
        tensor(&[32], 17),
        "tensor `t` has type `IQ2_XS`, expected one of F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, BF16",
    );
    refused(
        tensor(&[32], 99),
        "tensor `t` has type `99`, expected one of F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, BF16",
    );
    refused(
        tensor(&[16], 0).stored("u", &[16], 0, &[0; 64]).offset("u", 32),
        "tensor `u` starts at byte 128, before tensor `t` ends at byte 160",
    );
    refused(tensor(&[16], 0).stored("u", &[16], 0, &[0; 64]).rename("u", "t"), "tensor `t` is there twice");
}

#[test]
fn wrong_metadata_is_refused() {
    let refused = |writer: GgufWriter, expected: &str| assert_eq!(reason(&writer.bytes()), expected);
    refused(GgufWriter::default().count("a", 1).count("b", 2).rename("b", "a"), "metadata key `a` is there twice");
    refused(GgufWriter::default().raw("a", 8, &[2, 0, 0, 0, 0, 0, 0, 0, 0xc3, 0x28]), "`a` at byte 45 is not UTF-8");
    refused(
        GgufWriter::default().count("general.alignment", 24),
        "`general.alignment` is `24`, expected a power of two",
    );
    refused(
        GgufWriter::default().text("general.alignment", "x"),
        "`general.alignment` is a string, expected a power of two",
    );
}

#[test]
fn metadata_is_read_by_type() {
    let writer =
        GgufWriter::default().count("n", 7).number("f", 0.5).boolean("b", true).text("t", "x").texts("ts", &["y", ""]);
    let file = open(&writer.integers("is", &[-1, 5]).floats("fs", &[0.25]).bytes()).unwrap();
    assert_eq!(file.count("n").unwrap(), Some(7));
    assert_eq!(file.number("n").unwrap(), Some(7.0));
    assert_eq!(file.number("f").unwrap(), Some(0.5));
    assert_eq!(file.boolean("b").unwrap(), Some(true));
    assert_eq!(file.text("t").unwrap(), Some("x"));
    assert_eq!(file.text("absent").unwrap(), None);
    assert_eq!(file.texts("ts").unwrap(), Some(vec!["y", ""]));
    assert_eq!(file.numbers("is").unwrap(), Some(vec![-1.0, 5.0]));
    assert_eq!(file.numbers("fs").unwrap(), Some(vec![0.25]));
    let path = file.path().display();
    assert_eq!(
        file.count("t").unwrap_err().to_string(),
        format!("`{path}`: `t` is a string, expected an integer of at least 0")
    );
    let message = format!("`{path}`: `ts` holds a string, expected numbers");
    assert_eq!(file.numbers("ts").unwrap_err().to_string(), message);
}

#[test]
fn a_model_without_its_embedding_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), GgufWriter::tiny_llama().without("token_embd.weight").bytes()).unwrap();
    let error = Checkpoint::open(file.path()).err().unwrap().to_string();
    assert!(error.ends_with("`: tensor `token_embd.weight` is missing"), "{error}");
}

#[test]
fn one_part_of_several_is_refused() {
    let error = open(&GgufWriter::default().count("split.count", 3).bytes()).unwrap_err().to_string();
    assert!(error.ends_with("`: is one of 3 parts, expected a model in one file"), "{error}");
}

/// Opens and reads all there is; the outcome does not matter, but it must come without a panic, and no tensor may hold
/// more than its bytes in the file can say: 32 values take 18 bytes at least.
fn read_everything(bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let Ok(checkpoint) = Checkpoint::open(file.path()) else { return };
    for name in checkpoint.tensors.names() {
        let values: usize = checkpoint.tensors.shape(name).unwrap().iter().product();
        assert!(values * 18 <= bytes.len() * 32, "`{name}` has {values} values in a file of {} bytes", bytes.len());
        let _ = checkpoint.tensors.read_f32(name);
        let _ = checkpoint.tensors.read_rows(name, 0..2);
    }
    let _ = checkpoint.companion_files();
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let bytes = GgufWriter::tiny_llama().bytes();
    for length in 0..bytes.len() {
        assert!(read_header(&bytes[..length]).is_err(), "cut at byte {length}");
    }
    assert!(read_header(&bytes).is_ok());
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = GgufWriter::tiny_llama().bytes();
        for (place, byte) in changes {
            *place.get_mut(&mut bytes) = byte;
        }
        read_everything(&bytes);
    }

    #[test]
    fn hostile_numbers_anywhere_never_panic(
        place in any::<prop::sample::Index>(),
        number in prop::sample::select(vec![0, 1, 1 << 31, 1 << 32, BILLION_BILLION, u64::MAX / 2, u64::MAX - 31, u64::MAX]),
    ) {
        let mut bytes = GgufWriter::tiny_llama().bytes();
        let place = place.index(bytes.len() - 8);
        bytes[place..place + 8].copy_from_slice(&number.to_le_bytes());
        read_everything(&bytes);
    }

    #[test]
    fn random_bytes_behind_the_file_type_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_everything(&[b"GGUF\x03\0\0\0".as_slice(), &bytes].concat());
    }
}
