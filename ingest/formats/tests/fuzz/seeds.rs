//! What mutations begin with: generated items, and the recorded files if they are there.

use std::path::Path;

use deployforge_inventory::{Envelope, Inventory, Options, Size};

use crate::tree::Json;

/// Items as lines, and other JSON that comes with them.
pub(crate) fn lines() -> Vec<Json> {
    let mut seeds = Vec::new();
    for envelope in [Envelope::First, Envelope::Last] {
        for (size, round) in [(Size::Small, 0), (Size::Medium, 1), (Size::Large, 2)] {
            let drift = if round == 0 { 0.0 } else { 0.2 };
            let options = Options {
                resources: 30,
                seed: 7,
                round,
                change: drift,
                drift,
                size,
                envelope,
                ..Options::default()
            };
            let inventory = Inventory::new(options).expect("options that fit");
            let mut text = Vec::new();
            inventory.write(&mut text, None, &mut |_| {}).expect("memory takes what is written");
            let text = String::from_utf8(text).expect("what is generated is text");
            seeds.extend(text.lines().filter_map(Json::parse));
        }
    }
    if let Some(root) = std::env::var_os("DEPLOYFORGE_FIXTURES") {
        recorded(&Path::new(&root).join("3-aws-config"), &mut seeds);
    }
    seeds
}

/// Every JSON file below a folder, and every object in it that names a type of resource.
fn recorded(folder: &Path, seeds: &mut Vec<Json>) {
    let entries = std::fs::read_dir(folder).expect("the folder of fixtures can be read");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            recorded(&path, seeds);
        } else if let Some(file) =
            std::fs::read_to_string(&path).ok().and_then(|text| Json::parse(&text))
        {
            let items = file.all().into_iter().skip(1).filter(|value| {
                matches!(value, Json::Object(members) if members.iter().any(|(name, _)| name == "resourceType"))
            });
            seeds.extend(items.cloned().collect::<Vec<_>>());
            seeds.push(file);
        }
    }
}
