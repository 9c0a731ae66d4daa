//! A folder of a model with an encoder on the command line: the prompt is what the encoder reads.
//!
//! The folder lies beside the repository; without it every test prints `skipped`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;
use serde_json::{Value, json};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_tests::shared_data;

const PROMPT: &str = "And, like a traitor to the name of God,";

/// Runs the program on the folder: its exit code, standard output and standard error.
fn run(cache: &Path, folder: &Path, arguments: &[&str]) -> Result<(i32, String, String)> {
    let library: PathBuf = Runtime::load(&LibraryChoice::default())?.library().path.clone();
    let mut command = Command::new(env!("CARGO_BIN_EXE_veridraft"));
    command.args(arguments).arg("-m").arg(folder).arg("--ort-lib").arg(library).args(["--threads", "1"]);
    let output = command.env("VERIDRAFT_CACHE", cache).stdin(Stdio::null()).output()?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program writes text");
    Ok((output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr)))
}

#[test]
fn a_prompt_is_answered_and_reported_with_its_source() -> Result<()> {
    let (Some(folder), cache) = (shared_data("foreign/tiny-t5-optimum"), tempfile::tempdir()?) else { return Ok(()) };
    let (code, out, said) = run(cache.path(), &folder, &["generate", PROMPT, "--draft", "lookup"])?;
    assert_eq!((code, out.as_str()), (0, "And, like\n"), "{said}");
    let (code, out, said) = run(cache.path(), &folder, &["generate", PROMPT, "--json", "--draft", "none"])?;
    assert_eq!(code, 0, "{said}");
    let found: Value = serde_json::from_str(&out)?;
    let source = json!([84, 4, 269, 22, 162, 5, 83, 43, 21, 13, 315, 29, 343, 4, 1]);
    assert_eq!([&found["source_token_ids"], &found["prompt_token_ids"]], [&source, &json!([0])]);
    assert_eq!([&found["token_ids"], &found["finish_reason"]], [&json!([84, 4, 269, 1]), &json!("eos")]);
    Ok(())
}

#[test]
fn rows_of_a_file_are_answered_but_for_those_that_a_source_cannot_serve() -> Result<()> {
    let (Some(folder), cache) = (shared_data("foreign/tiny-t5-optimum"), tempfile::tempdir()?) else { return Ok(()) };
    let [input, output] = ["in.jsonl", "out.jsonl"].map(|name| cache.path().join(name));
    let row = |id: &str, body: Value| {
        let url = if body.get("messages").is_some() { "/v1/chat/completions" } else { "/v1/completions" };
        json!({ "custom_id": id, "method": "POST", "url": url, "body": body }).to_string()
    };
    let rows = [
        row("a", json!({ "prompt": PROMPT })),
        row("b", json!({ "prompt": PROMPT, "echo": true })),
        row("c", json!({ "messages": [{ "role": "user", "content": PROMPT }] })),
    ];
    fs::write(&input, rows.join("\n"))?;
    let [input, output_name] = [&input, &output].map(|path| path.to_str().expect("a path of the test is text"));
    let (code, _, said) = run(cache.path(), &folder, &["batch", input, "-o", output_name])?;
    assert_eq!(code, 0, "{said}");
    let answer: Value = serde_json::from_str(fs::read_to_string(&output)?.trim())?;
    let body = &answer["response"]["body"];
    assert_eq!((&body["choices"][0]["text"], &body["usage"]["prompt_tokens"]), (&json!("And, like"), &json!(15)));
    let errors = fs::read_to_string(format!("{output_name}.errors.jsonl"))?;
    let errors: Vec<Value> = errors.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let codes: Vec<_> = errors.iter().map(|error| [&error["custom_id"], &error["error"]["code"]]).collect();
    assert_eq!(codes, [[&json!("b"), &json!("unsupported")], [&json!("c"), &json!("no_chat_template")]]);
    Ok(())
}

#[test]
fn what_needs_a_conversation_is_a_usage_error() -> Result<()> {
    let (Some(folder), cache) = (shared_data("foreign/tiny-t5-optimum"), tempfile::tempdir()?) else { return Ok(()) };
    for arguments in [&["chat"][..], &["generate", "hello", "--system", "be brief"]] {
        let (code, _, said) = run(cache.path(), &folder, arguments)?;
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("has an encoder, which reads one text, expected a prompt alone"), "{said}");
    }
    Ok(())
}
