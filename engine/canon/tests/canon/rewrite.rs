//! Text that was walked is rewritten as its tree is written.

use std::path::Path;

use deployforge_canon::{Canon, Canonical, Flat, Node, Parser};
use deployforge_model::{Dialect, MemberKind, Seed, StateForm, StateMember, StateText};
use proptest::prelude::*;

use super::generate::{json, object};

const TYPE: &str = "AWS::EC2::SecurityGroup";

/// Members that a text without braces may have here; `size` is left out.
const ALLOWED: &[StateMember] = &[
    StateMember { name: "a", kind: MemberKind::Any },
    StateMember { name: "tags", kind: MemberKind::Any },
    StateMember { name: "Tags", kind: MemberKind::Any },
    StateMember { name: "configuration", kind: MemberKind::Any },
    StateMember { name: "relationships", kind: MemberKind::Any },
    StateMember { name: "size", kind: MemberKind::Ignored },
];

/// Checks one text; whether it was rewritten. Of what the walk cannot read only that nothing panics.
fn agree(parser: &mut Parser, kind: &str, text: &[u8], form: StateForm) -> bool {
    let (canon, seed, dialect) = (Canon::default(), Seed::new(11), Dialect::AwsConfig);
    let slice = StateText { text, form };
    let (mut flat, mut canonical) = (Flat::default(), Canonical::default());
    let walked = canon.flatten(parser, &seed, dialect, kind, slice, &mut flat);
    let rewritten = canon.rewrite(parser, &seed, dialect, kind, slice, &mut canonical);
    if !walked || !rewritten {
        return false;
    }
    let object = match form {
        StateForm::Object => text.to_vec(),
        StateForm::Members(_) => [b"{", text, b"}"].concat(),
    };
    let state = canon.state(parser, dialect, kind, &object, std::iter::empty());
    let mut root = state.expect("what is walked is a state").root;
    if let (StateForm::Members([_, ..]), Node::Object(members)) = (form, &mut root) {
        members.retain(|(name, _)| &**name != "size");
    }
    let text = root.to_json();
    assert_eq!(String::from_utf8_lossy(&canonical.text), text);
    assert_eq!(canonical.leaves, root.leaves(), "{text}");
    let slice = StateText::object(text.as_bytes());
    assert!(canon.flatten(parser, &seed, dialect, kind, slice, &mut flat), "{text}");
    let units: Vec<u32> = flat.units.iter().map(|unit| unit.span.0).collect();
    assert_eq!(canonical.units, units, "{text}");
    true
}

/// An element as lists of tags and relationships have them.
fn named() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec!["key", "Key", "TagKey"]);
    let text = prop::sample::select(vec!["a", "a!", "b", "b\\\"", "c", "", "é", "zz"]);
    (key, text, prop::option::of(json()), any::<bool>()).prop_map(|(key, text, value, first)| {
        let name = format!("\"{key}\":\"{text}\"");
        match value {
            None => format!("{{{name}}}"),
            Some(value) if first => format!("{{{name},\"value\":{value}}}"),
            Some(value) => format!("{{\"value\":{value}, {name}}}"),
        }
    })
}

/// Some of the allowed members in some order, often lists that have a rule.
fn members() -> impl Strategy<Value = String> {
    let list = prop::collection::vec(prop_oneof![4 => named(), 1 => json()], 0..5);
    let value = prop_oneof![
        json(),
        list.clone().prop_map(|items| format!("[{}]", items.join(" ,"))),
        list.prop_map(|items| format!("{{\"tagSet\":[{}]}}", items.join(","))),
    ];
    let values = prop::collection::vec(value, ALLOWED.len());
    let names: Vec<&str> = ALLOWED.iter().map(|member| member.name).collect();
    let order = prop::sample::subsequence(names, 1..=ALLOWED.len()).prop_shuffle();
    (order, values).prop_map(|(names, values)| {
        let members = names.into_iter().zip(values);
        let members: Vec<_> = members.map(|(name, value)| format!("\"{name}\":{value}")).collect();
        members.join(",")
    })
}

proptest! {
    #[test]
    fn rewritten_and_written_agree(texts in prop::collection::vec(object(json()), 1..4)) {
        let mut parser = Parser::default();
        for text in &texts {
            agree(&mut parser, TYPE, text.as_bytes(), StateForm::Object);
            let bare = &text[1..text.len() - 1];
            agree(&mut parser, TYPE, bare.as_bytes(), StateForm::Members(&[]));
        }
    }

    #[test]
    fn lists_with_rules_and_ignored_members_agree(texts in prop::collection::vec(members(), 1..4)) {
        let mut parser = Parser::default();
        for text in &texts {
            agree(&mut parser, TYPE, text.as_bytes(), StateForm::Members(&[]));
            agree(&mut parser, TYPE, text.as_bytes(), StateForm::Members(ALLOWED));
        }
    }

    #[test]
    fn broken_text_is_survived(text in object(json()), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        agree(&mut Parser::default(), TYPE, &bytes, StateForm::Object);
        agree(&mut Parser::default(), TYPE, &bytes, StateForm::Members(&[]));
    }
}

#[test]
fn plain_states_are_rewritten() {
    let mut parser = Parser::default();
    for text in [
        r#"{"configuration":{"ipPermissions":[{"p":1,"ipRanges":["b","a"]},{"p":2}],"size":8},"a":1}"#,
        r#"{"tags":[{"key":"b","value":"x"},{"value":"y","key":"a"}],"relationships":[{"z":1},{"a":2}]}"#,
        r#"{"tags":[{"key":"b"},{"key":"b"}],"b":{"tags":[{"key":1},{"Key":"x"}]},"a":{"Tags":[]}}"#,
        r#"{"e":"\u0041\n\u0001","b":[[],{},[{}],-0,1e3,1.50],"c":{"f":{},"d":{}}}"#,
        r#"{ "b" : [ 1 , 2 ] , "a" : null }"#,
        "{}",
    ] {
        assert!(agree(&mut parser, TYPE, text.as_bytes(), StateForm::Object), "{text}");
    }
    for text in [r#""tags":{},"size":1,"a":[{"d":1,"c":2},-0,1e3]"#, r#""size":{"b":1}"#] {
        let form = StateForm::Members(ALLOWED);
        assert!(agree(&mut parser, TYPE, text.as_bytes(), form), "{text}");
    }
}

/// Configurations that others recorded, whatever their files are: each object in them that names a type.
#[test]
fn recorded_states_are_rewritten() {
    let Some(root) = std::env::var_os("DEPLOYFORGE_FIXTURES") else { return };
    let (mut folders, mut parser) = (vec![Path::new(&root).to_owned()], Parser::default());
    let (mut states, mut rewritten) = (0, 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(path).unwrap();
            let values = serde_json::Deserializer::from_slice(&bytes).into_iter();
            for value in values.map_while(Result::ok) {
                items(&value, &mut |kind, state| {
                    states += 1;
                    let text = state.to_string();
                    let form = StateForm::Object;
                    rewritten += usize::from(agree(&mut parser, kind, text.as_bytes(), form));
                });
            }
        }
    }
    assert!(states == 0 || rewritten * 2 > states, "{rewritten} of {states}");
}

/// Gives `each` all objects within a value that name a resource type, as states of that type.
fn items(value: &serde_json::Value, each: &mut dyn FnMut(&str, &serde_json::Value)) {
    match value {
        serde_json::Value::Array(all) => all.iter().for_each(|one| items(one, each)),
        serde_json::Value::Object(members) => {
            if let Some(serde_json::Value::String(kind)) = members.get("resourceType") {
                each(kind, value);
            }
            members.values().for_each(|one| items(one, each));
        }
        _ => {}
    }
}
