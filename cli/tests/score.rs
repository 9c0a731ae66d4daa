//! `veridraft score` as a program: files and pipes in, a line of JSON a row out.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use veridraft_tests::TinyLlama;

fn command(tiny: &TinyLlama, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_veridraft"));
    command.arg("score").args(arguments).args(["--threads", "2", "-m"]).arg(tiny.model());
    command
}

/// Runs the program to its end on a file.
fn run(tiny: &TinyLlama, file: &Path, arguments: &[&str]) -> Result<Output> {
    Ok(command(tiny, arguments).arg(file).output()?)
}

fn answers(output: &Output) -> Result<Vec<Value>> {
    let text = std::str::from_utf8(&output.stdout)?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// Continuations of a few contexts, texts, and tokens, each with its number as `id`.
fn rows() -> Vec<Value> {
    let ends = [" Paris", " a long way from here, where nobody has been", "!", ""];
    let mut rows = Vec::new();
    for number in 0..60_usize {
        let context = "The capital of France is ".repeat(1 + number / 8 % 3);
        rows.push(match number % 5 {
            4 => json!({"id": number, "text": context.repeat(number % 3)}),
            3 => json!({"id": number, "context_tokens": [84, 104, 101], "continuation_tokens": [number, 32]}),
            end => json!({"id": number, "context": context, "continuation": ends[end]}),
        });
    }
    rows
}

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

fn written(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let file = folder.join(name);
    fs::write(&file, bytes)?;
    Ok(file)
}

#[test]
fn a_row_has_the_same_answer_in_any_company_and_packing() -> Result<()> {
    let (tiny, folder) = (TinyLlama::create()?, tempfile::tempdir()?);
    let rows = rows();
    let output = run(&tiny, &written(folder.path(), "a.jsonl", lines(&rows).as_bytes())?, &[])?;
    let found = answers(&output)?;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(found.iter().map(|answer| &answer["id"]).collect::<Vec<_>>(), (0..60).collect::<Vec<_>>());
    // White space at the end of a context is scored, so that " " and "!" are two tokens.
    assert_eq!(
        (&found[0]["token_count"], &found[2]["token_count"], &found[3]["token_count"]),
        (&json!(7), &json!(2), &json!(2))
    );
    assert!(found.iter().all(|answer| answer["logprob"].as_f64().is_some_and(|logprob| logprob <= 0.0)));

    let backwards: Vec<_> = rows.iter().rev().cloned().collect();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(lines(&backwards).as_bytes())?;
    let output = run(&tiny, &written(folder.path(), "b.jsonl.gz", &packed.finish()?)?, &[])?;
    let mut other = answers(&output)?;
    other.reverse();
    assert_eq!(found, other);

    for number in [0, 1, 9, 33, 58] {
        let alone = written(folder.path(), "one.jsonl", lines(&rows[number..=number]).as_bytes())?;
        assert_eq!(answers(&run(&tiny, &alone, &[])?)?, found[number..=number]);
    }
    Ok(())
}

#[test]
fn a_bad_row_is_named_and_costs_no_other() -> Result<()> {
    let (tiny, folder) = (TinyLlama::create()?, tempfile::tempdir()?);
    let mut bytes = b"{\"id\": 1, \"context\": \"a\", \"continuation\": \"b\"}\n\n{\"id\": 2}\n\xff\n".to_vec();
    bytes.extend(b"{\"id\": 3, \"context\": \"a\", \"continuation\": \"\"}\n{\"context_tokens\": [1], \"continuation_tokens\": [257]}\n");
    bytes.extend(b"{\"id\": 4, \"context\": \"a\", \"continuation\": \"b\"}");
    let file = written(folder.path(), "a.jsonl", &bytes)?;
    let output = run(&tiny, &file, &[])?;
    let found = answers(&output)?;
    assert_eq!(output.status.code(), Some(1));
    let errors: Vec<_> = found.iter().map(|answer| answer.get("error").is_some()).collect();
    assert_eq!(errors, [false, true, true, true, true, false]);
    assert_eq!(found[5]["logprob"], found[0]["logprob"]);
    assert_eq!(found[1], json!({"id": 2, "error": "none of `context`, `context_tokens` and `text`, expected one"}));
    assert_eq!(found[2], json!({"error": "not UTF-8, expected text"}));
    let told = String::from_utf8(output.stderr)?;
    let named = |line: usize| told.contains(&format!("error: `{}` line {line}: ", file.display()));
    assert!([3, 4, 5, 6].into_iter().all(named), "{told}");
    assert!(
        told.ends_with(&format!("error: 4 of 6 rows of `{}` are not scored, expected none\n", file.display())),
        "{told}"
    );

    let output = run(&tiny, &file, &["--limit", "1", "--tokens"])?;
    assert!(output.status.success(), "{output:?}");
    let [answer] = &answers(&output)?[..] else { panic!("{output:?}") };
    assert_eq!((&answer["tokens"][0]["text"], &answer["tokens"][0]["logprob"]), (&json!("b"), &answer["logprob"]));
    Ok(())
}

#[test]
fn a_program_behind_a_pipe_gets_its_answers_while_it_waits() -> Result<()> {
    let tiny = TinyLlama::create()?;
    let mut program =
        command(&tiny, &["-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut input = program.stdin.take().context("it has an input")?;
    let mut output = BufReader::new(program.stdout.take().context("it has an output")?).lines();
    for round in [&rows()[..1], &rows()[1..30], &rows()[30..]] {
        input.write_all(lines(round).as_bytes())?;
        for row in round {
            let answer: Value = serde_json::from_str(&output.next().context("as many answers as rows")??)?;
            assert_eq!(answer["id"], row["id"]);
        }
    }
    drop(input);
    assert!(output.next().is_none());
    assert!(program.wait()?.success());
    Ok(())
}

#[test]
fn what_cannot_be_is_refused_in_one_line() -> Result<()> {
    let (tiny, folder) = (TinyLlama::create()?, tempfile::tempdir()?);
    let file = written(folder.path(), "a.jsonl", b"{\"text\": \"a\"}\n")?;
    let check = |file: &Path, arguments: &[&str], status: i32, expected: &str| -> Result<()> {
        let output = run(&tiny, file, arguments)?;
        let told = String::from_utf8(output.stderr)?;
        assert!(output.stdout.is_empty() && told.lines().count() == 1 && told.contains(expected), "{told}");
        assert_eq!(output.status.code(), Some(status), "{told}");
        Ok(())
    };
    check(&file, &["--max-length", "4097"], 2, "`--max-length` is 4097, but the model's context holds 4096 tokens")?;
    check(&file, &["--max-length", "0"], 2, "`0` is not a count")?;
    check(&folder.path().join("absent.jsonl"), &[], 1, "absent.jsonl`: No such file")?;
    check(&written(folder.path(), "b.jsonl.gz", b"plain")?, &[], 1, "b.jsonl.gz` behind line 0: ")?;
    Ok(())
}
