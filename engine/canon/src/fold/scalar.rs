//! Folds of single values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;

use crate::node::Node;
use crate::number::Number;

/// The number that a text is, written plainly.
fn number_of(text: &str) -> Option<Number> {
    Number::from_text(text)
}

pub(super) fn number_text(a: &Node, b: &Node) -> bool {
    match (a, b) {
        (Node::Number(number), Node::String(text)) | (Node::String(text), Node::Number(number)) => {
            number_of(text).as_ref() == Some(number)
        }
        _ => false,
    }
}

pub(super) fn bool_text(a: &Node, b: &Node) -> bool {
    match (a, b) {
        (Node::Bool(flag), Node::String(text)) | (Node::String(text), Node::Bool(flag)) => {
            text.eq_ignore_ascii_case(if *flag { "true" } else { "false" })
        }
        _ => false,
    }
}

pub(super) fn switch(a: &Node, b: &Node) -> bool {
    let says = |text: &str| match &*text.to_ascii_lowercase() {
        "enabled" | "enable" | "on" | "yes" | "active" => Some(true),
        "disabled" | "disable" | "off" | "no" | "inactive" => Some(false),
        _ => None,
    };
    match (a, b) {
        (Node::Bool(flag), Node::String(text)) | (Node::String(text), Node::Bool(flag)) => {
            says(text) == Some(*flag)
        }
        _ => false,
    }
}

pub(super) fn case(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

pub(super) fn spaces(a: &str, b: &str) -> bool {
    let plain = |text: &str| text.to_lowercase().split_whitespace().collect::<String>();
    plain(a) == plain(b)
}

pub(super) fn trailing(a: &str, b: &str, end: char) -> bool {
    a.strip_suffix(end) == Some(b) || b.strip_suffix(end) == Some(a)
}

/// The declared version is the first parts of the observed one.
pub(super) fn version_prefix(declared: &str, observed: &str) -> bool {
    let is_version = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+'))
    };
    let rest = observed.strip_prefix(declared);
    is_version(declared) && rest.is_some_and(|rest| rest.starts_with(['.', '-', '+']))
}

pub(super) fn latest(declared: &Node) -> bool {
    matches!(declared, Node::String(text)
        if matches!(&*text.to_lowercase(), "latest" | "$latest" | "$default" | "current"))
}

/// What cannot be read back is absent or masked.
pub(super) fn write_only(declared: Option<&Node>, observed: Option<&Node>) -> bool {
    let masked = |node: &Node| match node {
        Node::String(text) => text.is_empty() || text.chars().all(|c| matches!(c, '*' | '+' | '•')),
        node => node.is_empty(),
    };
    declared.is_some_and(|node| !node.is_hollow()) && observed.is_none_or(masked)
}

/// One side is zero and the other is not there.
pub(super) fn zero(zero: Option<&Node>, absent: Option<&Node>) -> bool {
    zero.is_some_and(is_zero) && absent.is_none_or(Node::is_hollow)
}

/// Zero, false, or something of nothing but these.
fn is_zero(node: &Node) -> bool {
    match node {
        Node::Bool(flag) => !flag,
        Node::Number(number) => *number == Number::Int(0),
        Node::String(text) => matches!(&**text, "" | "0" | "false"),
        Node::Object(members) => members.iter().all(|(_, value)| is_zero(value)),
        Node::Array(items) | Node::Set(items) => items.iter().all(is_zero),
        Node::Null => true,
        _ => false,
    }
}

const KILO: i128 = 1000;
const KIBI: i128 = 1024;

/// A quantity of Kubernetes as a whole number of thousandths, exactly.
/// Source: apimachinery's `resource.Quantity`, suffixes and scientific notation.
fn quantity_of(node: &Node) -> Option<i128> {
    let text = match node {
        Node::String(text) => text.to_string(),
        Node::Number(number) => number.to_string(),
        _ => return None,
    };
    let at = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')));
    let (mantissa, suffix) = text.split_at(at.unwrap_or(text.len()));
    let (times, over): (i128, i128) = match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (KILO, 1),
        "M" => (KILO.pow(2), 1),
        "G" => (KILO.pow(3), 1),
        "T" => (KILO.pow(4), 1),
        "P" => (KILO.pow(5), 1),
        "E" => (KILO.pow(6), 1),
        "Ki" => (KIBI, 1),
        "Mi" => (KIBI.pow(2), 1),
        "Gi" => (KIBI.pow(3), 1),
        "Ti" => (KIBI.pow(4), 1),
        "Pi" => (KIBI.pow(5), 1),
        "Ei" => (KIBI.pow(6), 1),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10i128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 { (1, power) } else { (power, 1) }
        }
    };
    // Billionths, the finest that a quantity holds.
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if fraction.len() > 18 || whole.trim_start_matches(['-', '+']).is_empty() {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10i128.checked_pow(fraction.len() as u32)?.checked_mul(over)?;
    let all = digits.checked_mul(times)?.checked_mul(1_000_000_000)?;
    (all % scale == 0).then(|| all / scale)
}

pub(super) fn quantity(a: &Node, b: &Node) -> bool {
    quantity_of(a).is_some_and(|a| quantity_of(b) == Some(a))
}

/// A duration in nanoseconds: `90s`, `1h30m` (Go, Google), `PT1M30S` (ISO 8601), or a plain number of
/// seconds.
fn duration_of(node: &Node) -> Option<i128> {
    let text = match node {
        Node::Number(number) => number.to_string(),
        Node::String(text) => text.to_string(),
        _ => return None,
    };
    if let Some(iso) = text.strip_prefix('P') {
        let (days, time) = iso.split_once('T').unwrap_or((iso, ""));
        let days = parts(days, &[("D", 86_400), ("W", 604_800)])?;
        return days.checked_add(parts(time, &[("H", 3600), ("M", 60), ("S", 1)])?);
    }
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return parts(&format!("{text}s"), &[("s", 1)]);
    }
    parts(&text, &[("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)])
        .or_else(|| parts(&text, &[("ms", -1000), ("us", -1_000_000), ("ns", -1_000_000_000)]))
}

/// Numbers with units, one after the other, in nanoseconds. A unit below zero is a fraction of a second.
fn parts(text: &str, units: &[(&str, i128)]) -> Option<i128> {
    const SECOND: i128 = 1_000_000_000;
    let (mut rest, mut sum) = (text, 0i128);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, after) = tail.split_at(end);
        let (_, size) = units.iter().find(|(name, _)| *name == unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.len() > 9 {
            return None;
        }
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let scale = 10i128.pow(fraction.len() as u32);
        let nanos = if *size > 0 { SECOND.checked_mul(*size)? } else { SECOND / -size };
        sum = sum.checked_add(digits.checked_mul(nanos)? / scale)?;
        rest = after;
    }
    Some(sum)
}

pub(super) fn duration(a: &Node, b: &Node) -> bool {
    duration_of(a).is_some_and(|a| duration_of(b) == Some(a))
}

/// `rate(N unit)` in minutes.
fn rate_of(text: &str) -> Option<u64> {
    let inner = text.trim().strip_prefix("rate(")?.strip_suffix(')')?;
    let (count, unit) = inner.trim().split_once(' ')?;
    let minutes = match unit.trim().trim_end_matches('s') {
        "minute" => 1,
        "hour" => 60,
        "day" => 1440,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(minutes)
}

pub(super) fn rate(a: &str, b: &str) -> bool {
    rate_of(a).is_some_and(|a| rate_of(b) == Some(a))
}

pub(super) fn timestamp(a: &str, b: &str) -> bool {
    let read = |text: &str| DateTime::parse_from_rfc3339(text).ok();
    match (read(a), read(b)) {
        (Some(a), Some(b)) => (a - b).num_milliseconds().abs() < 1000,
        _ => false,
    }
}

pub(super) fn base64(a: &str, b: &str) -> bool {
    let is = |coded: &str, text: &str| {
        STANDARD
            .decode(coded.trim())
            .is_ok_and(|bytes| !bytes.is_empty() && bytes == text.as_bytes())
    };
    is(a, b) || is(b, a)
}
