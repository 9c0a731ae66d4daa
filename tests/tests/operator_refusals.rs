//! Nodes that cannot be are refused when the model is opened or run, in one line that names them.

use std::path::Path;

use anyhow::Result;
use veridraft_export::onnx::Attribute::{Float, Int, Ints, Text};
use veridraft_export::onnx::{Attribute, ElementType, GraphBuilder, Value};
use veridraft_models::operators::DOMAIN;
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{CausalModel, CausalModelConfig, FORMAT_VERSION, LanguageModel};
use veridraft_tests::one_token;

/// Columns of the only format here, f32, of which a panel of eight columns and one `k` has 32 bytes.
const PANEL_BYTES: usize = 32;

type Attributes = Vec<(&'static str, Attribute)>;

/// Attributes of a product `[rows, 8] -> [rows, 8]` that can be.
fn product() -> Attributes {
    vec![
        ("version", Int(1)),
        ("layout", Int(1)),
        ("k", Int(8)),
        ("columns", Ints(vec![8])),
        ("formats", Text("f32".to_owned())),
        ("gated", Int(0)),
        ("epsilon", Float(1e-5)),
    ]
}

/// Constants for the attention's inputs from 7 on, by their lengths, and its attributes beside the usual ones.
#[derive(Default)]
struct Extras {
    inputs: Vec<Option<usize>>,
    attributes: Attributes,
}

impl Extras {
    fn constants(&self, graph: &mut GraphBuilder) -> Result<Vec<Option<Value>>> {
        let mut constants = Vec::new();
        for (index, length) in self.inputs.iter().enumerate() {
            let constant = |length: &usize| graph.constant(&format!("extra_{index}"), &[*length], &vec![1.0; *length]);
            constants.push(length.as_ref().map(constant).transpose()?);
        }
        Ok(constants)
    }
}

/// A model of one embedding, one attention and one product: tokens to logits, eight columns everywhere.
fn write(path: &Path, attributes: &Attributes, weights: usize, second: bool, extras: &Extras) -> Result<()> {
    let mut graph = GraphBuilder::create(path)?;
    graph.domain(DOMAIN, 1);
    for (key, value) in [("format_version", FORMAT_VERSION), ("architecture", "llama"), ("weights", "f32")] {
        graph.metadata(&format!("veridraft.{key}"), value);
    }
    graph.metadata("veridraft.matmul", "veridraft");
    for (key, value) in [("vocabulary", 8), ("context_length", 64), ("layers", 1)] {
        graph.metadata(&format!("veridraft.{key}"), value);
    }
    let ids = graph.input("input_ids", ElementType::I64, &["rows"]);
    let mut i32_input = |name: &str, axes: &[&str]| graph.input(name, ElementType::I32, axes);
    let positions = i32_input("positions", &["rows"]);
    let slot_mapping = i32_input("slot_mapping", &["rows"]);
    let block_tables = i32_input("block_tables", &["sequences", "blocks"]);
    let query_starts = i32_input("query_starts", &["starts"]);
    let tree_mask = graph.input("tree_mask", ElementType::Bool, &["rows", "width"]);
    let logit_rows = graph.input("logit_rows", ElementType::I64, &["logits"]);
    let mut bytes =
        |name: &str, panels: usize| graph.constant_bytes(name, &[1, panels], |write| write(&vec![0; panels]));
    let table = bytes("table", 3 * 8 * PANEL_BYTES)?;
    let matrix = bytes("matrix", weights)?;
    let embedding = [
        ("version", Int(1)),
        ("layout", Int(1)),
        ("k", Int(24)),
        ("columns", Int(8)),
        ("format", Text("f32".to_owned())),
    ];
    let node = |graph: &mut GraphBuilder, operator: &str, inputs: &[&Value], attributes: &[(&str, Attribute)]| {
        let inputs: Vec<_> = inputs.iter().map(|input| Some(*input)).collect();
        graph.node((DOMAIN, operator), operator, &inputs, attributes)
    };
    let qkv = node(&mut graph, "Embedding", &[&ids, &table], &embedding);
    let attention = [
        ("version", Int(1)),
        ("layer", Int(0)),
        ("heads", Int(1)),
        ("kv_heads", Int(1)),
        ("head_dim", Int(8)),
        ("scale", Float(1.0)),
        ("rotary_dim", Int(0)),
        ("interleaved", Int(0)),
        ("window", Int(0)),
        ("softcap", Float(0.0)),
        ("kind", Text("self".to_owned())),
    ];
    let constants = extras.constants(&mut graph)?;
    let mut operands = [&qkv, &positions, &slot_mapping, &block_tables, &query_starts, &tree_mask].map(Some).to_vec();
    operands.push(None);
    operands.extend(constants.iter().map(Option::as_ref));
    let attention = [attention.as_slice(), &extras.attributes].concat();
    let attended = graph.node((DOMAIN, "PagedAttention"), "attention", &operands, &attention);
    let wanted = graph.standard("Gather", "wanted", &[&attended, &logit_rows], &[]);
    let mut inputs = vec![&wanted, &matrix];
    inputs.extend(second.then_some(&matrix));
    let operands: Vec<_> = inputs.into_iter().map(Some).collect();
    let logits = graph.node((DOMAIN, "MatMul"), "logits", &operands, attributes);
    graph.output(&logits, ElementType::F32, "logits", 8);
    Ok(graph.finish()?)
}

/// Opens the model and runs a token; the error, if any.
fn error_of(attributes: &Attributes, weights: usize, second: bool) -> Result<Option<String>> {
    error_with(attributes, weights, second, &Extras::default())
}

fn error_with(attributes: &Attributes, weights: usize, second: bool, extras: &Extras) -> Result<Option<String>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.onnx");
    write(&path, attributes, weights, second, extras)?;
    let runtime = Runtime::load(&LibraryChoice::default())?;
    let model = CausalModel::open(&runtime, &path, CausalModelConfig::default());
    Ok(model.and_then(|mut model| model.forward(&one_token(3))).err().map(|error| error.to_string()))
}

fn check(name: &'static str, value: Attribute, expected: &str) -> Result<()> {
    let mut attributes = product();
    attributes.iter_mut().find(|(known, _)| *known == name).expect("the product has it").1 = value;
    let error = error_of(&attributes, 8 * PANEL_BYTES, false)?.expect("it should be refused");
    assert!(error.contains(expected) && error.contains("logits") && !error.contains('\n'), "{error}");
    assert!(!error.contains("bug"), "{error}");
    Ok(())
}

#[test]
fn a_product_that_can_be_runs() -> Result<()> {
    assert_eq!(error_of(&product(), 8 * PANEL_BYTES, false)?, None);
    Ok(())
}

#[test]
fn attributes_that_cannot_be_are_named() -> Result<()> {
    check("version", Int(2), "attribute `version` is 2, expected 1")?;
    check("layout", Int(7), "attribute `layout` is 7, expected 1")?;
    check("gated", Int(2), "attribute `gated` is 2, expected 0 or 1")?;
    check("gated", Int(1), "expected 0 unless there are two segments of one size")?;
    check("formats", Text("q3".to_owned()), "weight format `q3`, expected one of f32, q4")?;
    check("formats", Text("f32,f32".to_owned()), "1 `columns` and 2 `formats`")?;
    check("columns", Ints(vec![0]), "expected at least 1")?;
    check("columns", Ints(vec![-8]), "is -8, expected 0 or more")?;
    check("columns", Ints(vec![i64::MAX]), "weights")?;
    check("k", Int(i64::MAX), "expected [rows,")?;
    check("epsilon", Float(f32::NAN), "attribute `epsilon` is NaN, expected 0 or more")
}

#[test]
fn weights_of_another_size_are_refused() -> Result<()> {
    for (bytes, second) in [(8 * PANEL_BYTES - 1, false), (8 * PANEL_BYTES + 32, false), (8 * PANEL_BYTES, true)] {
        let error = error_of(&product(), bytes, second)?.expect("it should be refused");
        let expected = if second { "input 2 is there, expected weights of 1 segments" } else { "expected 256" };
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    }
    Ok(())
}

#[test]
fn norms_of_q_and_k_that_cannot_be_are_named() -> Result<()> {
    let check = |inputs: &[Option<usize>], epsilon: Option<f32>, expected: Option<&str>| -> Result<()> {
        let attributes = epsilon.map(|epsilon| ("norm_epsilon", Float(epsilon))).into_iter().collect();
        let extras = Extras { inputs: inputs.to_vec(), attributes };
        let error = error_with(&product(), 8 * PANEL_BYTES, false, &extras)?;
        let Some(expected) = expected else {
            assert_eq!(error, None);
            return Ok(());
        };
        let error = error.expect("it should be refused");
        assert!(error.contains(expected) && error.contains("layer 0") && !error.contains('\n'), "{error}");
        Ok(())
    };
    check(&[None, Some(8), Some(8)], Some(1e-6), None)?;
    check(&[None, Some(8), Some(8)], None, Some("input 8 is there, expected none"))?;
    check(&[None, Some(8)], Some(1e-6), Some("input 9 is missing"))?;
    check(&[None, None, Some(8)], Some(1e-6), Some("input 8 is missing"))?;
    check(&[Some(8), Some(8), Some(8)], Some(1e-6), Some("`position_bias` has"))?;
    check(&[None, Some(4), Some(8)], Some(1e-6), Some("`q_norm` has 4 numbers, expected 8"))?;
    check(&[None, Some(8), Some(8)], Some(-1.0), Some("the epsilon of q and k is -1"))
}
