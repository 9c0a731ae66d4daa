use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tempfile::TempDir;

use super::write::ColumnType;
use super::*;

fn place(name: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    (folder, path)
}

/// Writes the lines as the file's ending says and returns its bytes.
fn write(path: &Path, columns: &[Column], lines: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let file = File::create(path).expect("created");
    let mut writer = LineWriter::new(file, Format::of(path).expect("known"), columns).expect("a writer");
    lines.iter().for_each(|line| writer.write(line.as_ref()).expect("written"));
    writer.finish().expect("finished");
    fs::read(path).expect("there")
}

/// The lines that can be read before the first error, and that.
fn read(path: &Path) -> (Vec<Vec<u8>>, Option<String>) {
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(Lines::open(path).expect("opened")) {
        match line {
            Ok(line) => {
                assert_eq!(line.number, number);
                lines.push(line.bytes);
            }
            Err(error) => return (lines, Some(format!("{error:#}").replace(&path.display().to_string(), "FILE"))),
        }
    }
    (lines, None)
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn zstandard(text: &[u8]) -> Vec<u8> {
    let mut writer = zstd::ZstandardWriter::new(Vec::new());
    writer.write_all(text).expect("memory takes it");
    writer.finish().expect("memory takes it")
}

/// `zstd -19` of "one\ntwo\n" repeated 20 times, with a checksum: what another program writes.
const FOREIGN_FRAME: &[u8] = &[
    0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x68, 0x7d, 0x00, 0x00, 0x40, 0x6f, 0x6e, 0x65, 0x0a, 0x74, 0x77, 0x6f, 0x0a, 0x01,
    0x00, 0x95, 0xd4, 0xe5, 0x02, 0xfd, 0xb7, 0x8f, 0x2f,
];

const TEXT_ENDINGS: [&str; 3] = ["jsonl", "jsonl.gz", "jsonl.zst"];

#[test]
fn lines_come_back_and_the_same_lines_are_the_same_bytes() {
    // More than a frame and than any buffer, with empty and long lines.
    let lines: Vec<_> = (0..3000).map(|line| format!("{line} ").repeat(line % 400)).collect();
    for ending in TEXT_ENDINGS {
        let (_folder, path) = place(&format!("a.{ending}"));
        let bytes = write(&path, &[], &lines);
        assert_eq!(bytes, write(&path, &[], &lines), "{ending}");
        let (found, error) = read(&path);
        assert!(error.is_none() && found.iter().eq(lines.iter().map(String::as_bytes)), "{ending}: {error:?}");
    }
}

#[test]
fn a_file_of_no_lines_is_a_sound_file() {
    for ending in TEXT_ENDINGS {
        let (_folder, path) = place(&format!("a.{ending}"));
        let bytes = write(&path, &[], &[] as &[&str]);
        assert_eq!(bytes.is_empty(), ending == "jsonl", "{ending}");
        assert_eq!(read(&path), (vec![], None), "{ending}");
    }
}

#[test]
fn a_written_file_says_nothing_of_when_and_where() {
    let (_folder, path) = place("a.gz");
    // Deflate, no flags, no time, best or fastest of neither, unknown system: RFC 1952.
    assert_eq!(write(&path, &[], &["x"])[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
}

#[test]
fn members_and_frames_are_read_as_one_text() {
    let check = |name: &str, bytes: &[u8], expected: &[&str]| {
        let (_folder, path) = place(name);
        fs::write(&path, bytes).expect("written");
        let expected = expected.iter().map(|line| line.as_bytes().to_vec()).collect();
        assert_eq!(read(&path), (expected, None), "{name}");
    };
    check("a", b"one\r\n\ntwo\rx\nthree", &["one", "", "two\rx", "three"]);
    check("a.gz", &[gzip(b"one\ntw"), gzip(b""), gzip(b"o\n")].concat(), &["one", "two"]);
    // A frame that is to be skipped has any of sixteen numbers, a length and as many bytes.
    let skipped = [&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"any"].concat();
    let frames = [&skipped[..], &zstandard(b"one\ntw"), &zstandard(b""), &skipped, &zstandard(b"o\n")].concat();
    check("a.zst", &frames, &["one", "two"]);
    check(
        "b.zst",
        &[FOREIGN_FRAME, &zstandard(b"three")].concat(),
        &[&["one", "two"].repeat(20)[..], &["three"]].concat(),
    );
}

#[test]
fn what_is_wrong_is_named_with_file_and_line() {
    let check = |name: &str, bytes: &[u8], lines_before: usize, expected: &str| {
        let (_folder, path) = place(name);
        fs::write(&path, bytes).expect("written");
        let (lines, error) = read(&path);
        let error = error.unwrap_or_default();
        assert_eq!(lines.len(), lines_before, "{name}: {error}");
        assert!(error.starts_with(expected), "{name}: {error}");
    };
    let (gz, zst) = (gzip(b"one\ntwo\nthree"), zstandard(b"one\ntwo\nthree"));
    check("cut.gz", &gz[..gz.len() - 9], 2, "cannot read `FILE` at line 3: ");
    check("crc.gz", &[&gz[..gz.len() - 8], &[0; 8]].concat(), 2, "cannot read `FILE` at line 3: ");
    check("plain.gz", b"plain", 0, "cannot read `FILE` at line 1: ");
    check("cut.zst", &zst[..zst.len() - 9], 0, "cannot read `FILE` at line 1: ");
    check("plain.zst", b"plain text", 0, "cannot read `FILE` at line 1: ");
    check("second.zst", &[&zst[..], b"plain text"].concat(), 2, "cannot read `FILE` at line 3: ");
    check("skip.zst", &[0x50, 0x2a, 0x4d, 0x18, 9, 0, 0, 0, 1], 0, "cannot read `FILE` at line 1: it ends in a frame");
    let mut wrong = FOREIGN_FRAME.to_vec();
    *wrong.last_mut().expect("not empty") ^= 1;
    check("crc.zst", &wrong, 40, "cannot read `FILE` at line 41: the checksum of a Zstandard frame is wrong");
    let absent = Lines::open(Path::new("absent/a.zst")).err().expect("no such file");
    assert_eq!(absent.to_string(), "cannot read `absent/a.zst`");
}

#[test]
fn a_line_that_is_not_text_does_not_hide_those_behind_it() {
    let (_folder, path) = place("a");
    fs::write(&path, b"one\n\xff\xfe\nthree\n").expect("written");
    let lines: Result<Vec<_>> = Lines::open(&path).expect("opened").collect();
    let lines = lines.expect("readable");
    let texts: Vec<_> = lines.iter().map(lines::Line::text).collect();
    assert_eq!(texts, [Ok("one"), Err("is not UTF-8, expected text"), Ok("three")]);
}

#[test]
fn a_line_that_is_too_long_is_measured_and_not_kept() {
    use sha2::{Digest, Sha256};
    let (_folder, path) = place("a");
    let long = "y".repeat(200_000);
    let lines =
        ["12345\r\n", "123456\n", "12345\n", "123456\r\n", "1234567", "\n", "12345\rx\n", &long, "\n", "123456"];
    fs::write(&path, lines.concat()).expect("written");
    let found: Result<Vec<_>> = lines::Lines::with_longest(&path, 5).expect("opened").collect();
    let found = found.expect("readable");
    let kept: Vec<_> = found.iter().map(|line| String::from_utf8_lossy(&line.bytes).into_owned()).collect();
    assert_eq!(kept, ["12345", "", "12345", "", "", "", "", ""]);
    let lengths: Vec<_> = found.iter().map(|line| line.too_long.map_or(0, |line| line.bytes)).collect();
    assert_eq!(lengths, [0, 7, 0, 8, 8, 8, 200_001, 6]);
    assert_eq!(found.iter().map(|line| line.number).collect::<Vec<_>>(), (1..9).collect::<Vec<_>>());
    let digest: [u8; 32] = Sha256::digest(long + "\n").into();
    assert_eq!(found[6].too_long.map(|line| line.digest), Some(digest));
    assert!(found[6].text().is_err());
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_line() {
    let (_folder, path) = place("a");
    fs::write(&path, "\u{feff}one\n\u{feff}two\n").expect("written");
    assert_eq!(read(&path), (vec![b"one".to_vec(), "\u{feff}two".as_bytes().to_vec()], None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), flip in 0..40usize) {
        for name in ["a.gz", "a.zst"] {
            let (_folder, path) = place(name);
            fs::write(&path, &bytes).expect("written");
            let _ = read(&path);
            let mut nearly = if name == "a.gz" { gzip(&bytes) } else { zstandard(&bytes) };
            let place = flip.min(nearly.len() - 1);
            nearly[place] ^= 1 << (flip % 8);
            fs::write(&path, nearly).expect("written");
            let _ = read(&path);
        }
    }

    #[test]
    fn any_text_comes_back_whatever_is_read_at_once(
        text in prop::collection::vec(prop_oneof![Just(b'a'), Just(b'\n'), any::<u8>()], 0..3000),
        step in 1..700usize,
    ) {
        let mut found = Vec::new();
        let mut reader = zstd::ZstandardReader::new(std::io::Cursor::new(zstandard(&text)));
        let mut buffer = vec![0; step];
        loop {
            match reader.read(&mut buffer).expect("sound") {
                0 => break,
                read => found.extend_from_slice(&buffer[..read]),
            }
        }
        prop_assert_eq!(found, text);
    }
}

/// One column of each kind.
const COLUMNS: [Column; 5] = [
    ("id", ColumnType::Text),
    ("n", ColumnType::Integer),
    ("x", ColumnType::Number),
    ("ok", ColumnType::Truth),
    ("body", ColumnType::Json),
];

#[test]
fn columns_are_for_parquet_alone() {
    let (_folder, path) = place("a.jsonl");
    assert_eq!(write(&path, &COLUMNS, &["{\"other\":1}"]), b"{\"other\":1}\n");
}

#[cfg(feature = "parquet")]
mod parquet_files {
    use super::*;

    #[test]
    fn rows_come_back_as_objects_without_nulls() {
        let lines = [
            r#"{"id":"a\n三","n":-9007199254740993,"x":0.1,"ok":true,"body":{"list":[1,null,"\""]}}"#,
            r#"{"n":null}"#,
            r#"{"body":"text","id":""}"#,
        ];
        let (_folder, path) = place("a.parquet");
        let bytes = write(&path, &COLUMNS, &lines);
        assert_eq!(bytes, write(&path, &COLUMNS, &lines));
        let expected = [
            r#"{"id":"a\n三","n":-9007199254740993,"x":0.1,"ok":true,"body":"{\"list\":[1,null,\"\\\"\"]}"}"#,
            "{}",
            r#"{"id":"","body":"\"text\""}"#,
        ];
        assert_eq!(read(&path), (expected.map(|line| line.as_bytes().to_vec()).to_vec(), None));
    }

    #[test]
    fn bytes_that_are_no_text_are_left_out() {
        use ::parquet::basic::Type as PhysicalType;
        use ::parquet::data_type::{ByteArray, ByteArrayType};
        use ::parquet::file::writer::SerializedFileWriter;
        use ::parquet::schema::types::Type;
        let (_folder, path) = place("a.parquet");
        // Not marked as text.
        let column = Type::primitive_type_builder("picture", PhysicalType::BYTE_ARRAY)
            .with_repetition(::parquet::basic::Repetition::REQUIRED);
        let columns = vec![std::sync::Arc::new(column.build().expect("a type"))];
        let schema = Type::group_type_builder("rows").with_fields(columns).build().expect("a schema");
        let file = File::create(&path).expect("created");
        let mut writer = SerializedFileWriter::new(file, schema.into(), Default::default()).expect("a writer");
        let mut group = writer.next_row_group().expect("a group");
        let mut cells = group.next_column().expect("no error").expect("a column");
        let bytes = [&b"text"[..], b"\xff\xd8", b"more"].map(|bytes| ByteArray::from(bytes.to_vec()));
        cells.typed::<ByteArrayType>().write_batch(&bytes, None, None).expect("written");
        cells.close().expect("closed");
        group.close().expect("closed");
        writer.close().expect("closed");
        let expected = [r#"{"picture":"text"}"#, "{}", r#"{"picture":"more"}"#];
        assert_eq!(read(&path), (expected.map(|line| line.as_bytes().to_vec()).to_vec(), None));
    }

    #[test]
    fn row_groups_follow_each_other_and_none_is_a_sound_file() {
        let (_folder, path) = place("a.parquet");
        let long: Vec<_> = (0..30).map(|row| format!("{{\"id\":\"{}\",\"n\":{row}}}", "x".repeat(600_000))).collect();
        write(&path, &COLUMNS, &long);
        assert_eq!(read(&path).0, long.iter().map(|line| line.clone().into_bytes()).collect::<Vec<_>>());
        write(&path, &COLUMNS, &[] as &[&str]);
        assert_eq!(read(&path), (vec![], None));
    }

    #[test]
    fn a_row_that_the_columns_do_not_hold_is_refused() {
        let check = |line: &str, expected: &str| {
            let (_folder, path) = place("a.parquet");
            let file = File::create(&path).expect("created");
            let mut writer = LineWriter::new(file, Format::Parquet, &COLUMNS).expect("a writer");
            let error = writer.write(line.as_bytes()).expect_err(line).to_string();
            assert!(error.starts_with(expected), "{error}");
        };
        check("[1]", "invalid type");
        check(r#"{"m":1}"#, "`m` is a field without a column");
        check(r#"{"id":7}"#, "`id` is 7, which its column does not take");
        check(r#"{"n":1.5}"#, "`n` is 1.5, which");
        check(r#"{"n":18446744073709551615}"#, "`n` is 18446744073709551615, which");
        check(r#"{"x":"1"}"#, "`x` is \"1\", which");
        check(r#"{"ok":0}"#, "`ok` is 0, which");
    }

    #[test]
    fn damaged_files_are_named() {
        let (_folder, path) = place("a.parquet");
        let whole = write(&path, &COLUMNS, &[r#"{"id":"abc","n":1}"#, r#"{"id":"def","x":2.5}"#]);
        for length in (0..whole.len()).step_by(7) {
            fs::write(&path, &whole[..length]).expect("written");
            let error = Lines::open(&path).err().expect("it is cut short").to_string();
            assert_eq!(error, format!("cannot read `{}`", path.display()));
        }
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x55;
            fs::write(&path, damaged).expect("written");
            // Some damage cannot be seen; none may end the process.
            if let Ok(lines) = Lines::open(&path) {
                let _ = lines.take(10).count();
            }
        }
    }

    #[test]
    fn a_codec_that_is_not_built_in_is_named() {
        let (_folder, path) = place("a.parquet");
        let whole = write(&path, &[("n", ColumnType::Integer)], &[r#"{"n":1}"#]);
        // The codec is one of the numbers 1 (Snappy) in the file, which Thrift writes doubled behind 0x15; Zstandard is 6.
        let ones = (1..whole.len()).filter(|&place| whole[place - 1..=place] == [0x15, 2]);
        let messages = ones.map(|place| {
            let mut marked = whole.clone();
            marked[place] = 12;
            fs::write(&path, marked).expect("written");
            Lines::open(&path).err().map(|error| format!("{error:#}")).unwrap_or_default()
        });
        let expected = "column `\"n\"` is packed with ZSTD, expected SNAPPY, GZIP or none";
        let messages: Vec<_> = messages.collect();
        assert!(messages.iter().any(|message| message.ends_with(expected)), "{messages:?}");
    }
}
