//! Ignore rules of other tools: what is made of them is one expression of SQL, whatever they hold.

use deployforge_formats::{IgnoreFormat, Ignored, ignored_rules};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use crate::Outcome;

/// How many rules of a text are held against what they promise: a text that is read by lines has hundreds.
const RULES: usize = 20;

/// Reads a text as the rules of each tool.
pub fn check(input: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(false) };
    let mut any = false;
    for format in [
        IgnoreFormat::Driftignore,
        IgnoreFormat::Terraform,
        IgnoreFormat::ArgoCd,
        IgnoreFormat::Flux,
    ] {
        let module = if text.len().is_multiple_of(2) { "" } else { "module.a[\"b.c\"]" };
        let Ok(found) = ignored_rules(format, text, module) else { continue };
        for rule in found.rules.iter().take(RULES) {
            promises(rule).map_err(|wrong| format!("{format:?}: {wrong}: {rule:?}"))?;
        }
        any |= !found.rules.is_empty();
    }
    Ok(any)
}

fn promises(rule: &Ignored) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if rule.name.is_empty() || !rule.name.chars().all(plain) {
        return Err("a name of other characters".to_owned());
    }
    let tokens = Tokenizer::new(&GenericDialect {}, &rule.when).tokenize();
    let tokens = tokens.map_err(|error| error.to_string())?;
    let mut parser = Parser::new(&GenericDialect {}).with_tokens(tokens.clone());
    parser.parse_expr().map_err(|error| error.to_string())?;
    if parser.peek_token().token != Token::EOF {
        return Err("more than one expression".to_owned());
    }
    let meant: Vec<&Token> =
        tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    for pair in meant.windows(2) {
        if let [Token::Tilde, Token::SingleQuotedString(pattern)] = pair {
            regex_syntax::parse(pattern).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}
