//! Every ONNX Runtime operator that an exported graph uses is row-exact in this version of the library.
//!
//! Small pieces of the graph run with the optimisations that the model runs with, rows alone and among others. The last
//! test holds the operators of the pieces against those of a whole model, so none goes untested.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::Tensor;
use prost::Message;
use veridraft_export::onnx::{Attribute, ElementType, GraphBuilder, Value};
use veridraft_export::{ExportConfig, MatMulOperators, Weights, export};
use veridraft_models::cache::to_stderr;
use veridraft_models::operators::DOMAIN;
use veridraft_models::runtime::{LibraryChoice, find_library, install};
use veridraft_tests::{Reference, TinyLlama};

/// Sizes of SmolLM2-135M.
const HIDDEN: usize = 576;
const INTERMEDIATE: usize = 1536;

/// Numbers in a row of which none but the first begins where a vector does.
const ODD: usize = 1531;

/// Around every tile and block of a matrix multiplication that processors have.
fn row_counts() -> impl Iterator<Item = usize> {
    (2..=33).chain([64, 511, 512, MOST_ROWS])
}

/// Rows in the largest batch.
const MOST_ROWS: usize = 2048;

/// Adds nodes behind `rows`, `[rows, HIDDEN]`, and returns the piece's output.
type Piece = fn(&mut GraphBuilder, &Value) -> Result<Value>;

fn pieces() -> [(&'static str, Piece); 9] {
    [
        ("norm", norm),
        ("projection", projection),
        ("gated MLP", mlp),
        ("picked rows", picked),
        ("columns side by side", columns),
        ("layer norms", layer_norms),
        ("soft cap", soft_cap),
        ("GELU by the error function", |graph, rows| gelu(graph, rows, "Gelu")),
        ("GELU by tanh", |graph, rows| gelu(graph, rows, "FastGelu")),
    ]
}

fn norm(graph: &mut GraphBuilder, rows: &Value) -> Result<Value> {
    let weight = graph.constant("norm.weight", &[HIDDEN], &noise(HIDDEN, 1))?;
    let attributes =
        [("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(1e-5)), ("stash_type", Attribute::Int(1))];
    Ok(graph.standard("SimplifiedLayerNormalization", "norm", &[rows, &weight], &attributes))
}

fn gemm(graph: &mut GraphBuilder, name: &str, rows: &Value, outs: usize, ins: usize) -> Result<Value> {
    let weight = graph.constant(&format!("{name}.weight"), &[outs, ins], &noise(outs * ins, outs as u64))?;
    Ok(graph.standard("Gemm", name, &[rows, &weight], &[("transB", Attribute::Int(1))]))
}

fn projection(graph: &mut GraphBuilder, rows: &Value) -> Result<Value> {
    let bias = graph.constant("bias", &[HIDDEN], &noise(HIDDEN, 2))?;
    let weight = graph.constant("weight", &[HIDDEN, HIDDEN], &noise(HIDDEN * HIDDEN, 3))?;
    let out = graph.standard("Gemm", "projection", &[rows, &weight, &bias], &[("transB", Attribute::Int(1))]);
    let sum = graph.standard("Add", "residual", &[rows, &out], &[]);
    norm(graph, &sum)
}

fn mlp(graph: &mut GraphBuilder, rows: &Value) -> Result<Value> {
    let gate = gemm(graph, "gate", rows, INTERMEDIATE, HIDDEN)?;
    let up = gemm(graph, "up", rows, INTERMEDIATE, HIDDEN)?;
    let sigmoid = graph.standard("Sigmoid", "sigmoid", &[&gate], &[]);
    let silu = graph.standard("Mul", "silu", &[&gate, &sigmoid], &[]);
    let gated = graph.standard("Mul", "gated", &[&silu, &up], &[]);
    let down = gemm(graph, "down", &gated, HIDDEN, INTERMEDIATE)?;
    let sum = graph.standard("Add", "residual", &[rows, &down], &[]);
    norm(graph, &sum)
}

/// Every row picked twice over: the same bits again.
fn picked(graph: &mut GraphBuilder, rows: &Value) -> Result<Value> {
    let ids = graph.input("ids", ElementType::I64, &["rows"]);
    let same = graph.standard("Identity", "same", &[rows], &[]);
    let picked = graph.standard("Gather", "picked", &[&same, &ids], &[]);
    Ok(graph.standard("Add", "sum", &[&picked, rows], &[]))
}

fn columns(graph: &mut GraphBuilder, rows: &Value) -> Result<Value> {
    let parts = [gemm(graph, "q", rows, 400, HIDDEN)?, gemm(graph, "k", rows, 100, HIDDEN)?];
    let last = gemm(graph, "v", rows, HIDDEN - 500, HIDDEN)?;
    Ok(graph.standard("Concat", "qkv", &[&parts[0], &parts[1], &last], &[("axis", Attribute::Int(1))]))
}

/// Scaled and bounded rows before one norm, and a residual before the next, with and without weights.
fn layer_norms(graph: &mut GraphBuilder, rows: &Value) -> Result<Value> {
    let scale = graph.constant("scale", &[1], &[3.25])?;
    let (least, most) = (graph.constant("least", &[], &[-2.0])?, graph.constant("most", &[], &[2.0])?);
    let scaled = graph.standard("Mul", "scaled", &[rows, &scale], &[]);
    let bounded = graph.standard("Clip", "bounded", &[&scaled, &least, &most], &[]);
    let ones = graph.constant("ones", &[HIDDEN], &[1.0; HIDDEN])?;
    let weight = graph.constant("weight", &[HIDDEN], &noise(HIDDEN, 5))?;
    let bias = graph.constant("bias", &[HIDDEN], &noise(HIDDEN, 6))?;
    let attributes =
        [("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(1e-5)), ("stash_type", Attribute::Int(1))];
    let plain = graph.standard("LayerNormalization", "plain", &[&bounded, &ones], &attributes);
    let sum = graph.standard("Add", "sum", &[&plain, rows], &[]);
    Ok(graph.standard("LayerNormalization", "weighted", &[&sum, &weight, &bias], &attributes))
}

fn soft_cap(graph: &mut GraphBuilder, rows: &Value) -> Result<Value> {
    let softcap = graph.constant("softcap", &[1], &[0.75])?;
    let inner = gemm(graph, "inner", rows, ODD, HIDDEN)?;
    let divided = graph.standard("Div", "divided", &[&inner, &softcap], &[]);
    let bent = graph.standard("Tanh", "tanh", &[&divided], &[]);
    let bent = graph.standard("Mul", "bent", &[&bent, &softcap], &[]);
    gemm(graph, "outer", &bent, HIDDEN, ODD)
}

fn gelu(graph: &mut GraphBuilder, rows: &Value, operator: &str) -> Result<Value> {
    graph.domain("com.microsoft", 1);
    let inner = gemm(graph, "inner", rows, ODD, HIDDEN)?;
    let inner = graph.node(("com.microsoft", operator), "gelu", &[Some(&inner)], &[]);
    gemm(graph, "outer", &inner, HIDDEN, ODD)
}

/// Numbers in [-1, 1) from a seed.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn write(piece: Piece, path: &Path) -> Result<()> {
    let mut graph = GraphBuilder::create(path)?;
    let rows = graph.input("rows", ElementType::F32, &["rows", "hidden"]);
    let output = piece(&mut graph, &rows)?;
    graph.output(&output, ElementType::F32, "rows", HIDDEN);
    Ok(graph.finish()?)
}

fn open(environment: &Environment, path: &Path, threads: usize) -> Result<Session> {
    let session = Session::builder(environment)
        .and_then(|builder| Ok(builder.with_intra_threads(threads)?))
        .and_then(|mut builder| builder.commit_from_file(path));
    session.map_err(|error| anyhow::anyhow!("{error}"))
}

fn run(session: &mut Session, values: &[f32]) -> Result<Vec<f32>> {
    let rows = values.len() / HIDDEN;
    let mut inputs = vec![("rows", Tensor::from_array(([rows, HIDDEN], values.to_vec()))?.into_dyn())];
    if session.inputs().len() > 1 {
        inputs.push(("ids", Tensor::from_array(([rows], (0..rows as i64).collect::<Vec<_>>()))?.into_dyn()));
    }
    let outputs = session.run(inputs)?;
    Ok(outputs[0].try_extract_tensor::<f32>()?.1.to_vec())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn every_operator_gives_a_row_the_same_bits_in_any_company() -> Result<()> {
    let library = match find_library(&LibraryChoice::default())? {
        Some(library) => library.path,
        None => install(&to_stderr)?,
    };
    let environment = ort::init_from(library)?.build()?;
    let folder = tempfile::tempdir()?;
    let values = noise(MOST_ROWS * HIDDEN, 4);
    for (name, piece) in pieces() {
        let path = folder.path().join("piece.onnx");
        write(piece, &path)?;
        let mut single = open(&environment, &path, 1)?;
        let alone: Vec<f32> =
            values.chunks_exact(HIDDEN).map(|row| run(&mut single, row)).collect::<Result<Vec<_>>>()?.concat();
        for threads in [1, 2] {
            let mut session = open(&environment, &path, threads)?;
            for rows in row_counts() {
                let together = run(&mut session, &values[..rows * HIDDEN])?;
                let is_equal = bits(&together) == bits(&alone[..rows * HIDDEN]);
                assert!(is_equal, "{name} with {rows} rows and {threads} threads differs from single rows");
            }
        }
    }
    Ok(())
}

/// As much of an ONNX file as tells its operators.
#[derive(Message)]
struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
}

#[derive(Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
}

#[derive(Message)]
struct Node {
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(string, tag = "7")]
    domain: String,
}

/// Domain and name of every operator.
fn operators(path: &Path) -> Result<BTreeSet<(String, String)>> {
    let model = Model::decode(std::fs::read(path)?.as_slice())?;
    Ok(model.graph.context("a model has a graph")?.node.into_iter().map(|node| (node.domain, node.op_type)).collect())
}

#[test]
fn no_operator_of_a_model_goes_untested() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // Veridraft's operators have laws of their own, in the kernels and for the whole model.
    let mut tested =
        BTreeSet::from(["PagedAttention", "MatMul", "Embedding"].map(|name| (DOMAIN.to_owned(), name.to_owned())));
    for (_, piece) in pieces() {
        let path = folder.path().join("piece.onnx");
        write(piece, &path)?;
        tested.extend(operators(&path)?);
    }
    for (weights, operators) in [(Weights::Q4, MatMulOperators::Veridraft), (Weights::F32, MatMulOperators::Standard)] {
        let config = ExportConfig { weights, operators, hidden_states: vec![1] };
        let tiny = TinyLlama::create_with(&config)?;
        check_tested(&tiny.model(), &tested)?;
        for reference in Reference::ALL {
            let (checkpoint, model) = (reference.hugging_face_folder()?, tempfile::tempdir()?);
            export(checkpoint.path(), model.path(), &config, &|_| {})?;
            check_tested(model.path(), &tested)?;
        }
    }
    Ok(())
}

fn check_tested(model: &Path, tested: &BTreeSet<(String, String)>) -> Result<()> {
    let used = operators(&model.join("onnx/model.onnx"))?;
    let untested: Vec<_> = used.difference(tested).collect();
    assert!(untested.is_empty(), "operators {untested:?} of a model are in no piece");
    Ok(())
}
