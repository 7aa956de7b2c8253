//! The walk over text gives the units of the tree, or does not decide.

use deployforge_canon::{Canon, Flat, Parser, Redactor, SecretRule};
use deployforge_model::{Dialect, Seed, StateForm, StateText};
use proptest::prelude::*;

use super::generate::{json, object};

const TYPE: &str = "AWS::EC2::SecurityGroup";

/// Checks one text; whether the walk decided.
fn agree(parser: &mut Parser, text: &[u8], bare: bool) -> bool {
    agree_by(&Canon::default(), parser, text, bare)
}

/// A canon to which names, texts and places are sensitive that are not so by themselves.
fn with_secrets() -> Canon {
    let rule = SecretRule::default;
    let rules = vec![
        SecretRule { name: Some("S*e".to_owned()), ..rule() },
        SecretRule { text: Some("[b-d]{2}|^\\[".to_owned()), ..rule() },
        SecretRule {
            resource_type: Some("AWS::EC2::Sub*".to_owned()),
            path: Some("/**/tags".to_owned()),
            ..rule()
        },
    ];
    let redactor = Redactor::new([7; 32], "k1").with_rules(rules).expect("they can be used");
    Canon { redactor, ..Canon::default() }
}

fn agree_by(canon: &Canon, parser: &mut Parser, text: &[u8], bare: bool) -> bool {
    let seed = Seed::new(11);
    let mut flat = Flat::default();
    let form = if bare { StateForm::Members(&[]) } else { StateForm::Object };
    let slice = StateText { text, form };
    let decided = canon.flatten(parser, &seed, Dialect::AwsConfig, TYPE, slice, &mut flat);
    let object = if bare { [b"{", text, b"}"].concat() } else { text.to_vec() };
    let state = canon.state(parser, Dialect::AwsConfig, TYPE, &object, std::iter::empty());
    if !decided {
        return false;
    }
    let shown = String::from_utf8_lossy(text);
    let state = state.unwrap_or_else(|error| panic!("walked, and refused: {error}: {shown}"));
    let tree = Flat::of(&state.root, &seed);
    let pairs = |flat: &Flat| {
        let mut pairs: Vec<(u64, u64)> = flat.units.iter().map(|u| (u.path, u.value)).collect();
        pairs.sort_unstable();
        pairs
    };
    assert_eq!(pairs(&flat), pairs(&tree), "{shown}");
    assert_eq!(flat.fingerprint(&seed), tree.fingerprint(&seed), "{shown}");
    for unit in &flat.units {
        let value = &text[unit.span.0 as usize..unit.span.1 as usize];
        serde_json::from_slice::<serde::de::IgnoredAny>(value).expect("a span holds one value");
    }
    true
}

proptest! {
    #[test]
    fn walk_and_tree_agree(texts in prop::collection::vec(object(json()), 1..4)) {
        let mut parser = Parser::default();
        for text in &texts {
            agree(&mut parser, text.as_bytes(), false);
            let bare = &text[1..text.len() - 1];
            agree(&mut parser, bare.as_bytes(), true);
        }
        let (canon, mut parser) = (with_secrets(), Parser::default());
        for text in &texts {
            agree_by(&canon, &mut parser, text.as_bytes(), false);
        }
    }

    #[test]
    fn nothing_broken_is_walked(text in object(json()), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        agree(&mut Parser::default(), &bytes, false);
        agree(&mut Parser::default(), &bytes, true);
    }
}

#[test]
fn plain_states_are_decided() {
    let mut parser = Parser::default();
    for text in [
        r#"{"configuration":{"ipPermissions":[{"p":1,"ipRanges":["b","a"]},{"p":2}],"size":8},"tags":{"Owner":"x"}}"#,
        r#"{"tags":[{"key":"Owner","value":"x"},{"key":"Project","value":"y"}],"relationships":[{"name":"in","resourceId":"r"}]}"#,
        r#"{"a":1.5,"b":[[],{},[{}]],"c":{"d":{}},"policy":"{\"Statement\":[]}","e":"\u0041"}"#,
        r#"{ "a" : [ 1 , 2 ] , "b" : null }"#,
    ] {
        assert!(agree(&mut parser, text.as_bytes(), false), "{text}");
    }
    for text in
        [r#"{"password":"x"}"#, r#"{"a":1,"a":2}"#, r#"{"a":{"b":1,"b":2}}"#, "[]", "{}x", ""]
    {
        assert!(!agree(&mut parser, text.as_bytes(), false), "{text}");
    }
}

#[test]
fn what_users_call_sensitive_is_not_walked() {
    let (canon, mut parser) = (with_secrets(), Parser::default());
    for text in [r#"{"si_ze":"x"}"#, r#"{"a":["xbc"]}"#, r#"{"a":"[ ]"}"#, r#"{"SomeStore":1}"#] {
        assert!(!agree_by(&canon, &mut parser, text.as_bytes(), false), "{text}");
    }
    for text in [r#"{"sizes":"x"}"#, r#"{"tags":{"a":"b"}}"#, r#"{"bcd":7}"#] {
        assert!(agree_by(&canon, &mut parser, text.as_bytes(), false), "{text}");
    }
}
