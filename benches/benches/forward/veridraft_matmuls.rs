//! The 121 matmuls of a pass by Veridraft's kernels: weights as the default model has them.
//!
//! What lies between them in a pass is left out, as it is on ONNX Runtime's side; the columns that the next matmul takes
//! are cut out here too.

use anyhow::Result;
use veridraft_kernels::{MatMul, PackedWeights, Pool, Simd, WeightFormat, matmul};

use crate::contender::Contender;
use crate::session::THREADS;
use crate::sizes::{DOWN, GATE_UP, HEAD, HIDDEN, LAYERS, Matrix, O, Pass, QKV};

/// Packed weights and the threads that multiply.
pub(crate) struct VeridraftMatmuls {
    layers: Vec<[Packed; 4]>,
    head: Packed,
    pool: Pool,
    simd: Simd,
}

/// One matrix.
struct Packed {
    matrix: Matrix,
    format: WeightFormat,
    bytes: Vec<u8>,
}

impl VeridraftMatmuls {
    pub(crate) fn create(simd: Simd) -> Result<Self> {
        let mut seed = 0x2545_f491_4f6c_dd1d;
        let layers = (0..LAYERS).map(|_| [QKV, O, GATE_UP, DOWN].map(|matrix| Packed::random(matrix, &mut seed)));
        let layers = layers.collect();
        Ok(Self { layers, head: Packed::random(HEAD, &mut seed), pool: Pool::new(THREADS)?, simd })
    }

    fn multiply(&self, packed: &Packed, input: &[f32], output: &mut Vec<f32>) -> Result<()> {
        let Packed { matrix, format, bytes } = packed;
        let weights = [PackedWeights::new(*format, matrix.outs, matrix.ins, bytes).map_err(anyhow::Error::msg)?];
        let product = MatMul { input, weights: &weights, norm: None, bias: &[], is_gated: false, residual: &[] };
        output.resize(input.len() / matrix.ins * matrix.outs, 0.0);
        matmul(self.simd, &product, output, &self.pool);
        Ok(())
    }
}

impl Packed {
    /// Bytes of any value below 64, so that scales and minima are ordinary numbers.
    fn random(matrix: Matrix, seed: &mut u64) -> Self {
        let format = if matrix.bits == 4 { WeightFormat::Q4Minimum } else { WeightFormat::Q8 };
        let mut next = || {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*seed >> 58) as u8
        };
        let bytes = (0..format.panels(matrix.outs) * format.panel_bytes(matrix.ins)).map(|_| next()).collect();
        Self { matrix, format, bytes }
    }
}

impl Contender for VeridraftMatmuls {
    fn name(&self) -> String {
        format!("Veridraft, {}", self.simd)
    }

    fn bytes(&self, _: Pass) -> u64 {
        let layers: usize = self.layers.iter().flatten().map(|packed| packed.bytes.len()).sum();
        (layers + self.head.bytes.len()) as u64
    }

    fn run(&mut self, pass: Pass) -> Result<()> {
        let _awake = self.pool.pass();
        let mut hidden = vec![0.5; pass.rows * HIDDEN];
        let (mut wide, mut narrow) = (Vec::new(), Vec::new());
        for [qkv, o, gate_up, down] in &self.layers {
            self.multiply(qkv, &hidden, &mut wide)?;
            first_columns(&wide, QKV.outs, O.ins, &mut narrow);
            self.multiply(o, &narrow, &mut hidden)?;
            self.multiply(gate_up, &hidden, &mut wide)?;
            first_columns(&wide, GATE_UP.outs, DOWN.ins, &mut narrow);
            self.multiply(down, &narrow, &mut hidden)?;
        }
        let wanted = &hidden[(pass.rows - pass.logits) * HIDDEN..];
        self.multiply(&self.head, wanted, &mut wide)
    }
}

fn first_columns(rows: &[f32], columns: usize, wanted: usize, output: &mut Vec<f32>) {
    output.clear();
    rows.chunks(columns).for_each(|row| output.extend_from_slice(&row[..wanted]));
}
