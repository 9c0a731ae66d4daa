//! Pip's messages become one line each, and a wheel yields nothing but what was pinned.

use std::io::Write;

use super::*;

const FILE: PackageFile<'_> = PackageFile {
    package: "thing",
    version: "1.2",
    platform: None,
    wheel_sha256: "aaaa",
    member: "thing/data.bin",
    member_sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
};

fn check_message(stderr: &str, expected: &str) {
    assert_eq!(pip::explain("python3", &FILE, Path::new("/scratch"), stderr).to_string(), expected);
}

#[test]
fn each_failure_of_pip_has_its_own_line() {
    check_message(
        "/usr/bin/python3: No module named pip\n",
        "`python3` has no pip; install pip for it, or set `VERIDRAFT_PYTHON` to an interpreter that has it",
    );
    check_message(
        "ERROR: Could not find a version that satisfies the requirement thing==1.2 (from versions: 1.0)\n\
         ERROR: No matching distribution found for thing==1.2\n",
        "cannot download the Python package `thing==1.2`: pip: No matching distribution found for thing==1.2",
    );
    check_message(
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)': /simple/thing/\n\
         ERROR: No matching distribution found for thing==1.2\n",
        "cannot download the Python package `thing==1.2`: the package index cannot be reached (pip: No matching \
         distribution found for thing==1.2)",
    );
    check_message(
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n    thing==1.2:\n\
         \x20       Expected sha256 aaaa\n             Got        bbbb\n",
        "the Python package `thing==1.2` from your package index has sha256 bbbb, expected aaaa",
    );
    check_message(
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
        "cannot download into `/scratch`: no space left on the device",
    );
    check_message("", "cannot download the Python package `thing==1.2`: pip: no message");
}

#[test]
fn no_address_is_repeated() {
    check_message(
        "ERROR: HTTP error 404 while getting https://user:secret@mirror.example/simple\n",
        "cannot download the Python package `thing==1.2`: pip: HTTP error 404 while getting (address)",
    );
    check_message(
        "ERROR: HTTPSPool(host='mirror.example', port=443): certificate of mirror.example:443 and 10.0.0.1, see pip 23.2.1\n",
        "cannot download the Python package `thing==1.2`: pip: (address) port=443): certificate of (address) and \
         (address) see pip 23.2.1",
    );
}

#[test]
fn without_python_the_commands_tried_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tried = ["no-such-python".to_owned(), "nor-this".to_owned()];
    let error = pip::download(&tried, &FILE, folder.path()).expect_err("there is none");
    assert!(error.to_string().starts_with("no Python found (tried `no-such-python`, `nor-this`)"), "{error}");
}

fn zip_of(name: &str, content: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file(name, zip::write::SimpleFileOptions::default()).expect("started");
    writer.write_all(content).expect("written");
    writer.finish().expect("finished").into_inner()
}

/// Takes `thing/data.bin` out of a wheel and compares the file, or a part of the message.
fn check_unpack(wheel: &[u8], pinned: bool, expected: std::result::Result<&str, &str>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("thing.whl");
    fs::write(&path, wheel).expect("written");
    let digest = crate::cache::sha256_of(&path).expect("read");
    let file = PackageFile { wheel_sha256: if pinned { &digest } else { FILE.wheel_sha256 }, ..FILE };
    let output = folder.path().join("out");
    match (unpack(&path, &file, &output), expected) {
        (Ok(()), Ok(content)) => assert_eq!(fs::read_to_string(output).expect("there"), content),
        (Err(error), Err(message)) => assert!(error.to_string().contains(message), "{error}"),
        (found, _) => panic!("{found:?}, expected {expected:?}"),
    }
}

#[test]
fn only_the_pinned_file_of_the_pinned_wheel_is_taken() {
    check_unpack(&zip_of("thing/data.bin", b"abc"), true, Ok("abc"));
    check_unpack(&zip_of("thing/data.bin", b"abc"), false, Err("`thing==1.2` has sha256 "));
    check_unpack(&zip_of("thing/data.bin", b"abd"), true, Err("`thing/data.bin` in `thing==1.2` has sha256 "));
    check_unpack(&zip_of("thing/other.bin", b"abc"), true, Err("its wheel has no file `thing/data.bin`"));
    check_unpack(b"not a zip", true, Err("its wheel is no zip"));
}
