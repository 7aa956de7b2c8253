//! Schemas of providers, as `terraform providers schema -json` prints them: which arrays are sets,
//! and what is computed, sensitive or write-only. States and plans don't say: there, a set is an array
//! like any other.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use deployforge_model::path;

use crate::json::{self, Members};
use crate::options::Limits;
use crate::refusal::Refusal;
use crate::terraform::StateError;

/// The resource types of all providers in one document.
///
/// ```
/// use deployforge_formats::terraform_json::{Schemas, Shape};
///
/// let text = br#"{"format_version":"1.0","provider_schemas":{"registry.terraform.io/hashicorp/aws":{
///     "resource_schemas":{"aws_security_group":{"version":1,"block":{"attributes":{
///         "arn":{"type":"string","computed":true},
///         "ingress":{"type":["set",["object",{"cidr_blocks":["list","string"]}]],"optional":true}}}}}}}}"#;
/// let schemas = Schemas::read(text)?;
/// let group = schemas.resource("aws_security_group").expect("it is there");
/// assert_eq!(group.paths(Shape::Set).collect::<Vec<_>>(), ["/ingress"]);
/// assert_eq!(group.paths(Shape::List).collect::<Vec<_>>(), ["/ingress/*/cidr_blocks"]);
/// # Ok::<(), deployforge_formats::terraform::StateError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schemas {
    /// By type, then by the provider's source address.
    types: BTreeMap<String, BTreeMap<String, ResourceSchema>>,
}

/// The schema of one resource type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceSchema {
    /// The schema's version, which states name too.
    pub version: u64,
    /// What it has, by path: JSON Pointers in which `*` stands for any element of a list, set or map.
    pub attributes: BTreeMap<String, Attribute>,
}

/// What a schema says of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one member of the schema")]
pub struct Attribute {
    /// What stands there.
    pub shape: Shape,
    /// The configuration has to give it.
    pub required: bool,
    /// The configuration may give it.
    pub optional: bool,
    /// The provider may give it; alone, if the configuration may not.
    pub computed: bool,
    /// It is a secret, and so is everything below.
    pub sensitive: bool,
    /// It is given and never kept: null in every state.
    pub write_only: bool,
    /// It should not be used any more.
    pub deprecated: bool,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shape {
    /// A string, number or boolean.
    Scalar,
    /// An array whose order means something.
    List,
    /// An array in no order, without duplicates.
    Set,
    /// An object whose keys are chosen freely.
    Map,
    /// An object whose keys the schema names.
    Object,
    /// An array of fixed length.
    Tuple,
    /// Anything.
    Dynamic,
}

const WHAT: &str = "the schema";

impl Schemas {
    /// Reads the document.
    pub fn read(bytes: &[u8]) -> Result<Self, StateError> {
        let text = std::str::from_utf8(bytes).map_err(|_| Refusal::NotUtf8)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let raw = json::nested(text, Limits::default().depth)?;
        Ok(Self::of(&Members::of(raw, "the document")?)?)
    }

    fn of(members: &Members<'_>) -> Result<Self, Refusal> {
        let redacted = members.has("provider_format_version");
        let field = if redacted { "provider_format_version" } else { "format_version" };
        super::version(members, field)?;
        let mut schemas = Self::default();
        let Some(providers) = members.get("provider_schemas") else { return Ok(schemas) };
        for (source, raw) in Members::of(providers, "provider_schemas")?.iter() {
            let provider = Members::of(raw, "provider_schemas")?;
            let Some(types) = provider.get("resource_schemas") else { continue };
            for (name, raw) in Members::of(types, "resource_schemas")?.iter() {
                let schema = ResourceSchema::read(&Members::of(raw, "resource_schemas")?)?;
                let of_type = schemas.types.entry(name.to_owned()).or_default();
                of_type.insert(source.to_owned(), schema);
            }
        }
        Ok(schemas)
    }

    /// The schema of a type. Where several providers have the type, the first by source address.
    pub fn resource(&self, resource_type: &str) -> Option<&ResourceSchema> {
        self.types.get(resource_type)?.values().next()
    }

    /// The schema of a type of one provider, by its source address.
    pub fn of_provider(&self, source: &str, resource_type: &str) -> Option<&ResourceSchema> {
        self.types.get(resource_type)?.get(source)
    }

    /// Every type, with the provider's source address and the schema.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &ResourceSchema)> {
        self.types.iter().flat_map(|(name, sources)| {
            sources.iter().map(|(source, schema)| (name.as_str(), source.as_str(), schema))
        })
    }
}

impl ResourceSchema {
    fn read(members: &Members<'_>) -> Result<Self, Refusal> {
        let version = members.unsigned("version")?.unwrap_or(0);
        let mut schema = Self { version, attributes: BTreeMap::new() };
        if let Some(block) = members.get("block") {
            schema.block(block, &mut String::new())?;
        }
        Ok(schema)
    }

    /// The paths of one shape.
    pub fn paths(&self, shape: Shape) -> impl Iterator<Item = &str> {
        self.that(move |attribute| attribute.shape == shape)
    }

    /// Paths that only the provider gives.
    pub fn read_only(&self) -> impl Iterator<Item = &str> {
        self.that(|attribute| attribute.computed && !attribute.optional && !attribute.required)
    }

    /// Paths that the provider gives where the configuration does not.
    pub fn computed(&self) -> impl Iterator<Item = &str> {
        self.that(|attribute| attribute.computed)
    }

    /// Paths that are secret.
    pub fn sensitive(&self) -> impl Iterator<Item = &str> {
        self.that(|attribute| attribute.sensitive)
    }

    /// Paths that no state holds.
    pub fn write_only(&self) -> impl Iterator<Item = &str> {
        self.that(|attribute| attribute.write_only)
    }

    fn that(&self, wanted: impl Fn(&Attribute) -> bool) -> impl Iterator<Item = &str> {
        let fits = move |(_, attribute): &(&String, &Attribute)| wanted(attribute);
        self.attributes.iter().filter(fits).map(|(path, _)| path.as_str())
    }

    /// The recursion is as deep as the text, which is limited.
    fn block(&mut self, block: &RawValue, at: &mut String) -> Result<(), Refusal> {
        let block = Members::of(block, "block")?;
        if let Some(attributes) = block.get("attributes") {
            self.attributes(attributes, at)?;
        }
        let Some(blocks) = block.get("block_types") else { return Ok(()) };
        for (name, raw) in Members::of(blocks, "block_types")?.iter() {
            let kind = Members::of(raw, "block_types")?;
            let shape = nesting(&kind)?;
            let length = at.len();
            path::push(at, name);
            let needed = kind.unsigned("min_items")?.unwrap_or(0) > 0;
            let flags = Flags { required: needed, optional: !needed, ..Flags::default() };
            self.add(at, shape, flags);
            if has_elements(shape) {
                at.push_str("/*");
            }
            if let Some(inner) = kind.get("block") {
                self.block(inner, at)?;
            }
            at.truncate(length);
        }
        Ok(())
    }

    fn attributes(&mut self, attributes: &RawValue, at: &mut String) -> Result<(), Refusal> {
        for (name, raw) in Members::of(attributes, "attributes")?.iter() {
            let members = Members::of(raw, "attributes")?;
            let flag = |name| members.flag(name).map(Option::unwrap_or_default);
            let flags = Flags {
                required: flag("required")?,
                optional: flag("optional")?,
                computed: flag("computed")?,
                sensitive: flag("sensitive")?,
                write_only: flag("write_only")?,
                deprecated: flag("deprecated")?,
            };
            let length = at.len();
            path::push(at, name);
            if let Some(nested) = members.get("nested_type") {
                let nested = Members::of(nested, "nested_type")?;
                let shape = nesting(&nested)?;
                self.add(at, shape, flags);
                if has_elements(shape) {
                    at.push_str("/*");
                }
                if let Some(inner) = nested.get("attributes") {
                    self.attributes(inner, at)?;
                }
            } else if let Some(kind) = members.get("type") {
                self.of_type(kind, at, flags)?;
            }
            at.truncate(length);
        }
        Ok(())
    }

    /// A type: a name, or a list of a name and what it is made of.
    fn of_type(&mut self, kind: &RawValue, at: &mut String, flags: Flags) -> Result<(), Refusal> {
        let wrong = Refusal::Wrong { field: "type", want: "a type such as [\"set\",\"string\"]" };
        if let Some(name) = json::text_of(kind) {
            let shape = if name == "dynamic" { Shape::Dynamic } else { Shape::Scalar };
            self.add(at, shape, flags);
            return Ok(());
        }
        let parts = json::elements(kind, "type")?;
        let [name, inner, ..] = parts.as_slice() else { return Err(wrong) };
        let shape = match json::text_of(name).as_deref() {
            Some("list") => Shape::List,
            Some("set") => Shape::Set,
            Some("map") => Shape::Map,
            Some("object") => Shape::Object,
            Some("tuple") => Shape::Tuple,
            _ => return Err(wrong),
        };
        self.add(at, shape, flags);
        // What is below is given and kept as its whole is; secrets cover it by their path.
        let below = Flags { sensitive: false, ..flags };
        let length = at.len();
        match shape {
            Shape::Object => {
                for (name, kind) in Members::of(inner, "type")?.iter() {
                    path::push(at, name);
                    self.of_type(kind, at, below)?;
                    at.truncate(length);
                }
            }
            Shape::Tuple => {
                for (index, kind) in json::elements(inner, "type")?.into_iter().enumerate() {
                    path::push(at, &index.to_string());
                    self.of_type(kind, at, below)?;
                    at.truncate(length);
                }
            }
            _ => {
                at.push_str("/*");
                self.of_type(inner, at, below)?;
                at.truncate(length);
            }
        }
        Ok(())
    }

    fn add(&mut self, at: &str, shape: Shape, flags: Flags) {
        let Flags { required, optional, computed, sensitive, write_only, deprecated } = flags;
        let attribute =
            Attribute { shape, required, optional, computed, sensitive, write_only, deprecated };
        self.attributes.insert(at.to_owned(), attribute);
    }
}

/// What a schema says beside the shape.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one member of the schema")]
struct Flags {
    required: bool,
    optional: bool,
    computed: bool,
    sensitive: bool,
    write_only: bool,
    deprecated: bool,
}

/// Whether a `*` stands between the path and what is below.
fn has_elements(shape: Shape) -> bool {
    matches!(shape, Shape::List | Shape::Set | Shape::Map)
}

fn nesting(members: &Members<'_>) -> Result<Shape, Refusal> {
    match &*members.need_text("nesting_mode", WHAT)? {
        "single" | "group" => Ok(Shape::Object),
        "list" => Ok(Shape::List),
        "set" => Ok(Shape::Set),
        "map" => Ok(Shape::Map),
        _ => Err(Refusal::Wrong { field: "nesting_mode", want: "single, group, list, set or map" }),
    }
}
