//! Random JSON text, in all its spellings.

use proptest::prelude::*;

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        (-1000i32..1000, 0u32..1000, -3i32..30).prop_map(|(a, b, e)| format!("{a}.{b}e{e}")),
        Just("-0".to_owned()),
        Just("1E400".to_owned()),
        Just("123456789012345678901234567890".to_owned()),
        "[a-z {}\\[\\]:,/é\u{1F600}]{0,20}".prop_map(|t| serde_json::Value::from(t).to_string()),
        "\\PC{0,12}".prop_map(|t| serde_json::Value::from(t).to_string()),
        Just(r#""\u0041\n\ud83d\ude00""#.to_owned()),
        Just(r#""{\"a\":[1]}""#.to_owned()),
        Just(r#""{\"password\":\"x\"}""#.to_owned()),
        Just(r#"" [1]""#.to_owned()),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "a", "b", "tags", "Tags", "configuration", "ipPermissions", "ipRanges", "relationships",
            "key", "value", "name", "ARN", "size",
        ]).prop_map(str::to_owned),
        1 => "[a-zA-Z]{1,6}",
        1 => prop::sample::select(vec!["password", "apiKey", "a\\u0062", "$deployforge.secret", ""])
            .prop_map(str::to_owned),
    ]
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "", "", " ", "\n\t", "\r "])
}

pub(crate) fn json() -> impl Strategy<Value = String> {
    scalar().prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            (prop::collection::vec((space(), inner.clone(), space()), 0..6)).prop_map(|items| {
                let items: Vec<String> =
                    items.into_iter().map(|(a, item, b)| format!("{a}{item}{b}")).collect();
                format!("[{}]", items.join(","))
            }),
            object(inner),
        ]
    })
}

fn members(inner: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec((space(), name(), space(), inner, space()), 0..7).prop_map(|members| {
        let text = |(a, name, b, value, c)| format!("{a}\"{name}\"{b}:{c}{value}{a}");
        members.into_iter().map(text).collect()
    })
}

pub(crate) fn object(inner: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    members(inner).prop_map(|members| format!("{{{}}}", members.join(",")))
}
