//! SHA-256 of files.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// The file's SHA-256 in lower-case hexadecimal.
pub fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(Error::io("read", path))? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    Ok(hexadecimal(hasher))
}

/// The text's SHA-256 in lower-case hexadecimal.
pub fn sha256_of_text(text: &str) -> String {
    hexadecimal(Sha256::new_with_prefix(text))
}

/// An error unless the file's SHA-256 is `expected`; `what` names the file to a person.
pub fn check_sha256(path: &Path, what: &str, expected: &str) -> Result<()> {
    let found = sha256_of(path)?;
    if found == expected {
        return Ok(());
    }
    Err(Error::Digest { what: what.to_owned(), found, expected: expected.to_owned() })
}

fn hexadecimal(hasher: Sha256) -> String {
    let mut text = String::with_capacity(64);
    for byte in hasher.finalize() {
        let _ = write!(text, "{byte:02x}"); // Writing to a string cannot fail.
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_abc_is_that_of_fips_180() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").expect("written");
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_of(&path).expect("read"), expected);
        assert_eq!(sha256_of_text("abc"), expected);
        assert!(check_sha256(&path, "abc", expected).is_ok());
        assert!(matches!(check_sha256(&path, "abc", "00"), Err(Error::Digest { .. })));
    }
}
