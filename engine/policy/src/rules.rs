//! Rules: which differences are nothing to do anything about, who says so, why, and until when.
//!
//! A rule is a statement about findings (SQL, compiled elsewhere to a [`Predicate`]) and what it does at
//! each stage. What time it is, the caller says.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use deployforge_model::{Predicate, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What stands before a rule's name where the history says what suppressed a difference.
pub const RULE_FOLD: &str = "rule:";

/// Characters of a rule's name at most.
const NAME_CHARS: usize = 100;

/// Where a rule has its effect. What is ignored at one stage never comes to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The difference is kept and does not count: not for the verdict, the score or the severity.
    Detect,
    /// It counts, and nobody is alerted.
    Alert,
    /// It counts, alerts, and nothing is healed.
    Heal,
}

impl Stage {
    /// The name, as it stands in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Detect => "detect",
            Self::Alert => "alert",
            Self::Heal => "heal",
        }
    }
}

/// What a rule does at a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// What it holds of goes no further.
    Ignore,
}

/// When a rule ends to apply: at a moment, or with a day (UTC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    text: String,
    end: Timestamp,
}

impl Expiry {
    /// Reads `2026-12-31` (the whole day counts) or an RFC 3339 time.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let day = text.len() == 10 && !text.contains('T');
        let moment = if day { format!("{text}T00:00:00Z") } else { text.to_owned() };
        let start = Timestamp::parse(&moment).map_err(|_| RuleError::Expiry)?;
        let end = if day { Timestamp(start.0 + DAY) } else { start };
        Ok(Self { text: text.to_owned(), end })
    }

    /// From when on the rule does not apply.
    pub fn end(&self) -> Timestamp {
        self.end
    }
}

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Serialize for Expiry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Expiry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A rule as a user writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, which the history bears.
    pub name: String,
    /// SQL that is true of what it is about.
    pub when: String,
    /// What it does, by stage.
    #[expect(
        clippy::zero_sized_map_values,
        reason = "a file says it, and there may be more effects"
    )]
    pub effect: BTreeMap<Stage, Effect>,
    /// Who answers for it.
    pub owner: String,
    /// Why it is there.
    pub reason: String,
    /// Until when it applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Expiry>,
    /// It never ends, on purpose.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub permanent: bool,
}

/// What is wrong with a rule by itself.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs)] // the messages say it
pub enum RuleError {
    #[error(
        "a rule's name has up to {NAME_CHARS} characters of A-Z a-z 0-9 . _ - and `{name}` is none"
    )]
    Name { name: String },
    #[error("two rules are named `{name}`")]
    Twice { name: String },
    #[error("the rule `{name}` needs {what}")]
    Needs { name: String, what: &'static str },
    #[error("the rule `{name}` has both `expires` and `permanent: true`; remove one")]
    Both { name: String },
    #[error(
        "`expires` is a day such as 2026-12-31 or an RFC 3339 time such as 2026-12-31T18:00:00Z"
    )]
    Expiry,
}

impl Rule {
    /// What is wrong with it by itself, its expression aside.
    pub fn check(&self) -> Result<(), RuleError> {
        let name = self.name.clone();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > NAME_CHARS || !name.chars().all(plain) {
            return Err(RuleError::Name { name: name.chars().take(NAME_CHARS).collect() });
        }
        let needs = [
            (self.when.trim().is_empty(), "`when`, a SQL expression"),
            (self.effect.is_empty(), "an `effect` at one stage or more, such as {detect: ignore}"),
            (self.owner.trim().is_empty(), "an `owner`, who answers for it"),
            (self.reason.trim().is_empty(), "a `reason`"),
            (
                self.expires.is_none() && !self.permanent,
                "`expires`, or `permanent: true` if it is never to end",
            ),
        ];
        if let Some((_, what)) = needs.into_iter().find(|(lacks, _)| *lacks) {
            return Err(RuleError::Needs { name, what });
        }
        if self.expires.is_some() && self.permanent {
            return Err(RuleError::Both { name });
        }
        Ok(())
    }

    /// What is wrong with rules, each by itself and together.
    pub fn check_all(rules: &[Self]) -> Result<(), RuleError> {
        for (i, rule) in rules.iter().enumerate() {
            rule.check()?;
            if rules[..i].iter().any(|other| other.name == rule.name) {
                return Err(RuleError::Twice { name: rule.name.clone() });
            }
        }
        Ok(())
    }

    /// Whether it still applies at a time.
    pub fn applies(&self, now: Timestamp) -> bool {
        self.expires.as_ref().is_none_or(|expiry| now < expiry.end)
    }

    /// Whether it ignores what it holds of at a stage: what an earlier one ignores never comes there.
    pub fn ignores(&self, stage: Stage) -> bool {
        self.effect.keys().any(|of| *of <= stage)
    }

    /// Why, who says so, and until when.
    pub fn because(&self) -> String {
        let Self { reason, owner, .. } = self;
        match &self.expires {
            Some(expires) => format!("{reason} ({owner}, until {expires})"),
            None => format!("{reason} ({owner})"),
        }
    }

    /// What the history bears of a difference that it suppressed.
    pub fn fold(&self) -> String {
        format!("{RULE_FOLD}{}", self.name)
    }
}

/// The rules that make differences not count, each with its compiled expression; the first that holds of
/// a finding is the one that is counted.
#[derive(Clone, Debug, Default)]
pub struct Ignoring {
    rules: Vec<Ignored>,
}

#[derive(Clone, Debug)]
struct Ignored {
    fold: Arc<str>,
    when: Arc<str>,
    because: Arc<str>,
    end: Option<Timestamp>,
    predicate: Arc<dyn Predicate>,
}

impl Ignoring {
    /// Of rules with their compiled expressions those that ignore at detection and apply now.
    pub fn new<'r>(
        rules: impl IntoIterator<Item = (&'r Rule, Arc<dyn Predicate>)>,
        now: Timestamp,
    ) -> Self {
        let detects = |(rule, _): &(&Rule, _)| rule.ignores(Stage::Detect) && rule.applies(now);
        let rules = rules.into_iter().filter(detects);
        let rules = rules.map(|(rule, predicate)| Ignored {
            fold: rule.fold().into(),
            when: rule.when.as_str().into(),
            because: rule.because().into(),
            end: rule.expires.as_ref().map(Expiry::end),
            predicate,
        });
        Self { rules: rules.collect() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// For each finding, in the columns of [`rule_columns`](deployforge_model::schema::rule_columns), what
    /// the history will say suppressed it.
    pub fn of(&self, findings: &RecordBatch) -> Vec<Option<&str>> {
        let mut by = vec![None; findings.num_rows()];
        for rule in &self.rules {
            if by.iter().all(Option::is_some) {
                break;
            }
            let holds = rule.predicate.holds(findings);
            for (by, holds) in by.iter_mut().zip(&holds) {
                if by.is_none() && holds == Some(true) {
                    *by = Some(&*rule.fold);
                }
            }
        }
        by
    }

    /// What the rule that the history bears so says of it.
    pub fn because(&self, fold: &str) -> Option<&str> {
        self.rules.iter().find(|rule| *rule.fold == *fold).map(|rule| &*rule.because)
    }

    /// Whether one of them has come to its end.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.rules.iter().any(|rule| rule.end.is_some_and(|end| end <= now))
    }

    /// Lets go of those that have come to their end; their names.
    pub fn expire(&mut self, now: Timestamp) -> Vec<String> {
        let mut gone = Vec::new();
        self.rules.retain(|rule| {
            let stays = rule.end.is_none_or(|end| now < end);
            if !stays {
                gone.push(rule.fold[RULE_FOLD.len()..].to_owned());
            }
            stays
        });
        gone
    }

    /// All that decides what they suppress, as text: equal if they suppress the same.
    pub fn stamp(&self) -> String {
        self.rules.iter().map(|rule| format!("{:?} {:?}\n", rule.fold, rule.when)).collect()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, BooleanArray};
    use deployforge_model::schema;

    use super::*;

    /// Holds of findings at one path.
    #[derive(Debug)]
    struct At(&'static str);

    impl Predicate for At {
        fn holds(&self, findings: &RecordBatch) -> BooleanArray {
            let path = findings.column_by_name("path").expect("a column").as_string::<i32>();
            path.iter().map(|path| Some(path == Some(self.0))).collect()
        }
    }

    fn rule(name: &str, expires: &str) -> Rule {
        Rule {
            name: name.to_owned(),
            when: "true".to_owned(),
            effect: [(Stage::Detect, Effect::Ignore)].into(),
            owner: "team".to_owned(),
            reason: "why".to_owned(),
            expires: Some(Expiry::parse(expires).unwrap()),
            permanent: false,
        }
    }

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn findings(paths: &[&str]) -> RecordBatch {
        use arrow::array::{ArrayRef, Int64Array, StringArray};
        let of = |text: &str| Arc::new(StringArray::from(vec![text; paths.len()])) as ArrayRef;
        let schema = schema::rule_columns();
        let columns = schema.fields().iter().map(|field| match field.name().as_str() {
            "path" => Arc::new(StringArray::from(paths.to_vec())) as ArrayRef,
            "leaves" => Arc::new(Int64Array::from(vec![1; paths.len()])),
            _ => of("x"),
        });
        let columns = columns.collect();
        RecordBatch::try_new(schema, columns).unwrap()
    }

    #[test]
    fn a_day_counts_to_its_end_and_a_moment_to_itself() {
        let by_day = rule("a", "2026-12-31");
        assert!(by_day.applies(time("2026-12-31T23:59:59Z")));
        assert!(!by_day.applies(time("2027-01-01T00:00:00Z")));
        let by_moment = rule("a", "2026-12-31T12:00:00+01:00");
        assert!(by_moment.applies(time("2026-12-31T10:59:59Z")));
        assert!(!by_moment.applies(time("2026-12-31T11:00:00Z")));
        assert_eq!(Expiry::parse("soon"), Err(RuleError::Expiry));
        assert_eq!(Expiry::parse("2026-02-30"), Err(RuleError::Expiry));
    }

    #[test]
    fn what_a_rule_lacks_is_said() {
        let all = |change: &dyn Fn(&mut Rule)| {
            let mut one = rule("a", "2026-12-31");
            change(&mut one);
            one.check().unwrap_err().to_string()
        };
        assert!(all(&|rule| rule.name = "a b".into()).contains("`a b`"));
        assert!(all(&|rule| rule.when = " ".into()).contains("`when`"));
        assert!(all(&|rule| rule.effect.clear()).contains("`effect`"));
        assert!(all(&|rule| rule.owner.clear()).contains("`owner`"));
        assert!(all(&|rule| rule.reason.clear()).contains("`reason`"));
        assert!(all(&|rule| rule.expires = None).contains("`permanent: true`"));
        assert!(all(&|rule| rule.permanent = true).contains("both"));
        let twice = [rule("a", "2026-12-31"), rule("a", "2026-12-31")];
        assert_eq!(Rule::check_all(&twice), Err(RuleError::Twice { name: "a".into() }));
    }

    #[test]
    fn what_one_stage_ignores_never_comes_to_the_next() {
        let mut one = rule("a", "2026-12-31");
        assert!([Stage::Detect, Stage::Alert, Stage::Heal].iter().all(|at| one.ignores(*at)));
        one.effect = [(Stage::Heal, Effect::Ignore)].into();
        assert!(!one.ignores(Stage::Detect) && !one.ignores(Stage::Alert));
        assert!(one.ignores(Stage::Heal));
    }

    #[test]
    fn the_first_rule_that_holds_is_the_one() {
        let rules =
            [rule("one", "2026-12-31"), rule("two", "2026-06-30"), rule("old", "2020-01-01")];
        let at: [Arc<dyn Predicate>; 3] =
            [Arc::new(At("/a")), Arc::new(At("/a")), Arc::new(At("/b"))];
        let now = time("2026-06-01T00:00:00Z");
        let mut ignoring = Ignoring::new(rules.iter().zip(at), now);
        let findings = findings(&["/a", "/b"]);
        assert_eq!(ignoring.of(&findings), [Some("rule:one"), None]);
        let (stamp, later) = (ignoring.stamp(), time("2026-07-01T00:00:00Z"));
        assert!(!ignoring.has_expired(now) && ignoring.has_expired(later));
        assert_eq!(ignoring.expire(later), ["two"]);
        assert_ne!(ignoring.stamp(), stamp);
        assert_eq!(ignoring.of(&findings), [Some("rule:one"), None]);
    }
}
