//! What YAML becomes, and what is refused of it.

use deployforge_model::RejectCode;

use super::convert::{Document, documents};
use crate::options::Limits;
use crate::refusal::Refusal;

fn all(text: &str) -> Vec<Document> {
    documents(text, Limits::default())
}

/// The JSON of the only document, without the newlines that keep lines.
fn json(text: &str) -> String {
    match &all(text)[..] {
        [Document { json: Ok(json), .. }] => json.replace('\n', ""),
        other => panic!("{text:?}: {other:?}"),
    }
}

fn refusal(text: &str) -> Refusal {
    match all(text).pop() {
        Some(Document { json: Err(refusal), .. }) => refusal,
        other => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn writes_json() {
    for (text, want) in [
        (
            "a: 1.10\nb: [x, 'y', \"z\\t\", yes, 0123, 2010-09-09]\n",
            r#"{"a":1.10,"b":["x","y","z\t","yes","0123","2010-09-09"]}"#,
        ),
        ("a:\nb: ~\nc: ''\nd: {}\ne: []\n", r#"{"a":null,"b":null,"c":"","d":{},"e":[]}"#),
        ("- a: |\n    x\n    y\n- >-\n  p\n  q\n", r#"[{"a":"x\ny\n"},"p q"]"#),
        ("1: a\ntrue: b\n0123: c\n'': d\n", r#"{"1":"a","true":"b","0123":"c","":"d"}"#),
        (
            "a: !!str 1\nb: !!int '2'\nc: !!binary aGk=\nd: ! 3\ne: !!bool true\nf: !!null ''\n",
            r#"{"a":"1","b":2,"c":"aGk=","d":"3","e":true,"f":null}"#,
        ),
        ("{\"a\": {\"b\": [1,2]}}", r#"{"a":{"b":[1,2]}}"#),
        ("a: .inf\nb: 0x10\n", r#"{"a":".inf","b":16}"#),
    ] {
        assert_eq!(json(text), want);
    }
}

#[test]
fn short_forms_become_long_forms() {
    for (text, want) in [
        ("a: !Ref x", r#"{"a":{"Ref":"x"}}"#),
        ("a: !Ref 123", r#"{"a":{"Ref":"123"}}"#),
        ("a: !Condition x", r#"{"a":{"Condition":"x"}}"#),
        ("a: !GetAtt a.b.c", r#"{"a":{"Fn::GetAtt":["a","b.c"]}}"#),
        ("a: !GetAtt [a, b]", r#"{"a":{"Fn::GetAtt":["a","b"]}}"#),
        ("a: !GetAtt a", r#"{"a":{"Fn::GetAtt":"a"}}"#),
        ("a: !Sub 'x${y}'", r#"{"a":{"Fn::Sub":"x${y}"}}"#),
        (
            "a: !Join\n  - ','\n  - - !Ref x\n    - !GetAZs ''\n",
            r#"{"a":{"Fn::Join":[",",[{"Ref":"x"},{"Fn::GetAZs":""}]]}}"#,
        ),
        (
            "a: !If [c, !Ref x, !Base64 {'Fn::Sub': y}]",
            r#"{"a":{"Fn::If":["c",{"Ref":"x"},{"Fn::Base64":{"Fn::Sub":"y"}}]}}"#,
        ),
        ("a: !Other\n  b: 1\n", r#"{"a":{"Fn::Other":{"b":1}}}"#),
        ("a: !Fn::Cidr [x, 1, 2]", r#"{"a":{"Fn::Cidr":["x",1,2]}}"#),
    ] {
        assert_eq!(json(text), want);
    }
}

#[test]
fn anchors_are_copied_and_merged() {
    for (text, want) in [
        (
            "a: &x {b: 1}\nc: *x\nd: [*x, *x]\n",
            r#"{"a":{"b":1},"c":{"b":1},"d":[{"b":1},{"b":1}]}"#,
        ),
        ("a: &x !Ref y\nb: *x\n", r#"{"a":{"Ref":"y"},"b":{"Ref":"y"}}"#),
        ("a: &x 1\n*x : 2\n", ""),
        ("a: &x k\n*x : 2\n", r#"{"a":"k","k":2}"#),
        ("&k a: 1\nb: *k\n", r#"{"a":1,"b":"a"}"#),
        (
            "a: &x {p: 1, q: 2}\nb:\n  q: 3\n  <<: *x\n  r: 4\n",
            r#"{"a":{"p":1,"q":2},"b":{"q":3,"r":4,"p":1}}"#,
        ),
        (
            "a: &x {p: 1}\nb: &y {p: 2, q: 2}\nc: {<<: [*x, *y], r: 0}\n",
            r#"{"a":{"p":1},"b":{"p":2,"q":2},"c":{"r":0,"p":1,"q":2}}"#,
        ),
        ("a: {<<: {p: 1}}\n", r#"{"a":{"p":1}}"#),
        ("a: {'<<': {p: 1}}\n", r#"{"a":{"<<":{"p":1}}}"#),
        ("a: &x 1\nb: &x 2\nc: *x\n", r#"{"a":1,"b":2,"c":2}"#),
    ] {
        if want.is_empty() {
            assert_eq!(refusal(text).code(), RejectCode::BadField);
        } else {
            assert_eq!(json(text), want, "{text}");
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (text, code, word) in [
        ("a: 1\nb: 2\na: 3\n", RejectCode::DuplicateKey, "line 3"),
        ("{a: 1, \"a\": 2}", RejectCode::DuplicateKey, "`a`"),
        ("? [a, b]\n: 1\n", RejectCode::BadField, "key in line 1"),
        ("? {a: b}\n: 1\n", RejectCode::BadField, "key"),
        ("!Ref a: 1\n", RejectCode::BadField, "key"),
        ("a: *b\n", RejectCode::Malformed, "anchor"),
        ("a: &x [*x]\n", RejectCode::Malformed, "inside"),
        ("a: [1\nb: 2\n", RejectCode::Malformed, "YAML"),
        ("a: !!int x\n", RejectCode::BadField, "number"),
        ("a: !!bool yes\n", RejectCode::BadField, "boolean"),
        ("a: !!python/object:x {}\n", RejectCode::Unsupported, "python"),
        ("a: !<tag:example.com,2000:x> 1\n", RejectCode::Unsupported, "tag:example.com"),
        ("a: {<<: 1}\n", RejectCode::BadField, "<<"),
        ("a: {<<: [{b: 1}, 2]}\n", RejectCode::BadField, "<<"),
    ] {
        let refusal = refusal(text);
        assert_eq!(refusal.code(), code, "{text}: {refusal}");
        assert!(refusal.to_string().contains(word), "{text}: {refusal}");
    }
}

#[test]
fn a_few_lines_do_not_become_gigabytes() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    assert_eq!(refusal(&text).code(), RejectCode::TooLarge);
    let deep = format!("a: {}1{}\n", "[".repeat(127), "]".repeat(127));
    assert!(all(&deep)[0].json.is_ok());
    for levels in [128, 200, 5000] {
        let deep = format!("a: {}1{}\n", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(refusal(&deep).code(), RejectCode::TooDeep, "{levels}");
    }
    let deep: String = (0..200).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    assert_eq!(refusal(&deep).code(), RejectCode::TooDeep);
    // What is copied nests as deep as where it is copied to, and that is counted.
    let copied = format!("a: &x {}1{}\n", "[".repeat(100), "]".repeat(100));
    let copied = format!("{copied}b: {}*x{}\n", "[".repeat(100), "]".repeat(100));
    assert_eq!(refusal(&copied).code(), RejectCode::TooDeep);
}

#[test]
fn documents_stand_alone() {
    let text =
        "# first\n---\na: 1\n---\n# nothing\n---\nb: [\n---\nc: &x 1\n...\n---\nd: *x\n---\ne: 1\n";
    let found = all(text);
    let read: Vec<_> = found
        .iter()
        .map(|document| (document.line, document.json.as_deref().map_err(Refusal::code)))
        .collect();
    assert_eq!(
        read,
        [
            (3, Ok("{\"a\":1}")),
            (4, Ok("null")),
            (7, Err(RejectCode::Malformed)),
            (9, Ok("{\"c\":1}")),
            (12, Err(RejectCode::Malformed)),
            (14, Ok("{\"e\":1}")),
        ]
    );
    let pieces: Vec<_> = found.iter().map(|d| &text[d.bytes.clone()]).collect();
    assert!(pieces[2].starts_with("b: ["), "{pieces:?}");
}

#[test]
fn lines_are_kept() {
    let text = "# a comment\nResources:\n  # another\n  A:\n    Type: x\n    P: |\n      1\n      2\n  B: {Type: y}\n";
    let found = all(text);
    let json = found[0].json.as_ref().unwrap();
    assert_eq!(found[0].line, 2);
    let line = |word: &str| json[..json.find(word).unwrap()].matches('\n').count() + 2;
    assert_eq!((line("\"A\""), line("\"B\"")), (4, 9), "{json}");
    let list = all("- a: 1\n\n- b: 2\n# c\n- c\n");
    assert_eq!(list[0].elements, [1, 3, 5]);
}
