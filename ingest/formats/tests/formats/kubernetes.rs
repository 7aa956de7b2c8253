//! Kubernetes, trap by trap.

use deployforge_formats::{Format, KeyDefaults, ReadOptions, Side};
use deployforge_model::{Dialect, Presence, RejectCode};
use serde_json::json;

use super::support::{Outcome, read, read_in, state};

fn read_for(side: Side, text: &str) -> Outcome {
    let defaults = KeyDefaults { account: Some("prod".to_owned()), ..KeyDefaults::default() };
    read_in(&ReadOptions { side, defaults, ..ReadOptions::default() }, text.as_bytes(), 64)
}

fn observed(text: &str) -> Outcome {
    read_for(Side::Observed, text)
}

const LIVE: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop",
    "uid":"u","resourceVersion":"4711","generation":3,"creationTimestamp":"2019-03-20T17:27:03Z","selfLink":"/x",
    "deletionTimestamp":"x","deletionGracePeriodSeconds":30,"managedFields":[{"manager":"kubectl"}],
    "labels":{"app":"web"},"annotations":{"deployment.kubernetes.io/revision":"1","own":"x",
      "kubectl.kubernetes.io/last-applied-configuration":"{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"annotations\":{},\"name\":\"web\"},\"spec\":{\"replicas\":2}}\n"}},
    "spec":{"replicas":3,"cpu":1.50},"status":{"replicas":3}}"#;

#[test]
fn the_state_is_the_object_without_what_changes_by_itself() {
    let outcome = observed(LIVE);
    let found = outcome.only();
    assert_eq!(found.key.to_string(), "kubernetes/prod//Deployment.apps/shop/web");
    assert_eq!(found.dialect, Dialect::Kubernetes);
    assert_eq!(found.version, Some(4711));
    assert_eq!(
        String::from_utf8_lossy(&found.state),
        r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop","labels":{"app":"web"},"annotations":{"own":"x"}},"spec":{"replicas":3,"cpu":1.50}}"#
    );
    assert!(found.sensitive.is_empty());
    assert_eq!(outcome.summary.format, Some(Format::Kubernetes));
    assert!(!outcome.summary.complete_listing && outcome.summary.notes.is_empty());
}

#[test]
fn what_was_last_applied_is_what_was_declared() {
    let outcome = read_for(Side::Declared, LIVE);
    let found = outcome.only();
    assert_eq!(found.key.to_string(), "kubernetes/prod//Deployment.apps/shop/web");
    assert_eq!(
        state(found),
        json!({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":2}})
    );
    assert_eq!(found.version, None);
    assert_eq!(outcome.summary.notes, ["1 object read as last applied"]);
    for broken in ["{", "[]", "7", "\"x\""] {
        let text = json!({"apiVersion":"v1","kind":"Service","metadata":{"name":"a","namespace":"b",
            "annotations":{"kubectl.kubernetes.io/last-applied-configuration":broken}}});
        assert_eq!(read_for(Side::Declared, &text.to_string()).rejects().len(), 1, "{broken}");
        assert_eq!(observed(&text.to_string()).observations().len(), 1);
    }
}

#[test]
fn keys_say_where_an_object_stands() {
    for (api, kind, namespace, key) in [
        ("v1", "Service", "a", "kubernetes/prod//Service/a/n"),
        ("v1", "Service", "", "kubernetes/prod//Service/default/n"),
        ("batch/v1beta1", "CronJob", "", "kubernetes/prod//CronJob.batch/default/n"),
        ("v1", "Namespace", "", "kubernetes/prod//Namespace/n"),
        (
            "rbac.authorization.k8s.io/v1",
            "ClusterRole",
            "",
            "kubernetes/prod//ClusterRole.rbac.authorization.k8s.io/n",
        ),
        ("example.com/v1", "Thing", "", "kubernetes/prod//Thing.example.com/n"),
        ("example.com/v1", "Thing", "a", "kubernetes/prod//Thing.example.com/a/n"),
    ] {
        let text =
            json!({"apiVersion":api,"kind":kind,"metadata":{"name":"n","namespace":namespace}});
        let outcome = observed(&text.to_string());
        assert_eq!(outcome.only().key.to_string(), key);
        let assumed = outcome.summary.notes.iter().any(|note| note.contains("taken as `default`"));
        assert_eq!(assumed, namespace.is_empty() && key.contains("default"), "{key}");
    }
}

#[test]
fn lists_say_what_their_items_are() {
    let outcome = observed(
        r#"{"kind":"DeploymentList","apiVersion":"apps/v1","metadata":{"resourceVersion":"9","continue":"x"},"items":[
        {"metadata":{"name":"a","namespace":"n"},"spec":{}},
        {"apiVersion":"apps/v1beta1","kind":"Deployment","metadata":{"name":"b","namespace":"n"}},
        {"metadata":{}}, 7]}"#,
    );
    let found = outcome.observations();
    assert_eq!(outcome.ids(), ["n/a", "n/b"]);
    assert_eq!(
        state(found[0]),
        json!({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a","namespace":"n"},"spec":{}})
    );
    assert_eq!(found[0].key.resource_type, found[1].key.resource_type);
    assert_eq!((found[0].position.line, found[1].position.line), (2, 3));
    assert_eq!(outcome.codes(), [RejectCode::BadField, RejectCode::BadField]);
    assert!(outcome.summary.notes.iter().any(|note| note.contains("further pages")));
    let outcome = observed(
        r#"{"kind":"List","apiVersion":"v1","items":[
        {"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"n"}},
        {"apiVersion":"v1","kind":"PodList","items":[{"metadata":{"name":"b","namespace":"n"}}]},
        {"metadata":{"name":"c"}}]}"#,
    );
    assert_eq!(outcome.ids(), ["n/a", "n/b"]);
    assert_eq!(outcome.codes(), [RejectCode::BadField]);
    assert!(outcome.rejects()[0].reason.contains("`kind`"), "{:?}", outcome.rejects());
    let outcome = observed(r#"{"kind":"PodList","apiVersion":"v1","items":[]}"#);
    assert_eq!(outcome.summary.notes, ["1 list without items"]);
    // A resource may be called a list.
    let outcome = observed(
        r#"{"kind":"AllowList","apiVersion":"x.io/v1","metadata":{"name":"a"},"items":{}}"#,
    );
    assert_eq!(outcome.only().key.resource_type, "AllowList.x.io");
}

#[test]
fn manifests_hold_many_documents() {
    let text = "# {{ a comment }}\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: n}\nstringData: {password: hunter2}\n---\n# nothing\n---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: c\n    namespace: n\n  data: {on: yes, t: '{{ .Values.x }}'}\n- apiVersion: batch/v1\n  kind: Job\n  metadata: {generateName: j-}\n";
    let outcome = read_for(Side::Declared, text);
    assert_eq!(outcome.ids(), ["n/s", "n/c"]);
    let found = outcome.observations();
    assert_eq!(found[0].sensitive, ["/data", "/stringData"]);
    assert_eq!(state(found[1])["data"], json!({"on": "yes", "t": "{{ .Values.x }}"}));
    assert_eq!((found[0].position.line, found[1].position.line), (2, 12));
    assert_eq!(
        outcome.summary.notes,
        ["1 object without a name skipped: the API server makes one"]
    );
}

#[test]
fn templates_are_not_objects() {
    for text in [
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Release.Name }}\n",
        "apiVersion: v1\nkind: Pod\nmetadata:\n{{- if .Values.x }}\n  name: a\n{{- end }}\n",
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: \"{{ .Release.Name }}-x\"\n",
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  namespace: '{{ .Release.Namespace }}'\n",
        "{{- if .Values.enabled }}\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n{{- end }}\n",
        "{{/* a comment */}}\napiVersion: v1\n",
    ] {
        let outcome = read(text);
        assert_eq!(
            outcome.refused().code,
            RejectCode::Unsupported,
            "{text}: {:?}",
            outcome.refused()
        );
        assert!(outcome.refused().reason.contains("render it"), "{text}: {:?}", outcome.refused());
    }
}

#[test]
fn what_is_no_object_is_named() {
    for (text, code, word) in [
        (
            r#"{"apiVersion":"v1","kind":"Status","status":"Failure"}"#,
            RejectCode::Unsupported,
            "error",
        ),
        (
            r#"{"apiVersion":"meta.k8s.io/v1","kind":"Table","rows":[]}"#,
            RejectCode::Unsupported,
            "table",
        ),
        (
            r#"{"apiVersion":"kustomize.config.k8s.io/v1beta1","kind":"Kustomization"}"#,
            RejectCode::Unsupported,
            "kustomize",
        ),
        (r#"{"apiVersion":"v1","kind":"Pod"}"#, RejectCode::BadField, "`metadata`"),
        (r#"{"apiVersion":"v1","kind":"Pod","metadata":[]}"#, RejectCode::BadField, "`metadata`"),
        (r#"{"apiVersion":"v1","kind":"Pod","metadata":{}}"#, RejectCode::BadField, "`name`"),
        (
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":7}}"#,
            RejectCode::BadField,
            "`name`",
        ),
        (
            r#"{"apiVersion":"v1","kind":"","metadata":{"name":"a"}}"#,
            RejectCode::BadField,
            "`kind`",
        ),
        (
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":1,"spec":2}"#,
            RejectCode::DuplicateKey,
            "`spec`",
        ),
        (
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","name":"b"}}"#,
            RejectCode::DuplicateKey,
            "`name`",
        ),
    ] {
        let outcome = observed(text);
        assert_eq!(outcome.refused().code, code, "{text}: {:?}", outcome.refused());
        assert!(outcome.refused().reason.contains(word), "{text}: {:?}", outcome.refused());
    }
}

const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"n","resourceVersion":"7"},"spec":{}}"#;

fn review(operation: &str, rest: &str) -> String {
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","operation":"{operation}","name":"a","namespace":"n"{rest}}}}}"#
    )
}

fn audit(verb: &str, rest: &str) -> String {
    format!(
        r#"{{"apiVersion":"audit.k8s.io/v1","kind":"Event","verb":"{verb}","stageTimestamp":"2023-01-02T03:04:05.678901Z"{rest}}}"#
    )
}

#[test]
fn events_carry_objects() {
    let pod = POD;
    let watch = |kind: &str| format!(r#"{{"type":"{kind}","object":{pod}}}"#);
    for (text, presence) in [
        (watch("ADDED"), Some(Presence::Present)),
        (watch("MODIFIED"), Some(Presence::Present)),
        (watch("DELETED"), Some(Presence::Deleted)),
        (watch("BOOKMARK"), None),
        (
            review("CREATE", &format!(r#","object":{pod},"oldObject":null"#)),
            Some(Presence::Present),
        ),
        (
            review("UPDATE", &format!(r#","object":{pod},"oldObject":{pod}"#)),
            Some(Presence::Present),
        ),
        (
            review("DELETE", &format!(r#","object":null,"oldObject":{pod}"#)),
            Some(Presence::Deleted),
        ),
        (review("DELETE", r#","object":"None","oldObject":null"#), None),
        (review("CREATE", &format!(r#","dryRun":true,"object":{pod}"#)), None),
        (review("CONNECT", &format!(r#","subResource":"exec","object":{pod}"#)), None),
        (
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{}}"#
                .to_owned(),
            None,
        ),
        (audit("patch", &format!(r#","responseObject":{pod}"#)), Some(Presence::Present)),
        (
            audit(
                "create",
                r#","requestObject":{},"responseObject":{"kind":"Status","apiVersion":"v1","metadata":{}}"#,
            ),
            None,
        ),
        (
            audit(
                "list",
                &format!(
                    r#","responseObject":{{"kind":"PodList","apiVersion":"v1","metadata":{{}},"items":[{pod}]}}"#
                ),
            ),
            None,
        ),
        (
            audit(
                "patch",
                &format!(r#","objectRef":{{"subresource":"status"}},"responseObject":{pod}"#),
            ),
            None,
        ),
        (audit("create", ""), None),
    ] {
        let outcome = observed(&text);
        assert!(outcome.rejects().is_empty(), "{text}: {:?}", outcome.rejects());
        let found = outcome.observations();
        assert_eq!(found.first().map(|found| found.presence), presence, "{text}");
        if let Some(found) = found.first() {
            assert_eq!((found.key.id.as_str(), found.version), ("n/a", Some(7)));
        } else {
            let note = "1 notification without an item was skipped";
            assert_eq!(outcome.summary.notes, [note], "{text}");
        }
    }
    let outcome = observed(&audit("get", &format!(r#","responseObject":{pod}"#)));
    assert_eq!(outcome.only().observed_at.unwrap().to_string(), "2023-01-02T03:04:05.678901Z");
}

/// Texts of a Secret were drift against the object that the server made of them.
#[test]
fn texts_of_a_secret_are_written_into_its_data() {
    let secret = |text: &str| {
        let head = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","namespace":"n"}"#;
        let outcome = observed(&format!("{head},{text}}}"));
        let found = outcome.only();
        assert_eq!(found.sensitive, ["/data", "/stringData"]);
        let state = state(found);
        assert!(state.get("stringData").is_none(), "{state}");
        state["data"].clone()
    };
    let both = r#""data":{"a":"eA==","b":"eQ=="},"stringData":{"b":"hunter2","c":"\u00fc"}"#;
    assert_eq!(secret(both), json!({"a": "eA==", "b": "aHVudGVyMg==", "c": "w7w="}));
    assert_eq!(secret(r#""stringData":{"b":""},"data":null"#), json!({"b": ""}));
    assert_eq!(secret(r#""data":{"a":"aHVu\ndGVyMg==\n"}"#), json!({"a": "aHVudGVyMg=="}));
    let twice = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"stringData":{"a":"1","a":"2"}}"#;
    assert_eq!(observed(twice).rejects().len(), 1);
    // Of another kind it is a member as any.
    let other =
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"s"},"stringData":{"a":"1"}}"#;
    assert_eq!(state(observed(other).only())["stringData"], json!({"a": "1"}));
}

#[test]
fn what_controllers_note_is_left_out() {
    let outcome = observed(
        r#"{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"c","namespace":"n","annotations":
            {"pv.kubernetes.io/bind-completed":"yes","volume.kubernetes.io/selected-node":"n1"}}}"#,
    );
    assert!(state(outcome.only())["metadata"].get("annotations").is_none());
}
