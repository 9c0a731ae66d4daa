use std::fs;
use std::io::Cursor;

use proptest::prelude::*;

use super::*;

/// A field of a number.
fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

/// A field of text, bytes or a message.
fn bytes(field: u64, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn entry(field: u64, key: &str, value: &str) -> Vec<u8> {
    bytes(field, [bytes(1, key), bytes(2, value)].concat())
}

/// An initialiser whose data are bytes `offset..offset + length` of `file`.
fn external(name: &str, file: &str, offset: &str, length: &str) -> Vec<u8> {
    let entries = [("location", file), ("offset", offset), ("length", length)];
    let entries = entries.map(|(key, value)| entry(13, key, value)).concat();
    [number(2, 1), bytes(8, name), entries, number(14, 1)].concat()
}

fn model(graph: &[u8]) -> Vec<u8> {
    [number(1, 8), bytes(7, graph), entry(14, "maker", "a test")].concat()
}

/// A graph with data of its own, outside, and in the branch of a node.
fn sample() -> Vec<u8> {
    let inside = [number(1, 2), bytes(8, "inside"), bytes(9, [7; 300])].concat();
    let branch = bytes(5, external("deep", "deep.bin", "0", "4"));
    let decision = [bytes(4, "If"), bytes(5, [bytes(1, "then_branch"), bytes(6, branch)].concat())].concat();
    let inputs = ["q", "", "", "past.key", "past.value"].map(|name| bytes(1, name)).concat();
    let outputs = ["out", "now.key", "now.value"].map(|name| bytes(2, name)).concat();
    let attention = [inputs, outputs, bytes(4, "GroupQueryAttention"), bytes(7, "com.microsoft")].concat();
    let initialisers = [inside, external("outside", "model.onnx.data", "16", "8")].map(|one| bytes(5, one)).concat();
    model(&[bytes(1, decision), bytes(1, attention), initialisers].concat())
}

fn read(file: &[u8]) -> wire::Result<OnnxFile> {
    OnnxFile::read(Cursor::new(file))
}

#[test]
fn a_file_gives_its_metadata_its_data_files_and_its_attention() {
    let facts = read(&sample()).expect("a sound file");
    assert_eq!(facts.metadata("maker"), Some("a test"));
    assert_eq!(facts.metadata("veridraft.format_version"), None);
    let found: Vec<_> = facts.locations.iter().map(|one| (&*one.tensor, &*one.file, one.end)).collect();
    assert_eq!(found, [("deep", "deep.bin", 4), ("outside", "model.onnx.data", 24)]);
    assert!(facts.updates_in_place("past.key", "now.key") && facts.updates_in_place("past.value", "now.value"));
    assert!(!facts.updates_in_place("past.key", "now.value"));
    let files = facts.data_files(Path::new("folder/model.onnx"));
    assert_eq!(files, [Path::new("folder/deep.bin"), Path::new("folder/model.onnx.data")]);
}

#[test]
fn an_empty_file_says_nothing() {
    assert_eq!(read(&[]), Ok(OnnxFile::default()));
}

#[test]
fn what_is_no_onnx_file_is_refused_with_the_place() {
    let check = |file: &[u8], expected: &str| {
        let error = read(file).expect_err(expected);
        assert!(error.contains(expected), "{error}");
    };
    check(b"{\"vocab_size\": 5}", "field of wire type 3 at byte 0, expected an ONNX file");
    check(&[0x02, 0x00], "field number 0 at byte 0");
    check(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "a number of more than ten bytes");
    check(&bytes(14, bytes(1, [0xff])), "a name at byte 4 is not UTF-8");
    check(&bytes(14, bytes(1, vec![b'x'; 70_000])), "a name of 70000 bytes at byte 8, expected at most 65536");
    let too_long = [bytes(14, [0x0a, 0x05]), number(1, 8)].concat();
    check(&too_long, "a field at byte 4 ends at 9, expected at most 4");
    let deep = (0..40).fold(Vec::new(), |graph, _| bytes(1, bytes(5, bytes(6, graph))));
    check(&model(&deep), "graphs within graphs");
    let offset = bytes(5, external("w", "model.onnx.data", "-1", "8"));
    check(&model(&offset), "`w` has offset `-1`, expected a number of bytes");
}

#[test]
fn a_file_cut_short_is_noticed_wherever_a_field_is_cut() {
    let file = sample();
    let graph_end = file.len() - entry(14, "maker", "a test").len();
    for length in 3..file.len() {
        match read(&file[..length]) {
            Err(error) => assert!(error.contains("it is cut short: "), "{error}"),
            // Between two fields of the outermost message there is nothing to notice.
            Ok(_) => assert!(length == graph_end || length == 2, "{length}"),
        }
    }
}

#[test]
fn data_files_are_checked_before_anything_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("model.onnx.data"), [0; 100]).unwrap();
    let check = |file: &str, offset: &str, length: &str, expected: &str| {
        let path = folder.path().join("model.onnx");
        fs::write(&path, model(&bytes(5, external("w", file, offset, length)))).unwrap();
        let outcome = OnnxFile::open(&path).map_or_else(|error| error.to_string(), |_| "fine".to_owned());
        assert!(outcome.ends_with(expected), "{outcome}");
        assert_eq!(outcome.lines().count(), 1);
    };
    check("model.onnx.data", "96", "4", "fine");
    check("model.onnx.data", "97", "4", "the data of `w` ends at byte 101 of `model.onnx.data`, which has 100 bytes");
    check("model.onnx.data", "1", "18446744073709551615", "of `model.onnx.data`, which has 100 bytes");
    check("other.data", "0", "4", "the data of `w` lies in `other.data`, which is missing");
    check("../model.onnx.data", "0", "4", "lies in `../model.onnx.data`, expected a file in the graph's own folder");
    check("/etc/hostname", "0", "1", "lies in `/etc/hostname`, expected a file in the graph's own folder");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(file in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&file);
    }

    #[test]
    fn a_mutated_file_is_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut file = sample();
        for (at, with) in changes {
            let place = at.index(file.len());
            file[place] = with;
        }
        let _ = read(&file);
    }
}
