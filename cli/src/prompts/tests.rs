use std::fs::File;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn turns(turns: &[&str]) -> Content {
    Content::Turns(turns.iter().map(|&turn| turn.to_owned()).collect())
}

/// Reads one line in the fourth place of `set.jsonl`.
fn read_line(line: &str) -> Result<DataPrompt, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("set.jsonl");
    std::fs::write(&file, format!("{{\"text\":\"a\"}}\n\n  \n{line}\n")).expect("written");
    let outcome = read(std::slice::from_ref(&file), None);
    outcome.map(|mut prompts| prompts.remove(1)).map_err(|error| {
        let place = format!("`{}` ", file.display());
        error.to_string().strip_prefix(&place).expect("the message begins with the file").to_owned()
    })
}

#[test]
fn each_field_has_its_form() {
    let check = |line: &str, category: &str, id: &str, content: Content| {
        let expected = DataPrompt { category: category.to_owned(), id: id.to_owned(), content };
        assert_eq!(read_line(line), Ok(expected), "{line}");
    };
    let text = |text: &str| Content::Text(text.to_owned());
    // Spec-Bench and MT-bench, GSM8K, HumanEval, plain rows.
    check(r#"{"question_id": 81, "category": "writing", "turns": ["A", "B"]}"#, "writing", "81", turns(&["A", "B"]));
    check(r#"{"id": 0, "question": "How many?", "answer": "2"}"#, "set", "0", turns(&["How many?"]));
    check(r#"{"task_id": "HumanEval/0", "prompt": "def f():"}"#, "set", "HumanEval/0", text("def f():"));
    check(r#"{"text": "Once", "category": null}"#, "set", "line 4", text("Once"));
    let messages = vec![Message::new("system", "S"), Message::new("user", "U")];
    let line = r#"{"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]}"#;
    check(line, "set", "line 4", Content::Messages(messages));
    check(r#"{"text": "b", "turns": ["a"]}"#, "set", "line 4", turns(&["a"]));
}

#[test]
fn a_bad_row_is_named_with_what_was_found_and_expected() {
    let check = |line: &str, expected: &str| assert_eq!(read_line(line), Err(format!("line 4 {expected}")), "{line}");
    check("{\"text\":", "is not JSON at column 8, expected one object a line");
    check("[1]", "is a list, expected an object");
    check("{}", "has no fields, expected one of `turns`, `question`, `messages`, `prompt`, `text`");
    check(
        r#"{"instruction": "x", "n": 1}"#,
        "has `instruction`, `n`, expected one of `turns`, `question`, `messages`, `prompt`, `text`",
    );
    check(r#"{"turns": []}"#, "has `turns` [], expected a list of one or more strings");
    check(r#"{"turns": "x"}"#, "has `turns` a string, expected a list of one or more strings");
    check(r#"{"turns": ["a", 7]}"#, "has `turns[1]` 7, expected a string that is not empty");
    check(r#"{"text": ""}"#, "has `text` \"\", expected a string that is not empty");
    check(r#"{"prompt": {}}"#, "has `prompt` an object, expected a string that is not empty");
    check(r#"{"text": "a", "category": 3}"#, "has `category` 3, expected a string");
    check(r#"{"messages": []}"#, "is wrong: no messages, expected at least one");
}

#[test]
fn gzipped_files_are_read_and_each_file_is_limited() {
    let folder = tempfile::tempdir().expect("a folder");
    let (plain, packed) = (folder.path().join("one.jsonl"), folder.path().join("two.jsonl.gz"));
    let rows = "{\"text\":\"a\"}\n{\"text\":\"b\"}\n{\"text\":\"c\"}\n";
    std::fs::write(&plain, rows).expect("written");
    let mut encoder = GzEncoder::new(File::create(&packed).expect("created"), Compression::fast());
    encoder.write_all(rows.as_bytes()).expect("written");
    encoder.finish().expect("written");
    let prompts = read(&[plain, packed], NonZeroUsize::new(2)).expect("good rows");
    let found: Vec<_> = prompts.iter().map(|prompt| (prompt.category.as_str(), prompt.id.as_str())).collect();
    assert_eq!(found, [("one", "line 1"), ("one", "line 2"), ("two", "line 1"), ("two", "line 2")]);
}

#[test]
fn a_row_behind_the_limit_is_not_looked_at() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("set.jsonl");
    std::fs::write(&file, "{\"text\":\"a\"}\nnot JSON\n").expect("written");
    assert_eq!(read(&[file], NonZeroUsize::new(1)).expect("one good row").len(), 1);
}

#[test]
fn files_that_give_nothing_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let refusal = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).expect("written");
        let error = read(std::slice::from_ref(&file), None).expect_err("no prompts");
        format!("{error:#}").replace(&file.display().to_string(), name)
    };
    assert_eq!(refusal("empty.jsonl", b"\n\n"), "`empty.jsonl` has no prompts, expected at least one");
    assert_eq!(refusal("bytes.jsonl", b"\xff\xfe\n"), "`bytes.jsonl` line 1 is not UTF-8, expected text");
    assert!(refusal("false.jsonl.gz", b"no gzip").starts_with("cannot read `false.jsonl.gz`"));
    let absent = read(&[folder.path().join("absent.jsonl")], None).expect_err("no file");
    assert!(format!("{absent:#}").contains("absent.jsonl"), "{absent:#}");
}

#[test]
fn a_category_is_the_name_up_to_its_first_dot() {
    let check = |path: &str, expected: &str| assert_eq!(stem(Path::new(path)), expected, "{path}");
    check("data/qa.jsonl", "qa");
    check("/x/chapters.jsonl.gz", "chapters");
    check(".hidden", "hidden");
    check("..", "prompts");
}
