//! One value of a column as JSON, exactly.

use std::io::Write as _;

use ::arrow::array::{
    Array, AsArray, BinaryArray, BinaryViewArray, FixedSizeBinaryArray, LargeBinaryArray,
    LargeStringArray, StringArray, StringViewArray,
};
use ::arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Field, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use deployforge_model::{Timestamp, UNRESOLVED_MEMBER};

use crate::json;
use crate::reserved;

/// What the bytes or the text of a column mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Plain,
    Json,
    Uuid,
    Mac,
}

impl Meaning {
    fn of(field: &Field) -> Self {
        match field.metadata().get("ARROW:extension:name").map(String::as_str) {
            Some("json" | "arrow.json") => Self::Json,
            Some("uuid" | "arrow.uuid") => Self::Uuid,
            Some("mac") => Self::Mac,
            _ => Self::Plain,
        }
    }
}

/// Writes values of one row.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) out: Vec<u8>,
    /// Bytes that a row may have, and levels of JSON in text.
    pub(super) limit: usize,
    pub(super) depth: usize,
    /// A member has a name that is reserved.
    pub(super) reserved: bool,
}

impl Writer {
    pub(super) fn new(limit: usize, depth: usize) -> Self {
        Self { out: Vec::new(), limit, depth, reserved: false }
    }
}

/// The row is larger than a record may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

macro_rules! plain {
    ($writer:expr, $array:expr, $row:expr, $kind:ty) => {
        write!($writer.out, "{}", $array.as_primitive::<$kind>().value($row)).ok()
    };
}

impl Writer {
    /// Writes the value of `row`.
    pub(super) fn value(
        &mut self,
        array: &dyn Array,
        row: usize,
        field: &Field,
    ) -> Result<(), TooLarge> {
        if self.out.len() > self.limit {
            return Err(TooLarge);
        }
        if array.is_null(row) || array.data_type() == &DataType::Null {
            self.out.extend_from_slice(b"null");
            return Ok(());
        }
        if self.number(array, row) || self.time(array, row) {
            return Ok(());
        }
        let any = array.as_any();
        match array.data_type() {
            DataType::Boolean => {
                let text: &[u8] = if array.as_boolean().value(row) { b"true" } else { b"false" };
                self.out.extend_from_slice(text);
            }
            DataType::Utf8 => self.text(of::<StringArray>(any).value(row), field)?,
            DataType::LargeUtf8 => self.text(of::<LargeStringArray>(any).value(row), field)?,
            DataType::Utf8View => self.text(of::<StringViewArray>(any).value(row), field)?,
            DataType::Binary => self.bytes(of::<BinaryArray>(any).value(row), field)?,
            DataType::LargeBinary => self.bytes(of::<LargeBinaryArray>(any).value(row), field)?,
            DataType::BinaryView => self.bytes(of::<BinaryViewArray>(any).value(row), field)?,
            DataType::FixedSizeBinary(_) => {
                self.bytes(of::<FixedSizeBinaryArray>(any).value(row), field)?;
            }
            DataType::List(item) => self.list(&*array.as_list::<i32>().value(row), item)?,
            DataType::LargeList(item) => self.list(&*array.as_list::<i64>().value(row), item)?,
            DataType::ListView(item) => {
                self.list(&*array.as_list_view::<i32>().value(row), item)?;
            }
            DataType::LargeListView(item) => {
                self.list(&*array.as_list_view::<i64>().value(row), item)?;
            }
            DataType::FixedSizeList(item, _) => {
                self.list(&*array.as_fixed_size_list().value(row), item)?;
            }
            DataType::Struct(fields) => {
                let members = array.as_struct();
                self.out.push(b'{');
                for (at, member) in fields.iter().enumerate() {
                    self.name(at, member.name());
                    self.value(members.column(at), row, member)?;
                }
                self.out.push(b'}');
            }
            DataType::Map(..) => self.map(array, row)?,
            DataType::Dictionary(..) => {
                let array = array.as_any_dictionary();
                let key = array.normalized_keys()[row];
                self.value(&**array.values(), key, field)?;
            }
            other => self.unresolved(other),
        }
        Ok(())
    }

    /// Writes the name of a member of an object.
    pub(super) fn name(&mut self, at: usize, name: &str) {
        if at > 0 {
            self.out.push(b',');
        }
        self.reserved |= name.starts_with(reserved::PREFIX);
        json::write_string(&mut self.out, name);
        self.out.push(b':');
    }

    fn number(&mut self, array: &dyn Array, row: usize) -> bool {
        let done = match array.data_type() {
            DataType::Int8 => plain!(self, array, row, Int8Type),
            DataType::Int16 => plain!(self, array, row, Int16Type),
            DataType::Int32 => plain!(self, array, row, Int32Type),
            DataType::Int64 => plain!(self, array, row, Int64Type),
            DataType::UInt8 => plain!(self, array, row, UInt8Type),
            DataType::UInt16 => plain!(self, array, row, UInt16Type),
            DataType::UInt32 => plain!(self, array, row, UInt32Type),
            DataType::UInt64 => plain!(self, array, row, UInt64Type),
            DataType::Duration(TimeUnit::Second) => plain!(self, array, row, DurationSecondType),
            DataType::Duration(TimeUnit::Millisecond) => {
                plain!(self, array, row, DurationMillisecondType)
            }
            DataType::Duration(TimeUnit::Microsecond) => {
                plain!(self, array, row, DurationMicrosecondType)
            }
            DataType::Duration(TimeUnit::Nanosecond) => {
                plain!(self, array, row, DurationNanosecondType)
            }
            DataType::Float16 => {
                let value = array.as_primitive::<Float16Type>().value(row).to_f32();
                self.float(value.is_finite(), value);
                Some(())
            }
            DataType::Float32 => {
                let value = array.as_primitive::<Float32Type>().value(row);
                self.float(value.is_finite(), value);
                Some(())
            }
            DataType::Float64 => {
                let value = array.as_primitive::<Float64Type>().value(row);
                self.float(value.is_finite(), value);
                Some(())
            }
            DataType::Decimal128(..) => {
                let text = array.as_primitive::<Decimal128Type>().value_as_string(row);
                self.out.extend_from_slice(text.as_bytes());
                Some(())
            }
            DataType::Decimal256(..) => {
                let text = array.as_primitive::<Decimal256Type>().value_as_string(row);
                self.out.extend_from_slice(text.as_bytes());
                Some(())
            }
            _ => None,
        };
        done.is_some()
    }

    /// JSON has no infinity: what is none is written as its name.
    fn float(&mut self, finite: bool, value: impl std::fmt::Display) {
        let quote = if finite { "" } else { "\"" };
        let _ = write!(self.out, "{quote}{value}{quote}");
    }

    fn time(&mut self, array: &dyn Array, row: usize) -> bool {
        const SECOND: i64 = 1_000_000_000;
        match array.data_type() {
            DataType::Timestamp(unit, _) => match unit {
                TimeUnit::Second => {
                    self.instant(array.as_primitive::<TimestampSecondType>().value(row), 1);
                }
                TimeUnit::Millisecond => {
                    self.instant(array.as_primitive::<TimestampMillisecondType>().value(row), 1000);
                }
                TimeUnit::Microsecond => self.instant(
                    array.as_primitive::<TimestampMicrosecondType>().value(row),
                    1_000_000,
                ),
                TimeUnit::Nanosecond => {
                    self.instant(
                        array.as_primitive::<TimestampNanosecondType>().value(row),
                        SECOND,
                    );
                }
            },
            DataType::Date32 => {
                self.date(array.as_primitive::<Date32Type>().value(row).into());
            }
            DataType::Date64 => {
                let millis = array.as_primitive::<Date64Type>().value(row);
                self.date(millis.div_euclid(86_400_000));
            }
            DataType::Time32(TimeUnit::Second) => {
                let value = array.as_primitive::<Time32SecondType>().value(row);
                self.clock(i64::from(value), 1);
            }
            DataType::Time32(_) => {
                let value = array.as_primitive::<Time32MillisecondType>().value(row);
                self.clock(i64::from(value), 1000);
            }
            DataType::Time64(TimeUnit::Nanosecond) => {
                self.clock(array.as_primitive::<Time64NanosecondType>().value(row), SECOND);
            }
            DataType::Time64(_) => {
                self.clock(array.as_primitive::<Time64MicrosecondType>().value(row), 1_000_000);
            }
            _ => return false,
        }
        true
    }

    /// A point in time in RFC 3339, in whole parts of a second.
    fn instant(&mut self, value: i64, parts: i64) {
        let (seconds, part) = (value.div_euclid(parts), value.rem_euclid(parts));
        let text = seconds.checked_mul(1_000_000).map(|micros| Timestamp(micros).to_string());
        match text.as_deref().and_then(|text| text.strip_suffix('Z')) {
            Some(text) => {
                let _ = write!(self.out, "\"{text}{}Z\"", fraction(part, parts));
            }
            // A time that no calendar holds.
            None => {
                let _ = write!(self.out, "{value}");
            }
        }
    }

    fn date(&mut self, days: i64) {
        let text = days.checked_mul(86_400_000_000).map(|micros| Timestamp(micros).to_string());
        match text.as_deref().and_then(|text| text.split_once('T')) {
            Some((date, _)) => {
                let _ = write!(self.out, "\"{date}\"");
            }
            None => {
                let _ = write!(self.out, "{days}");
            }
        }
    }

    fn clock(&mut self, value: i64, parts: i64) {
        let (seconds, part) = (value.div_euclid(parts), value.rem_euclid(parts));
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let fraction = fraction(part, parts);
        let _ = write!(self.out, "\"{hour:02}:{minute:02}:{second:02}{fraction}\"");
    }

    fn text(&mut self, text: &str, field: &Field) -> Result<(), TooLarge> {
        if self.out.len() + text.len() > self.limit {
            return Err(TooLarge);
        }
        match Meaning::of(field) {
            // What is called JSON and is none is text.
            Meaning::Json if let Ok(raw) = json::nested(text, self.depth) => {
                self.reserved |= reserved::holds(raw.get().as_bytes());
                self.out.extend_from_slice(raw.get().as_bytes());
            }
            _ => json::write_string(&mut self.out, text),
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8], field: &Field) -> Result<(), TooLarge> {
        if self.out.len() + bytes.len() > self.limit {
            return Err(TooLarge);
        }
        let hex = |out: &mut Vec<u8>, bytes: &[u8], before: &dyn Fn(usize) -> &'static str| {
            out.push(b'"');
            for (at, byte) in bytes.iter().enumerate() {
                let _ = write!(out, "{}{byte:02x}", before(at));
            }
            out.push(b'"');
        };
        match Meaning::of(field) {
            Meaning::Json if let Ok(text) = std::str::from_utf8(bytes) => {
                return self.text(text, field);
            }
            Meaning::Uuid if bytes.len() == 16 => hex(&mut self.out, bytes, &|at| {
                if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" }
            }),
            Meaning::Mac if matches!(bytes.len(), 6 | 8) => {
                hex(&mut self.out, bytes, &|at| if at > 0 { ":" } else { "" });
            }
            _ => json::write_string(&mut self.out, &STANDARD.encode(bytes)),
        }
        Ok(())
    }

    fn list(&mut self, items: &dyn Array, field: &Field) -> Result<(), TooLarge> {
        self.out.push(b'[');
        for row in 0..items.len() {
            if row > 0 {
                self.out.push(b',');
            }
            self.value(items, row, field)?;
        }
        self.out.push(b']');
        Ok(())
    }

    /// A map whose keys are texts is an object; any other, and one with a key twice, a list of pairs.
    fn map(&mut self, array: &dyn Array, row: usize) -> Result<(), TooLarge> {
        let entries = array.as_map().value(row);
        let (DataType::Struct(fields), [keys, values]) = (entries.data_type(), entries.columns())
        else {
            self.unresolved(array.data_type());
            return Ok(());
        };
        let names = keys.as_string_opt::<i32>().filter(|names| {
            let mut seen = std::collections::HashSet::new();
            (0..names.len()).all(|at| !names.is_null(at) && seen.insert(names.value(at)))
        });
        let Some(names) = names else {
            return self.list(&entries, &Field::new_struct("", fields.clone(), false));
        };
        self.out.push(b'{');
        for at in 0..names.len() {
            self.name(at, names.value(at));
            self.value(&**values, at, &fields[1])?;
        }
        self.out.push(b'}');
        Ok(())
    }

    /// A value of a type that has no JSON: it is there, and not compared.
    fn unresolved(&mut self, kind: &DataType) {
        let kind: String =
            format!("{kind:?}").chars().take_while(|c| c.is_alphanumeric()).collect();
        self.out.push(b'{');
        json::write_string(&mut self.out, UNRESOLVED_MEMBER);
        self.out.push(b':');
        json::write_string(&mut self.out, &format!("a column of type {kind}"));
        self.out.push(b'}');
    }
}

fn of<T: 'static>(any: &dyn std::any::Any) -> &T {
    any.downcast_ref().expect("the array is of the type that it says")
}

/// The part of a second behind its point, without zeros at its end.
fn fraction(part: i64, parts: i64) -> String {
    if part == 0 {
        return String::new();
    }
    let width = parts.ilog10() as usize;
    format!(".{part:0width$}").trim_end_matches('0').to_owned()
}
