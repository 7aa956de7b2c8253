//! Cloud assemblies of the CDK: the manifest names the templates, and the files beside it hold no
//! resources.
//!
//! Opening files is for whoever has a source; the manifest yields a [`Reference`] for each template
//! and each nested assembly, those first that others depend on.

use std::collections::{BTreeMap, HashMap};

use deployforge_model::RejectCode;
use serde_json::value::RawValue;

use crate::json::{self, Members};
use crate::options::{Format, KeyDefaults};
use crate::place::Lines;
use crate::reference::{Reference, Stack};
use crate::refusal::{Refusal, printable};
use crate::sink::{Note, Sink};

/// A file of a cloud assembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Manifest,
    /// Lists of assets, the tree of constructs, the marker of the folder.
    Other,
}

/// Which file of a cloud assembly this is, if any.
pub(super) fn part(members: &Members<'_>) -> Option<Part> {
    let version = members.peek("version")?;
    let object = |name| members.get(name).filter(|raw| json::is_object(raw));
    if let Some(raw) = object("artifacts") {
        let artifacts = Members::parse(raw.get()).ok()?;
        let typed = |raw: &RawValue| {
            Members::parse(raw.get()).is_ok_and(|artifact| artifact.peek("type").is_some())
        };
        return artifacts.iter().all(|(_, raw)| typed(raw)).then_some(Part::Manifest);
    }
    let assets = object("files").is_some() && object("dockerImages").is_some();
    let tree = version.starts_with("tree-") && object("tree").is_some();
    let marker = members.iter().count() == 1;
    (assets || tree || marker).then_some(Part::Other)
}

/// Reads it.
pub(super) fn read(
    part: Part,
    members: &Members<'_>,
    text: &str,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    sink.tally.loose += 1;
    match part {
        Part::Manifest => read_manifest(members, text, sink),
        Part::Other => {
            sink.note(Note::AssemblyParts, 1);
            Ok(())
        }
    }
}

/// An artifact that names a file.
#[derive(Debug)]
struct Artifact {
    id: String,
    dependencies: Vec<String>,
    reference: Option<Reference>,
}

fn read_manifest(members: &Members<'_>, text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    members.unique("the manifest")?;
    let Some(raw) = members.get("artifacts") else {
        return Err(Refusal::Missing { field: "artifacts", what: "the manifest" });
    };
    let artifacts = Members::of(raw, "artifacts")?;
    artifacts.unique("the manifest's artifacts")?;
    let missing = members.array("missing")?.unwrap_or_default();
    sink.note(Note::LookupsMissing, missing.len() as u64);
    let start = sink.position;
    let mut lines = Lines::new(text, start);
    let mut found = Vec::new();
    for (id, raw) in artifacts.iter() {
        sink.position = lines.position(raw.get());
        match artifact(id, raw) {
            Ok(artifact) => found.push(artifact),
            Err(refusal) => sink.refuse(&refusal, raw.get().as_bytes()),
        }
    }
    sink.position = start;
    let references = ordered(found);
    sink.note(Note::Named, references.len() as u64);
    sink.tally.references.extend(references);
    Ok(())
}

fn artifact(id: &str, raw: &RawValue) -> Result<Artifact, Refusal> {
    const WHAT: &str = "the artifact";
    let members = Members::of(raw, "artifacts")?;
    members.unique(WHAT)?;
    let dependencies = members.array("dependencies")?.unwrap_or_default();
    let dependencies = dependencies.into_iter().filter_map(json::text_of).map(String::from);
    let mut artifact =
        Artifact { id: id.to_owned(), dependencies: dependencies.collect(), reference: None };
    let kind = members.need_text("type", WHAT)?;
    let file = match &*kind {
        "aws:cloudformation:stack" => "templateFile",
        "cdk:cloud-assembly" => "directoryName",
        // Assets, trees and reports hold no resources.
        _ => return Ok(artifact),
    };
    let Some(raw) = members.get("properties") else {
        return Err(Refusal::Missing { field: "properties", what: WHAT });
    };
    let properties = Members::of(raw, "properties")?;
    let path = relative(&properties.need_text(file, "the artifact's properties")?, id)?;
    artifact.reference = Some(if file == "directoryName" {
        Reference {
            file: format!("{path}/manifest.json"),
            format: Format::CloudFormation,
            defaults: KeyDefaults::default(),
            stack: None,
        }
    } else {
        let name = properties.text("stackName")?.filter(|name| !name.is_empty());
        Reference {
            file: path,
            format: Format::CloudFormation,
            defaults: environment(&members.text("environment")?.unwrap_or_default()),
            stack: Some(Stack {
                name: name.map_or_else(|| id.to_owned(), String::from),
                parameters: parameters(&properties)?,
            }),
        }
    });
    Ok(artifact)
}

fn parameters(properties: &Members<'_>) -> Result<BTreeMap<String, String>, Refusal> {
    let Some(raw) = properties.get("parameters") else { return Ok(BTreeMap::new()) };
    let members = Members::of(raw, "parameters")?;
    let given = members.iter().map(|(name, raw)| {
        let text = json::text_of(raw).unwrap_or_else(|| raw.get().into());
        (name.to_owned(), text.into_owned())
    });
    Ok(given.collect())
}

/// A path that stays below the manifest's folder.
fn relative(path: &str, id: &str) -> Result<String, Refusal> {
    let parts: Vec<&str> = path.split('/').filter(|part| *part != ".").collect();
    let odd = |part: &&str| part.is_empty() || *part == ".." || part.contains(['\\', ':', '\0']);
    if parts.is_empty() || parts.iter().any(odd) {
        let reason = format!(
            "The artifact `{}` names a file outside the folder of the manifest, which is not opened; write it as a path below that folder.",
            printable(id)
        );
        return Err(Refusal::new(RejectCode::BadField, reason));
    }
    Ok(parts.join("/"))
}

/// Account and region of `aws://account/region`, where they are known.
fn environment(text: &str) -> KeyDefaults {
    let known =
        |part: &str, unknown: &str| (!part.is_empty() && part != unknown).then(|| part.to_owned());
    let (account, region) =
        text.strip_prefix("aws://").and_then(|place| place.split_once('/')).unwrap_or_default();
    KeyDefaults {
        provider: None,
        account: known(account, "unknown-account"),
        region: known(region, "unknown-region"),
    }
}

/// The references, those first that others depend on; where they depend on one another in a circle,
/// in the order of the manifest.
fn ordered(mut artifacts: Vec<Artifact>) -> Vec<Reference> {
    let places: HashMap<String, usize> =
        artifacts.iter().enumerate().map(|(at, artifact)| (artifact.id.clone(), at)).collect();
    let before: Vec<Vec<usize>> = artifacts
        .iter()
        .map(|artifact| {
            artifact.dependencies.iter().filter_map(|id| places.get(id)).copied().collect()
        })
        .collect();
    let mut entered = vec![false; artifacts.len()];
    let mut order = Vec::with_capacity(artifacts.len());
    for start in 0..artifacts.len() {
        // Each frame: an artifact, and how many of its dependencies were followed.
        let mut stack = vec![(start, 0)];
        while let Some((at, followed)) = stack.pop() {
            if followed == 0 && std::mem::replace(&mut entered[at], true) {
                continue;
            }
            match before[at].get(followed) {
                Some(next) => {
                    stack.push((at, followed + 1));
                    if !entered[*next] {
                        stack.push((*next, 0));
                    }
                }
                None => order.push(at),
            }
        }
    }
    order.into_iter().filter_map(|at| artifacts[at].reference.take()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_folder() {
        for (path, want) in [
            ("a.json", Some("a.json")),
            ("./a/b.json", Some("a/b.json")),
            ("a..b.json", Some("a..b.json")),
            ("/etc/passwd", None),
            ("../a.json", None),
            ("a/../../b", None),
            ("C:\\a", None),
            ("s3://b/k", None),
            ("a//b", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(relative(path, "x").ok().as_deref(), want, "{path}");
        }
    }

    #[test]
    fn environments_name_what_is_known() {
        let parts = |text| {
            let found = environment(text);
            (found.account, found.region)
        };
        assert_eq!(
            parts("aws://1/eu-west-1"),
            (Some("1".to_owned()), Some("eu-west-1".to_owned()))
        );
        assert_eq!(parts("aws://unknown-account/us-east-1"), (None, Some("us-east-1".to_owned())));
        assert_eq!(parts("aws://unknown-account/unknown-region"), (None, None));
        assert_eq!(parts("other"), (None, None));
    }

    #[test]
    fn dependencies_come_first() {
        let artifact = |id: &str, after: &[&str]| Artifact {
            id: id.to_owned(),
            dependencies: after.iter().map(|id| (*id).to_owned()).collect(),
            reference: Some(Reference {
                file: id.to_owned(),
                format: Format::CloudFormation,
                defaults: KeyDefaults::default(),
                stack: None,
            }),
        };
        let order = |artifacts| {
            ordered(artifacts).into_iter().map(|found| found.file).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            order(vec![artifact("a", &["c", "x"]), artifact("b", &[]), artifact("c", &["b"])]),
            "b c a"
        );
        assert_eq!(order(vec![artifact("a", &["b"]), artifact("b", &["a", "b"])]), "b a");
    }
}
