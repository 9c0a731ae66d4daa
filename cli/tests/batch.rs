//! `veridraft batch` as a process: killed, resumed, cut into shards, drafted in every way, always with the same bytes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_tests::TinyLlama;

const ROWS: usize = 200;
const KILLS: usize = 20;
/// Bytes of a journal without rows.
const JOURNAL_HEADER: u64 = 56;

/// A model and a folder to work in.
struct Bench {
    model: TinyLlama,
    folder: tempfile::TempDir,
    library: PathBuf,
}

impl Bench {
    fn create() -> Result<Self> {
        let model = TinyLlama::create()?;
        let template = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:";
        fs::write(model.model().join("chat_template.jinja"), template)?;
        let library = Runtime::load(&LibraryChoice::default())?.library().path.clone();
        Ok(Self { model, folder: tempfile::tempdir()?, library })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes an input of these lines.
    fn input(&self, name: &str, lines: &[String]) -> Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, lines.join("\n") + "\n")?;
        Ok(path)
    }

    fn command(&self, input: &Path, out: &Path, flags: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_veridraft"));
        command.arg("batch").arg(input).arg("-o").arg(out).args(flags.split_whitespace());
        command.arg("-m").arg(self.model.model()).arg("--ort-lib").arg(&self.library);
        // Nothing of this outlives the test, what passes cost included.
        command.args(["--threads", "1", "-n", "24"]).env("VERIDRAFT_CACHE", self.path("cache"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs to the end, which has to be a success, and returns what it said.
    fn run(&self, input: &Path, out: &Path, flags: &str) -> Result<String> {
        let Output { status, stderr, stdout } = self.command(input, out, flags).output()?;
        let said = String::from_utf8(stderr)?;
        ensure!(status.success(), "{flags}: {said}");
        ensure!(stdout.is_empty(), "standard output is not used");
        Ok(said)
    }

    /// Runs to the end, which has to be a failure of this status, and returns what it said.
    fn refused(&self, input: &Path, out: &Path, flags: &str, status: i32) -> Result<String> {
        let output = self.command(input, out, flags).output()?;
        let said = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(status), "{flags}: {:?}: {said}", output.status);
        Ok(said)
    }
}

/// Requests of all kinds, plain rows, and among them rows that cannot be answered.
fn lines() -> Vec<String> {
    (0..ROWS).map(line).collect()
}

fn line(row: usize) -> String {
    let id = format!("row-{row}");
    let request =
        |url: &str, body: Value| json!({ "custom_id": id, "method": "POST", "url": url, "body": body }).to_string();
    let (chat, completion) = ("/v1/chat/completions", "/v1/completions");
    let text = format!("Once upon a time {} and {}", row % 7, row);
    match row % 10 {
        0 => request(chat, json!({ "model": "x", "messages": [{ "role": "user", "content": text }] })),
        1 => request(completion, json!({ "prompt": text, "temperature": 1.0, "top_p": 0.9 })),
        2 => json!({ "id": row, "prompt": text }).to_string(),
        3 => request(completion, json!({ "prompt": text, "temperature": 0.8, "n": 3, "seed": row })),
        4 => request(completion, json!({ "prompt": text, "logprobs": 2, "echo": true, "max_tokens": 5 })),
        5 => {
            let schema = json!({ "type": "array", "items": { "type": "boolean" }, "maxItems": 4 });
            let format = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": schema } });
            let messages = json!([{ "role": "user", "content": text }]);
            request(chat, json!({ "messages": messages, "response_format": format, "temperature": 1.0 }))
        }
        6 if row == 56 => "this line is not JSON".to_owned(),
        6 if row == 96 => request(completion, json!({ "prompt": text, "temprature": 1.0 })),
        6 if row == 116 => request(completion, json!({ "prompt": "long ".repeat(2000) })),
        6 if row == 126 => line(120),
        6 => json!({ "text": text, "other": row }).to_string(),
        7 => request(completion, json!({ "prompt": [72, 101, row], "stop": ["e", "\u{fffd}"], "temperature": 1.5 })),
        _ => request(completion, json!({ "prompt": "Once upon a time", "max_tokens": 40, "temperature": 0.5 })),
    }
}

/// The files whose bytes are promised.
fn outputs(out: &Path) -> Result<[Vec<u8>; 2]> {
    let read = |path: &Path| fs::read(path).with_context(|| path.display().to_string());
    Ok([read(out)?, read(&beside(out, ".errors.jsonl"))?])
}

fn beside(out: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", out.display()))
}

fn json_lines(bytes: &[u8]) -> Result<Vec<Value>> {
    bytes
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| Ok(serde_json::from_slice(line)?))
        .collect()
}

/// Numbers below 1 from a fixed seed (xorshift, Marsaglia 2003).
fn noise() -> impl FnMut() -> f64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Whether the process ended by itself before it was killed at `moment`.
fn ends_before(mut child: Child, moment: Duration) -> Result<bool> {
    let start = Instant::now();
    while start.elapsed() < moment {
        if let Some(status) = child.try_wait()? {
            let output = child.wait_with_output()?;
            ensure!(status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // SIGKILL: nothing of the process runs any more.
    child.kill()?;
    let killed = !child.wait()?.success();
    Ok(!killed)
}

/// Waits until some rows are in the journal of a process that runs.
fn wait_for_rows(child: &mut Child, out: &Path) -> Result<()> {
    let start = Instant::now();
    let journal = beside(out, ".journal");
    while fs::metadata(&journal).map_or(0, |file| file.len()) < 1000 {
        ensure!(child.try_wait()?.is_none() && start.elapsed() < Duration::from_secs(60), "no row was finished");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

#[test]
fn a_run_that_is_killed_anywhere_ends_with_the_bytes_of_one_that_is_not() -> Result<()> {
    let bench = Bench::create()?;
    let input = bench.input("input.jsonl", &lines())?;
    let undisturbed = bench.path("undisturbed.jsonl");
    bench.run(&input, &undisturbed, "")?;
    let start = Instant::now();
    let again = bench.path("again.jsonl");
    bench.run(&input, &again, "")?;
    let whole = start.elapsed();
    let expected = outputs(&undisturbed)?;
    assert_eq!(outputs(&again)?, expected);

    let mut noise = noise();
    let out = bench.path("out.jsonl");
    let (mut kills, mut resumed, mut ends) = (0, 0, 0);
    while kills < KILLS {
        // More than a header: there is something to resume.
        if fs::metadata(beside(&out, ".journal")).is_ok_and(|journal| journal.len() > JOURNAL_HEADER) {
            resumed += 1;
        }
        // Rounds take less time than the whole: of each run there are killed beginnings, and then ends.
        let child = bench.command(&input, &out, "").spawn()?;
        if ends_before(child, whole.mul_f64(noise() * 0.9))? {
            assert_eq!(outputs(&out)?, expected, "behind {kills} kills");
            for ending in ["", ".errors.jsonl", ".stats.json"] {
                fs::remove_file(beside(&out, ending))?;
            }
            ends += 1;
        } else {
            kills += 1;
        }
    }
    bench.run(&input, &out, "")?;
    assert_eq!(outputs(&out)?, expected);
    println!("{kills} kills within {whole:?}, {resumed} journals resumed, {ends} ends on the way");
    assert!(resumed >= 3, "{resumed} kills left rows in a journal, expected several, or nothing was tested");
    let names: BTreeSet<_> = fs::read_dir(bench.folder.path())?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<_, _>>()?;
    let left: Vec<_> = names.iter().filter(|name| name.to_string_lossy().contains("out.jsonl")).collect();
    assert_eq!(left, ["out.jsonl", "out.jsonl.errors.jsonl", "out.jsonl.stats.json"]);
    Ok(())
}

#[test]
fn neither_drafts_nor_company_nor_shards_change_a_byte() -> Result<()> {
    let bench = Bench::create()?;
    let lines = lines();
    let input = bench.input("input.jsonl", &lines)?;
    let out = bench.path("out.jsonl");
    bench.run(&input, &out, "--draft none --concurrency 1")?;
    let expected = outputs(&out)?;
    check_outputs(&expected)?;
    for (index, flags) in ["--concurrency 8", "--draft lookup --concurrency 32"].into_iter().enumerate() {
        let out = bench.path(&format!("{index}.jsonl"));
        bench.run(&input, &out, flags)?;
        assert_eq!(outputs(&out)?, expected, "{flags}");
    }
    let mut found: [BTreeSet<Vec<u8>>; 2] = Default::default();
    let mut count = 0;
    for shard in 1..=3 {
        let out = bench.path(&format!("shard{shard}.jsonl"));
        bench.run(&input, &out, &format!("--shard {shard}/3"))?;
        for (found, bytes) in found.iter_mut().zip(outputs(&out)?) {
            let lines: Vec<_> = bytes.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
            count += lines.len();
            found.extend(lines);
        }
    }
    assert_eq!(count, ROWS, "shards are disjoint");
    let whole = expected.map(|bytes| bytes.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect());
    assert_eq!(found, whole, "shards cover the input");
    Ok(())
}

/// Every row once, in order, answers and errors in their files and forms.
fn check_outputs([answers, errors]: &[Vec<u8>; 2]) -> Result<()> {
    let (answers, errors) = (json_lines(answers)?, json_lines(errors)?);
    let messages: Vec<_> =
        errors.iter().map(|error| (error["error"]["code"].clone(), error["custom_id"].clone())).collect();
    let expected = [
        (json!("invalid_json"), json!(null)),
        (json!("unknown_field"), json!("row-96")),
        (json!("too_long"), json!("row-116")),
        (json!("duplicate_custom_id"), json!("row-120")),
    ];
    assert_eq!(messages, expected);
    assert_eq!(errors[1]["error"]["message"], "line 97: `body.temprature` is an unknown field");
    assert_eq!(answers.len(), ROWS - errors.len());
    let mut rows = (0..ROWS).filter(|row| ![56, 96, 116, 126].contains(row));
    for answer in &answers {
        let row = rows.next().expect("as many answers as rows");
        let body = &answer["response"]["body"];
        match row % 10 {
            2 => assert_eq!(answer["id"], row),
            6 => assert_eq!(answer["id"], format!("line {}", row + 1)),
            _ => assert_eq!(answer["custom_id"], format!("row-{row}")),
        }
        match row % 10 {
            2 | 6 => assert!(answer["text"].is_string() && answer["usage"]["completion_tokens"].is_u64(), "{answer}"),
            0 => assert_eq!((&body["model"], &body["created"]), (&json!("x"), &json!(0))),
            3 => assert_eq!(body["choices"].as_array().map(Vec::len), Some(3)),
            4 => {
                assert!(body["choices"][0]["text"].as_str().is_some_and(|text| text.starts_with("Once upon")), "{body}")
            }
            5 => {
                let content = &body["choices"][0]["message"]["content"];
                let is_whole = body["choices"][0]["finish_reason"] == "stop";
                let text = content.as_str().context("a text")?;
                assert!(!is_whole || serde_json::from_str::<Vec<bool>>(text).is_ok(), "{text}");
            }
            _ => assert_eq!(answer["response"]["status_code"], 200),
        }
    }
    Ok(())
}

#[test]
fn a_complete_output_is_left_alone_and_so_is_that_of_another_run() -> Result<()> {
    let bench = Bench::create()?;
    let input = bench.input("input.jsonl", &lines()[..20])?;
    let out = bench.path("out.jsonl");
    bench.run(&input, &out, "--limit 5")?;
    let expected = outputs(&out)?;
    assert_eq!(json_lines(&expected[0])?.len(), 5);
    let said = bench.run(&input, &out, "--limit 5 --concurrency 3 --draft none")?;
    assert!(said.contains("is complete, nothing to do"), "{said}");
    for flags in ["--limit 6", "--limit 5 --seed 1", "--limit 5 --temperature 0.5", "--limit 5 --created=7"] {
        let said = bench.refused(&input, &out, flags, 1)?;
        assert!(said.contains("is not of this input, model and flags"), "{flags}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let tokenizer = bench.model.model().join("tokenizer_config.json");
    let text = fs::read_to_string(&tokenizer)?;
    fs::write(&tokenizer, format!("{text} "))?;
    let said = bench.refused(&input, &out, "--limit 5", 1)?;
    assert!(said.contains("is not of this input, model and flags"), "{said}");
    assert_eq!(outputs(&out)?, expected);
    let stats: Value = serde_json::from_slice(&fs::read(beside(&out, ".stats.json"))?)?;
    assert_eq!((&stats["rows"], &stats["errors"], &stats["resumed_rows"]), (&json!(5), &json!(0), &json!(0)));
    Ok(())
}

#[test]
fn a_run_under_way_keeps_others_out_and_another_run_is_not_resumed() -> Result<()> {
    let bench = Bench::create()?;
    let rows: Vec<_> = (0..ROWS).map(|row| json!({ "prompt": format!("{row} a b c") }).to_string()).collect();
    let input = bench.input("input.jsonl", &rows)?;
    let out = bench.path("out.jsonl");
    let mut child = bench.command(&input, &out, "--ignore-eos --concurrency 2").spawn()?;
    wait_for_rows(&mut child, &out)?;
    let said = bench.refused(&input, &out, "--ignore-eos --concurrency 2", 1)?;
    assert!(said.contains("another process is writing"), "{said}");
    child.kill()?;
    child.wait()?;
    let said = bench.refused(&input, &out, "--ignore-eos --seed 1", 1)?;
    assert!(said.contains("belongs to another run"), "{said}");
    let said = bench.run(&input, &out, "--ignore-eos --draft none --concurrency 7")?;
    assert!(said.contains("going on behind"), "{said}");
    assert_eq!(json_lines(&outputs(&out)?[0])?.len(), ROWS);
    Ok(())
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_says_how_to_go_on() -> Result<()> {
    let bench = Bench::create()?;
    let rows: Vec<_> = (0..ROWS).map(|row| json!({ "prompt": format!("{row} a b c") }).to_string()).collect();
    let input = bench.input("input.jsonl", &rows)?;
    let out = bench.path("out.jsonl");
    let mut child = bench.command(&input, &out, "--ignore-eos --concurrency 2").spawn()?;
    wait_for_rows(&mut child, &out)?;
    ensure!(Command::new("kill").args(["-INT", &child.id().to_string()]).status()?.success(), "it could be sent");
    let output = child.wait_with_output()?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("rows finished; the same command goes on behind them"), "{said}");
    bench.run(&input, &out, "--ignore-eos")?;
    assert_eq!(json_lines(&outputs(&out)?[0])?.len(), ROWS);
    Ok(())
}

#[test]
fn an_input_that_changes_between_the_passes_gives_no_output_and_comes_back_unharmed() -> Result<()> {
    let bench = Bench::create()?;
    // As many rows as a word has bits, and more than is read at once: the last ones are read when others are answered.
    let rows: Vec<_> =
        (0..64).map(|row| json!({ "prompt": format!("{row} a"), "x": "-".repeat(400) }).to_string()).collect();
    let sound = rows.join("\n") + "\n";
    let input = bench.input("input.jsonl", &rows)?;
    let undisturbed = bench.path("undisturbed.jsonl");
    bench.run(&input, &undisturbed, "--ignore-eos")?;
    let expected = outputs(&undisturbed)?;
    let changed = sound.replace("\"63 a\"", "\"63 b\"");
    let grown = sound.clone() + &rows[0] + "\n";
    let shrunk = sound[..sound.len() - rows[63].len() - 1].to_owned();
    let moved = sound.clone().replace(&rows[63], &format!("\n{}", rows[63]));
    for (name, text, message) in [
        ("changed", changed, "line 64 changed while the input was read, expected the same rows in both passes"),
        ("grown", grown, "line 65 changed while the input was read, expected the same rows in both passes"),
        ("shrunk", shrunk, "changed while it was read, expected the same rows in both passes"),
        ("moved", moved, "line 65 changed while the input was read, expected the same rows in both passes"),
    ] {
        let out = bench.path(&format!("{name}.jsonl"));
        let mut child = bench.command(&input, &out, "--ignore-eos --concurrency 1").spawn()?;
        wait_for_rows(&mut child, &out)?;
        fs::write(&input, text)?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains(message), "{name}: {said}");
        assert!(!out.exists(), "{name}");
        fs::write(&input, &sound)?;
        let said = bench.run(&input, &out, "--ignore-eos")?;
        assert!(said.contains("going on behind"), "{name}: {said}");
        assert_eq!(outputs(&out)?, expected, "{name}");
    }
    Ok(())
}

#[test]
fn an_input_without_rows_has_an_output_without_lines() -> Result<()> {
    let bench = Bench::create()?;
    for (name, lines) in [("none", vec![]), ("blank", vec![String::new(), "  ".to_owned()])] {
        let input = bench.input(&format!("{name}.jsonl"), &lines)?;
        let out = bench.path(&format!("{name}-out.jsonl"));
        bench.run(&input, &out, "")?;
        assert_eq!(outputs(&out)?, [b"", b""], "{name}");
        assert!(bench.run(&input, &out, "")?.contains("is complete, nothing to do"), "{name}");
    }
    Ok(())
}

#[test]
fn a_journal_that_a_crash_left_beside_a_complete_output_goes_away() -> Result<()> {
    let bench = Bench::create()?;
    let input = bench.input("input.jsonl", &lines()[..20])?;
    let out = bench.path("out.jsonl");
    // A journal with all rows is what there is when OUT has its name: the crash of a run whose OUT could not have it.
    let (stats, journal) = (beside(&out, ".stats.json"), beside(&out, ".journal"));
    let kept = bench.path("kept");
    let mut child = bench.command(&input, &out, "--concurrency 2").spawn()?;
    wait_for_rows(&mut child, &out)?;
    while fs::copy(&journal, &kept).is_ok() {}
    ensure!(child.wait()?.success(), "it is not disturbed");
    let (expected, figures) = (outputs(&out)?, fs::read(&stats)?);
    fs::copy(&kept, &journal)?;
    let said = bench.run(&input, &out, "")?;
    assert!(said.contains("is complete, nothing to do"), "{said}");
    assert!(!journal.exists());
    assert_eq!((outputs(&out)?, fs::read(&stats)?), (expected.clone(), figures), "nothing is written again");
    // That of another run is somebody's work.
    fs::write(&journal, "dear diary")?;
    let said = bench.refused(&input, &out, "", 1)?;
    assert!(said.contains("is not a journal of this program"), "{said}");
    fs::remove_file(&journal)?;
    // Cut short by something else, or without its statistics, it does not count as complete.
    fs::write(&out, &expected[0][..expected[0].len() - 1])?;
    let said = bench.refused(&input, &out, "", 1)?;
    assert!(said.contains("bytes, but was written with"), "{said}");
    fs::write(&out, &expected[0])?;
    fs::remove_file(&stats)?;
    let said = bench.refused(&input, &out, "", 1)?;
    assert!(said.contains("is there, but not") && said.contains("out.jsonl.stats.json"), "{said}");
    Ok(())
}

#[test]
fn files_that_would_overwrite_each_other_are_refused() -> Result<()> {
    let bench = Bench::create()?;
    let rows = lines()[..3].to_vec();
    let out = bench.path("out.jsonl");
    for ending in ["", ".errors.jsonl", ".stats.json", ".journal"] {
        let input = bench.input(&format!("out.jsonl{ending}"), &rows)?;
        let before = fs::read(&input)?;
        let said = bench.refused(&input, &out, "", 2)?;
        assert!(said.contains("is the input, but also a file that is written for"), "{ending}: {said}");
        assert_eq!(fs::read(&input)?, before, "{ending}");
        fs::remove_file(input)?;
    }
    let input = bench.input("input.jsonl", &rows)?;
    for trace in ["out.jsonl", "out.jsonl.journal", "input.jsonl"] {
        let said = bench.refused(&input, &out, &format!("--trace {}", bench.path(trace).display()), 2)?;
        assert!(said.contains("expected"), "{trace}: {said}");
    }
    assert_eq!(fs::read_to_string(&input)?, rows.join("\n") + "\n");
    Ok(())
}

#[test]
fn what_cannot_be_written_in_the_end_is_told_before_the_model_is_opened() -> Result<()> {
    let bench = Bench::create()?;
    let input = bench.input("input.jsonl", &lines()[..3])?;
    let absent = |out: &Path| -> Result<(Option<i32>, String)> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_veridraft"));
        command.arg("batch").arg(&input).arg("-o").arg(out).args(["-m", "/absent/model"]);
        let output = command.env("VERIDRAFT_CACHE", bench.path("cache")).output()?;
        Ok((output.status.code(), String::from_utf8(output.stderr)?))
    };
    let (status, said) = absent(&bench.path(&"x".repeat(235)))?;
    assert!(status == Some(1) && said.contains("cannot write"), "{status:?}: {said}");
    let (status, said) = absent(&bench.path("out.jsonl"))?;
    assert!(status.is_some_and(|status| status > 0) && said.contains("absent"), "{status:?}: {said}");
    if cfg!(not(feature = "parquet")) {
        let (status, said) = absent(&bench.path("out.parquet"))?;
        assert!(
            status == Some(2) && said.contains("needs a build with the cargo feature `parquet`"),
            "{status:?}: {said}"
        );
    }
    Ok(())
}

#[test]
fn rows_that_are_refused_are_settled_also_when_there_is_nothing_else() -> Result<()> {
    let bench = Bench::create()?;
    // More than are taken in between two steps, and between them plain rows with one id and two forms of failing.
    let mut rows: Vec<_> = (0..600).map(|row| format!("no JSON in row {row}")).collect();
    rows[300] = json!({ "id": 7 }).to_string();
    rows[301] = json!({ "id": 7 }).to_string();
    rows[599] = json!({ "id": 7, "prompt": "a b" }).to_string();
    let input = bench.input("input.jsonl", &rows)?;
    let out = bench.path("out.jsonl");
    bench.run(&input, &out, "--ignore-eos")?;
    let [answers, errors] = outputs(&out)?;
    let (answers, errors) = (json_lines(&answers)?, json_lines(&errors)?);
    assert_eq!((answers.len(), errors.len()), (1, 599));
    assert_eq!(errors[598]["error"]["message"], "line 599 is not JSON at column 2, expected one object a line");
    let ids: BTreeSet<_> = errors.iter().map(|error| error["id"].as_str().map(str::to_owned)).collect();
    assert_eq!(ids.len(), 599, "ids are those of one row");
    Ok(())
}

#[test]
fn zstandard_in_and_out_gives_the_same_lines() -> Result<()> {
    let bench = Bench::create()?;
    let lines = lines()[..12].to_vec();
    let out = bench.path("out.jsonl");
    bench.run(&bench.input("input.jsonl", &lines)?, &out, "")?;
    let packed = bench.path("input.jsonl.zst");
    let text = lines.join("\n");
    // A frame of one block as it is, of a length that is told in four bytes: RFC 8878.
    let length = u32::try_from(text.len())?;
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1010_0000];
    frame.extend(length.to_le_bytes());
    frame.extend(&(length << 3 | 1).to_le_bytes()[..3]);
    frame.extend(text.as_bytes());
    fs::write(&packed, frame)?;
    let packed_out = bench.path("packed.jsonl.zst");
    bench.run(&packed, &packed_out, "")?;
    // Read back as an input, it has the rows of the plain file.
    let again = |input: &Path, name: &str| -> Result<Vec<u8>> {
        let out = bench.path(name);
        bench.run(input, &out, "")?;
        Ok(outputs(&out)?[1].clone())
    };
    let (found, expected) = (again(&packed_out, "a.jsonl")?, again(&out, "b.jsonl")?);
    let messages = |errors: &[u8]| -> Result<Vec<_>> {
        Ok(json_lines(errors)?.iter().map(|error| (error["custom_id"].clone(), error["error"].clone())).collect())
    };
    assert_eq!(messages(&found)?, messages(&expected)?);
    assert!(!expected.is_empty());
    Ok(())
}

#[test]
fn packed_files_give_the_same_lines() -> Result<()> {
    use std::io::{Read, Write};
    let bench = Bench::create()?;
    let lines = lines()[..12].to_vec();
    let out = bench.path("out.jsonl");
    bench.run(&bench.input("input.jsonl", &lines)?, &out, "")?;
    let packed = bench.path("input.jsonl.gz");
    let mut encoder = flate2::write::GzEncoder::new(fs::File::create(&packed)?, flate2::Compression::fast());
    encoder.write_all(lines.join("\n").as_bytes())?;
    encoder.finish()?;
    let packed_out = bench.path("packed.jsonl.gz");
    bench.run(&packed, &packed_out, "")?;
    let mut found = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(&packed_out)?).read_to_end(&mut found)?;
    assert_eq!(found, fs::read(&out)?);
    Ok(())
}

#[cfg(feature = "parquet")]
#[test]
fn answers_are_the_rows_of_a_parquet_file() -> Result<()> {
    let bench = Bench::create()?;
    let rows: Vec<_> = (0..9).map(|row| json!({ "id": row, "prompt": format!("{row} a b c") }).to_string()).collect();
    let input = bench.input("input.jsonl", &rows)?;
    let (lines, columns) = (bench.path("lines.jsonl"), bench.path("columns.parquet"));
    bench.run(&input, &lines, "--ignore-eos")?;
    bench.run(&input, &columns, "--ignore-eos")?;
    // Read back as prompts, they are the texts of the other file.
    let again = |input: &Path, name: &str| -> Result<Vec<Value>> {
        let out = bench.path(name);
        bench.run(input, &out, "--field text --raw")?;
        json_lines(&outputs(&out)?[0])
    };
    let texts = |answers: Vec<Value>| answers.iter().map(|answer| answer["text"].clone()).collect::<Vec<_>>();
    let (found, expected) = (again(&columns, "a.jsonl")?, again(&lines, "b.jsonl")?);
    assert_eq!(found[3]["id"], "3");
    assert_eq!(found.len(), 9);
    assert_eq!(texts(found), texts(expected));
    Ok(())
}

#[test]
#[ignore = "a measurement: ten thousand rows"]
fn the_journal_takes_a_small_part_of_the_time() -> Result<()> {
    let bench = Bench::create()?;
    let rows: Vec<_> =
        (0..10_000).map(|row| json!({ "prompt": format!("{row} a b c"), "id": row }).to_string()).collect();
    let input = bench.input("input.jsonl", &rows)?;
    let out = bench.path("out.jsonl");
    bench.run(&input, &out, "--ignore-eos")?;
    let stats: Value = serde_json::from_slice(&fs::read(beside(&out, ".stats.json"))?)?;
    let (journal, whole) = (stats["journal_seconds"].as_f64(), stats["seconds"].as_f64());
    println!("{journal:?} of {whole:?} seconds in the journal");
    assert!(journal.context("a time")? < 0.05 * whole.context("a time")?, "{stats}");
    Ok(())
}
