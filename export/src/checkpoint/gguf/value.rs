//! Metadata values and their types.

use super::cursor::Cursor;

/// Arrays within arrays, at most; the format sets no limit, real files have one level.
const MAX_NESTING: usize = 4;

/// The type of a metadata value, with the format's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    Array,
    U64,
    I64,
    F64,
}

impl ValueType {
    const ALL: [Self; 13] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::F32,
        Self::Bool,
        Self::Text,
        Self::Array,
        Self::U64,
        Self::I64,
        Self::F64,
    ];

    fn read(cursor: &mut Cursor, what: &str) -> Result<Self, String> {
        let code = cursor.u32(what)?;
        let known = usize::try_from(code).ok().and_then(|code| Self::ALL.get(code));
        known.copied().ok_or_else(|| format!("{what} has value type {code}, expected 0 to {}", Self::ALL.len() - 1))
    }

    /// Bytes that a value takes at least.
    fn min_bytes(self) -> u64 {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::Text => 8,
            Self::Array => 12,
        }
    }
}

/// A metadata value. An array stays in the file until it is asked for, so that nothing is copied for nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Array(ArrayPlace),
}

/// Where an array's items stand; they were walked once, so they lie within the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ArrayPlace {
    item_type: ValueType,
    count: usize,
    offset: usize,
}

impl Value {
    /// Reads a type and a value of it; `what` names it in messages.
    pub(super) fn read(cursor: &mut Cursor, what: &str) -> Result<Self, String> {
        let value_type = ValueType::read(cursor, what)?;
        Self::read_typed(cursor, value_type, what, 0)
    }

    fn read_typed(cursor: &mut Cursor, value_type: ValueType, what: &str, nesting: usize) -> Result<Self, String> {
        Ok(match value_type {
            ValueType::U8 => Self::Unsigned(u8::from_le_bytes(cursor.array(what)?).into()),
            ValueType::U16 => Self::Unsigned(u16::from_le_bytes(cursor.array(what)?).into()),
            ValueType::U32 => Self::Unsigned(cursor.u32(what)?.into()),
            ValueType::U64 => Self::Unsigned(cursor.u64(what)?),
            ValueType::I8 => Self::Signed(i8::from_le_bytes(cursor.array(what)?).into()),
            ValueType::I16 => Self::Signed(i16::from_le_bytes(cursor.array(what)?).into()),
            ValueType::I32 => Self::Signed(i32::from_le_bytes(cursor.array(what)?).into()),
            ValueType::I64 => Self::Signed(i64::from_le_bytes(cursor.array(what)?)),
            ValueType::F32 => Self::Float(f32::from_le_bytes(cursor.array(what)?).into()),
            ValueType::F64 => Self::Float(f64::from_le_bytes(cursor.array(what)?)),
            ValueType::Bool => Self::Bool(cursor.array::<1>(what)?[0] != 0),
            ValueType::Text => Self::Text(cursor.string(what)?.to_owned()),
            ValueType::Array => Self::Array(ArrayPlace::read(cursor, what, nesting)?),
        })
    }

    /// The value in words, for messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Unsigned(value) => format!("`{value}`"),
            Self::Signed(value) => format!("`{value}`"),
            Self::Float(value) => format!("`{value}`"),
            Self::Bool(value) => format!("`{value}`"),
            Self::Text(_) => "a string".to_owned(),
            Self::Array(array) => format!("an array of {}", array.count),
        }
    }
}

impl ArrayPlace {
    fn read(cursor: &mut Cursor, what: &str, nesting: usize) -> Result<Self, String> {
        if nesting == MAX_NESTING {
            return Err(format!("{what} nests arrays more than {MAX_NESTING} deep"));
        }
        let item_type = ValueType::read(cursor, what)?;
        let count = cursor.count(item_type.min_bytes(), &format!("the length of {what}"))?;
        let place = Self { item_type, count, offset: cursor.offset() };
        match item_type {
            ValueType::Text => {
                for _ in 0..count {
                    let length = cursor.u64(what)?;
                    cursor.take(length, what)?;
                }
            }
            ValueType::Array => {
                for _ in 0..count {
                    Self::read(cursor, what, nesting + 1)?;
                }
            }
            // No overflow: `count` items of this size were just seen to fit.
            fixed => drop(cursor.take(fixed.min_bytes() * count as u64, what)?),
        }
        Ok(place)
    }

    /// The items of an array of strings in `file`.
    pub(super) fn texts<'a>(&self, file: &'a [u8], what: &str) -> Result<Vec<&'a str>, String> {
        if self.item_type != ValueType::Text {
            return Err(format!("{what} is an array of {:?}, expected strings", self.item_type));
        }
        let mut cursor = Cursor::at(file, self.offset);
        (0..self.count).map(|_| cursor.string(what)).collect()
    }

    /// The items of an array of numbers in `file`; f64 holds every 32-bit integer and float exactly.
    pub(super) fn numbers(&self, file: &[u8], what: &str) -> Result<Vec<f64>, String> {
        let mut cursor = Cursor::at(file, self.offset);
        let item = |_| match Value::read_typed(&mut cursor, self.item_type, what, MAX_NESTING)? {
            Value::Unsigned(value) => Ok(value as f64),
            Value::Signed(value) => Ok(value as f64),
            Value::Float(value) => Ok(value),
            other => Err(format!("{what} holds {}, expected numbers", other.describe())),
        };
        (0..self.count).map(item).collect()
    }

    /// The items of an array of truth values in `file`.
    pub(super) fn booleans(&self, file: &[u8], what: &str) -> Result<Vec<bool>, String> {
        let mut cursor = Cursor::at(file, self.offset);
        let item = |_| match Value::read_typed(&mut cursor, self.item_type, what, MAX_NESTING)? {
            Value::Bool(value) => Ok(value),
            other => Err(format!("{what} holds {}, expected true or false", other.describe())),
        };
        (0..self.count).map(item).collect()
    }
}
