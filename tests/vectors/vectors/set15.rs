//! Set 15: states of old versions and their upgrades, as OpenTofu computed them.

use deployforge_formats::{ReadOptions, terraform};
use serde_json::Value;

use crate::mutate::mutants;
use crate::support::{document, files, observations, root};

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

/// Changes each leaf of what is wanted; each has to make a difference after reading it too. How many.
fn every_change_of_the_output_is_found(want: &Value) -> usize {
    let changed = mutants(&document(want));
    for mutant in &changed {
        // A version that nobody knows is refused, which tells it too.
        if let Ok(state) = terraform::upgrade(mutant.tree.to_json().as_bytes()) {
            let mut state = serde_json::to_value(state).unwrap();
            state.as_object_mut().unwrap().remove("terraform_version");
            sort(&mut state);
            assert_ne!(state, *want, "a change of {} is not found", mutant.path);
        }
    }
    changed.len()
}

#[test]
fn upgrades_equal_those_of_opentofu() {
    let (mut upgraded, mut unchanged, mut changes) = (0, 0, 0);
    for path in files(FOLDER, ".in.tfstate") {
        let path = root().join(path);
        let stem = path.display().to_string().replace(".in.tfstate", "");
        let input = std::fs::read(&path).unwrap();
        let want = if let Ok(output) = std::fs::read(format!("{stem}.out.tfstate")) {
            upgraded += 1;
            normal(&output)
        } else {
            // What is of version 4 already comes out as it went in.
            let mut raw: Value = serde_json::from_slice(&input).unwrap();
            raw.as_object_mut().unwrap().remove("terraform_version");
            sort(&mut raw);
            unchanged += 1;
            raw
        };
        assert_eq!(normal(&input), want, "{stem}");
        changes += every_change_of_the_output_is_found(&want);
        // The states hold managed resources and data sources; the reader delivers the former.
        let state = terraform::upgrade(&input).unwrap();
        let managed: usize = state
            .resources
            .iter()
            .filter(|resource| resource.mode == "managed")
            .map(|resource| resource.instances.len())
            .sum();
        let (read, summary) = observations(ReadOptions::default(), &input);
        assert_eq!((read.len(), summary.rejects), (managed, 0), "{stem}");
    }
    println!(
        "set 15: {upgraded} upgrades equal, {unchanged} states unchanged; {changes} changes found"
    );
    assert!(upgraded > 0 && unchanged > 0);
}
