//! Random weight rows of every format, for tests.

use half::f16;

use super::{PANEL_COLUMNS, WeightFormat, WeightRow, pack_panel};

/// What scales and minima are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Magnitude {
    /// Every finite number, and for floats every pattern of bits: packing must not care what they mean.
    Any,
    /// Such that weights are about one.
    Ordinary,
}

/// Random numbers of a fixed seed: SplitMix64 (Steele et al. 2014).
pub(crate) struct Random {
    state: u64,
    magnitude: Magnitude,
}

impl Random {
    pub(crate) fn new(seed: u64, magnitude: Magnitude) -> Self {
        Self { state: seed, magnitude }
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// In [-1, 1).
    pub(crate) fn number(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// In [-1, 1).
    pub(crate) fn numbers(&mut self, count: usize) -> Vec<f32> {
        self.list(count, Self::number)
    }

    pub(crate) fn list<T>(&mut self, length: usize, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..length).map(|_| item(self)).collect()
    }

    fn byte(&mut self) -> u8 {
        self.bits() as u8
    }

    /// A scale or a minimum.
    fn half(&mut self) -> f16 {
        if self.magnitude == Magnitude::Ordinary {
            return f16::from_f32(0.02 * self.number());
        }
        // Both zeros and subnormal numbers too.
        let bits = self.bits() as u16;
        let drawn = f16::from_bits(if bits.is_multiple_of(16) { bits & 0x8003 } else { bits });
        if drawn.is_finite() { drawn } else { self.half() }
    }

    fn halves(&mut self) -> [f16; 2] {
        [self.half(), self.half()]
    }

    fn single(&mut self) -> f32 {
        match self.magnitude {
            Magnitude::Any => self.half().to_f32() * f32::from(self.byte()),
            Magnitude::Ordinary => 0.02 * self.number(),
        }
    }

    fn weight(&mut self) -> f32 {
        match self.magnitude {
            Magnitude::Any => f32::from_bits(self.bits() as u32),
            Magnitude::Ordinary => self.number(),
        }
    }

    /// A row of `k` weights.
    pub(crate) fn row(&mut self, format: WeightFormat, k: usize) -> WeightRow {
        let nibbles = |random: &mut Self| random.list(k, |random| (random.byte() & 15) as i8);
        let bytes = |random: &mut Self| random.list(k, |random| random.byte() as i8);
        let (of_16, of_32, of_256) = (k.div_ceil(16), k.div_ceil(32), k.div_ceil(256));
        match format {
            WeightFormat::F32 => WeightRow::F32(self.list(k, Self::weight)),
            WeightFormat::Q4 => WeightRow::Q4 { codes: nibbles(self), scales: self.list(of_32, Self::half) },
            WeightFormat::Q4Minimum => {
                WeightRow::Q4Minimum { codes: nibbles(self), scales: self.list(of_32, Self::halves) }
            }
            WeightFormat::Q4K => WeightRow::Q4K {
                codes: nibbles(self),
                super_scales: self.list(of_256, Self::halves),
                scales: self.list(of_32, |random| [random.byte(), random.byte()]),
            },
            WeightFormat::Q8 => WeightRow::Q8 { codes: bytes(self), scales: self.list(of_32, Self::half) },
            WeightFormat::Q8Minimum => WeightRow::Q8Minimum {
                codes: bytes(self),
                scales: self.list(of_32, |random| [random.single(), random.single()]),
            },
            WeightFormat::Q8K => WeightRow::Q8K {
                codes: bytes(self),
                super_scales: self.list(of_256, Self::half),
                scales: self.list(of_16, |random| random.byte() as i8),
            },
        }
    }
}

/// Rows as panels.
pub(crate) fn pack(rows: &[WeightRow]) -> Vec<u8> {
    let panel_bytes = rows[0].format().panel_bytes(rows[0].k());
    // What was in the memory before must not matter.
    let mut packed = vec![0xff; rows.len().div_ceil(PANEL_COLUMNS) * panel_bytes];
    for (rows, panel) in rows.chunks(PANEL_COLUMNS).zip(packed.chunks_mut(panel_bytes)) {
        pack_panel(rows, panel);
    }
    packed
}
