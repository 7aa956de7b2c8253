//! The flags that name the stack of a template.

use clap::Args;
use deployforge_formats::Stack;

/// The stack whose template is read.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct StackArgs {
    /// The stack of templates that are read on their own; for ARM templates, the resource group.
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// A value that the stack gives a parameter of its template; may be repeated.
    #[arg(long = "parameter", value_name = "NAME=VALUE", requires = "stack", value_parser = pair)]
    parameters: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

impl StackArgs {
    /// The stack, if it was named.
    pub(crate) fn stack(&self) -> Option<Stack> {
        let name = self.stack.clone()?;
        Some(Stack { name, parameters: self.parameters.iter().cloned().collect() })
    }
}
