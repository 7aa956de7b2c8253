//! What is known of a column without reading it: nulls, the least and the greatest value.
//!
//! A [`ColumnStats`] is exact. What goes into a footer or into the Delta log is cut to a length
//! there: the least value to a prefix of it, the greatest to a prefix that is raised, so that what
//! is written stays a bound.

use deltalake::parquet::basic::Type;
use deltalake::parquet::data_type::ByteArray;
use deltalake::parquet::file::statistics::{Statistics, ValueStatistics};
use deployforge_model::Timestamp;
use serde_json::{Map, Value, json};

/// Characters of a text bound in the log: what Delta's own writers keep.
const LOG_CHARS: usize = 32;

/// Bytes of a text bound in a footer, cut to whole characters.
const FOOTER_BYTES: usize = 64;

/// The times that text can say, with four digits for the year: the years 1 to 9999.
const TIMES: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_799_000_000;

/// Nulls, and the bounds of the values that are there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ColumnStats {
    pub(crate) nulls: u64,
    pub(crate) bounds: Bounds,
}

/// The least and the greatest value; both are among the values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Bounds {
    /// There are no values, or bounds are not kept.
    #[default]
    None,
    Ints(i64, i64),
    /// Microseconds since 1970.
    Times(i64, i64),
    Floats(f64, f64),
    Text(String, String),
}

impl ColumnStats {
    /// Takes in what is known of further rows of the column.
    pub(crate) fn merge(&mut self, other: Self) {
        self.nulls += other.nulls;
        self.bounds = match (std::mem::take(&mut self.bounds), other.bounds) {
            (Bounds::None, bounds) | (bounds, Bounds::None) => bounds,
            (Bounds::Ints(a, b), Bounds::Ints(c, d)) => Bounds::Ints(a.min(c), b.max(d)),
            (Bounds::Times(a, b), Bounds::Times(c, d)) => Bounds::Times(a.min(c), b.max(d)),
            (Bounds::Floats(a, b), Bounds::Floats(c, d)) => Bounds::Floats(a.min(c), b.max(d)),
            (Bounds::Text(a, b), Bounds::Text(c, d)) => Bounds::Text(a.min(c), b.max(d)),
            // Cannot be: a column has one type. Without bounds, nothing is skipped.
            _ => Bounds::None,
        };
    }

    /// As a footer says it, for a column of this physical type.
    pub(crate) fn of_footer(&self, physical: Type) -> Statistics {
        let nulls = Some(self.nulls);
        match (&self.bounds, physical) {
            (Bounds::Ints(least, greatest) | Bounds::Times(least, greatest), _) => {
                Statistics::int64(Some(*least), Some(*greatest), None, nulls, false)
            }
            (Bounds::Floats(least, greatest), _) => {
                Statistics::double(Some(*least), Some(*greatest), None, nulls, false)
            }
            (Bounds::Text(least, greatest), _) => text_of_footer(least, greatest, nulls),
            (Bounds::None, Type::INT64) => Statistics::int64(None, None, None, nulls, false),
            (Bounds::None, Type::DOUBLE) => Statistics::double(None, None, None, nulls, false),
            (Bounds::None, Type::BOOLEAN) => Statistics::boolean(None, None, None, nulls, false),
            (Bounds::None, _) => Statistics::byte_array(None, None, None, nulls, false),
        }
    }
}

fn text_of_footer(least: &str, greatest: &str, nulls: Option<u64>) -> Statistics {
    let low = &least[..least.floor_char_boundary(FOOTER_BYTES)];
    let high = &greatest[..greatest.floor_char_boundary(FOOTER_BYTES)];
    // What cannot be raised stays whole.
    let raised = (high != greatest).then(|| raised(high)).flatten();
    let exact = raised.is_none();
    let bytes = |text: &str| Some(ByteArray::from(text.as_bytes().to_vec()));
    let high = bytes(raised.as_deref().unwrap_or(greatest));
    Statistics::ByteArray(
        ValueStatistics::new(bytes(low), high, None, nulls, false)
            .with_min_is_exact(low == least)
            .with_max_is_exact(exact),
    )
}

/// The statistics of a file as the Delta log has them: one JSON text.
pub(crate) fn of_log<'a>(
    rows: u64,
    columns: impl IntoIterator<Item = (&'a str, &'a ColumnStats)>,
) -> String {
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (name, stats) in columns {
        nulls.insert(name.to_owned(), stats.nulls.into());
        let (low, high) = bounds_of_log(&stats.bounds);
        least.extend(low.map(|low| (name.to_owned(), low)));
        greatest.extend(high.map(|high| (name.to_owned(), high)));
    }
    json!({ "numRecords": rows, "minValues": least, "maxValues": greatest, "nullCount": nulls })
        .to_string()
}

fn bounds_of_log(bounds: &Bounds) -> (Option<Value>, Option<Value>) {
    match bounds {
        Bounds::Ints(least, greatest) => (Some((*least).into()), Some((*greatest).into())),
        // The log has milliseconds: down for the least, up for the greatest.
        Bounds::Times(least, greatest) => {
            let beyond = i64::from(greatest.rem_euclid(1000) > 0);
            (time(*least, 0), time(*greatest, beyond))
        }
        Bounds::Floats(least, greatest) if least.is_finite() && greatest.is_finite() => {
            (Some((*least).into()), Some((*greatest).into()))
        }
        // JSON has no infinity.
        Bounds::None | Bounds::Floats(..) => (None, None),
        Bounds::Text(least, greatest) => {
            let low = first_chars(least, LOG_CHARS);
            let high = first_chars(greatest, LOG_CHARS);
            let high = if high == greatest { Some(high.to_owned()) } else { raised(high) };
            (Some(low.into()), high.map(Value::from))
        }
    }
}

/// The millisecond of the time, `beyond` milliseconds later.
fn time(micros: i64, beyond: i64) -> Option<Value> {
    let sayable = TIMES.contains(&micros);
    sayable.then(|| Timestamp((micros.div_euclid(1000) + beyond) * 1000).to_string().into())
}

fn first_chars(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(end, _)| &text[..end])
}

/// The least text that is greater than every text with this prefix, in the order of the bytes,
/// which is the order of the characters.
fn raised(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        let next = match last {
            // The surrogates are no characters.
            '\u{D7FF}' => Some('\u{E000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(bounds: Bounds) -> (Option<Value>, Option<Value>) {
        let stats = ColumnStats { nulls: 2, bounds };
        let text = of_log(5, [("c", &stats)]);
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["numRecords"], 5);
        assert_eq!(value["nullCount"]["c"], 2);
        (value["minValues"].get("c").cloned(), value["maxValues"].get("c").cloned())
    }

    fn text(least: &str, greatest: &str) -> (Option<Value>, Option<Value>) {
        log(Bounds::Text(least.to_owned(), greatest.to_owned()))
    }

    #[test]
    fn text_in_the_log_is_cut_to_bounds() {
        assert_eq!(text("", "b"), (Some("".into()), Some("b".into())));
        let (long, cut) = ("a".repeat(33), "a".repeat(32));
        let up = format!("{}b", "a".repeat(31));
        assert_eq!(text(&cut, &cut), (Some(cut.clone().into()), Some(cut.clone().into())));
        assert_eq!(text(&long, &long), (Some(cut.into()), Some(up.into())));
    }

    #[test]
    fn text_of_many_bytes_is_cut_between_characters() {
        // 33 characters of two, three and four bytes each.
        for letter in ['ä', '€', '😀'] {
            let long = String::from(letter).repeat(33);
            let (low, high) = text(&long, &long);
            let (low, high) = (low.expect("a bound"), high.expect("a bound"));
            let (low, high) = (low.as_str().expect("text"), high.as_str().expect("text"));
            assert_eq!((low.chars().count(), high.chars().count()), (32, 32));
            assert!(low < &long[..] && high > &long[..], "{low} {high}");
        }
        let edge = "\u{D7FF}".repeat(40);
        assert!(text(&edge, &edge).1.expect("a bound").as_str().expect("text") > &edge[..]);
        // Nothing is greater than the greatest character: the character before it is raised, or
        // there is no bound.
        let last = format!("a{}", "\u{10FFFF}".repeat(40));
        assert_eq!(text(&last, &last).1, Some("b".into()));
        let all = "\u{10FFFF}".repeat(40);
        assert_eq!(text(&all, &all).1, None);
    }

    #[test]
    fn numbers_and_times_in_the_log() {
        assert_eq!(log(Bounds::Ints(-7, i64::MAX)), (Some((-7).into()), Some(i64::MAX.into())));
        assert_eq!(log(Bounds::Floats(-0.5, 100.0)), (Some((-0.5).into()), Some(100.0.into())));
        assert_eq!(log(Bounds::Floats(0.0, f64::INFINITY)), (None, None));
        let at = |text: &str| Timestamp::parse(text).expect("a time").micros();
        let (low, high) = (at("2026-11-20T10:00:00.123456Z"), at("2026-11-20T10:00:01.999001Z"));
        let said = log(Bounds::Times(low, high));
        assert_eq!(
            said,
            (Some("2026-11-20T10:00:00.123Z".into()), Some("2026-11-20T10:00:02Z".into()))
        );
        let said = log(Bounds::Times(-1, at("2026-11-20T10:00:00Z")));
        assert_eq!(
            said,
            (Some("1969-12-31T23:59:59.999Z".into()), Some("2026-11-20T10:00:00Z".into()))
        );
        assert_eq!(log(Bounds::Times(i64::MIN, i64::MAX)), (None, None));
    }

    #[test]
    fn a_footer_has_bounds_of_whole_characters() {
        let long = format!("{}€uro", "x".repeat(62));
        let stats = ColumnStats { nulls: 0, bounds: Bounds::Text(long.clone(), long.clone()) };
        let Statistics::ByteArray(said) = stats.of_footer(Type::BYTE_ARRAY) else {
            panic!("text has bounds of bytes");
        };
        assert_eq!(said.min_bytes_opt(), Some("x".repeat(62).as_bytes()));
        assert_eq!(said.max_bytes_opt(), Some(format!("{}y", "x".repeat(61)).as_bytes()));
        assert!(!said.min_is_exact() && !said.max_is_exact());
        let none = ColumnStats { nulls: 9, bounds: Bounds::None }.of_footer(Type::BYTE_ARRAY);
        assert_eq!((none.null_count_opt(), none.min_bytes_opt()), (Some(9), None));
    }

    #[test]
    fn further_rows_widen_the_bounds() {
        let mut stats = ColumnStats::default();
        stats.merge(ColumnStats { nulls: 3, bounds: Bounds::None });
        stats.merge(ColumnStats { nulls: 0, bounds: Bounds::Ints(-1, 4) });
        stats.merge(ColumnStats { nulls: 1, bounds: Bounds::Ints(-5, 2) });
        assert_eq!(stats, ColumnStats { nulls: 4, bounds: Bounds::Ints(-5, 4) });
    }
}
