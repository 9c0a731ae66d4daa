//! Whether OUT is there already, by what OUT.stats.json says of it.

use std::fs;
use std::io::ErrorKind;

use anyhow::{Context, Result, bail};

use super::identity::Identity;
use super::places::Places;
use super::stats::Proof;

/// Whether OUT is there, of this run, and as long as it was written; an error if it is there, but not so.
pub(super) fn is_complete(places: &Places, identity: &Identity) -> Result<bool> {
    let (out, stats) = (places.out.display(), places.stats.display());
    let found = match fs::metadata(&places.out) {
        Ok(file) => file.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("cannot read `{out}`")),
    };
    let text = match fs::read(&places.stats) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("`{out}` is there, but not `{stats}`, which says what it is of; it was left as it is")
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read `{stats}`")),
    };
    let Some(proof) = Proof::read(&text).filter(|proof| proof.run == identity.hexadecimal()) else {
        bail!("`{out}` is not of this input, model and flags, expected no file or one of theirs; it was left as it is");
    };
    if proof.out_bytes != found {
        let expected = proof.out_bytes;
        bail!("`{out}` has {found} bytes, but was written with {expected}; delete it to have it written again");
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::commands::batch::stats::{Output, Tally};

    #[test]
    fn an_output_is_believed_with_its_statistics_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let places = Places::of(&folder.path().join("out")).expect("a name");
        let identity = Identity { whole: [1; 32], part: [2; 32] };
        let found = || match is_complete(&places, &identity) {
            Ok(true) => "complete".to_owned(),
            Ok(false) => "absent".to_owned(),
            Err(error) => error.to_string().replace(&format!("{}/", folder.path().display()), ""),
        };
        assert_eq!(found(), "absent");
        fs::write(&places.out, "12345").expect("written");
        assert_eq!(found(), "`out` is there, but not `out.stats.json`, which says what it is of; it was left as it is");
        let stats = |run: &str, bytes| {
            let output = Output { run, rows: 1, errors: 0, bytes };
            fs::write(&places.stats, Tally::default().file(&output, Duration::ZERO)).expect("written");
        };
        stats(&identity.hexadecimal(), 5);
        assert_eq!(found(), "complete");
        stats(&identity.hexadecimal(), 6);
        assert_eq!(found(), "`out` has 5 bytes, but was written with 6; delete it to have it written again");
        stats("c0ffee", 5);
        assert!(found().starts_with("`out` is not of this input, model and flags"), "{}", found());
        fs::remove_file(&places.out).expect("removed");
        assert_eq!(found(), "absent");
    }
}
