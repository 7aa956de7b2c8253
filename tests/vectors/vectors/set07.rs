//! Set 7: Kubernetes objects as they are configured and as they are, with the verdicts of Argo CD.

use deployforge_canon::Normalise;
use deployforge_formats::{ReadOptions, Side};
use deployforge_model::{Dialect, Mode};
use serde_json::Value;

use crate::support::{Half, Pair, counting, files, observations, root, text, told};
use crate::tally::Tally;

const FOLDER: &str = "8-vectors/argoproj__gitops-engine/pkg/diff/testdata";

/// A file as its reader hands it on: type, state, and what is secret.
fn read(name: &str, side: Side) -> (String, Value, Vec<String>) {
    let bytes = std::fs::read(root().join(FOLDER).join(name)).expect("the file");
    let (all, _) = observations(ReadOptions { side, ..ReadOptions::default() }, &bytes);
    let [one] = all.as_slice() else { panic!("{name}: {all:?}") };
    let state = serde_json::from_slice(&one.state).expect("JSON");
    (one.key.resource_type.clone(), state, one.sensitive.clone())
}

fn pair(config: &str, live: &str, change: impl Fn(&mut Value, &mut Value)) -> Pair {
    let (kind, mut expected, secret) = read(config, Side::Declared);
    let (_, mut observed, hidden) = read(live, Side::Observed);
    change(&mut expected, &mut observed);
    let of = |value: &Value, sensitive: &[String]| {
        Half::with_secrets(Dialect::Kubernetes, &kind, value, sensitive)
    };
    Pair {
        mode: Mode::Declared,
        ..Pair::of(config, of(&expected, &secret), of(&observed, &hidden))
    }
}

/// The file of a pair, whatever its ending.
fn file(stem: &str) -> String {
    let all = files(FOLDER, "");
    let name = |path: &std::path::PathBuf| {
        path.file_name().expect("a name").to_string_lossy().into_owned()
    };
    all.iter()
        .map(name)
        .find(|name| name.starts_with(&format!("{stem}.")))
        .unwrap_or_else(|| panic!("{stem}"))
}

#[test]
fn argo() {
    let (mut tally, mut failed, mut passed) = (Tally::default(), Vec::new(), 0);
    let mut judge = |pair: Pair, modified: bool| {
        let comparison = tally.judge(&pair);
        let found: Vec<String> = counting(&comparison).iter().map(|d| d.path.clone()).collect();
        if modified == found.is_empty() {
            failed.push(format!("{}: modified {modified}, found {found:?}", pair.name));
        } else {
            passed += 1;
        }
        found
    };
    let none = |_: &mut Value, _: &mut Value| {};
    for name in [
        "elasticsearch",
        "deployment",
        "mutatingwebhookconfig",
        "spinnaker-sa",
        "endpoints",
        "wordpress",
        "grafana-clusterrole",
        "sealedsecret",
    ] {
        judge(pair(&file(&format!("{name}-config")), &file(&format!("{name}-live")), none), false);
    }
    // Rules that a controller fills in count, unless aggregated roles are ignored.
    let roles = || (file("aggr-clusterrole-config"), file("aggr-clusterrole-live"));
    judge(pair(&roles().0, &roles().1, none), true);
    let labels = |config: &mut Value, _: &mut Value| {
        let labels = &mut config["metadata"]["labels"];
        labels["foo"] = "bar".into();
        labels["chart"] = "elasticsearch-1.7.1".into();
        labels.as_object_mut().expect("labels").remove("release");
    };
    let found =
        judge(pair(&file("elasticsearch-config"), &file("elasticsearch-live"), labels), true);
    // What the configuration does not name any more is not its own to say in declared mode.
    assert_eq!(found, ["/metadata/labels/chart", "/metadata/labels/foo"]);
    let masked = |config: &mut Value, live: &mut Value| {
        for name in ["wordpress-password", "smtp-password"] {
            config["data"][name] = "+".repeat(8).into();
            live["data"][name] = "+".repeat(12).into();
        }
    };
    judge(pair(&file("wordpress-config"), &file("wordpress-live"), masked), true);
    tally.print("set 7");
    println!("set 7: {passed} of {}", passed + failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// These take the server's schema, which a comparison without it does not have: told, not required.
#[test]
fn with_a_schema() {
    let none = |_: &mut Value, _: &mut Value| {};
    let cases = [
        ("smd-service-config", "smd-service-live", true),
        ("smd-service-config-2-ports", "smd-service-live", true),
        ("smd-service-config", "smd-service-live-with-type", true),
        ("smd-service-config-ports", "smd-service-live", true),
        ("smd-deploy-config", "smd-deploy-live", false),
    ];
    let mut right = 0;
    for (config, live, modified) in cases {
        let comparison = pair(&file(config), &file(live), none).compare();
        let found = counting(&comparison);
        right += usize::from(found.is_empty() != modified);
        let paths: Vec<&str> = found.iter().map(|one| one.path.as_str()).collect();
        println!("   {config} {live}: modified {modified}, found {paths:?}");
    }
    println!("set 7, rows that take a schema: {right} of {}", cases.len());
}

/// In full mode: an object that carries what was last applied is its own baseline, and what the server
/// filled in is no drift. What others own stays one: other versions of an object, and other controllers.
#[test]
fn in_full_mode() {
    let none = |_: &mut Value, _: &mut Value| {};
    let (mut all, mut clean) = (0, 0);
    for path in files(FOLDER, "") {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !name.contains("-live") {
            continue;
        }
        let applied = text(&path).contains("last-applied-configuration");
        let config = if applied { name.clone() } else { name.replace("-live", "-config") };
        if !root().join(FOLDER).join(&config).exists() {
            continue;
        }
        let pair = Pair { mode: Mode::Full, ..pair(&config, &name, none) };
        let (comparison, folded) = (pair.compare(), pair.compare_with(Normalise::Off));
        let found = told(&comparison);
        println!("   {config} {name}: {} of {}: {found:#?}", found.len(), counting(&folded).len());
        all += 1;
        clean += usize::from(found.is_empty());
    }
    println!("set 7, full mode: {clean} of {all} in sync");
    // The others have rules of an aggregation, an injected authority, labels, ports and variables besides.
    assert!(clean >= 6, "{clean}");
}
