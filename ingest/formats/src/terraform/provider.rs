//! Addresses of provider configurations, old and new.

use crate::arn;

/// What an address of a provider configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Provider {
    /// The provider's own name, such as `google-beta`.
    name: String,
    /// A region, where the alias (or the key of a provider with `for_each`) is spelled like one.
    pub(crate) region: Option<String>,
}

impl Provider {
    /// Reads `provider["registry.terraform.io/hashicorp/aws"].alias`, `module.m.provider.aws.alias`
    /// and the like.
    pub(crate) fn parse(address: &str) -> Self {
        let Some(parts) = Parts::split(address) else { return Self::default() };
        let region = parts
            .rest
            .split(['.', '[', ']', '"'])
            .filter(|word| !word.is_empty())
            .find_map(arn::region_like);
        let name = parts.source.rsplit('/').next().unwrap_or_default().trim();
        Self { name: name.to_ascii_lowercase(), region }
    }

    /// Reads a provider's source address and the alias of its configuration, as views of states and
    /// plans name them.
    pub(crate) fn of_source(source: &str, alias: &str) -> Self {
        let dot = if alias.is_empty() { "" } else { "." };
        Self::parse(&format!("provider[\"{source}\"]{dot}{alias}"))
    }

    /// The short name of the cloud or system, as keys have it.
    pub(crate) fn short(&self) -> &str {
        match self.name.as_str() {
            "awscc" => "aws",
            "azurerm" | "azuread" | "azapi" | "azurestack" => "azure",
            "google-beta" => "google",
            name => name,
        }
    }
}

/// The provider's address in its full form; providers named without a namespace, as before
/// Terraform 0.13, get the one that stands for them.
pub(super) fn full(address: &str) -> String {
    let Some(parts) = Parts::split(address) else { return address.to_owned() };
    if !parts.legacy {
        return address.trim().to_owned();
    }
    let source = match parts.source.trim() {
        "terraform" => "terraform.io/builtin/terraform".to_owned(),
        name => format!("registry.opentofu.org/-/{name}"),
    };
    format!("{}provider[\"{source}\"]{}", parts.module, parts.rest)
}

/// An address in its parts.
struct Parts<'a> {
    /// `module.a.`, or nothing.
    module: &'a str,
    /// The source address or the bare name.
    source: &'a str,
    /// `.alias`, `.alias["key"]`, or nothing.
    rest: &'a str,
    legacy: bool,
}

impl<'a> Parts<'a> {
    fn split(address: &'a str) -> Option<Self> {
        let address = address.trim();
        if let Some(at) = address.find("provider[\"") {
            let (module, tail) = address.split_at(at);
            let tail = tail.strip_prefix("provider[\"")?;
            let (source, rest) = tail.split_once("\"]")?;
            return Some(Self { module, source, rest, legacy: false });
        }
        let at = match address.rfind(".provider.") {
            Some(at) => at + 1,
            None if address.starts_with("provider.") => 0,
            None => return None,
        };
        let (module, tail) = address.split_at(at);
        let tail = tail.strip_prefix("provider.")?;
        let (source, rest) = tail.split_at(tail.find('.').unwrap_or(tail.len()));
        Some(Self { module, source, rest, legacy: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_old_and_new_addresses() {
        for (address, short, region, full_form) in [
            (
                r#"provider["registry.terraform.io/hashicorp/aws"]"#,
                "aws",
                None,
                r#"provider["registry.terraform.io/hashicorp/aws"]"#,
            ),
            (
                r#"module.m["provider.x"].provider["registry.terraform.io/hashicorp/azurerm"].eu"#,
                "azure",
                None,
                r#"module.m["provider.x"].provider["registry.terraform.io/hashicorp/azurerm"].eu"#,
            ),
            (
                r#"provider["registry.opentofu.org/hashicorp/aws"].by_region["eu-west-1"]"#,
                "aws",
                Some("eu-west-1"),
                r#"provider["registry.opentofu.org/hashicorp/aws"].by_region["eu-west-1"]"#,
            ),
            (
                "module.a.provider.aws.us_east_1",
                "aws",
                Some("us-east-1"),
                r#"module.a.provider["registry.opentofu.org/-/aws"].us_east_1"#,
            ),
            ("provider. null", "null", None, r#"provider["registry.opentofu.org/-/null"]"#),
            (
                "provider.terraform",
                "terraform",
                None,
                r#"provider["terraform.io/builtin/terraform"]"#,
            ),
            (
                "provider.google-beta",
                "google",
                None,
                r#"provider["registry.opentofu.org/-/google-beta"]"#,
            ),
            ("nonsense", "", None, "nonsense"),
        ] {
            let provider = Provider::parse(address);
            assert_eq!(provider.short(), short, "{address}");
            assert_eq!(provider.region.as_deref(), region, "{address}");
            assert_eq!(full(address), full_form, "{address}");
        }
    }
}
