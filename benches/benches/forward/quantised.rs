//! A graph whose matmuls are `com.microsoft.MatMulNBits`: symmetric, blocks of 32, 8-bit activations.

use std::path::Path;

use anyhow::Result;
use veridraft_export::onnx::Attribute::Int;
use veridraft_export::onnx::{GraphBuilder, Value};

use crate::sizes::Matrix;

/// The domain of ONNX Runtime's own operators.
pub(crate) const MICROSOFT: &str = "com.microsoft";

const BLOCK: usize = 32;
/// Activations are quantised to 8 bits, and products are integer.
const ACCURACY_LEVEL: i64 = 4;

/// A graph under construction, and the noise that its weights come from.
pub(crate) struct QuantisedGraph {
    pub(crate) graph: GraphBuilder,
    /// Bytes of weights so far, scales included.
    pub(crate) weight_bytes: u64,
    noise: Noise,
}

impl QuantisedGraph {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let mut graph = GraphBuilder::create(path)?;
        graph.domain(MICROSOFT, 1);
        Ok(Self { graph, weight_bytes: 0, noise: Noise(0x2545_f491_4f6c_dd1d) })
    }

    /// `rows` times random weights, which neither grow nor shrink the numbers much.
    pub(crate) fn matmul(&mut self, name: &str, rows: &Value, matrix: Matrix) -> Result<Value> {
        let Matrix { ins, outs, bits } = matrix;
        let blocks = ins / BLOCK;
        let codes = self.noise.bytes(outs * ins * bits / 8);
        // The standard deviation of evenly spread codes, so that weights have one of `ins^-0.5`.
        let deviation = (1 << bits) as f32 / 12_f32.sqrt();
        let scale = 1.0 / (deviation * (ins as f32).sqrt());
        let scales: Vec<f32> = self.noise.bytes(outs * blocks).iter().map(|&byte| scale * around_one(byte)).collect();
        self.weight_bytes += (codes.len() + 4 * scales.len()) as u64;
        let block_bytes = BLOCK * bits / 8;
        let codes =
            self.graph.constant_bytes(&format!("{name}.codes"), &[outs, blocks, block_bytes], |write| write(&codes))?;
        let scales = self.graph.constant(&format!("{name}.scales"), &[outs * blocks], &scales)?;
        let attributes = [
            ("K", Int(ins as i64)),
            ("N", Int(outs as i64)),
            ("bits", Int(bits as i64)),
            ("block_size", Int(BLOCK as i64)),
            ("accuracy_level", Int(ACCURACY_LEVEL)),
        ];
        let operands = [rows, &codes, &scales].map(Some);
        Ok(self.graph.node((MICROSOFT, "MatMulNBits"), name, &operands, &attributes))
    }
}

/// From 0.5 to 1.5.
fn around_one(byte: u8) -> f32 {
    0.5 + f32::from(byte) / 255.0
}

/// Bytes from a fixed seed (xorshift, Marsaglia 2003).
struct Noise(u64);

impl Noise {
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            bytes.extend(self.0.to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}
