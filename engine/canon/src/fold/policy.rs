//! Policy documents: IAM and resource policies of AWS, by what they grant and deny.
//!
//! Source: the grammar of the IAM JSON policy language. Order of statements, actions, resources,
//! principals and values means nothing; one stands for a list of one; `Version` defaults to
//! 2008-10-17; `"Principal": "*"` and `{"AWS": "*"}` are one; an account is its number or its root's ARN;
//! actions ignore case; conditions compare texts, so that numbers and booleans are their texts.

use super::container;
use crate::node::Node;

/// Whether both are policy documents, and say the same.
pub(super) fn same(a: &Node, b: &Node) -> bool {
    match (document(a), document(b)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// A document in its one form, if this is one; as a tree, or as JSON text, percent-encoded as IAM's
/// replies have it.
fn document(node: &Node) -> Option<Node> {
    let opened = match node {
        Node::String(text) => match container(text) {
            Some(opened) => opened,
            None if text.starts_with("%7B") => container(&decoded(text)?)?,
            None => return None,
        },
        node => node.clone(),
    };
    let Node::Object(members) = opened else { return None };
    members.iter().any(|(name, _)| &**name == "Statement").then_some(())?;
    let mut out: Vec<(Box<str>, Node)> = Vec::with_capacity(members.len());
    for (name, value) in members {
        match &*name {
            "Statement" => out.push((name, set(listed(value).into_iter().map(statement)))),
            // Without a version a document is of the old one.
            "Version" if value == Node::String("2008-10-17".into()) => {}
            "Id" if value.is_hollow() => {}
            _ => out.push((name, value)),
        }
    }
    Some(Node::Object(out))
}

fn statement(node: Node) -> Node {
    let Node::Object(members) = node else { return node };
    let mut out: Vec<(Box<str>, Node)> = Vec::with_capacity(members.len());
    for (name, value) in members {
        let value = match &*name {
            "Sid" if value.is_hollow() => continue,
            // One of an empty text restricts.
            "Condition" if value.is_empty() => continue,
            "Action" | "NotAction" => set(listed(value).into_iter().map(lower)),
            "Resource" | "NotResource" => set(listed(value).into_iter()),
            "Principal" | "NotPrincipal" => principal(value),
            "Condition" => condition(value),
            _ => value,
        };
        out.push((name, value));
    }
    Node::Object(out)
}

/// Who: kinds of principals, each with the set of its names.
fn principal(node: Node) -> Node {
    let members = match node {
        Node::String(all) => vec![("AWS".into(), Node::String(all))],
        Node::Object(members) => members,
        other => return other,
    };
    let members = members.into_iter().map(|(kind, names)| {
        let names = listed(names).into_iter().map(|name| match (&*kind, name) {
            ("AWS", Node::String(name)) => Node::String(account(&name).into()),
            (_, name) => name,
        });
        let names = set(names);
        (kind, names)
    });
    Node::Object(members.collect())
}

/// An account's number for the ARN of its root.
fn account(name: &str) -> &str {
    let inner = name.strip_prefix("arn:").and_then(|rest| rest.strip_suffix(":root"));
    match inner.and_then(|rest| rest.split_once(":iam::")) {
        Some((_, number)) if number.bytes().all(|b| b.is_ascii_digit()) => number,
        _ => name,
    }
}

/// Conditions: operators, keys (which ignore case), and the set of values as texts.
fn condition(node: Node) -> Node {
    let Node::Object(operators) = node else { return node };
    let operators = operators.into_iter().map(|(operator, keys)| {
        let Node::Object(keys) = keys else { return (operator, keys) };
        let mut keys: Vec<(Box<str>, Node)> = keys
            .into_iter()
            .map(|(key, values)| {
                let values = set(listed(values).into_iter().map(as_text));
                (key.to_lowercase().into(), values)
            })
            .collect();
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        (operator, Node::Object(keys))
    });
    Node::Object(operators.collect())
}

fn as_text(node: Node) -> Node {
    match node {
        Node::Bool(flag) => Node::String(flag.to_string().into()),
        Node::Number(number) => Node::String(number.to_string().into()),
        other => other,
    }
}

fn lower(node: Node) -> Node {
    match node {
        Node::String(text) => Node::String(text.to_lowercase().into()),
        other => other,
    }
}

/// One, or several in a list.
fn listed(node: Node) -> Vec<Node> {
    match node {
        Node::Array(items) | Node::Set(items) => items,
        Node::Keyed(keyed) => keyed.entries.into_iter().map(|(_, item)| item).collect(),
        one => vec![one],
    }
}

/// Without order, each once.
fn set(items: impl Iterator<Item = Node>) -> Node {
    let mut items: Vec<Node> = items.collect();
    items.sort_by_cached_key(Node::to_json);
    items.dedup();
    Node::Set(items)
}

/// Percent-encoding undone.
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |byte: u8| (byte as char).to_digit(16);
        let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
        out.push((high * 16 + low) as u8);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Limits, Parser};

    fn node(text: &str) -> Node {
        Parser::default().value(text.as_bytes(), Limits::default(), false).unwrap()
    }

    fn say_the_same(a: &str, b: &str) -> bool {
        let quoted = |text: &str| Node::String(text.into());
        let as_text = same(&quoted(a), &quoted(b));
        assert_eq!(as_text, same(&node(a), &node(b)), "as text and as trees");
        as_text
    }

    const ONE: &str = r#"{"Version":"2012-10-17","Statement":{"Sid":"","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}}"#;

    #[test]
    fn what_is_written_otherwise_says_the_same() {
        assert!(say_the_same(
            ONE,
            r#"{"Statement":[{"Effect":"Allow","Resource":["arn:aws:s3:::b/*"],"Action":["S3:getobject"],"Principal":{"AWS":["123456789012"]}}],"Version":"2012-10-17"}"#,
        ));
        assert!(say_the_same(
            r#"{"Statement":[{"Effect":"Deny","Principal":"*","Condition":{"Bool":{"aws:SecureTransport":false}}}]}"#,
            r#"{"Version":"2008-10-17","Statement":[{"Effect":"Deny","Principal":{"AWS":"*"},"Condition":{"Bool":{"AWS:securetransport":["false"]}}}]}"#,
        ));
    }

    #[test]
    fn what_grants_otherwise_does_not() {
        for (was, is) in [
            ("Allow", "Deny"),
            ("123456789012:root", "123456789013:root"),
            ("123456789012:root", "123456789012:user/a"),
            ("s3:GetObject", "s3:*"),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::B/*"),
            ("2012-10-17", "2008-10-17"),
            (r#""Sid":"""#, r#""Sid":"x""#),
        ] {
            assert!(!say_the_same(ONE, &ONE.replace(was, is)), "{was} {is}");
        }
        assert!(!say_the_same(r#"{"a":1}"#, r#"{"a":1}"#), "no policy");
        for condition in [r#"{"StringEquals":{"s3:prefix":""}}"#, r#"{"Null":{"a":[]}}"#] {
            let with = ONE.replace("\"Sid\":\"\"", &format!("\"Condition\":{condition}"));
            assert!(!say_the_same(ONE, &with), "it restricts, whatever to");
        }
        assert!(say_the_same(ONE, &ONE.replace("\"Sid\":\"\"", "\"Condition\":{}")));
    }

    #[test]
    fn a_percent_encoded_document_is_opened() {
        let encoded: String = ONE.bytes().map(|b| format!("%{b:02X}")).collect();
        assert!(same(&Node::String(encoded.into()), &Node::String(ONE.into())));
    }
}
