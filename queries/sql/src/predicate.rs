//! A rule's expression, compiled once and evaluated on batches of findings: in the stream and, unchanged,
//! over the history.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::common::{DFSchema, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, Operator, Volatility};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::prelude::SessionContext;
use deployforge_model::{Predicate, schema};

/// Bytes of an expression at most.
const BYTES_MAX: usize = 16 << 10;

/// How deep an expression may be nested; a chain of `or` is as deep as it is long. Whoever evaluates it
/// has a stack of the usual size.
const DEPTH_MAX: usize = 100;

/// What `repeat` and its like may be asked for at most: what they make of literals is made at the start,
/// and of columns for each finding.
const COUNT_MAX: i64 = 10_000;

/// Functions that make a text as long as a number says, which is their second argument.
const BY_COUNT: [&str; 3] = ["repeat", "lpad", "rpad"];

/// Functions that make lists as long as a number says: no column is a list.
const LISTS: [&str; 6] =
    ["range", "generate_series", "array_repeat", "list_repeat", "array_resize", "list_resize"];

/// Stack of the thread that compiles: the planner of an unoptimised build needs more than the usual.
const STACK: usize = 64 << 20;

/// Why an expression cannot be a rule's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PredicateError(pub String);

/// Compiles expressions over the columns of [`schema::rule_columns`], each by itself.
pub fn compile_predicates(expressions: &[&str]) -> Vec<Result<Arc<dyn Predicate>, PredicateError>> {
    if expressions.is_empty() {
        return Vec::new();
    }
    let all = || {
        let context = SessionContext::new();
        expressions.iter().map(|one| compile(&context, one)).collect()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, all);
        let failed = || Err(PredicateError("it could not be compiled".to_owned()));
        let done = thread.ok().and_then(|thread| thread.join().ok());
        done.unwrap_or_else(|| expressions.iter().map(|_| failed()).collect())
    })
}

fn compile(context: &SessionContext, text: &str) -> Result<Arc<dyn Predicate>, PredicateError> {
    let wrong = |problem: String| Err(PredicateError(problem));
    if text.len() > BYTES_MAX {
        return wrong(format!("it is longer than {BYTES_MAX} bytes; make several rules of it"));
    }
    let columns = schema::rule_columns();
    let fields = DFSchema::try_from(columns.as_ref().clone()).map_err(|error| told(&error))?;
    let expression = context.parse_sql_expr(text, &fields).map_err(|error| told(&error))?;
    if depth(&expression) > DEPTH_MAX {
        return wrong(format!(
            "it is nested more than {DEPTH_MAX} deep; use `in (…)`, or make several rules of it"
        ));
    }
    let mut refused = None;
    // Nothing here fails: the walk only looks.
    let _ = expression.apply(|part| {
        refused = refusal(part);
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    // The planner names some expressions by itself, so that a name is asked about last.
    if refused.is_none() && matches!(expression, Expr::Alias(_)) {
        refused = Some("it is one expression, and something stands behind it".to_owned());
    }
    if let Some(problem) = refused {
        return wrong(problem);
    }
    let physical =
        context.create_physical_expr(expression, &fields).map_err(|error| told(&error))?;
    match physical.data_type(&columns).map_err(|error| told(&error))? {
        DataType::Boolean => {}
        DataType::Null => return wrong("it is always null, so it never holds".to_owned()),
        other => return wrong(format!("it is to be true or false, and it is of type {other}")),
    }
    // What fails whatever it is asked about, such as a regular expression that is none.
    physical.evaluate(&RecordBatch::new_empty(columns.clone())).map_err(|error| told(&error))?;
    let failed = AtomicBool::new(false);
    Ok(Arc::new(Compiled { text: text.to_owned(), columns, physical, failed }))
}

fn depth(expression: &Expr) -> usize {
    let mut deepest = 0;
    let _ = expression.apply_children(|child| {
        deepest = deepest.max(depth(child));
        Ok(TreeNodeRecursion::Continue)
    });
    deepest + 1
}

/// Why a part may not be there: what an expression says of a finding depends on that finding alone.
fn refusal(part: &Expr) -> Option<String> {
    match part {
        Expr::Alias(_)
        | Expr::Column(_)
        | Expr::Literal(..)
        | Expr::Like(_)
        | Expr::SimilarTo(_)
        | Expr::Not(_)
        | Expr::IsNotNull(_)
        | Expr::IsNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_)
        | Expr::Negative(_)
        | Expr::Between(_)
        | Expr::Case(_)
        | Expr::Cast(_)
        | Expr::TryCast(_)
        | Expr::InList(_) => None,
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::RegexMatch
            | Operator::RegexIMatch
            | Operator::RegexNotMatch
            | Operator::RegexNotIMatch => no_pattern(&binary.right),
            _ => None,
        },
        Expr::ScalarFunction(call) if call.func.signature().volatility == Volatility::Immutable => {
            too_long(call).or_else(|| no_pattern(pattern_of(call)?))
        }
        Expr::ScalarFunction(call) => Some(format!(
            "`{}` says something else from time to time; `expires` ends a rule",
            call.func.name()
        )),
        Expr::AggregateFunction(_) | Expr::WindowFunction(_) => {
            Some("it speaks of one finding, so it has no aggregates and no windows".to_owned())
        }
        _ => Some("it speaks of one finding, so it has no subqueries and no variables".to_owned()),
    }
}

/// Why a function would make more than is sensible.
fn too_long(call: &ScalarFunction) -> Option<String> {
    let name = call.func.name();
    if LISTS.contains(&name) {
        return Some(format!("`{name}` makes a list, and no column is one"));
    }
    if !BY_COUNT.contains(&name) {
        return None;
    }
    let is_within = |count: &Expr| match count {
        Expr::Literal(value, _) => {
            value.to_string().parse().is_ok_and(|count: i64| count <= COUNT_MAX)
        }
        _ => false,
    };
    if !call.args.get(1).is_some_and(is_within) {
        return Some(format!(
            "the length that `{name}` is asked for is to be written as a number of at most {COUNT_MAX}"
        ));
    }
    // One of the other ten thousand times is ten thousand times as long.
    let mut within = 0;
    for argument in &call.args {
        let _ = argument.apply(|part| {
            let is = |call: &ScalarFunction| BY_COUNT.contains(&call.func.name());
            within += usize::from(matches!(part, Expr::ScalarFunction(call) if is(call)));
            Ok(TreeNodeRecursion::Continue)
        });
    }
    (within > 0).then(|| format!("`{name}` may not be asked of what `repeat` or padding made"))
}

/// The regular expression of a function that takes one.
fn pattern_of(call: &ScalarFunction) -> Option<&Expr> {
    call.args.get(1).filter(|_| call.func.name().starts_with("regexp_"))
}

/// Why a text that is to be a regular expression is none. What the engine says of it is of itself.
fn no_pattern(pattern: &Expr) -> Option<String> {
    let Expr::Literal(value, _) = pattern else { return None };
    let text = value.try_as_str().flatten()?;
    let error = regex::Regex::new(text).err()?.to_string();
    let problem = error.lines().last().unwrap_or_default();
    let problem = problem.strip_prefix("error: ").unwrap_or(problem);
    let text: String = text.chars().take(60).collect();
    Some(format!("`{text}` is not a regular expression: {problem}"))
}

/// An error for people.
fn told(error: &DataFusionError) -> PredicateError {
    if let DataFusionError::SchemaError(inner, _) = error.find_root()
        && let SchemaError::FieldNotFound { field, .. } = &**inner
    {
        return PredicateError(no_column(field.name()));
    }
    let text = error.strip_backtrace();
    PredicateError(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn no_column(name: &str) -> String {
    let columns = schema::rule_columns();
    let names: Vec<&str> = columns.fields().iter().map(|field| field.name().as_str()).collect();
    let near = names
        .iter()
        .map(|known| (strsim::jaro_winkler(known, &name.to_ascii_lowercase()), known))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(near, _)| *near > 0.7);
    let hint = near.map_or(String::new(), |(_, known)| format!("; did you mean `{known}`?"));
    let name: String = name.chars().take(60).collect();
    let quotes = "text stands in single quotes";
    format!("there is no column `{name}`{hint} ({quotes}; the columns are {})", names.join(", "))
}

/// An expression that can be evaluated.
#[derive(Debug)]
struct Compiled {
    text: String,
    columns: SchemaRef,
    physical: Arc<dyn PhysicalExpr>,
    /// It was told that it fails of some findings.
    failed: AtomicBool,
}

impl Compiled {
    fn evaluate(&self, findings: &RecordBatch) -> Result<BooleanArray, DataFusionError> {
        let rows = findings.num_rows();
        let value = self.physical.evaluate(findings)?.into_array(rows)?;
        if *value.data_type() != DataType::Boolean {
            return Ok(BooleanArray::from(vec![false; rows]));
        }
        let holds = value.as_boolean();
        Ok((0..rows).map(|row| Some(!holds.is_null(row) && holds.value(row))).collect())
    }
}

impl Predicate for Compiled {
    fn holds(&self, findings: &RecordBatch) -> BooleanArray {
        debug_assert_eq!(findings.schema_ref(), &self.columns);
        match self.evaluate(findings) {
            Ok(holds) => holds,
            // Of a row that cannot be evaluated it says nothing, and that of the others is not its
            // business.
            Err(_) if findings.num_rows() > 1 => (0..findings.num_rows())
                .map(|row| Some(self.holds(&findings.slice(row, 1)).value(0)))
                .collect(),
            Err(error) => {
                if !self.failed.swap(true, Ordering::Relaxed) {
                    let error = error.strip_backtrace();
                    tracing::warn!(
                        event = "rule_failed",
                        "a rule does not hold of what its expression fails of: {}: {}",
                        self.text,
                        error.lines().next().unwrap_or_default()
                    );
                }
                BooleanArray::from(vec![false])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    /// Two findings: a tag that changed, with no address, and a removed rule, critical, with one.
    fn findings() -> RecordBatch {
        let columns = schema::rule_columns();
        let arrays = columns.fields().iter().map(|field| -> ArrayRef {
            let two: [Option<&str>; 2] = match field.name().as_str() {
                "leaves" => return Arc::new(Int64Array::from(vec![1, 7])),
                "type" => [Some("AWS::S3::Bucket"), Some("AWS::EC2::SecurityGroup")],
                "address" => [None, Some("module.a.b")],
                "path" => [Some("/tags/Owner"), Some("/rules/0")],
                "kind" => [Some("changed"), Some("removed")],
                "expected" => [Some("\"a\""), Some("{\"port\":22}")],
                "observed" => [Some("12"), None],
                "severity" => [Some("degraded"), Some("critical")],
                _ => [Some("x"), Some("y")],
            };
            Arc::new(StringArray::from(two.to_vec()))
        });
        let arrays = arrays.collect();
        RecordBatch::try_new(columns.clone(), arrays).unwrap()
    }

    fn holds(text: &str) -> [bool; 2] {
        let one = compile_predicates(&[text]).remove(0).unwrap_or_else(|e| panic!("{text}: {e}"));
        let holds = one.holds(&findings());
        assert_eq!(holds.null_count(), 0);
        [holds.value(0), holds.value(1)]
    }

    fn refused(text: &str) -> String {
        compile_predicates(&[text]).remove(0).expect_err(text).0
    }

    #[test]
    fn an_expression_speaks_of_the_columns() {
        for (text, want) in [
            ("true", [true, true]),
            ("path like '/tags/%'", [true, false]),
            ("type = 'AWS::S3::Bucket' and severity <> 'critical'", [true, false]),
            ("leaves > 5", [false, true]),
            ("kind in ('removed', 'added')", [false, true]),
            ("starts_with(path, '/rules')", [false, true]),
            ("path ~ '^/rules/[0-9]+$'", [false, true]),
            ("observed = '12'", [true, false]),
            ("regexp_like(path, '^/tags')", [true, false]),
            ("lpad(observed, 4, '0') = '0012'", [true, false]),
            ("account = 'x' or account = 'y'", [true, true]),
        ] {
            assert_eq!(holds(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_null_does_not_hold() {
        for (text, want) in [
            ("address = 'module.a.b'", [false, true]),
            ("not (address = 'module.a.b')", [false, false]),
            ("address <> 'z'", [false, true]),
            ("address is null", [true, false]),
            ("observed <> '13'", [true, false]),
            ("address = 'z' or path = '/tags/Owner'", [true, false]),
        ] {
            assert_eq!(holds(text), want, "{text}");
        }
    }

    #[test]
    fn what_fails_of_one_finding_holds_of_the_others() {
        assert_eq!(holds("cast(expected as int) > 5 or path = '/rules/0'"), [false, false]);
        assert_eq!(holds("cast(observed as int) = 12"), [true, false]);
        assert_eq!(holds("cast(split_part(path, '/', 3) as int) = 0"), [false, true]);
        assert_eq!(holds("leaves / (leaves - 1) > 0"), [false, true], "a division by zero");
        assert_eq!(holds("try_cast(expected as int) is null"), [true, true]);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for (text, words) in [
            ("pth = 'x'", "no column `pth`; did you mean `path`?"),
            ("Source = 'x'", "no column `source`"),
            ("path = \"x\"", "single quotes"),
            ("leaves", "true or false"),
            ("null", "never holds"),
            ("count(*) > 1", "aggregates"),
            ("row_number() over () = 1", "windows"),
            ("exists (select 1)", "subqueries"),
            ("path in (select 'x')", "subqueries"),
            ("now() > '2020-01-01'", "`expires`"),
            ("random() > 0.5", "`expires`"),
            ("path = 'x' and", ""),
            ("true false", ""),
            ("true as x", "behind it"),
            ("true; select 1", ""),
            ("path = $1", ""),
            ("path ~ '('", "`(` is not a regular expression: unclosed group"),
            ("path !~* '[a'", "is not a regular expression"),
            ("regexp_like(path, 'a{2,1}')", "is not a regular expression"),
            ("lpad('x', 2000000000, 'y') = observed", "at most 10000"),
            ("repeat('x', 2000000000) = observed", "at most 10000"),
            ("repeat('x', 20000 * 100000) = observed", "at most 10000"),
            ("rpad(path, leaves) = observed", "at most 10000"),
            ("repeat(repeat('x', 9999), 9999) = observed", "padding"),
            ("array_length(range(1, 2000000000)) > 0", "makes a list"),
            ("", ""),
        ] {
            let said = refused(text);
            assert!(said.contains(words) && !said.contains('\n'), "{text}: {said}");
        }
        let long = vec!["path = 'x'"; 150].join(" or ");
        assert!(refused(&long).contains("deep"));
        assert!(refused(&format!("path = '{}'", "x".repeat(BYTES_MAX))).contains("longer"));
        assert_eq!(holds(&format!("path in ('{}')", vec!["x"; 1000].join("','"))), [false; 2]);
    }
}
