//! What an ONNX file says, read before any session is made of it: its metadata, the files its weights lie in, and
//! which nodes keep keys and values in place.
//!
//! A session maps the files that a graph names, so they are checked first: a path that leads out of the graph's folder
//! is refused, as is a file that is missing or too short. Field numbers are those of `onnx.proto`, ONNX 1.x:
//! <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>.

mod external_data;
#[cfg(test)]
mod tests;
mod wire;

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use self::external_data::Location;
use self::wire::{Extent, Field, Reader, Value};
use crate::{Error, Result};

/// Graphs in graphs in graphs ..., at most.
const DEEPEST: usize = 16;

/// The facts of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OnnxFile {
    /// `metadata_props`: keys and values.
    metadata: Vec<(String, String)>,
    /// Where initialisers lie that are not in the file itself.
    locations: Vec<Location>,
    /// The nodes `com.microsoft.GroupQueryAttention`.
    attentions: Vec<GroupQueryAttention>,
}

/// Names of the keys and values of one attention node: those it takes and those it gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct GroupQueryAttention {
    past: [String; 2],
    present: [String; 2],
}

impl OnnxFile {
    /// Reads the file and checks that the files it names are there, in its own folder, and long enough.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let facts = Self::read(file).map_err(|reason| Error::model_file(path, reason))?;
        external_data::check(path, &facts.locations)?;
        Ok(facts)
    }

    /// The value of a key of the metadata.
    pub(crate) fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Whether one node takes `past` and gives `present`, and can do so in one buffer.
    pub(crate) fn updates_in_place(&self, past: &str, present: &str) -> bool {
        let same = |node: &GroupQueryAttention| (0..2).any(|at| node.past[at] == past && node.present[at] == present);
        self.attentions.iter().any(same)
    }

    /// The files that weights lie in beside the graph, each once.
    pub(crate) fn data_files(&self, path: &Path) -> Vec<PathBuf> {
        let mut files: Vec<_> = self.locations.iter().map(|location| path.with_file_name(&location.file)).collect();
        files.sort();
        files.dedup();
        files
    }

    fn read(source: impl Read + Seek) -> wire::Result<Self> {
        let mut reader = Reader::new(source)?;
        let mut facts = Self::default();
        let model = reader.extent();
        reader.fields(model, &mut |reader, field| match field {
            Field { number: 7, value: Value::Bytes(graph) } => facts.graph(reader, graph, DEEPEST),
            Field { number: 14, value: Value::Bytes(entry) } => {
                facts.metadata.push(string_entry(reader, entry)?);
                Ok(())
            }
            // Functions, whose nodes may hold tensors as others do.
            Field { number: 25, value: Value::Bytes(function) } => facts.nodes(reader, function, 7, DEEPEST),
            _ => Ok(()),
        })?;
        Ok(facts)
    }

    fn graph<R: Read + Seek>(&mut self, reader: &mut Reader<R>, graph: Extent, depth: usize) -> wire::Result<()> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(format!("graphs within graphs at byte {}, expected at most {DEEPEST}", graph.start));
        };
        reader.fields(graph, &mut |reader, field| match field {
            Field { number: 1, value: Value::Bytes(node) } => self.node(reader, node, depth),
            Field { number: 5, value: Value::Bytes(tensor) } => self.tensor(reader, tensor),
            Field { number: 15, value: Value::Bytes(sparse) } => self.sparse_tensor(reader, sparse),
            _ => Ok(()),
        })
    }

    fn nodes<R: Read + Seek>(
        &mut self,
        reader: &mut Reader<R>,
        message: Extent,
        wanted: u64,
        depth: usize,
    ) -> wire::Result<()> {
        reader.fields(message, &mut |reader, field| match field {
            Field { number, value: Value::Bytes(node) } if number == wanted => self.node(reader, node, depth),
            _ => Ok(()),
        })
    }

    fn node<R: Read + Seek>(&mut self, reader: &mut Reader<R>, node: Extent, depth: usize) -> wire::Result<()> {
        let (mut inputs, mut outputs, mut operator) = (Vec::new(), Vec::new(), String::new());
        reader.fields(node, &mut |reader, field| {
            match field {
                Field { number: 1, value: Value::Bytes(name) } => inputs.push(reader.text(name)?),
                Field { number: 2, value: Value::Bytes(name) } => outputs.push(reader.text(name)?),
                Field { number: 4, value: Value::Bytes(name) } => operator = reader.text(name)?,
                Field { number: 5, value: Value::Bytes(attribute) } => self.attribute(reader, attribute, depth)?,
                _ => {}
            }
            Ok(())
        })?;
        if operator == "GroupQueryAttention" {
            let name = |names: &[String], at: usize| names.get(at).cloned().unwrap_or_default();
            self.attentions.push(GroupQueryAttention {
                past: [3, 4].map(|at| name(&inputs, at)),
                present: [1, 2].map(|at| name(&outputs, at)),
            });
        }
        Ok(())
    }

    fn attribute<R: Read + Seek>(
        &mut self,
        reader: &mut Reader<R>,
        attribute: Extent,
        depth: usize,
    ) -> wire::Result<()> {
        reader.fields(attribute, &mut |reader, field| match field {
            Field { number: 5 | 10, value: Value::Bytes(tensor) } => self.tensor(reader, tensor),
            Field { number: 6 | 11, value: Value::Bytes(graph) } => self.graph(reader, graph, depth),
            Field { number: 22 | 23, value: Value::Bytes(sparse) } => self.sparse_tensor(reader, sparse),
            _ => Ok(()),
        })
    }

    fn sparse_tensor<R: Read + Seek>(&mut self, reader: &mut Reader<R>, sparse: Extent) -> wire::Result<()> {
        reader.fields(sparse, &mut |reader, field| match field {
            Field { number: 1 | 2, value: Value::Bytes(tensor) } => self.tensor(reader, tensor),
            _ => Ok(()),
        })
    }

    fn tensor<R: Read + Seek>(&mut self, reader: &mut Reader<R>, tensor: Extent) -> wire::Result<()> {
        let (mut name, mut entries) = (String::new(), Vec::new());
        reader.fields(tensor, &mut |reader, field| {
            match field {
                Field { number: 8, value: Value::Bytes(text) } => name = reader.text(text)?,
                Field { number: 13, value: Value::Bytes(entry) } => entries.push(string_entry(reader, entry)?),
                _ => {}
            }
            Ok(())
        })?;
        self.locations.extend(Location::from_entries(name, entries)?);
        Ok(())
    }
}

/// A message of a key, 1, and a value, 2.
fn string_entry<R: Read + Seek>(reader: &mut Reader<R>, entry: Extent) -> wire::Result<(String, String)> {
    let (mut key, mut value) = (String::new(), String::new());
    reader.fields(entry, &mut |reader, field| {
        match field {
            Field { number: 1, value: Value::Bytes(text) } => key = reader.text(text)?,
            Field { number: 2, value: Value::Bytes(text) } => value = reader.text(text)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((key, value))
}
