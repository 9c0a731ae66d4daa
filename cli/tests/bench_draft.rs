//! `veridraft bench draft` as a program: what it refuses, and its predictions against `bench speculate`.
//!
//! The latter needs the default model: `veridraft model pull smollm2-135m` with `--weights auto` and `q4`.

use std::io::Write;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

const DRAFTS: [&str; 2] = ["lookup", "model=smollm2-135m:q4"];
/// Drafted tokens a step, in what is predicted and in what is run.
const DRAFT_LENGTH: usize = 3;
/// Runs of each, the medians of which are compared: other work on the machine slows either down.
const ROUNDS: usize = 3;

fn veridraft(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(env!("CARGO_BIN_EXE_veridraft")).args(arguments).output()?)
}

fn object(arguments: &[&str]) -> Result<Value> {
    let output = veridraft(arguments)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`veridraft {}`: {said}", arguments.join(" "));
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn what_the_command_line_cannot_ask_is_refused_in_one_line() -> Result<()> {
    let check = |flags: &[&str], status: i32, expected: &str| -> Result<()> {
        let output = veridraft(&[&["bench", "draft", "--data", "absent.jsonl"], flags].concat())?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!((output.status.code(), said.trim_end()), (Some(status), expected), "{flags:?}");
        Ok(())
    };
    let nobody =
        "error: `--draft none` drafts nothing, expected a drafter; plain decoding is what all are compared with";
    check(&["--draft", "none"], 2, nobody)?;
    let nothing = "error: `--stop` and `--ignore-eos` say where generating ends, but `bench draft` generates nothing";
    check(&["--stop", "."], 2, nothing)?;
    check(&["--ignore-eos"], 2, nothing)?;
    check(&["--top-p", "0"], 2, "error: `--top-p` is 0, expected above 0 and at most 1")
}

/// Questions with the answers that the target gives, one of which copies.
fn own_answers() -> Result<NamedTempFile> {
    let list = "Repeat this list twice: apple pie, banana bread, cherry cake, apple pie, banana bread, cherry cake.";
    let mut file = NamedTempFile::with_suffix(".jsonl")?;
    for question in [list, "Explain speculative decoding to a child.", "Count from one to forty in words."] {
        let answer = object(&["generate", "--json", "--draft", "none", "-n", "64", question])?;
        writeln!(file, "{}", json!({ "question": question, "response": answer["text"] }))?;
    }
    file.flush()?;
    Ok(file)
}

#[derive(Default)]
struct Figures {
    lengths: Vec<f64>,
    speed_ups: Vec<f64>,
}

impl Figures {
    fn add(&mut self, figures: &Value) -> Result<()> {
        self.lengths.push(figures["mean_acceptance_length"].as_f64().context("τ")?);
        self.speed_ups.push(figures["speed_up"].as_f64().context("a speed-up")?);
        Ok(())
    }

    fn medians(&self) -> [f64; 2] {
        [&self.lengths, &self.speed_ups].map(|values| {
            let mut values = values.clone();
            values.sort_unstable_by(f64::total_cmp);
            values[values.len() / 2]
        })
    }
}

#[test]
#[ignore = "needs the real model"]
fn predictions_are_what_bench_speculate_measures() -> Result<()> {
    let file = own_answers()?;
    let data = file.path().to_str().context("a path in UTF-8")?;
    let length = DRAFT_LENGTH.to_string();
    let common =
        ["--data", data, "-n", "64", "--json", "--draft", DRAFTS[0], "--draft", DRAFTS[1], "--draft-max", &length];
    let (mut predicted, mut measured): (Vec<_>, Vec<_>) =
        DRAFTS.map(|_| (Figures::default(), Figures::default())).into_iter().unzip();
    for _ in 0..ROUNDS {
        let found = object(&[&["bench", "draft"], common.as_slice()].concat())?;
        assert_eq!((&found["texts"], &found["answers"], &found["cut"]), (&json!(3), &json!(3), &json!(0)));
        for (figures, draft) in predicted.iter_mut().zip(0..) {
            figures.add(&found["drafts"][draft]["draft_lengths"][DRAFT_LENGTH - 1])?;
        }
        let found = object(&[&["bench", "speculate", "--draft-min", &length], common.as_slice()].concat())?;
        for (figures, draft) in measured.iter_mut().zip(0..) {
            figures.add(&found["set_ups"][draft])?;
        }
    }
    for ((draft, predicted), measured) in DRAFTS.iter().zip(&predicted).zip(&measured) {
        let ([tau, speed_up], [real_tau, real_speed_up]) = (predicted.medians(), measured.medians());
        println!("{draft}: τ {tau:.3} predicted, {real_tau:.3} measured; speed-up {speed_up:.3} {real_speed_up:.3}");
        ensure!((tau / real_tau - 1.0).abs() < 0.05, "τ of {draft}");
        ensure!((speed_up / real_speed_up - 1.0).abs() < 0.15, "speed-up of {draft}");
    }
    Ok(())
}
