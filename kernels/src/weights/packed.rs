//! Rows to panels and back.

use half::f16;

use super::format::RecordLayout;
use super::{PANEL_COLUMNS, WeightFormat, WeightRow};
use crate::{Error, Result};

/// Packs up to [`PANEL_COLUMNS`] rows of one format and length into `panel`; the columns behind them become zero.
///
/// # Panics
/// When the rows differ in format or length, are none or too many, have fewer scales than blocks, or `panel` has not the
/// size that [`WeightFormat::panel_bytes`] says.
pub fn pack_panel(rows: &[WeightRow], panel: &mut [u8]) {
    let (format, k) = (rows[0].format(), rows[0].k());
    assert!(rows.len() <= PANEL_COLUMNS, "a panel has {PANEL_COLUMNS} columns");
    assert!(rows.iter().all(|row| row.format() == format && row.k() == k), "rows of one format and length");
    assert_eq!(panel.len(), format.panel_bytes(k), "the panel's size");
    panel.fill(0);
    for (column, row) in rows.iter().enumerate() {
        pack_row(row, column, format.record(), panel);
    }
}

fn pack_row(row: &WeightRow, column: usize, layout: RecordLayout, panel: &mut [u8]) {
    let mut writer = Writer { layout, column, panel };
    match row {
        WeightRow::F32(weights) => {
            for (k, weight) in weights.iter().enumerate() {
                writer.put(k, 0, weight.to_le_bytes());
            }
        }
        WeightRow::Q4 { codes, scales } => {
            writer.codes(codes);
            for (block, scale) in scales[..codes.len().div_ceil(32)].iter().enumerate() {
                writer.put(block / 2, block % 2 * 16, scale.to_le_bytes());
            }
        }
        WeightRow::Q4Minimum { codes, scales } => {
            writer.codes(codes);
            for (block, [scale, minimum]) in scales[..codes.len().div_ceil(32)].iter().enumerate() {
                writer.put(block / 2, block % 2 * 16, scale.to_le_bytes());
                writer.put(block / 2, 32 + block % 2 * 16, minimum.to_le_bytes());
            }
        }
        WeightRow::Q4K { codes, super_scales, scales } => {
            writer.codes(codes);
            for (record, [d, e]) in super_scales[..codes.len().div_ceil(256)].iter().enumerate() {
                writer.put(record, 0, d.to_le_bytes());
                writer.put(record, 16, e.to_le_bytes());
            }
            for (block, [scale, minimum]) in scales[..codes.len().div_ceil(32)].iter().enumerate() {
                writer.put(block / 8, 32 + block % 8 * 8, [*scale]);
                writer.put(block / 8, 96 + block % 8 * 8, [*minimum]);
            }
        }
        WeightRow::Q8 { codes, scales } => {
            writer.codes(codes);
            for (block, scale) in scales[..codes.len().div_ceil(32)].iter().enumerate() {
                writer.put(block / 2, block % 2 * 16, scale.to_le_bytes());
            }
        }
        WeightRow::Q8Minimum { codes, scales } => {
            writer.codes(codes);
            for (block, [scale, minimum]) in scales[..codes.len().div_ceil(32)].iter().enumerate() {
                writer.put(block / 2, block % 2 * 32, scale.to_le_bytes());
                writer.put(block / 2, 64 + block % 2 * 32, minimum.to_le_bytes());
            }
        }
        WeightRow::Q8K { codes, super_scales, scales } => {
            writer.codes(codes);
            for (record, d) in super_scales[..codes.len().div_ceil(256)].iter().enumerate() {
                writer.put(record, 0, d.to_le_bytes());
            }
            for (block, scale) in scales[..codes.len().div_ceil(16)].iter().enumerate() {
                writer.put(block / 16, 16 + block % 16 * 8, scale.to_le_bytes());
            }
        }
    }
}

/// Writes one column of a panel.
struct Writer<'a> {
    layout: RecordLayout,
    column: usize,
    panel: &'a mut [u8],
}

impl Writer<'_> {
    /// Writes the column's number in the list of eight that begins at `offset` of a record.
    fn put<const BYTES: usize>(&mut self, record: usize, offset: usize, number: [u8; BYTES]) {
        let place = record * self.layout.bytes() + offset + self.column * BYTES;
        self.panel[place..][..BYTES].copy_from_slice(&number);
    }

    fn codes(&mut self, codes: &[i8]) {
        for (k, code) in codes.iter().enumerate() {
            let (place, shift) = self.layout.code_place(k, self.column);
            let mask = if self.layout.code_bits == 4 { 15 } else { 255 };
            self.panel[place] |= (*code as u8 & mask) << shift;
        }
    }
}

impl RecordLayout {
    /// The byte of a code, and how far its bits are shifted up there.
    fn code_place(self, k: usize, column: usize) -> (usize, usize) {
        let (record, k) = (k / self.values, k % self.values);
        let start = record * self.bytes() + self.parameter_bytes;
        let place = |vector: usize| start + vector * 32 + column * 4 + k % 4;
        match self.code_bits {
            4 => (place(k / 8), k % 8 / 4 * 4),
            _ => (place(k / 4), 0),
        }
    }
}

/// A packed matrix that lies somewhere in memory, its size checked.
#[derive(Clone, Copy, Debug)]
pub struct PackedWeights<'a> {
    format: WeightFormat,
    k: usize,
    n: usize,
    bytes: &'a [u8],
}

impl<'a> PackedWeights<'a> {
    /// A matrix of `n` rows of `k` weights in `bytes`, panel after panel.
    pub fn new(format: WeightFormat, n: usize, k: usize, bytes: &'a [u8]) -> Result<Self> {
        let expected = format.checked_panel_bytes(k).and_then(|panel| panel.checked_mul(format.panels(n)));
        Error::unless(k > 0 && n > 0 && expected == Some(bytes.len()), || {
            let expected = match expected {
                Some(bytes) if bytes > 0 => bytes.to_string(),
                Some(_) => "at least one weight".to_owned(),
                None => "fewer weights".to_owned(),
            };
            format!("`{format}` weights [{n}, {k}] have {} bytes, expected {expected}", bytes.len())
        })?;
        Ok(Self { format, k, n, bytes })
    }

    /// How the panels are laid out.
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    /// Weights in a row: what the product sums over.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Rows: columns of the product.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Bytes that a product reads.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// One panel's bytes.
    pub(crate) fn panel(&self, panel: usize) -> &'a [u8] {
        let bytes = self.format.panel_bytes(self.k);
        &self.bytes[panel * bytes..][..bytes]
    }

    /// A row's weights as f32, as an embedding reads them.
    ///
    /// # Panics
    /// When there is no such row or `weights` has not `k` places.
    pub fn dequantize_row(&self, row: usize, weights: &mut [f32]) {
        assert!(row < self.n, "row {row} of {}", self.n);
        assert_eq!(weights.len(), self.k, "a place for every weight");
        let (panel, column) = (self.panel(row / PANEL_COLUMNS), row % PANEL_COLUMNS);
        let layout = self.format.record();
        let records = panel.chunks_exact(layout.bytes());
        for (weights, record) in weights.chunks_mut(layout.values).zip(records) {
            dequantize_record(self.format, record, column, weights);
        }
    }
}

fn dequantize_record(format: WeightFormat, record: &[u8], column: usize, weights: &mut [f32]) {
    let layout = format.record();
    let half = |offset: usize| {
        let place = offset + column * 2;
        f16::from_le_bytes([record[place], record[place + 1]]).to_f32()
    };
    let single = |offset: usize| {
        let place = offset + column * 4;
        f32::from_le_bytes([record[place], record[place + 1], record[place + 2], record[place + 3]])
    };
    let byte = |offset: usize| record[offset + column];
    let code = |k: usize| {
        let (place, shift) = layout.code_place(k, column);
        if layout.code_bits == 4 { f32::from(record[place] >> shift & 15) } else { f32::from(record[place] as i8) }
    };
    for (k, weight) in weights.iter_mut().enumerate() {
        *weight = match format {
            WeightFormat::F32 => single(0),
            WeightFormat::Q4 => half(k / 32 * 16) * (code(k) - 8.0),
            WeightFormat::Q4Minimum => half(k / 32 * 16) * code(k) + half(32 + k / 32 * 16),
            WeightFormat::Q4K => {
                let (scale, minimum) = (byte(32 + k / 32 * 8), byte(96 + k / 32 * 8));
                half(0) * f32::from(scale) * code(k) - half(16) * f32::from(minimum)
            }
            WeightFormat::Q8 => half(k / 32 * 16) * code(k),
            WeightFormat::Q8Minimum => single(k / 32 * 32) * code(k) + single(64 + k / 32 * 32),
            WeightFormat::Q8K => half(0) * f32::from(byte(16 + k / 16 * 8) as i8) * code(k),
        };
    }
}
