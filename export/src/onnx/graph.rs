//! A graph builder: nodes are added in the order in which they run, weights stream to the external data file.

use std::path::{Path, PathBuf};

use prost::Message;

use super::external_data::{Extent, ExternalData};
use super::proto;
use crate::{Error, Result};

/// ONNX opset of the standard domain; 17 is the first with everything used here, and every ONNX Runtime in use has it.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// A tensor in the graph, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(String);

/// A node's constant parameter.
#[derive(Clone, Debug)]
pub enum Attribute {
    /// `INT`
    Int(i64),
    /// `FLOAT`
    Float(f32),
    /// `STRING`
    Text(String),
    /// `INTS`
    Ints(Vec<i64>),
}

/// Element types of graph inputs and outputs, with the numbers of `onnx.TensorProto.DataType`.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub enum ElementType {
    /// 32-bit float.
    F32 = 1,
    /// 8-bit unsigned integer.
    U8 = 2,
    /// 32-bit signed integer.
    I32 = 6,
    /// 64-bit signed integer.
    I64 = 7,
    /// Boolean, a byte each.
    Bool = 9,
}

/// How long an axis of a graph's input or output is.
#[derive(Clone, Copy, Debug)]
pub enum Axis<'a> {
    /// As the caller wants; axes of one name are alike.
    Named(&'a str),
    /// This long.
    Fixed(usize),
}

/// A model file under construction.
pub struct GraphBuilder {
    path: PathBuf,
    data_name: String,
    data: ExternalData,
    graph: proto::Graph,
    domains: Vec<(String, i64)>,
    metadata: Vec<proto::StringEntry>,
}

impl GraphBuilder {
    /// Starts `path` and, beside it, the external data file `path` + ".data".
    pub fn create(path: &Path) -> Result<Self> {
        let file_name = path.file_name().expect("a model path has a file name").to_string_lossy();
        let data_name = format!("{file_name}.data");
        let data = ExternalData::create(&path.with_file_name(&data_name))?;
        let graph = proto::Graph { name: "veridraft".to_owned(), ..Default::default() };
        let domains = vec![(String::new(), OPSET)];
        Ok(Self { path: path.to_owned(), data_name, data, graph, domains, metadata: Vec::new() })
    }

    /// Declares that nodes of `domain` follow its `version`.
    pub fn domain(&mut self, domain: &str, version: i64) {
        let declared = (domain.to_owned(), version);
        if !self.domains.contains(&declared) {
            self.domains.push(declared);
        }
    }

    /// Adds an entry of `metadata_props`, by which the file describes itself.
    pub fn metadata(&mut self, key: &str, value: impl ToString) {
        self.metadata.push(proto::StringEntry { key: key.to_owned(), value: value.to_string() });
    }

    /// Declares a graph input whose axes all have names.
    pub fn input(&mut self, name: &str, element: ElementType, axes: &[&str]) -> Value {
        let axes: Vec<_> = axes.iter().map(|axis| Axis::Named(axis)).collect();
        self.input_of(name, element, &axes)
    }

    /// Declares a graph input.
    pub fn input_of(&mut self, name: &str, element: ElementType, axes: &[Axis]) -> Value {
        self.graph.input.push(value_info(name, element, axes));
        Value(name.to_owned())
    }

    /// Makes `value` a graph output of `[rows axis, columns]`.
    pub fn output(&mut self, value: &Value, element: ElementType, rows: &str, columns: usize) {
        self.output_of(value, element, &[Axis::Named(rows), Axis::Fixed(columns)]);
    }

    /// Makes `value` a graph output.
    pub fn output_of(&mut self, value: &Value, element: ElementType, axes: &[Axis]) {
        self.graph.output.push(value_info(&value.0, element, axes));
    }

    /// Writes a constant to the external data file; `values` is `dims`, row by row.
    pub fn constant(&mut self, name: &str, dims: &[usize], values: &[f32]) -> Result<Value> {
        assert_eq!(dims.iter().product::<usize>(), values.len(), "`{name}` has as many values as its axes say");
        let extent = self.data.append_f32(values)?;
        Ok(self.external(name, dims, ElementType::F32, extent))
    }

    /// Writes bytes to the external data file piece by piece, as an [`ElementType::U8`] constant of `dims`; `fill` hands
    /// over each piece.
    pub fn constant_bytes(
        &mut self,
        name: &str,
        dims: &[usize],
        fill: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<Value> {
        let extent = self.data.append(fill)?;
        let expected = dims.iter().product::<usize>() as u64;
        assert_eq!(extent.length, expected, "`{name}` has as many bytes as its axes say");
        Ok(self.external(name, dims, ElementType::U8, extent))
    }

    fn external(&mut self, name: &str, dims: &[usize], element: ElementType, extent: Extent) -> Value {
        let entry = |key: &str, value: String| proto::StringEntry { key: key.to_owned(), value };
        self.graph.initializer.push(proto::Tensor {
            dims: dims.iter().map(|&dim| dim as i64).collect(),
            data_type: element as i32,
            name: name.to_owned(),
            external_data: vec![
                entry("location", self.data_name.clone()),
                entry("offset", extent.offset.to_string()),
                entry("length", extent.length.to_string()),
            ],
            data_location: 1,
        });
        Value(name.to_owned())
    }

    /// Adds a node `domain.operator` called `name`; its one output bears the node's name.
    ///
    /// An input of `None` is an optional one left out.
    pub fn node(
        &mut self,
        operator: (&str, &str),
        name: &str,
        inputs: &[Option<&Value>],
        attributes: &[(&str, Attribute)],
    ) -> Value {
        let [output] = self.node_with_outputs(operator, &[name], inputs, attributes);
        output
    }

    /// Adds a node `domain.operator` with outputs of these names, which bears the first of them.
    ///
    /// An empty name is an optional output left out.
    pub fn node_with_outputs<const N: usize>(
        &mut self,
        (domain, operator): (&str, &str),
        outputs: &[&str; N],
        inputs: &[Option<&Value>],
        attributes: &[(&str, Attribute)],
    ) -> [Value; N] {
        let input = inputs.iter().map(|input| input.map_or_else(String::new, |value| value.0.clone())).collect();
        let outputs = outputs.map(str::to_owned);
        self.graph.node.push(proto::Node {
            input,
            output: outputs.to_vec(),
            name: outputs.first().cloned().unwrap_or_default(),
            op_type: operator.to_owned(),
            attribute: attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
            domain: domain.to_owned(),
        });
        outputs.map(Value)
    }

    /// Adds a node of the standard domain whose inputs are all present.
    pub fn standard(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[&Value],
        attributes: &[(&str, Attribute)],
    ) -> Value {
        let inputs: Vec<_> = inputs.iter().map(|input| Some(*input)).collect();
        self.node(("", operator), name, &inputs, attributes)
    }

    /// Writes the model file; the weights are on the disk before it.
    pub fn finish(self) -> Result<()> {
        self.data.finish()?;
        let operator_set = |(domain, version)| proto::OperatorSet { domain, version };
        let model = proto::Model {
            ir_version: IR_VERSION,
            producer_name: "veridraft".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(self.graph),
            opset_import: self.domains.into_iter().map(operator_set).collect(),
            metadata_props: self.metadata,
        };
        std::fs::write(&self.path, model.encode_to_vec()).map_err(Error::io("write", &self.path))
    }
}

fn value_info(name: &str, element: ElementType, axes: &[Axis]) -> proto::ValueInfo {
    let extent = |axis: &Axis| match *axis {
        Axis::Named(name) => proto::Extent::Named(name.to_owned()),
        Axis::Fixed(length) => proto::Extent::Fixed(length as i64),
    };
    let dimension = axes.iter().map(|axis| proto::Dimension { extent: Some(extent(axis)) }).collect();
    let tensor = proto::TensorType { element: element as i32, shape: Some(proto::Shape { dimension }) };
    proto::ValueInfo { name: name.to_owned(), value_type: Some(proto::ValueType { tensor: Some(tensor) }) }
}

fn attribute(name: &str, value: &Attribute) -> proto::NodeAttribute {
    let base = proto::NodeAttribute { name: name.to_owned(), ..Default::default() };
    match value {
        Attribute::Float(value) => proto::NodeAttribute { f: Some(*value), kind: 1, ..base },
        Attribute::Int(value) => proto::NodeAttribute { i: Some(*value), kind: 2, ..base },
        Attribute::Text(value) => proto::NodeAttribute { s: Some(value.clone().into_bytes()), kind: 3, ..base },
        Attribute::Ints(values) => proto::NodeAttribute { ints: values.clone(), kind: 7, ..base },
    }
}
