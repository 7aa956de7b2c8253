//! `ignore_changes` in the `lifecycle` of resources.

use hcl_edit::expr::{Expression, TraversalOperator};
use hcl_edit::structure::{Block, Body};

use super::IgnoredRules;
use super::sql::{self, INDEX, Segment, literal, quoted};

pub(super) fn read(text: &str, module: &str, found: &mut IgnoredRules) -> Result<(), String> {
    let body: Body = text.parse().map_err(|error: hcl_edit::parser::Error| {
        let (line, column) = (error.location().line(), error.location().column());
        format!("line {line}, column {column}: this is not HCL")
    })?;
    for block in body.get_blocks("resource") {
        let [kind, name] = &block.labels[..] else { continue };
        let address = format!("{}.{}", kind.as_str(), name.as_str());
        let lifecycles = block.body.get_blocks("lifecycle");
        for changes in lifecycles.filter_map(|one: &Block| one.body.get_attribute("ignore_changes"))
        {
            changes_of(&address, kind.as_str(), &changes.value, module, found);
        }
    }
    if module.is_empty() && !found.rules.is_empty() {
        found
            .note("the addresses are those of the root module; give --module for files of another");
    }
    Ok(())
}

fn changes_of(
    address: &str,
    kind: &str,
    value: &Expression,
    module: &str,
    found: &mut IgnoredRules,
) {
    match value {
        Expression::Variable(word) if word.as_str() == "all" => {
            one(address, kind, &[], module, found);
        }
        Expression::Array(items) => {
            for item in items {
                match path_of(item) {
                    // What was written before there were references: `["*"]` and `["tags.Name"]`.
                    Some(path) if path == [Segment::Name("*".to_owned())] => {
                        one(address, kind, &[], module, found);
                    }
                    Some(path) => one(address, kind, &path, module, found),
                    None => found
                        .refuse(address, "an element of ignore_changes is no path of an attribute"),
                }
            }
        }
        _ => found.refuse(address, "ignore_changes is neither `all` nor a list"),
    }
}

/// Adds a rule for one path of a resource, or for all of it.
fn one(address: &str, kind: &str, path: &[Segment], module: &str, found: &mut IgnoredRules) {
    if path.iter().any(sql::is_index) {
        found.note(INDEX);
    }
    let when = sql::all([
        Some(format!("type = {}", quoted(kind))),
        Some(resource(address, module)),
        Some(at_or_below(path)),
    ]);
    let label = if path.is_empty() { "all".to_owned() } else { label(path) };
    found.add(&format!("{address}-{label}"), when, &format!("{address}: ignore_changes {label}"));
}

/// What is said of tags or labels is meant of those that the provider adds its own to, which are the ones
/// that other formats are compared with.
fn at_or_below(path: &[Segment]) -> String {
    let own = sql::differences(path);
    let all = match path.split_first() {
        Some((Segment::Name(first), rest)) => {
            let whole = match first.as_str() {
                "tags" => "tags_all",
                "labels" => "effective_labels",
                "annotations" => "effective_annotations",
                _ => return own,
            };
            let mut path = vec![Segment::Name(whole.to_owned())];
            path.extend(rest.iter().cloned());
            sql::differences(&path)
        }
        _ => return own,
    };
    format!("({own} or {all})")
}

fn label(path: &[Segment]) -> String {
    let names = path.iter().map(|segment| match segment {
        Segment::Name(name) | Segment::Wild(name) => name.as_str(),
        Segment::Any => "*",
    });
    names.collect::<Vec<_>>().join(".")
}

/// All instances of a resource.
fn resource(address: &str, module: &str) -> String {
    let path = module.split('.').filter(|part| !part.is_empty());
    // A module may have instances too, of which the path says nothing.
    let mut path: Vec<String> = path.map(literal).collect();
    for at in (1..path.len()).step_by(2) {
        path[at].push_str(r"(?:\[[^\]]*\])?");
    }
    path.push(literal(address));
    sql::fits("address", &format!(r"{}(?:\[.*\])?", path.join(r"\.")))
}

fn path_of(item: &Expression) -> Option<Vec<Segment>> {
    let name = |text: &str| Segment::Name(text.to_owned());
    match item {
        Expression::Variable(attribute) => Some(vec![name(attribute.as_str())]),
        Expression::String(text) => Some(text.as_str().split('.').map(name).collect()),
        Expression::Parenthesis(inner) => path_of(inner.inner()),
        Expression::Traversal(traversal) => {
            let mut path = path_of(&traversal.expr)?;
            for operator in &traversal.operators {
                path.push(match operator.value() {
                    TraversalOperator::GetAttr(attribute) => name(attribute.as_str()),
                    TraversalOperator::LegacyIndex(index) => name(&index.to_string()),
                    TraversalOperator::Index(Expression::Number(index)) => {
                        name(&index.value().to_string())
                    }
                    TraversalOperator::Index(Expression::String(key)) => name(key.as_str()),
                    _ => return None,
                });
            }
            Some(path)
        }
        _ => None,
    }
}
