//! What is known of resource types: a table, not code.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// The table of types.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The property whose value `Ref` gives, for types of which it gives a name that was chosen.
    #[serde(rename = "ref")]
    names: BTreeMap<String, String>,
    /// Types that exist in a stack only, so that no inventory has their state.
    unsupported: Vec<String>,
    /// Beginnings of types that have no region.
    global: Vec<String>,
    /// Macros that change no resource but those of their own types.
    macros: Vec<String>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../data/cloudformation.json"))
        .expect("the table of types is valid, which a test proves")
});

/// The property whose value `Ref` of such a resource gives.
pub(super) fn name_of(resource_type: &str) -> Option<&'static str> {
    TABLE.names.get(resource_type).map(String::as_str)
}

/// Whether what becomes of such a resource cannot be told from its properties.
pub(super) fn is_generated(resource_type: &str) -> bool {
    resource_type.starts_with("AWS::Serverless::")
        || resource_type.starts_with("Custom::")
        || resource_type.ends_with("::MODULE")
        || TABLE.unsupported.iter().any(|name| name == resource_type)
}

/// Whether such a resource has no region.
pub(super) fn is_global(resource_type: &str) -> bool {
    TABLE.global.iter().any(|start| resource_type.starts_with(start.as_str()))
}

/// Whether a macro leaves alone the resources whose types are not its own.
pub(super) fn is_known_macro(name: &str) -> bool {
    TABLE.macros.iter().any(|known| known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_valid_and_sorted() {
        assert_eq!(name_of("AWS::S3::Bucket"), Some("BucketName"));
        assert_eq!(name_of("AWS::SQS::Queue"), None, "which gives a URL");
        for list in [&TABLE.unsupported, &TABLE.global, &TABLE.macros] {
            assert!(list.is_sorted(), "{list:?}");
        }
        assert!(
            is_generated("AWS::Serverless::Function") && is_generated("My::Own::Thing::MODULE")
        );
        assert!(
            is_generated("Custom::Thing") && is_generated("AWS::CloudFormation::CustomResource")
        );
        assert!(!is_generated("AWS::CloudFormation::Stack"));
        assert!(is_global("AWS::IAM::Role") && !is_global("AWS::S3::Bucket"));
        assert!(is_known_macro("AWS::LanguageExtensions") && !is_known_macro("Mine"));
    }
}
