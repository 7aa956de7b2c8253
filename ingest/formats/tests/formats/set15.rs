//! Set 15: states of old versions and their upgrades, as OpenTofu computed them.

use deployforge_formats::terraform;
use serde_json::Value;

use super::support::{files, fixtures, read};

const FOLDER: &str = "1-terraform-state/opentofu__opentofu/legacy-50d94e0~1/internal/states/statefile/testdata/roundtrip";

/// A state as version 4, without the version of the program, in the order OpenTofu writes it.
fn normal(bytes: &[u8]) -> Value {
    let state = terraform::upgrade(bytes).unwrap_or_else(|error| panic!("{error}"));
    let mut value = serde_json::to_value(state).unwrap();
    value.as_object_mut().unwrap().remove("terraform_version");
    sort(&mut value);
    value
}

fn sort(state: &mut Value) {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or("").to_owned();
    state["resources"].as_array_mut().unwrap().sort_by_key(|resource| {
        ["module", "mode", "type", "name"].map(|name| text(resource, name))
    });
}

#[test]
fn upgrades_equal_those_of_opentofu() {
    let folder = fixtures(FOLDER);
    let (mut upgraded, mut unchanged) = (0, 0);
    for path in files(&folder) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(stem) = name.strip_suffix(".in.tfstate") else { continue };
        let input = std::fs::read(&path).unwrap();
        let output = folder.join(format!("{stem}.out.tfstate"));
        if output.exists() {
            let output = std::fs::read(output).unwrap();
            assert_eq!(normal(&input), normal(&output), "{stem}");
            upgraded += 1;
        } else {
            // What is of version 4 already comes out as it went in.
            let mut raw: Value = serde_json::from_slice(&input).unwrap();
            raw.as_object_mut().unwrap().remove("terraform_version");
            sort(&mut raw);
            assert_eq!(normal(&input), raw, "{stem}");
            unchanged += 1;
        }
        // The states hold managed resources and data sources; the reader delivers the former.
        let state = terraform::upgrade(&input).unwrap();
        let managed: usize = state
            .resources
            .iter()
            .filter(|resource| resource.mode == "managed")
            .map(|resource| resource.instances.len())
            .sum();
        let outcome = read(&input);
        assert_eq!(outcome.observations().len(), managed, "{stem}");
        assert!(outcome.rejects().is_empty(), "{stem}: {:?}", outcome.rejects());
    }
    println!("set 15: {upgraded} upgrades equal, {unchanged} states unchanged");
    assert_eq!((upgraded, unchanged), (9, 5));
}

#[test]
fn numbers_beyond_64_bits_keep_their_text() {
    let number = "123456789012345678901234567890.10";
    let text = format!(
        r#"{{"version":4,"serial":18446744073709551615,"resources":[{{"mode":"managed","type":"t","name":"n","provider":"provider.p","instances":[{{"attributes":{{"id":"1","n":{number}}}}}]}}]}}"#
    );
    let state = terraform::upgrade(text.as_bytes()).unwrap();
    assert_eq!(state.serial, u64::MAX);
    assert!(serde_json::to_string(&state).unwrap().contains(number));
    assert!(String::from_utf8_lossy(&read(&text).only().state).contains(number));
}
