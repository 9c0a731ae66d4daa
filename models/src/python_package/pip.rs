//! Runs `python -m pip download` and says in one line why it failed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::PackageFile;
use crate::{Error, Result};

/// The interpreter version whose wheels are pinned, whichever version runs pip.
const PYTHON_VERSION: &str = "3.11";
const PYTHON_ABI: &str = "cp311";

/// The commands to try, best first: `$VERIDRAFT_PYTHON` alone if it is set.
pub(super) fn interpreters() -> Vec<String> {
    match std::env::var("VERIDRAFT_PYTHON") {
        Ok(python) if !python.is_empty() => vec![python],
        _ => vec!["python3".to_owned(), "python".to_owned()],
    }
}

/// Downloads the wheel into `scratch`, an existing folder, and returns its path.
pub(super) fn download(interpreters: &[String], file: &PackageFile<'_>, scratch: &Path) -> Result<PathBuf> {
    let requirements = scratch.join("requirements.txt");
    let pinned = format!("{} --hash=sha256:{}\n", file.requirement(), file.wheel_sha256);
    fs::write(&requirements, pinned).map_err(Error::io("write", &requirements))?;
    for python in interpreters {
        let output = match pip_download(python, file.platform, scratch).output() {
            Ok(output) => output,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => continue,
            Err(error) => return Err(Error::io("run", python)(error)),
        };
        if output.status.success() {
            return only_wheel(file, scratch);
        }
        if !is_a_placeholder(&output) {
            return Err(explain(python, file, scratch, &String::from_utf8_lossy(&output.stderr)));
        }
    }
    let tried: Vec<_> = interpreters.iter().map(|name| format!("`{name}`")).collect();
    Err(Error::NoPython { tried: tried.join(", ") })
}

fn pip_download(python: &str, platform: Option<&str>, scratch: &Path) -> Command {
    let mut command = Command::new(interpreter_path(python));
    command.args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"]);
    command.args(["--only-binary=:all:", "--python-version", PYTHON_VERSION, "--require-hashes"]);
    if let Some(platform) = platform {
        command.args(["--platform", platform, "--implementation", "cp", "--abi", PYTHON_ABI]);
    }
    command.args(["-r", "requirements.txt", "-d", "wheel"]);
    // `-m` puts the working directory on Python's search path, so that must be a folder of ours; pip's own temporary
    // files go there too, and with them everything that a killed run leaves.
    command.current_dir(scratch).env("TMPDIR", scratch).env("TEMP", scratch).env("TMP", scratch);
    // Messages are recognised below, and users who forbid installing outside a virtual environment allow a download.
    command.env("LC_ALL", "C.UTF-8").env("PYTHONIOENCODING", "utf-8").env("PIP_REQUIRE_VIRTUALENV", "0");
    command.stdin(Stdio::null());
    command
}

/// A name with a slash is relative to where the user is, not to where pip runs.
fn interpreter_path(python: &str) -> PathBuf {
    match Path::new(python) {
        path if path.components().count() > 1 => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        name => name.to_owned(),
    }
}

fn only_wheel(file: &PackageFile<'_>, scratch: &Path) -> Result<PathBuf> {
    let folder = scratch.join("wheel");
    let entries = fs::read_dir(&folder).map_err(Error::io("read", &folder))?;
    let mut wheels =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension() == Some("whl".as_ref()));
    match (wheels.next(), wheels.next()) {
        (Some(wheel), None) => Ok(wheel),
        _ => Err(Error::Download { package: file.requirement(), reason: "pip left no single wheel".to_owned() }),
    }
}

/// Windows has a `python3` that only advertises the real one.
fn is_a_placeholder(output: &Output) -> bool {
    cfg!(windows) && String::from_utf8_lossy(&output.stderr).contains("Python was not found")
}

/// Turns what a failed pip wrote to standard error into an error.
pub(super) fn explain(python: &str, file: &PackageFile<'_>, scratch: &Path, stderr: &str) -> Error {
    let says = |text: &str| stderr.to_lowercase().contains(text);
    if says("no module named pip") {
        return Error::NoPip { python: python.to_owned() };
    }
    if says("no space left on device") || says("errno 28") {
        return Error::io("download into", scratch)(io::Error::new(
            io::ErrorKind::StorageFull,
            "no space left on the device",
        ));
    }
    if says("do not match the hashes") {
        return Error::Digest {
            what: format!("the Python package `{}` from your package index", file.requirement()),
            found: word_after(stderr, "Got").unwrap_or("unknown").to_owned(),
            expected: file.wheel_sha256.to_owned(),
        };
    }
    let no_network = ["connection", "timed out", "name resolution", "max retries", "proxyerror"].into_iter().any(says);
    let said = without_addresses(last_meaningful_line(stderr));
    let reason = match no_network {
        true => format!("the package index cannot be reached (pip: {said})"),
        false => format!("pip: {said}"),
    };
    Error::Download { package: file.requirement(), reason }
}

fn word_after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    text.split_whitespace().skip_while(|found| *found != word).nth(1)
}

fn last_meaningful_line(stderr: &str) -> &str {
    let lines = || stderr.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let error = lines().find_map(|line| line.strip_prefix("ERROR: "));
    error.or_else(|| lines().find(|line| !line.starts_with("[notice]"))).unwrap_or("no message")
}

/// Where packages come from is the user's own affair and may hold a password, so no address is repeated.
fn without_addresses(line: &str) -> String {
    let hide = |word| if holds_an_address(word) { "(address)" } else { word };
    line.split_whitespace().map(hide).collect::<Vec<_>>().join(" ")
}

fn holds_an_address(word: &str) -> bool {
    word.contains("://") || word.contains("host=") || word.contains('@') || is_host_name(word)
}

/// Dotted words whose last part is letters, such as a mirror's name; versions and file names of wheels are not.
fn is_host_name(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let host = word.split(['/', ':']).next().unwrap_or(word);
    let Some((rest, last)) = host.rsplit_once('.') else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let is_numeric = host.split('.').count() == 4 && host.split('.').all(|part| part.parse::<u8>().is_ok());
    let is_named = last.len() >= 2 && last.chars().all(|c| c.is_ascii_alphabetic()) && last != "whl";
    rest.chars().all(plain) && !rest.is_empty() && (is_numeric || is_named)
}
