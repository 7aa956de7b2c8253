//! Rules: what they hide, for how long, what they would have hidden, and those of other tools.

use deployforge_tests::make::{Native, terraform_state};
use deployforge_tests::{Lab, number, text};
use serde_json::{Value, json};

use crate::http::{Service, vm};
use crate::support::{expect_verdicts, fits_schema, import, paths};
use crate::watch::until;

fn rule(name: &str, when: &str, expires: &str) -> String {
    format!(
        "  - name: {name}\n    when: {when}\n    effect: {{detect: ignore}}\n    owner: team\n    reason: known\n    expires: {expires}\n"
    )
}

fn rules(all: &[(&str, &str)]) -> String {
    let all = all.iter().map(|(name, when)| rule(name, when, "2999-12-31"));
    format!("rules:\n{}", all.collect::<String>())
}

/// Two firewalls that both differ in owner and port.
fn lab() -> Lab {
    let lab = Lab::new();
    let fw = |id: &str, owner: &str, port: u64, minute| {
        let state = json!({"owner": owner, "port": port, "zone": "n"});
        Native::new("fw", id, state).at(minute).line()
    };
    lab.write("base.ndjson", fw("a", "x", 1, 0) + &fw("b", "x", 1, 0));
    lab.write("seen.ndjson", fw("a", "y", 2, 1) + &fw("b", "y", 1, 1));
    lab
}

const AUDIT: [&str; 5] = ["audit", "--baseline", "base.ndjson", "--snapshot", "seen.ndjson"];

fn audit(lab: &Lab, more: &[&str]) -> deployforge_tests::Outcome {
    lab.run(&[&AUDIT, more].concat())
}

#[test]
fn what_a_rule_ignores_does_not_count_and_is_kept() {
    let lab = lab();
    lab.write("rules.yaml", rules(&[("owners", "path = '/owner'")]));
    let more = ["--rules", "rules.yaml", "--format", "json"];
    let report = audit(&lab, &more).exits(1).json();
    fits_schema(&report);
    let summary = &report["summary"];
    assert_eq!((number(summary, "in_sync"), number(summary, "drifted")), (1, 1));
    assert_eq!((number(summary, "findings"), number(summary, "suppressed")), (1, 2));
    assert_eq!(summary["suppressed_by"], json!({"rule:owners": 2}));
    let [drifted] = &report["resources"].as_array().expect("a list")[..] else {
        panic!("{report}")
    };
    assert_eq!(paths(drifted), ["/port".to_owned()].into());
    // Two of three deviate, and one of them does not count.
    assert_eq!(drifted["score"], json!(33.3333));
    lab.write("more.yaml", rules(&[("ports", "path = '/port' and observed = '2'")]));
    let more = ["--rules", "rules.yaml", "more.yaml", "--explain"];
    let table = audit(&lab, &more).exits(0);
    assert!(table.text().contains("rule:owners: known (team, until 2999-12-31)"), "{table}");
    assert!(table.text().contains("2 in sync"), "{table}");
}

#[test]
fn the_first_rule_that_holds_is_counted_and_a_normaliser_before_all() {
    let lab = Lab::new();
    let state = |extra: Value| Native::new("t", "a", extra).line();
    lab.write("base.ndjson", state(json!({"note": null, "n": 1})));
    lab.write("seen.ndjson", state(json!({"note": "", "n": 2})));
    lab.write("rules.yaml", rules(&[("first", "type = 't'"), ("second", "true")]));
    let report = audit(&lab, &["--rules", "rules.yaml", "--format", "json"]).exits(0).json();
    assert_eq!(report["summary"]["suppressed_by"], json!({"empty": 1, "rule:first": 1}));
}

#[test]
fn an_expired_rule_does_not_apply_and_that_is_said() {
    let lab = lab();
    let old = format!("rules:\n{}", rule("owners", "path = '/owner'", "2024-12-31"));
    lab.write("rules.yaml", &old);
    let more = ["--rules", "rules.yaml", "--format", "json"];
    let outcome = audit(&lab, &more).exits(1).says("`owners` has expired (2024-12-31)");
    assert_eq!(number(&outcome.json()["summary"], "findings"), 3);
    lab.write("c.yaml", "sources: [{name: s, path: seen.ndjson}]\nrules: [rules.yaml]\n");
    let _ = lab.run(&["config", "check", "c.yaml"]).exits(0).says("`owners` has expired");
    let _ = import(&lab, "base.ndjson");
    let _ = lab.run(&["run", "--once", "-c", "c.yaml"]).exits(1).says("`owners` has expired");
}

#[test]
fn a_rule_that_cannot_work_is_refused_with_its_place() {
    let lab = lab();
    let whole = rules(&[("a", "path = '/x'")]);
    for (broken, words) in [
        (whole.replace("path =", "pth ="), "did you mean `path`?"),
        (whole.replace("path = '/x'", "leaves"), "true or false"),
        (whole.replace("path = '/x'", "path in (select 'x')"), "no subqueries"),
        (whole.replace("    owner: team\n", ""), "`owner` is missing"),
        (whole.replace("owner: team", "owner: ''"), "an `owner`"),
        (whole.replace("    expires: 2999-12-31\n", ""), "`permanent: true`"),
        (whole.replace("expires: 2999-12-31", "expires: someday"), "a day such as"),
        (whole.replace("owner:", "ower: x\n    owner:"), "line 5"),
        (whole.replace("detect:", "detects:"), "detect, alert, heal"),
        (rules(&[("a", "true"), ("a", "true")]), "two rules are named `a`"),
    ] {
        lab.write("rules.yaml", &broken);
        let _ = audit(&lab, &["--rules", "rules.yaml"]).exits(2).says(words);
        lab.write("c.yaml", "rules: [rules.yaml]\n");
        let _ = lab.run(&["config", "check", "c.yaml"]).exits(2).says(words);
    }
    let _ = audit(&lab, &["--rules", "nowhere.yaml"]).exits(2).says("nowhere.yaml");
}

#[test]
fn other_rules_judge_again_what_the_history_holds() {
    let lab = lab();
    let _ = import(&lab, "base.ndjson");
    let source = "sources: [{name: s, path: seen.ndjson}]\n";
    lab.write("with.yaml", format!("{source}{}", rules(&[("owners", "path = '/owner'")])));
    lab.write("without.yaml", source);
    let drifted = [("fw a", "drifted"), ("fw b", "drifted")];
    let hidden = [("fw a", "drifted"), ("fw b", "in_sync")];
    for (config, verdicts) in
        [("without.yaml", drifted), ("with.yaml", hidden), ("without.yaml", drifted)]
    {
        let _ = lab.run(&["run", "--once", "-c", config]).exits(1);
        expect_verdicts(&lab, &verdicts);
    }
    let folds = "select transition, fold from finding_transitions where id = 'b' order by sequence";
    let [opened, hidden, back] = &lab.query(folds)[..] else { panic!("{:?}", lab.query(folds)) };
    assert_eq!(opened, &json!({"transition": "opened"}));
    assert_eq!(hidden, &json!({"transition": "changed", "fold": "rule:owners"}));
    assert_eq!(back, &json!({"transition": "changed"}));
    let told = lab.count("finding_transitions");
    let _ = lab.run(&["run", "--once", "-c", "without.yaml"]).exits(1);
    assert_eq!(lab.count("finding_transitions"), told, "once is enough");
}

/// `a` is as declared, `m` is missing and `u` declared by none.
fn whole() -> Lab {
    let lab = Lab::new();
    let vm = |id: &str, minute| Native::new("vm", id, json!({"size": 1})).at(minute).line();
    lab.write("base.ndjson", vm("a", 0) + &vm("m", 0));
    lab.write("seen.ndjson", vm("a", 1) + &vm("u", 1));
    lab
}

#[test]
fn what_is_missing_or_unmanaged_can_be_ignored() {
    let lab = whole();
    let counts = |report: &Value| {
        ["missing", "unmanaged", "ignored"].map(|name| number(&report["summary"], name))
    };
    let report = audit(&lab, &["--format", "json"]).exits(1).json();
    assert_eq!(counts(&report), [1, 1, 0]);
    lab.write("paths.yaml", rules(&[("paths", "path like '/%' or kind = 'changed'")]));
    let report = audit(&lab, &["--rules", "paths.yaml", "--format", "json"]).exits(1).json();
    assert_eq!(counts(&report), [1, 1, 0]);
    let new = ("new", "kind = 'unmanaged'");
    lab.write("new.yaml", rules(&[new]));
    let report = audit(&lab, &["--rules", "new.yaml", "--format", "json"]).exits(1).json();
    assert_eq!(counts(&report), [1, 0, 1]);
    assert_eq!(report["resources"].as_array().map(Vec::len), Some(1), "{report}");
    let gone = ("gone", "kind = 'missing' and id = 'm' and severity = 'critical'");
    lab.write("both.yaml", rules(&[new, gone]));
    let report = audit(&lab, &["--rules", "both.yaml", "--format", "json", "--explain"]);
    let report = report.exits(0).json();
    fits_schema(&report);
    assert_eq!(counts(&report), [0, 0, 2]);
    assert_eq!(report["summary"]["coverage"], json!(1.0));
    assert_eq!(report["summary"]["score"], json!(0.0));
    assert_eq!(report["summary"]["suppressed_by"], json!({"rule:gone": 1, "rule:new": 1}));
    let kinds = [0, 1].map(|at| text(&report["resources"][at]["suppressed"][0], "kind").to_owned());
    assert_eq!(kinds, ["missing", "unmanaged"], "{report}");
    let table = audit(&lab, &["--rules", "both.yaml", "--explain"]).exits(0);
    assert!(table.text().contains("suppressed missing"), "{table}");
    assert!(table.text().contains("2 missing or unmanaged and ignored by rules"), "{table}");
}

#[test]
fn what_is_missing_is_ignored_in_the_history_for_as_long_as_the_rule_says() {
    let lab = whole();
    let scope = json!({"type": "vm"});
    let vm = |id: &str| Native::new("vm", id, json!({"size": 1})).at(1).line();
    let sweep = [
        format!("{}\n", json!({"sweep": "start", "id": "s", "scope": scope})),
        vm("a") + &vm("u"),
        format!("{}\n", json!({"sweep": "end", "id": "s"})),
    ];
    lab.write("seen.ndjson", sweep.concat());
    let _ = import(&lab, "base.ndjson");
    let source = "sources: [{name: s, path: seen.ndjson}]\n";
    let both = rules(&[("gone", "kind = 'missing'"), ("new", "kind = 'unmanaged'")]);
    lab.write("with.yaml", format!("{source}{both}"));
    lab.write("without.yaml", source);
    let all = [("vm a", "in_sync"), ("vm m", "missing"), ("vm u", "unmanaged")];
    let open = || {
        let of = |view: &str| lab.query(&format!("select id from {view}")).len();
        let hidden = "select fold from suppressed where fold like 'rule:%'";
        let hidden = lab.query(hidden).len();
        let severities = lab.query("select id from verdicts where severity is not null").len();
        (of("drifted_now"), of("unmanaged_now"), hidden, severities)
    };
    for (config, exit) in
        [("without.yaml", 1), ("with.yaml", 0), ("with.yaml", 0), ("without.yaml", 1)]
    {
        let _ = lab.run(&["run", "--once", "-c", config]).exits(exit);
        expect_verdicts(&lab, &all);
        let hidden = if exit == 0 { (0, 0, 2, 0) } else { (1, 1, 0, 2) };
        assert_eq!(open(), hidden, "{config}");
    }
    let _ = lab.run(&["run", "--once", "-c", "with.yaml"]).exits(0);
    let listed = lab.run(&["rules", "list", "-c", "with.yaml", "--format", "json"]).exits(0).json();
    let hidden = [0, 1].map(|at| number(&listed[at], "hidden_now"));
    assert_eq!(hidden, [1, 1], "{listed}");
    lab.write("rules.yaml", both);
    let tested = lab.run(&["rules", "test", "rules.yaml", "--format", "json"]).exits(1).json();
    let of = |at: usize, part: &str| number(&tested["rules"][at], part);
    assert_eq!(
        [of(0, "findings"), of(0, "critical"), of(1, "findings"), of(1, "critical")],
        [1, 1, 1, 0]
    );
}

/// A moment so many seconds from now.
fn soon(lab: &Lab, seconds: u32) -> String {
    let now = format!("date -u -d '+{seconds} seconds' +%Y-%m-%dT%H:%M:%SZ");
    lab.shell(&now).exits(0).text().trim().to_owned()
}

#[test]
fn what_an_expired_rule_had_hidden_shows_while_the_engine_runs() {
    let lab = lab();
    let _ = import(&lab, "base.ndjson");
    let _ = std::fs::create_dir_all(lab.path("inbox"));
    std::fs::copy(lab.path("seen.ndjson"), lab.path("inbox/1.ndjson")).expect("a copy");
    let soon = soon(&lab, 12);
    let rules = format!("rules:\n{}", rule("all", "true", &format!("'{soon}'")));
    let source = "sources: [{name: s, path: inbox, watch: true}]\n";
    lab.write("c.yaml", format!("{source}commit: {{interval_seconds: 0.2}}\n{rules}"));
    let running = lab.start(&["run", "-c", "c.yaml"]);
    let count = |sql: &str| {
        let outcome = lab.run(&["query", sql, "--format", "json"]);
        if outcome.code == Some(0) { outcome.json().as_array().map_or(0, Vec::len) } else { 0 }
    };
    until("both are judged, and nothing counts", || {
        count("select 1 from verdicts where verdict = 'in_sync'") == 2
    });
    until("the rule has expired", || count("select 1 from current_findings") == 3);
    expect_verdicts(&lab, &[("fw a", "drifted"), ("fw b", "drifted")]);
    running.terminate();
    let _ = running.finish().exits(0).says("`all` has expired").says("judged again");
}

#[test]
fn a_stream_takes_rules_over_and_lets_them_expire() {
    let mut service = Service::new("", "commit: {interval_seconds: 0.2}");
    let _ = service.post(vm("a", 1).at(1).line() + &vm("b", 2).at(1).line()).is(200);
    let drifted = || service.lab.query("select id from verdicts where verdict = 'drifted'").len();
    until("b has drifted", || drifted() == 1);
    let before = service.lab.read("http.yaml");
    let soon = soon(&service.lab, 8);
    let rules = format!("rules:\n{}", rule("all", "id = 'b'", &format!("'{soon}'")));
    service.lab.write("http.yaml", format!("{before}\n{rules}"));
    service.run.as_ref().expect("it runs").hang_up();
    until("the rule counts", || drifted() == 0);
    let metrics = service.operations.get("/metrics").body;
    assert!(metrics.contains("deployforge_suppressed_total{by=\"rule:all\"} 1"), "{metrics}");
    until("it has expired", || drifted() == 1);
    let said = service.stop();
    assert!(said.contains("`all` has expired"), "{said}");
}

#[test]
fn rules_are_tried_on_the_history() {
    let lab = lab();
    lab.write("c.yaml", "policy: {severities: [{type: fw, path: /port, severity: critical}]}\n");
    let _ = audit(&lab, &["--record", "-c", "c.yaml"]).exits(1);
    let all = [("owners", "path = '/owner'"), ("none", "address = 'x'"), ("all", "true")];
    lab.write("rules.yaml", rules(&all));
    let outcome = lab.run(&["rules", "test", "rules.yaml", "--format", "json"]).exits(1);
    let report = outcome.json();
    let of = |name: &str| {
        let list = report["rules"].as_array().expect("a list");
        let one = list.iter().find(|one| one["name"] == name).expect(name);
        let [findings, resources, critical] =
            ["findings", "resources", "critical"].map(|part| number(one, part));
        (findings, resources, critical)
    };
    assert_eq!((of("owners"), of("none"), of("all")), ((2, 2, 0), (0, 0, 0), (3, 2, 1)));
    let critical = &report["rules"][2]["criticals"][0];
    assert_eq!((text(critical, "path"), text(&critical["key"], "id")), ("/port", "a"));
    assert_eq!((&critical["expected"], &critical["observed"]), (&json!(1), &json!(2)));
    assert_eq!(report["rules"][0]["paths"], json!([{"path": "/owner", "findings": 2}]));
    let table = lab.run(&["rules", "test", "rules.yaml", "--since", "1h"]).exits(1);
    assert!(table.text().contains("all would hide 1 critical finding:"), "{table}");
    lab.write("owners.yaml", rules(&all[..2]));
    let _ = lab.run(&["rules", "test", "owners.yaml"]).exits(0).says("");
    // What is open now is asked about however old it is; what is closed is not.
    let past = ["rules", "test", "rules.yaml", "--since", "2999-01-01", "--format", "json"];
    assert_eq!(number(&lab.run(&past).exits(1).json(), "findings"), 3);
    std::fs::copy(lab.path("base.ndjson"), lab.path("seen.ndjson")).expect("a copy");
    let later = lab.read("seen.ndjson").replace("T00:00:00Z", "T00:09:00Z");
    lab.write("seen.ndjson", later);
    let _ = audit(&lab, &["--record"]).exits(0);
    assert_eq!(number(&lab.run(&past).exits(0).json(), "findings"), 0);
    let _ = lab.run(&["rules", "test", "rules.yaml", "--since", "soon"]).exits(2).says("30d");
}

#[test]
fn rules_are_listed_with_their_hits() {
    let lab = lab();
    lab.write("rules.yaml", rules(&[("owners", "path = '/owner'"), ("idle", "path = '/zone'")]));
    // Before there is a history nothing was hit.
    let list = |more: &[&str]| {
        let args = [&["rules", "list", "--format", "json"], more].concat();
        lab.run(&args).exits(0).json()
    };
    assert_eq!(number(&list(&["rules.yaml"])[0], "hits"), 0);
    let _ = audit(&lab, &["--record", "--rules", "rules.yaml"]).exits(1);
    let listed = list(&["rules.yaml"]);
    let of = |at: usize, part: &str| number(&listed[at], part);
    assert_eq!([of(0, "hits"), of(0, "resources"), of(0, "hidden_now")], [2, 2, 2]);
    assert_eq!([of(1, "hits"), of(1, "hidden_now")], [0, 0]);
    assert_eq!(text(&listed[0], "owner"), "team");
    assert_eq!(text(&listed[0], "expires"), "2999-12-31");
    assert_eq!(text(&listed[0], "state"), "active");
    assert_eq!(listed[1]["last_hit"], Value::Null);
    let gone = list(&[]);
    assert_eq!((text(&gone[0], "name"), text(&gone[0], "state")), ("owners", "gone"));
    let _ = lab.run(&["rules", "list", "rules.yaml"]).exits(0);
}

#[test]
fn rules_work_on_a_store() {
    let lab = lab();
    let store = format!("file://{}", lab.path("shared").display());
    lab.write("rules.yaml", rules(&[("owners", "path = '/owner'")]));
    let at = |args: &[&str]| lab.run(&[args, &["--store", &store]].concat());
    let _ = at(&[&AUDIT[..], &["--record", "--rules", "rules.yaml"]].concat()).exits(1);
    let listed = at(&["rules", "list", "rules.yaml", "--format", "json"]).exits(0).json();
    assert_eq!(number(&listed[0], "hits"), 2);
    let tested = at(&["rules", "test", "rules.yaml", "--format", "json"]).exits(0).json();
    assert_eq!(number(&tested["rules"][0], "findings"), 2);
}

#[test]
fn ignore_rules_of_other_tools_become_rules() {
    let lab = Lab::new();
    let state = |name: &str, size: u64| {
        let web = json!({"id": "i-1", "tags": {"Name": name}, "size": size});
        let logs = json!({"id": "logs", "acl": name});
        terraform_state("l", size, &[("aws_instance", "web", web), ("aws_s3_bucket", "logs", logs)])
    };
    lab.write("base.tfstate", state("a", 1).to_string());
    lab.write("seen.tfstate", state("b", 2).to_string());
    lab.write(
        "main.tf",
        "resource \"aws_instance\" \"web\" {\n  lifecycle {\n    ignore_changes = [tags[\"Name\"]]\n  }\n}\n",
    );
    lab.write(".driftignore", "# ours\naws_s3_bucket.*\n!aws_s3_bucket.kept\n");
    let made = lab.run(&["rules", "import", "--from", "terraform", "main.tf", "--owner", "web"]);
    lab.write("tf.yaml", made.exits(0).says("--module").text());
    let made = lab.run(&["rules", "import", "--from", "driftignore", ".driftignore"]);
    lab.write("drift.yaml", made.exits(0).text());
    let args = ["audit", "--baseline", "base.tfstate", "--snapshot", "seen.tfstate"];
    let rules = ["--rules", "tf.yaml", "drift.yaml", "--format", "json"];
    let report = lab.run(&[&args[..], &rules].concat()).exits(1).json();
    assert_eq!(
        report["summary"]["suppressed_by"],
        json!({"rule:aws_instance.web-tags.Name": 1, "rule:aws_s3_bucket": 1})
    );
    assert_eq!(paths(&report["resources"][0]), ["/size".to_owned()].into());
    let listed = lab.run(&["rules", "list", "tf.yaml", "drift.yaml", "--format", "json"]);
    let listed = listed.exits(0).json();
    assert_eq!(text(&listed[0], "owner"), "web");
    let reason = text(&listed[0], "reason");
    assert!(reason.contains("ignore_changes of Terraform: main.tf"), "{reason}");
    lab.write(
        "app.yaml",
        "kind: Application\nmetadata: {name: shop}\nspec:\n  ignoreDifferences:\n    - kind: Service\n      jsonPointers: [/spec/clusterIP]\n      jqPathExpressions: ['.a | .b']\n",
    );
    let made = lab.run(&["rules", "import", "--from", "argocd", "app.yaml"]).exits(2);
    let made =
        made.says("not translated: app.yaml: Application shop: ignoreDifferences 1: `.a | .b`");
    lab.write("argo.yaml", made.text());
    let _ = lab.run(&["rules", "list", "argo.yaml"]).exits(0);
    lab.write(
        "flux.yaml",
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: r, namespace: n}\nspec: {driftDetection: {ignore: [{paths: [/spec/replicas], target: {kind: Deployment}}, {paths: [/x], target: {kind: '('}}]}}\n",
    );
    let made =
        lab.run(&["rules", "import", "--from", "flux", "flux.yaml", "--expires", "2030-01-01"]);
    let made = made.exits(2).says("no regular expression");
    assert!(made.text().contains("expires: \"2030-01-01\""), "{made}");
}
