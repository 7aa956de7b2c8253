use super::*;

fn read(format: IgnoreFormat, text: &str) -> IgnoredRules {
    ignored_rules(format, text, "").expect(text)
}

fn whens(found: &IgnoredRules) -> Vec<&str> {
    found.rules.iter().map(|rule| rule.when.as_str()).collect()
}

#[test]
fn lines_of_driftignore() {
    let text = "# comment\n\naws_s3_bucket.logs\naws_iam_role.*\n*\n!aws_vpc.main\n\
                aws_x.a\\.b.tags.Name\naws_y.arn:/a/b*.rule.*\n aws_z\n";
    let found = read(IgnoreFormat::Driftignore, text);
    assert_eq!(
        whens(&found),
        [
            "type = 'aws_s3_bucket' and id = 'logs' and not (type = 'aws_vpc' and id = 'main')",
            "type = 'aws_iam_role' and not (type = 'aws_vpc' and id = 'main')",
            "true and not (type = 'aws_vpc' and id = 'main')",
            "type = 'aws_x' and id = 'a.b' and (path = '/tags/Name' or starts_with(path, '/tags/Name/'))",
            "type = 'aws_y' and id ~ '^(?:arn:/a/b.*)$' and (path = '/rule' or starts_with(path, '/rule/'))",
            "type = 'aws_z'",
        ]
    );
    assert_eq!(found.rules[0].name, "aws_s3_bucket.logs");
    assert_eq!(found.rules[2].name, "all");
    assert_eq!(found.rules[3].place, "line 7: aws_x.a\\.b.tags.Name");
    let odd = read(IgnoreFormat::Driftignore, "aws_x.it's.a*b.0\n");
    assert_eq!(whens(&odd), ["type = 'aws_x' and id = 'it''s' and path ~ '^/a[^/]*b/0(?:/|$)'"]);
    assert!(odd.notes.iter().any(|note| note.contains("by its number")));
}

/// Each rule holds what is taken back after it, which of 5,000 lines is a gigabyte.
#[test]
fn what_is_taken_back_has_a_limit() {
    let found = read(IgnoreFormat::Driftignore, &"a*.b\n!a.b*\n".repeat(5000));
    assert!(found.rules.iter().map(|rule| rule.when.len()).sum::<usize>() <= 16 << 20);
    assert_eq!(found.rules.len() + found.untranslated.len(), 5000);
    assert_eq!(found.rules[0].place, "line 1: a*.b");
    assert!(found.untranslated[0].ends_with(": a*.b: too much is taken back after it"));
}

#[test]
fn lifecycles_of_terraform() {
    let text = r#"
resource "aws_instance" "web" {
  ami = var.ami
  lifecycle {
    ignore_changes = [tags["Name"], root_block_device[0].size, user_data, "tags.Old", var.x == 1]
  }
}
resource "aws_db_instance" "db" {
  count = 2
  lifecycle { ignore_changes = all }
}
resource "aws_vpc" "v" {
  lifecycle { prevent_destroy = true }
}
"#;
    let found = read(IgnoreFormat::Terraform, text);
    let web = r"type = 'aws_instance' and address ~ '^(?:aws_instance\.web(?:\[.*\])?)$'";
    let at = |path: &str| format!("(path = '{path}' or starts_with(path, '{path}/'))");
    let path = |path: &str| format!("{web} and {}", at(path));
    let whole = " and kind not in ('missing', 'unmanaged')";
    let tag = |path: &str| {
        format!("{web} and ({} or {})", at(path), at(&path.replace("/tags/", "/tags_all/")))
    };
    assert_eq!(
        whens(&found),
        [
            tag("/tags/Name"),
            path("/root_block_device/0/size"),
            path("/user_data"),
            tag("/tags/Old"),
            r"type = 'aws_db_instance' and address ~ '^(?:aws_db_instance\.db(?:\[.*\])?)$'"
                .to_owned()
                + whole,
        ]
    );
    assert_eq!(found.untranslated.len(), 1);
    assert_eq!(found.rules[0].name, "aws_instance.web-tags.Name");
    let inner = ignored_rules(IgnoreFormat::Terraform, text, "module.a.module.b").unwrap();
    let address = r"'^(?:module\.a(?:\[[^\]]*\])?\.module\.b(?:\[[^\]]*\])?\.aws_db_instance\.db";
    assert!(inner.rules[4].when.contains(address), "{}", inner.rules[4].when);
    assert!(
        ignored_rules(IgnoreFormat::Terraform, "resource {{", "").unwrap_err().contains("line 1")
    );
    let old = "resource \"a\" \"b\" {\n  lifecycle {\n    ignore_changes = [\"*\"]\n  }\n}\n";
    assert_eq!(
        whens(&read(IgnoreFormat::Terraform, old)),
        [r"type = 'a' and address ~ '^(?:a\.b(?:\[.*\])?)$'".to_owned() + whole]
    );
}

#[test]
fn applications_of_argo_cd() {
    let text = r#"
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: shop}
spec:
  destination: {namespace: shop}
  ignoreDifferences:
    - group: apps
      kind: Deployment
      jsonPointers: [/spec/replicas, /metadata/annotations/a~1b]
      jqPathExpressions:
        - .spec.template.spec.containers[].image
        - '.metadata.labels["app.kubernetes.io/name"]'
        - .spec.template.spec.containers[] | select(.name == "x") | .image
      managedFieldsManagers: [kube-controller-manager]
    - kind: Secret
      name: tls
      namespace: other
      jsonPointers: [/data]
    - group: "*"
      kind: "*Role"
      name: r
      jsonPointers: [""]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-cm}
data:
  resource.customizations.ignoreDifferences.all: "jsonPointers: [/spec/x]"
  resource.customizations.ignoreDifferences.admissionregistration.k8s.io_MutatingWebhookConfiguration: |
    jqPathExpressions: [".webhooks[0].clientConfig.caBundle"]
  resource.customizations.health.apps_Deployment: "hs = {}"
"#;
    let found = read(IgnoreFormat::ArgoCd, text);
    let shop = "(starts_with(id, 'shop/') or id not like '%/%')";
    let all = format!("provider = 'kubernetes' and type = 'Deployment.apps' and {shop} and ");
    let at = |path: &str| format!("(path = '{path}' or starts_with(path, '{path}/'))");
    assert_eq!(
        whens(&found),
        [
            format!("{all}{}", at("/spec/replicas")),
            format!("{all}{}", at("/metadata/annotations/a~1b")),
            format!("{all}path ~ '^/spec/template/spec/containers/[^/]*/image(?:/|$)'"),
            format!("{all}{}", at("/metadata/labels/app.kubernetes.io~1name")),
            format!(
                "provider = 'kubernetes' and type = 'Secret' and id = 'other/tls' and {}",
                at("/data")
            ),
            format!(
                r"provider = 'kubernetes' and type ~ '^(?:[^.]*Role(?:\..*)?)$' and id ~ '^(?:(?:.*/)?r)$' and {shop} and kind not in ('missing', 'unmanaged')"
            ),
            format!(
                "provider = 'kubernetes' and type = 'MutatingWebhookConfiguration.admissionregistration.k8s.io' and {}",
                at("/webhooks/0/clientConfig/caBundle")
            ),
            format!("provider = 'kubernetes' and {}", at("/spec/x")),
        ]
    );
    let untranslated = found.untranslated.join("\n");
    assert_eq!(found.untranslated.len(), 2, "{untranslated}");
    assert!(untranslated.contains("select(") && untranslated.contains("kube-controller-manager"));
}

#[test]
fn releases_of_flux() {
    let text = r#"
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: podinfo, namespace: apps}
spec:
  driftDetection:
    mode: enabled
    ignore:
      - paths: ["/spec/replicas"]
        target: {kind: Deployment}
      - paths: [""]
        target: {group: apps, kind: "Daemon.*", name: "a|b", namespace: "n[0-9]"}
      - paths: ["/x"]
        target: {kind: Pod, labelSelector: app=x}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: k}
spec:
  ignore:
    - paths: [/data, no]
"#;
    let found = read(IgnoreFormat::Flux, text);
    assert_eq!(
        whens(&found),
        [
            r"provider = 'kubernetes' and type ~ '^(?:(?:Deployment)(?:\..*)?)$' and (starts_with(id, 'apps/') or id not like '%/%') and (path = '/spec/replicas' or starts_with(path, '/spec/replicas/'))",
            r"provider = 'kubernetes' and type ~ '^(?:(?:Daemon.*)\.(?:apps))$' and id ~ '^(?:(?:n[0-9])/(?:a|b))$' and kind not in ('missing', 'unmanaged')",
            "provider = 'kubernetes' and (path = '/data' or starts_with(path, '/data/'))",
        ]
    );
    assert_eq!(found.untranslated.len(), 2, "{:?}", found.untranslated);
    let no = read(IgnoreFormat::Flux, "kind: Service\nmetadata: {name: s}\n");
    assert_eq!(no.untranslated, ["Service s: it is no HelmRelease or Kustomization of Flux"]);
    assert!(ignored_rules(IgnoreFormat::Flux, "a: [", "").is_err());
}

/// `a)|(b` was put between brackets, and the rule was of everything named `b`.
#[test]
fn a_target_of_flux_is_an_expression() {
    for odd in ["(", "*", "[", "a)|(b", "(?x) #", "\\"] {
        for part in ["group", "kind", "namespace", "name"] {
            let text = format!(
                "kind: HelmRelease\nspec: {{driftDetection: {{ignore: [{{paths: [/a], target: {{{part}: '{odd}'}}}}]}}}}"
            );
            let found = read(IgnoreFormat::Flux, &text);
            assert!(found.rules.is_empty(), "{part}: {:?}", whens(&found));
            assert!(found.untranslated[0].contains(part), "{:?}", found.untranslated);
        }
    }
}
