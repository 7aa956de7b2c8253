//! Expressions of templates: `[concat('a', parameters('b').c[0])]`, read into a tree.

/// How deep an expression nests.
const LEVELS: usize = 64;

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    /// `'text'`.
    Text(String),
    /// `12`.
    Number(i64),
    /// `name(arguments)`: the name in lower case, since functions ignore case.
    Call(String, Vec<Expression>),
    /// `value.name`.
    Member(Box<Expression>, String),
    /// `value[index]`.
    Index(Box<Expression>, Box<Expression>),
}

/// What a text of a template is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind<'t> {
    /// The text itself.
    Literal(&'t str),
    /// An expression.
    Expression(Expression),
    /// It looks like an expression, and can't be read.
    Broken,
}

/// What a text of a template is: `[…]` is an expression, and `[[…` a text that begins with a bracket.
pub(super) fn kind(text: &str) -> Kind<'_> {
    if let Some(escaped) = text.strip_prefix('[').filter(|rest| rest.starts_with('[')) {
        return Kind::Literal(escaped);
    }
    let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return Kind::Literal(text);
    };
    let mut parser = Parser { text: inner, at: 0, level: 0 };
    match parser.expression() {
        Some(expression) if parser.next().is_none() => Kind::Expression(expression),
        _ => Kind::Broken,
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    level: usize,
}

impl Parser<'_> {
    /// The next visible character.
    fn next(&mut self) -> Option<char> {
        let rest = self.text.get(self.at..)?;
        let visible = rest.trim_start();
        self.at += rest.len() - visible.len();
        visible.chars().next()
    }

    /// Takes a character if it comes next.
    fn takes(&mut self, wanted: char) -> bool {
        let found = self.next() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn expression(&mut self) -> Option<Expression> {
        if self.level >= LEVELS {
            return None;
        }
        self.level += 1;
        let mut expression = self.primary()?;
        // A long chain nests as deep as brackets do.
        for _ in 0..LEVELS {
            if self.takes('.') {
                expression = Expression::Member(Box::new(expression), self.name()?);
            } else if self.takes('[') {
                let index = self.expression()?;
                if !self.takes(']') {
                    return None;
                }
                expression = Expression::Index(Box::new(expression), Box::new(index));
            } else {
                self.level -= 1;
                return Some(expression);
            }
        }
        None
    }

    fn primary(&mut self) -> Option<Expression> {
        match self.next()? {
            '\'' => self.quoted().map(Expression::Text),
            first if first == '-' || first.is_ascii_digit() => {
                let rest = &self.text[self.at..];
                let digits = |c: char| c == '-' || c.is_ascii_digit();
                let length = rest.find(|c| !digits(c)).unwrap_or(rest.len());
                self.at += length;
                rest[..length].parse().ok().map(Expression::Number)
            }
            _ => {
                let mut name = self.name()?;
                // Functions of the template's own have a namespace.
                while self.takes('.') {
                    name = format!("{name}.{}", self.name()?);
                }
                if !self.takes('(') {
                    return None;
                }
                let arguments = self.arguments()?;
                Some(Expression::Call(name.to_lowercase(), arguments))
            }
        }
    }

    fn arguments(&mut self) -> Option<Vec<Expression>> {
        let mut arguments = Vec::new();
        if self.takes(')') {
            return Some(arguments);
        }
        loop {
            arguments.push(self.expression()?);
            if self.takes(')') {
                return Some(arguments);
            }
            if !self.takes(',') {
                return None;
            }
        }
    }

    /// A text in quotes; two of them stand for one.
    fn quoted(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut rest = self.text.get(self.at + 1..)?;
        loop {
            let (before, after) = rest.split_once('\'')?;
            text.push_str(before);
            let Some(more) = after.strip_prefix('\'') else {
                self.at = self.text.len() - after.len();
                return Some(text);
            };
            text.push('\'');
            rest = more;
        }
    }

    fn name(&mut self) -> Option<String> {
        self.next()?;
        let rest = &self.text[self.at..];
        let part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let length = rest.find(|c| !part(c)).unwrap_or(rest.len());
        self.at += length;
        (length > 0).then(|| rest[..length].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Expression {
        Expression::Text(text.to_owned())
    }

    #[test]
    fn reads_expressions() {
        let Kind::Expression(found) =
            kind("[ Concat('it''s', parameters( 'b' ).c[0], -7, ns.own(), '') ]")
        else {
            panic!()
        };
        let member = Expression::Member(
            Box::new(Expression::Call("parameters".to_owned(), vec![text("b")])),
            "c".to_owned(),
        );
        let index = Expression::Index(Box::new(member), Box::new(Expression::Number(0)));
        let own = Expression::Call("ns.own".to_owned(), Vec::new());
        let arguments = vec![text("it's"), index, Expression::Number(-7), own, text("")];
        assert_eq!(found, Expression::Call("concat".to_owned(), arguments));
    }

    #[test]
    fn the_rest_is_text_or_broken() {
        for literal in ["", "a", "[", "[a", "a]", "concat('a')"] {
            assert_eq!(kind(literal), Kind::Literal(literal));
        }
        assert_eq!(kind("[[x]"), Kind::Literal("[x]"));
        for broken in [
            "[]",
            "[a]",
            "[a(]",
            "[a()b]",
            "['a]",
            "[a('x',)]",
            "[a().]",
            "[a()[]",
            "[1 2]",
            "[--]",
            "[99999999999999999999]",
            "[é]",
            "[a(,)]",
        ] {
            assert_eq!(kind(broken), Kind::Broken, "{broken}");
        }
        for deep in ["a(", "a()[", "a().b"] {
            let text = format!("[{}]", deep.repeat(100_000));
            assert_eq!(kind(&text), Kind::Broken);
        }
        let chain = format!("[a(){}]", ".b".repeat(100_000));
        assert_eq!(kind(&chain), Kind::Broken);
    }
}
