//! The ways in which AWS Config, and recordings of its API, write a time.

use deployforge_model::Timestamp;
use serde_json::value::RawValue;

use crate::json::{self, Members};

/// Epoch values above this are milliseconds: as seconds it would be the year 5138.
const MILLIS_FROM: f64 = 1e11;

/// Reads RFC 3339 text, seconds or milliseconds since the epoch (as a number or as text), or a
/// recorded date object.
pub(crate) fn read(raw: &RawValue) -> Option<Timestamp> {
    if json::is_number(raw) {
        return epoch(raw.get());
    }
    if json::is_object(raw) {
        return recorded(&Members::parse(raw.get()).ok()?);
    }
    let text = json::text_of(raw)?;
    Timestamp::parse(&text).ok().or_else(|| epoch(&text))
}

fn epoch(text: &str) -> Option<Timestamp> {
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    if number.abs() >= MILLIS_FROM {
        return Some(Timestamp((number * 1e3).round() as i64));
    }
    Some(Timestamp((number * 1e6).round() as i64))
}

/// `{"__class__":"datetime","year":2020,…}`, in UTC.
fn recorded(members: &Members<'_>) -> Option<Timestamp> {
    let part = |name| members.unsigned(name).ok().flatten();
    let (year, month, day) = (part("year")?, part("month")?, part("day")?);
    let (hour, minute) = (part("hour").unwrap_or(0), part("minute").unwrap_or(0));
    let (second, micros) = (part("second").unwrap_or(0), part("microsecond").unwrap_or(0));
    let text =
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z");
    Timestamp::parse(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_spelling() {
        for (text, want) in [
            (r#""2017-01-09T22:50:15.156Z""#, Some("2017-01-09T22:50:15.156Z")),
            ("1502617462.927", Some("2017-08-13T09:44:22.927Z")),
            ("1502617462927", Some("2017-08-13T09:44:22.927Z")),
            (r#""1502617462.927""#, Some("2017-08-13T09:44:22.927Z")),
            (
                r#"{"__class__":"datetime","year":2019,"month":10,"day":3,"hour":4,"minute":5,"second":6,"microsecond":7000}"#,
                Some("2019-10-03T04:05:06.007Z"),
            ),
            (r#""yesterday""#, None),
            ("true", None),
            (r#"{"year":2019}"#, None),
        ] {
            let raw: &RawValue = serde_json::from_str(text).unwrap();
            assert_eq!(read(raw).map(|time| time.to_string()).as_deref(), want, "{text}");
        }
    }
}
