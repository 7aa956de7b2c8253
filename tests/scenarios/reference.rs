//! The reference: what can be generated is, what can be listed is complete.

use std::fmt::Write as _;

use deployforge_tests::make::Native;
use deployforge_tests::{Lab, root, text};
use serde_json::{Value, json};

/// The help of a command and of those below it, as sections of a page.
fn help(lab: &Lab, command: &[&str], page: &mut String) {
    let outcome = lab.run_plain(&[command, &["--help"]].concat()).exits(0);
    let name = ["deployforge"].iter().chain(command).copied().collect::<Vec<_>>().join(" ");
    let help = outcome.text().lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    let _ = write!(page, "\n## `{name}`\n\n```text\n{}\n```\n", help.trim_end());
    let below = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        // The summary of a command may go on on the next line, further in.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help");
    for name in below {
        self::help(lab, &[command, &[name]].concat(), page);
    }
}

#[test]
fn the_command_line_is_documented() {
    let lab = Lab::new();
    let mut page = String::from(
        "# Command line\n\nThis page is generated from `--help`: \
         `UPDATE_DOCS=1 cargo test -p deployforge-tests reference` writes it again.\n",
    );
    help(&lab, &[], &mut page);
    for command in ["demo", "run", "audit", "diff", "baseline import", "query", "sql"] {
        assert!(page.contains(&format!("\n## `deployforge {command}`\n")), "{command}");
    }
    let path = root().join("docs/reference/cli.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("the docs can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == page,
        "docs/reference/cli.md is old; set UPDATE_DOCS=1 and run this test again"
    );
}

#[test]
fn every_command_has_help_with_examples() {
    let lab = Lab::new();
    let commands = [
        "demo",
        "run",
        "audit",
        "diff",
        "baseline import",
        "rules list",
        "rules test",
        "rules import",
        "query",
        "completions",
    ];
    for command in commands {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = lab.run_plain(&words).exits(0);
        assert!(help.text().contains("Example"), "{command}: {help}");
        let short: Vec<&str> = command.split(' ').chain(["-h"]).collect();
        let _ = lab.run_plain(&short).exits(0);
    }
    let _ = lab.run_plain(&["--version"]).exits(0);
    let _ = lab.run_plain(&[]).exits(2);
    let _ = lab.run_plain(&["audti"]).exits(2).says("audit");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = lab.run_plain(&["completions", shell]).exits(0);
        assert!(script.text().contains("deployforge"), "{shell}");
    }
}

#[test]
fn every_table_and_view_is_documented() {
    let lab = Lab::new();
    lab.write("a.ndjson", Native::new("t", "a", json!({})).line());
    let _ = lab.run(&["run", "--once", "--source", "a.ndjson"]);
    let read = |page: &str| {
        let path = root().join("docs/reference").join(page);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let pages = read("tables.md") + &read("views.md");
    let tables: Vec<Value> = lab
        .query("show tables")
        .into_iter()
        .filter(|row| text(row, "table_schema") == "deployforge")
        .collect();
    assert!(tables.len() >= 20);
    let words: Vec<&str> =
        pages.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();
    for table in &tables {
        let name = text(table, "table_name");
        assert!(words.contains(&name), "`{name}` is in neither tables.md nor views.md");
        if text(table, "table_type") == "VIEW" {
            continue;
        }
        for column in lab.query(&format!("describe {name}")) {
            let column = text(&column, "column_name");
            assert!(words.contains(&column), "column `{column}` of `{name}` is not documented");
        }
    }
}

#[test]
fn every_key_of_the_configuration_is_in_the_schema() {
    let lab = Lab::new();
    let schema = lab.run(&["config", "schema"]).exits(0).json();
    let kept = std::fs::read_to_string(root().join("docs/reference/deployforge.schema.json"));
    let kept: Value = serde_json::from_str(&kept.expect("it is there")).expect("JSON");
    assert_eq!(schema, kept);
    let known: Vec<&String> =
        schema["properties"].as_object().expect("properties").keys().collect();
    // The engine lists what it knows when it meets what it does not.
    lab.write("bad.yaml", "zzzzzz: 1\n");
    let said = lab.run(&["config", "check", "bad.yaml"]).exits(2).stderr;
    let list = said.split("expected one of").nth(1).unwrap_or_else(|| panic!("{said}"));
    let list = list.split('\n').next().unwrap_or_default();
    let list: Vec<&str> = list.split(',').map(|name| name.trim().trim_matches('`')).collect();
    for name in &known {
        assert!(list.contains(&name.as_str()), "`{name}` is in the schema only: {list:?}");
    }
    assert_eq!(known.len(), list.len(), "{known:?} {list:?}");
    for value in schema["properties"].as_object().expect("properties").values() {
        let documented = value.get("description").is_some() || value.get("$ref").is_some();
        assert!(documented, "{value}");
    }
}

#[test]
fn the_document_of_events_has_their_key_and_header() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect(path);
    let document: Value =
        serde_json::from_str(&read("docs/reference/events.asyncapi.json")).expect("JSON");
    let code = read("engine/events/src/kafka.rs");
    let kind = code.split("const CONTENT_TYPE: &str = \"").nth(1).expect("it has one");
    let kind = kind.split('"').next().unwrap_or_default();
    let shared = &document["components"]["messageTraits"]["kafka"];
    assert_eq!(shared["headers"]["properties"]["content-type"]["const"], kind);
    assert_eq!(shared["bindings"]["kafka"]["key"]["type"], "string");
    assert_eq!(document["defaultContentType"], kind);
    let messages = document["components"]["messages"].as_object().expect("messages");
    for message in messages.values() {
        assert_eq!(message["contentType"], kind);
        assert_eq!(message["traits"], json!([{"$ref": "#/components/messageTraits/kafka"}]));
    }
}
