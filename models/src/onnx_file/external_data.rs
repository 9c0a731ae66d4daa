//! Where the weights of a graph lie that are not in its file, and whether they can be there.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use super::wire;
use crate::{Error, Result};

/// A tensor's place in another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    /// The tensor.
    pub(super) tensor: String,
    /// The file, as the graph names it: relative to its own folder.
    pub(super) file: String,
    /// Where the tensor ends in it, in bytes; 0 when the graph does not say.
    pub(super) end: u64,
}

impl Location {
    /// Reads `external_data` of a tensor; `None` for one that lies in the graph's own file.
    pub(super) fn from_entries(tensor: String, entries: Vec<(String, String)>) -> wire::Result<Option<Self>> {
        let text = |key: &str| entries.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str());
        let Some(file) = text("location") else { return Ok(None) };
        let number = |key: &str| {
            let found = text(key).unwrap_or("0");
            found.parse::<u64>().map_err(|_| format!("`{tensor}` has {key} `{found}`, expected a number of bytes"))
        };
        let end = number("offset")?.saturating_add(number("length")?);
        Ok(Some(Self { file: file.to_owned(), end, tensor }))
    }
}

/// Refuses files that lie elsewhere, are missing or end too early; `graph` is the ONNX file.
pub(super) fn check(graph: &Path, locations: &[Location]) -> Result<()> {
    // One look at each file, for the tensor that ends last in it.
    let mut last: BTreeMap<&str, &Location> = BTreeMap::new();
    for location in locations {
        let known = last.entry(&location.file).or_insert(location);
        if location.end > known.end {
            *known = location;
        }
    }
    for Location { tensor, file, end } in last.into_values() {
        let refuse = |reason: String| Err(Error::model_file(graph, reason));
        if !stays_in_its_folder(file) {
            return refuse(format!(
                "the data of `{tensor}` lies in `{file}`, expected a file in the graph's own folder"
            ));
        }
        let Ok(metadata) = std::fs::metadata(graph.with_file_name(file)) else {
            return refuse(format!("the data of `{tensor}` lies in `{file}`, which is missing"));
        };
        let found = metadata.len();
        if !metadata.is_file() || found < *end {
            return refuse(format!("the data of `{tensor}` ends at byte {end} of `{file}`, which has {found} bytes"));
        }
    }
    Ok(())
}

/// Names of folders and files alone: no root, no drive, no way up.
fn stays_in_its_folder(file: &str) -> bool {
    // A backslash leads up on some systems and is part of a name on others.
    let parts = file.split(['/', '\\']);
    let leads_out = |part: &str| Path::new(part).components().any(|part| part == Component::ParentDir);
    !file.is_empty() && !file.starts_with(['/', '\\']) && !file.contains(':') && !parts.into_iter().any(leads_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_out_of_the_folder_are_refused() {
        let check = |file: &str, expected: bool| assert_eq!(stays_in_its_folder(file), expected, "{file}");
        check("model.onnx.data", true);
        check("weights/0.bin", true);
        check("./model.bin", true);
        check("", false);
        check("../model.bin", false);
        check("weights/../../model.bin", false);
        check("..\\model.bin", false);
        check("/etc/passwd", false);
        check("\\\\host\\share", false);
        check("c:model.bin", false);
    }
}
