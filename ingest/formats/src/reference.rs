//! Files that a record names without holding them: reading them is for whoever has a source.

use std::collections::BTreeMap;

use crate::options::{Format, KeyDefaults, ReadOptions};

/// What is known of a deployment beside its template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// The stack's name, as the cloud knows it; for ARM templates, the resource group's.
    pub name: String,
    /// Values given for its parameters, which count before the template's defaults.
    pub parameters: BTreeMap<String, String>,
}

/// A file that a record names: the templates of a cloud assembly's manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where it is, from the folder of the input that names it, with `/` between folders. Never
    /// absolute, and never upwards.
    pub file: String,
    /// What it is.
    pub format: Format,
    /// Key parts that the record gives for it.
    pub defaults: KeyDefaults,
    /// The stack that the file is the template of.
    pub stack: Option<Stack>,
}

impl Reference {
    /// How to read the file, where `base` is how the input was read that names it: what the record
    /// says counts before what was configured.
    ///
    /// ```
    /// use deployforge_formats::{ReadOptions, Reader};
    ///
    /// let manifest = br#"{"version":"54.0.0","artifacts":{"Web":{"type":"aws:cloudformation:stack",
    ///   "environment":"aws://111111111111/eu-west-1","properties":{"templateFile":"Web.template.json"}}}}"#;
    /// let base = ReadOptions::default();
    /// let mut reader = Reader::new(base.clone());
    /// reader.push(manifest, &mut Vec::new());
    /// let summary = reader.finish(&mut Vec::new());
    /// let options = summary.references[0].options(&base);
    /// assert_eq!(summary.references[0].file, "Web.template.json");
    /// assert_eq!(options.defaults.account.as_deref(), Some("111111111111"));
    /// assert_eq!(options.stack.unwrap().name, "Web");
    /// ```
    pub fn options(&self, base: &ReadOptions) -> ReadOptions {
        let part = |own: &Option<String>, other: &Option<String>| own.clone().or(other.clone());
        let name = self.file.rsplit('/').next().unwrap_or_default();
        ReadOptions {
            format: Some(self.format),
            defaults: KeyDefaults {
                provider: part(&self.defaults.provider, &base.defaults.provider),
                account: part(&self.defaults.account, &base.defaults.account),
                region: part(&self.defaults.region, &base.defaults.region),
            },
            name: Some(name.to_owned()),
            stack: self.stack.clone(),
            ..base.clone()
        }
    }
}
