//! Takes one file out of a wheel, which is a zip archive.

use std::fs::File;
use std::io;
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use super::PackageFile;
use crate::{Error, Result};

pub(super) fn extract(wheel: &Path, file: &PackageFile<'_>, output: &Path) -> Result<()> {
    let refuse =
        |reason: String| Error::Download { package: file.requirement(), reason: format!("its wheel {reason}") };
    let opened = File::open(wheel).map_err(Error::io("open", wheel))?;
    let mut archive =
        ZipArchive::new(io::BufReader::new(opened)).map_err(|error| refuse(format!("is no zip: {error}")))?;
    let mut member = archive.by_name(file.member).map_err(|error| match error {
        ZipError::FileNotFound => refuse(format!("has no file `{}`", file.member)),
        other => refuse(format!("cannot be read at `{}`: {other}", file.member)),
    })?;
    let mut target = File::create(output).map_err(Error::io("create", output))?;
    io::copy(&mut member, &mut target).map_err(Error::io("write", output))?;
    Ok(())
}
