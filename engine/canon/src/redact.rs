//! Sensitive values become keyed hashes before anything else sees them.
//!
//! Sensitive is what the source declares so, what `data/secrets.json` lists by type (states written
//! by old versions hold such values and declare nothing), and every text whose name says so (see [`is_secret_name`]),
//! whether it is a member, the `value` beside such a `name`, or either of these inside JSON text; and
//! what the user's own rules say ([`SecretRule`]).
//! The hash is keyed BLAKE3 under the deployment's key, so equal values stay equal within one
//! deployment, a change is seen, and the value is not.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use deployforge_model::path::{PathPattern, segments, wildcard};

use crate::node::{Node, Secret};
use crate::parse::{Limits, Parser};
use crate::rules::RuleError;
use crate::secret_rules::{SecretRule, SecretRules, plain};

/// Replaces sensitive values by keyed hashes.
#[derive(Clone)]
pub struct Redactor {
    key: [u8; 32],
    key_id: Box<str>,
    rules: Arc<SecretRules>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl Default for Redactor {
    /// For comparisons whose result is not kept: a fixed key. Whatever is written to disk uses
    /// [`Redactor::new`] with the deployment's key.
    fn default() -> Self {
        Self::new([0; 32], "none")
    }
}

/// The ends of names (lower case, without `_`, `-`, `.` and spaces) that hold secrets.
const SECRET_ENDINGS: [&str; 23] = [
    "accesskey",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "secretkey",
    "secretaccesskey",
    "secretstring",
    "secretbinary",
    "clientsecret",
    "privatekey",
    "privatekeypem",
    "authtoken",
    "accesstoken",
    "refreshtoken",
    "sessiontoken",
    "bearertoken",
    "apitoken",
    "apikey",
    "accountkey",
    "connectionstring",
    "presharedkey",
    "sastoken",
];

/// The secret paths of types: `data/secrets.json`.
fn typed() -> &'static [(String, String)] {
    static TYPED: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
        serde_json::from_str(include_str!("../data/secrets.json"))
            .expect("the list parses, see the test")
    });
    &TYPED
}

/// Whether a member of this name holds a secret if it is a text.
pub fn is_secret_name(name: &str) -> bool {
    let plain: Cow<'_, str> = if name.bytes().any(|b| !b.is_ascii_lowercase()) {
        plain(name).into()
    } else {
        name.into()
    };
    let one = plain.strip_suffix('s').unwrap_or(&plain);
    let ends = |name: &str| SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending));
    ends(&plain) || ends(one) || one == "token"
}

impl Redactor {
    /// A redactor under a deployment's key.
    pub fn new(key: [u8; 32], key_id: &str) -> Self {
        Self { key, key_id: key_id.into(), rules: Arc::default() }
    }

    /// The same with the user's rules.
    pub fn with_rules(self, rules: Vec<SecretRule>) -> Result<Self, RuleError> {
        Ok(Self { rules: Arc::new(SecretRules::new(rules)?), ..self })
    }

    /// What the user's rules come to: the same text for the same rules, empty without any.
    pub fn stamp(&self) -> String {
        self.rules.stamp()
    }

    /// Whether a member of this name holds a secret if it is a text or a number.
    pub(crate) fn is_secret_name(&self, name: &str) -> bool {
        is_secret_name(name) || (self.rules.has_names() && self.rules.is_name(&plain(name)))
    }

    /// Replaces every sensitive value of a state of `resource_type` below `root`.
    pub fn redact<'a>(
        &self,
        root: &mut Node,
        resource_type: &str,
        declared: impl Iterator<Item = &'a str>,
    ) {
        for (types, pointer) in typed() {
            if wildcard(types, resource_type) {
                let segments: Vec<String> = segments(pointer).collect();
                self.redact_at(root, &segments);
            }
        }
        for pointer in declared {
            let segments: Vec<String> = segments(pointer).collect();
            self.redact_at(root, &segments);
        }
        for pattern in self.rules.paths(resource_type) {
            self.redact_fitting(root, pattern, &mut Vec::new());
        }
        self.redact_named(root);
    }

    /// The hash that stands for `node`; a secret stays what it is.
    pub fn secret(&self, node: &Node) -> Node {
        if matches!(node, Node::Secret(_) | Node::Unresolved(_)) {
            return node.clone();
        }
        let text = match node {
            Node::String(text) => text.to_string(),
            other => other.to_json(),
        };
        let length = match text.chars().count() {
            0 => "0",
            1..=8 => "1-8",
            9..=16 => "9-16",
            17..=32 => "17-32",
            33..=64 => "33-64",
            _ => "65+",
        };
        Node::Secret(Secret {
            hmac: blake3::keyed_hash(&self.key, text.as_bytes()).to_hex().as_str().into(),
            key_id: self.key_id.clone(),
            length: length.into(),
        })
    }

    /// What a path leads to. Where it cannot be followed (into a text, or to an element of a list by what
    /// is no number) no one can say what it means: then all there is covered. What it names and is not
    /// there is no secret.
    fn redact_at(&self, node: &mut Node, segments: &[String]) {
        let Some((first, rest)) = segments.split_first() else {
            self.redact_leaves(node);
            return;
        };
        match node {
            Node::Object(members) => {
                if let Some((_, value)) = members.iter_mut().find(|(name, _)| **name == **first) {
                    self.redact_at(value, rest);
                }
            }
            Node::Array(items) => match first.parse::<usize>() {
                Ok(at) => {
                    if let Some(item) = items.get_mut(at) {
                        self.redact_at(item, rest);
                    }
                }
                Err(_) => self.redact_leaves(node),
            },
            other => self.redact_leaves(other),
        }
    }

    fn redact_fitting(&self, node: &mut Node, pattern: &PathPattern, at: &mut Vec<String>) {
        if pattern.fits(at) {
            return self.redact_leaves(node);
        }
        let mut inner = |segment: String, node: &mut Node| {
            at.push(segment);
            self.redact_fitting(node, pattern, at);
            at.pop();
        };
        match node {
            Node::Object(members) => {
                members.iter_mut().for_each(|(name, value)| inner(name.to_string(), value));
            }
            Node::Array(items) => {
                items.iter_mut().enumerate().for_each(|(i, item)| inner(i.to_string(), item));
            }
            _ => {}
        }
    }

    /// Every leaf below a declared path is a secret; nulls and empty texts tell nothing and stay.
    fn redact_leaves(&self, node: &mut Node) {
        match node {
            Node::Object(members) => {
                members.iter_mut().for_each(|(_, value)| self.redact_leaves(value));
            }
            Node::Array(items) | Node::Set(items) => {
                items.iter_mut().for_each(|item| self.redact_leaves(item));
            }
            Node::Keyed(_) | Node::Null | Node::Secret(_) | Node::Unresolved(_) => {}
            leaf => {
                if !leaf.is_empty() {
                    *leaf = self.secret(leaf);
                }
            }
        }
    }

    /// Every text and number at or below a name that says secret; flags there are settings.
    fn redact_texts(&self, node: &mut Node) -> bool {
        match node {
            Node::Object(members) => {
                members.iter_mut().fold(false, |found, (_, value)| self.redact_texts(value) | found)
            }
            Node::Array(items) | Node::Set(items) => {
                items.iter_mut().fold(false, |found, item| self.redact_texts(item) | found)
            }
            Node::String(text) if text.is_empty() => false,
            Node::String(_) | Node::Number(_) => {
                *node = self.secret(node);
                true
            }
            _ => false,
        }
    }

    fn redact_named(&self, node: &mut Node) -> bool {
        match node {
            Node::Object(members) => {
                let named = members.iter().any(|(name, value)| {
                    matches!(&**name, "name" | "Name" | "key" | "Key")
                        && matches!(value, Node::String(text) if self.is_secret_name(text))
                });
                let mut found = false;
                for (name, value) in members {
                    let secret = self.is_secret_name(name)
                        || (named && matches!(&**name, "value" | "Value"));
                    found |=
                        if secret { self.redact_texts(value) } else { self.redact_named(value) };
                }
                found
            }
            Node::Array(items) | Node::Set(items) => {
                items.iter_mut().fold(false, |found, item| self.redact_named(item) | found)
            }
            Node::String(text) => match self.redact_text(text) {
                Some(redacted) => {
                    *node = redacted;
                    true
                }
                None => false,
            },
            _ => false,
        }
    }

    /// Whether a text is or holds a secret.
    pub(crate) fn holds_secret(&self, text: &str) -> bool {
        self.redact_text(text).is_some()
    }

    /// Whether any text could be a secret, whatever it begins with.
    pub(crate) fn reads_texts(&self) -> bool {
        self.rules.reads_texts()
    }

    /// Whether states of this type have secrets at known paths.
    pub(crate) fn has_paths(&self, resource_type: &str) -> bool {
        typed().iter().any(|(types, _)| wildcard(types, resource_type))
            || self.rules.paths(resource_type).next().is_some()
    }

    /// What stands for a text that is or holds a secret. Secrets in JSON are hashed each by itself first:
    /// what still looks like one then reaches beyond them.
    fn redact_text(&self, text: &str) -> Option<Node> {
        let inner = self.redact_json_text(text);
        let looks = match &inner {
            Some(Node::String(inner)) => self.rules.is_text(inner),
            Some(_) => false,
            None => self.rules.is_text(text),
        };
        if looks { Some(self.secret(&Node::String(text.into()))) } else { inner }
    }

    /// JSON inside a text, redacted and written back, where it held a secret. Where it is damaged, no one
    /// can say where a secret in it ends: then all of the text is one.
    fn redact_json_text(&self, text: &str) -> Option<Node> {
        let bare = may_be_json(text)?;
        match Parser::default().value(bare.as_bytes(), Limits::default(), false) {
            Ok(mut inner) => {
                self.redact_named(&mut inner).then(|| Node::String(inner.to_json().into()))
            }
            Err(_) => self.has_secret_name(bare).then(|| self.secret(&Node::String(text.into()))),
        }
    }

    /// Whether what looks like the name of a member says secret, or what looks like the value of one that
    /// holds names.
    fn has_secret_name(&self, text: &str) -> bool {
        let text = without_escapes(text);
        let mut parts = text.split(['"', '\'']).map(str::trim).peekable();
        let mut names = false;
        while let Some(part) = parts.next() {
            let is_name = parts.peek().is_some_and(|after| after.starts_with(':'));
            if (is_name || names) && self.is_secret_name(part) {
                return true;
            }
            // Between a name and a text that is its value there is nothing but a colon.
            names =
                matches!(part, "name" | "Name" | "key" | "Key") && is_name || names && part == ":";
        }
        false
    }
}

/// A text without the backslashes of JSON, however often it was written as JSON in JSON: characters by
/// number are what they stand for, white space is a space.
fn without_escapes(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest[at..].trim_start_matches('\\');
        let number = escape.strip_prefix('u').and_then(|hex| hex.get(..4));
        let code = number.and_then(|hex| u32::from_str_radix(hex, 16).ok());
        (out, rest) = match (code, escape.as_bytes().first()) {
            // Halves of a character beyond these are in no name that says secret.
            (Some(code), _) => {
                (out + char::from_u32(code).unwrap_or('?').encode_utf8(&mut [0; 4]), &escape[5..])
            }
            (None, Some(b'b' | b'f' | b'n' | b'r' | b't')) => (out + " ", &escape[1..]),
            (None, _) => (out, escape),
        };
    }
    out.push_str(rest);
    out.into()
}

/// What of a text may be JSON that holds something, or JSON of such text.
fn may_be_json(text: &str) -> Option<&str> {
    let bare = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    bare.starts_with(['{', '[', '"']).then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Canon;
    use deployforge_model::Dialect;

    fn redacted(text: &str, declared: &[&str]) -> String {
        let canon = Canon { redactor: Redactor::new([7; 32], "k1"), ..Canon::default() };
        let state = canon.state(
            &mut Parser::default(),
            Dialect::Native,
            "t",
            text.as_bytes(),
            declared.iter().copied(),
        );
        state.unwrap().root.to_json()
    }

    #[test]
    fn secrets_do_not_survive() {
        let text = r#"{"masterUserPassword":"planted-1","a":{"b":["planted-2",5]},"env":[{"name":"DB_PASSWORD","value":"planted-3"}],"defs":"[{\"api_key\":\"planted-4\"}]","passwordLength":12,"pin_password":990017,"Passwords":["planted-5"],"secret":{"v":"planted-6"},"text":" {\"password\":\"planted-7\"}"}"#;
        let out = redacted(text, &["/a/b"]);
        assert!(!out.contains("planted") && !out.contains("990017"), "{out}");
        assert!(out.contains(r#""passwordLength":12"#), "a setting about a secret is none");
        assert!(out.contains("hmac"));
    }

    #[test]
    fn secrets_in_damaged_or_wrapped_json_text_do_not_survive() {
        let object = r#"{"password":"planted"}"#;
        let quoted = serde_json::to_string(object).expect("a text");
        let texts = [
            quoted.clone(),
            serde_json::to_string(&quoted).expect("a text"),
            format!("\u{feff}{object}"),
            format!("{object},"),
            format!("{object}\n{object}"),
            r#"{"password":"planted","password":"x"}"#.to_owned(),
            r#"{"x":NaN,"password" : "planted"}"#.to_owned(),
            format!("[{quoted}"),
            r#"[{"name":"DB_PASSWORD","value":"planted"},"#.to_owned(),
            r#"[{"Key" : "DB_PASSWORD" , "Value" : "planted" }"#.to_owned(),
            r#"[{"value":"planted","name":"DB_PASSWORD"},"#.to_owned(),
            r#"{"pass\u0077ord":"planted","#.to_owned(),
            r#"{"pass\u0077ord\u0022:"planted","#.to_owned(),
            r#"[{"n\u0061me":"DB\u005FPASSWORD","value":"planted"},"#.to_owned(),
            r#"{"a":"{\"pass\\u0077ord\"\n:\"planted\"","#.to_owned(),
            r#"["{\"name\":\"DB_PASSWORD\",\"value\":\"planted\"","#.to_owned(),
            "{'password': 'planted'}".to_owned(),
            "[{'name': 'DB_PASSWORD', 'value': 'planted'}]".to_owned(),
        ];
        for text in texts {
            let state = serde_json::json!({ "a": text }).to_string();
            let out = redacted(&state, &[]);
            assert!(!out.contains("planted") && out.contains("hmac"), "{state}: {out}");
        }
        for harmless in [
            r#"{"a":NaN}"#,
            "\"quoted\"",
            "[not json]",
            r#"say "password" twice"#,
            r#"{"kind":"password","name":"size","value":"5""#,
            r#"{"a":"\u00e9\ud83d\ude00\u12"#,
            r#"{"name":"a","b":["password"]"#,
        ] {
            let state = serde_json::json!({ "a": harmless }).to_string();
            assert!(!redacted(&state, &[]).contains("hmac"), "{state}");
        }
    }

    #[test]
    fn a_change_of_a_secret_is_seen() {
        assert_ne!(redacted(r#"{"password":"a"}"#, &[]), redacted(r#"{"password":"b"}"#, &[]));
        assert_eq!(redacted(r#"{"password":"a"}"#, &[]), redacted(r#"{"password":"a"}"#, &[]));
    }

    #[test]
    fn users_say_what_is_sensitive() {
        let rule = |resource_type: Option<&str>, path: &str, name: &str, text: &str| {
            let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            SecretRule {
                resource_type: resource_type.map(str::to_owned),
                path: given(path),
                name: given(name),
                text: given(text),
            }
        };
        let rules = vec![
            rule(Some("t*"), "/list/*/script", "", ""),
            rule(Some("other"), "/kept", "", ""),
            rule(None, "/**/deep", "", ""),
            rule(None, "", "*_Pin", ""),
            rule(None, "", "", "://[^/ ]+:[^/ ]+@"),
        ];
        let redactor = Redactor::new([7; 32], "k1").with_rules(rules.clone()).expect("rules");
        assert_ne!(redactor.stamp(), Redactor::default().stamp());
        let canon = Canon { redactor, ..Canon::default() };
        let text = r#"{"list":[{"script":{"a":"planted-1","b":99001,"c":true}},{"other":"kept-1"}],"kept":"kept-2","x":{"deep":["planted-2"],"door_pin":[99002],"pins":"kept-3"},"url":"db://me:planted-3@host/a","env":[{"name":"DoorPin","value":"planted-4"}],"json":"{\"u\":\"a://b:planted-5@c\",\"v\":\"kept-4\"}"}"#;
        let none = std::iter::empty();
        let state =
            canon.state(&mut Parser::default(), Dialect::Native, "type", text.as_bytes(), none);
        let out = state.expect("a state").root.to_json();
        assert!(!out.contains("planted") && !out.contains("9900"), "{out}");
        assert!((1..=4).all(|i| out.contains(&format!("kept-{i}"))), "{out}");

        for wrong in [
            rule(None, "", "", ""),
            rule(None, "/a", "b", ""),
            rule(None, "a", "", ""),
            rule(Some("t"), "", "name", ""),
            rule(None, "", "*", ""),
            rule(None, "", "", "x*"),
            rule(None, "", "", "("),
            rule(None, "", "", r"(\w{500}){500}"),
        ] {
            let error = Redactor::default().with_rules(vec![wrong.clone()]);
            assert!(error.is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn types_have_secret_paths() {
        assert_eq!(typed().len(), 13);
        let mut root = Parser::default()
            .value(br#"{"result":"planted","length":16}"#, Limits::default(), false)
            .unwrap();
        Redactor::default().redact(&mut root, "random_password", std::iter::empty());
        assert!(!root.to_json().contains("planted"));
    }

    #[test]
    fn names() {
        for name in ["password", "MasterUserPassword", "client_secret", "x-api-key", "auth.token"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["passwordPolicy", "secretArn", "kmsKeyId", "nextToken", "tokenKey"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
