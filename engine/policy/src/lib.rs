//! Findings in, decisions out.
//!
//! A [`Policy`] says how much an attribute weighs in the drift score ([`Policy::weight`]), how severe
//! a finding is ([`Policy::severity`]), and to which environment a resource belongs
//! ([`Policy::environment`]). These are tried in order; the first that fits decides. A [`Rule`] says which
//! findings are to be ignored, by whom, why and until when; [`Ignoring`] applies those that ignore at
//! detection.
//!
//! What is deliberately absent: any I/O, any clock, any SQL (a rule's expression comes as a
//! [`Predicate`](deployforge_model::Predicate)), any reading of configuration files (the rules are plain
//! serde types that the binary fills).
//!
//! ```
//! use deployforge_model::{FindingKind, Severity};
//! use deployforge_policy::Policy;
//! let policy = Policy::default();
//! assert_eq!(policy.severity("AWS::S3::Bucket", "/tags/Owner", FindingKind::Changed), Severity::Degraded);
//! assert!((policy.weight("AWS::S3::Bucket", "/tags/Owner") - 1.0).abs() < 1e-9);
//! ```

mod rules;

use deployforge_model::path::{PathPattern, segments, wildcard};
use deployforge_model::{FindingKind, Severity, Timestamp, Verdict};
use serde::{Deserialize, Serialize};

pub use rules::{Effect, Expiry, Ignoring, RULE_FOLD, Rule, RuleError, Stage};

/// How much attributes weigh in the drift score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightRule {
    /// Resource type; `*` stands for any run of characters.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// JSON Pointer pattern: `*` one segment, `**` any number.
    pub path: String,
    /// The weight, 0 or more; the default is 1.
    pub weight: f64,
}

/// How severe findings are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeverityRule {
    /// Resource type; `*` stands for any run of characters.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// JSON Pointer pattern: `*` one segment, `**` any number.
    pub path: String,
    /// Only findings of this kind; none: all kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<FindingKind>,
    /// What they are.
    pub severity: Severity,
}

/// Where the order of an array counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderRule {
    /// Resource type; `*` stands for any run of characters.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// JSON Pointer pattern of the array: `*` one segment, `**` any number.
    pub path: String,
}

/// Arrays whose order means something in every type that has them: what is run, and with what.
const ORDER_COUNTS: [&str; 6] = [
    "/**/command",
    "/**/args",
    "/**/entryPoint",
    "/**/entry_point",
    "/**/entrypoint",
    "/**/initContainers",
];

/// A group of accounts and regions that shares policies and access.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// Providers it takes; empty: any.
    #[serde(default)]
    pub providers: Vec<String>,
    /// Accounts it takes (`*` allowed); empty: any.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// Regions it takes (`*` allowed); empty: any.
    #[serde(default)]
    pub regions: Vec<String>,
}

/// The rules as a user writes them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyRules {
    /// Weights, first fit first.
    pub weights: Vec<WeightRule>,
    /// Severities, first fit first.
    pub severities: Vec<SeverityRule>,
    /// Arrays of which another order is a change.
    pub order: Vec<OrderRule>,
}

/// A rule that cannot work.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum PolicyError {
    /// A weight below zero or not a number.
    #[error("the weight {weight} of `{path}` must be 0 or more")]
    Weight {
        /// The rule's path.
        path: String,
        /// The weight it gives.
        weight: f64,
    },
    /// A path that is not a pointer.
    #[error("the policy's path `{0}` is not a JSON Pointer: start it with `/`")]
    Path(String),
    /// A severity of what is no difference.
    #[error(
        "the severity of `{0}` is no policy's: a missing resource is critical, an unmanaged one informational"
    )]
    Whole(FindingKind),
    /// Two environments of one name.
    #[error("the environment `{0}` is defined twice")]
    Environment(String),
}

/// Weights, severities and environments, compiled.
#[derive(Clone, Debug)]
pub struct Policy {
    weights: Vec<(String, PathPattern, f64)>,
    severities: Vec<(String, PathPattern, Option<FindingKind>, Severity)>,
    order: Vec<(String, PathPattern)>,
    environments: Vec<Environment>,
    ignoring: Ignoring,
}

/// The environment of what no environment takes.
pub const DEFAULT_ENVIRONMENT: &str = "default";

impl Default for Policy {
    fn default() -> Self {
        Self::new(&PolicyRules::default(), Vec::new()).expect("no rule is wrong")
    }
}

impl Policy {
    /// Compiles rules.
    pub fn new(rules: &PolicyRules, environments: Vec<Environment>) -> Result<Self, PolicyError> {
        for rule in &rules.weights {
            if !rule.weight.is_finite() || rule.weight < 0.0 {
                return Err(PolicyError::Weight { path: rule.path.clone(), weight: rule.weight });
            }
        }
        let paths = rules.weights.iter().map(|rule| &rule.path);
        let paths = paths.chain(rules.severities.iter().map(|rule| &rule.path));
        for path in paths.chain(rules.order.iter().map(|rule| &rule.path)) {
            if !path.is_empty() && !path.starts_with('/') {
                return Err(PolicyError::Path(path.clone()));
            }
        }
        if let Some(kind) =
            rules.severities.iter().filter_map(|rule| rule.kind).find(|kind| kind.is_whole())
        {
            return Err(PolicyError::Whole(kind));
        }
        for (i, environment) in environments.iter().enumerate() {
            if environments[..i].iter().any(|other| other.name == environment.name) {
                return Err(PolicyError::Environment(environment.name.clone()));
            }
        }
        let pattern = |path: &str| PathPattern::new(path);
        Ok(Self {
            weights: rules
                .weights
                .iter()
                .map(|rule| (rule.resource_type.clone(), pattern(&rule.path), rule.weight))
                .collect(),
            severities: rules
                .severities
                .iter()
                .map(|r| (r.resource_type.clone(), pattern(&r.path), r.kind, r.severity))
                .collect(),
            order: {
                let own = rules.order.iter().map(|rule| (&*rule.resource_type, &*rule.path));
                let all = own.chain(ORDER_COUNTS.map(|path| ("*", path)));
                all.map(|(kind, path)| (kind.to_owned(), pattern(path))).collect()
            },
            environments,
            ignoring: Ignoring::default(),
        })
    }

    /// The same, with rules by which differences do not count.
    pub fn with_ignoring(self, ignoring: Ignoring) -> Self {
        Self { ignoring, ..self }
    }

    /// Lets go of the rules that have come to their end; their names.
    pub fn expire(&mut self, now: Timestamp) -> Vec<String> {
        self.ignoring.expire(now)
    }

    /// The rules by which differences do not count.
    pub fn ignoring(&self) -> &Ignoring {
        &self.ignoring
    }

    /// Whether any weight rule speaks of this type: if not, every attribute weighs 1.
    pub fn weighs(&self, resource_type: &str) -> bool {
        self.weights.iter().any(|(pattern, ..)| wildcard(pattern, resource_type))
    }

    /// The weight of one attribute.
    pub fn weight(&self, resource_type: &str, path: &str) -> f64 {
        if self.weights.is_empty() {
            return 1.0;
        }
        let path: Vec<String> = segments(path).collect();
        let rule = self
            .weights
            .iter()
            .find(|(types, pattern, _)| wildcard(types, resource_type) && pattern.fits(&path));
        rule.map_or(1.0, |(.., weight)| *weight)
    }

    /// Whether another order of the array at a path is a change.
    pub fn order_counts(&self, resource_type: &str, path: &str) -> bool {
        let path: Vec<String> = segments(path).collect();
        self.order
            .iter()
            .any(|(types, pattern)| wildcard(types, resource_type) && pattern.fits(&path))
    }

    /// The severity of one finding. Without a rule: `degraded`, and `informational` for `reordered`.
    pub fn severity(&self, resource_type: &str, path: &str, kind: FindingKind) -> Severity {
        if !self.severities.is_empty() {
            let path: Vec<String> = segments(path).collect();
            let rule = self.severities.iter().find(|(types, pattern, of, _)| {
                of.is_none_or(|of| of == kind)
                    && wildcard(types, resource_type)
                    && pattern.fits(&path)
            });
            if let Some((.., severity)) = rule {
                return *severity;
            }
        }
        if kind.counts() { Severity::Degraded } else { Severity::Informational }
    }

    /// The severity of a verdict that has no findings: `missing` is critical, `unmanaged`
    /// informational.
    pub fn verdict_severity(verdict: Verdict) -> Option<Severity> {
        match verdict {
            Verdict::Missing => Some(Severity::Critical),
            Verdict::Unmanaged => Some(Severity::Informational),
            Verdict::InSync | Verdict::Drifted | Verdict::Unknown => None,
        }
    }

    /// The environment a resource belongs to: the first that takes it, else
    /// [`DEFAULT_ENVIRONMENT`].
    pub fn environment(&self, provider: &str, account: &str, region: &str) -> &str {
        let takes = |patterns: &[String], text: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| wildcard(pattern, text))
        };
        self.environments
            .iter()
            .find(|environment| {
                takes(&environment.providers, provider)
                    && takes(&environment.accounts, account)
                    && takes(&environment.regions, region)
            })
            .map_or(DEFAULT_ENVIRONMENT, |environment| &environment.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_counts_where_a_rule_or_the_name_says_so() {
        let order = vec![OrderRule { resource_type: "fw".into(), path: "/hosts".into() }];
        let rules = PolicyRules { order, ..PolicyRules::default() };
        let policy = Policy::new(&rules, Vec::new()).unwrap();
        assert!(policy.order_counts("fw", "/hosts") && !policy.order_counts("vm", "/hosts"));
        assert!(policy.order_counts("Pod", "/spec/containers/app/command"));
        assert!(!Policy::default().order_counts("fw", "/hosts"));
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = PolicyRules {
            weights: vec![
                WeightRule {
                    resource_type: "AWS::S3::*".into(),
                    path: "/tags/**".into(),
                    weight: 0.0,
                },
                WeightRule { resource_type: "*".into(), path: "/tags/**".into(), weight: 0.5 },
            ],
            severities: vec![SeverityRule {
                resource_type: "*".into(),
                path: "/policy".into(),
                kind: None,
                severity: Severity::Critical,
            }],
            order: Vec::new(),
        };
        let environments = vec![Environment {
            name: "prod".into(),
            providers: vec![],
            accounts: vec!["1*".into()],
            regions: vec![],
        }];
        let policy = Policy::new(&rules, environments).unwrap();
        assert!((policy.weight("AWS::S3::Bucket", "/tags/a") - 0.0).abs() < 1e-9);
        assert!((policy.weight("AWS::EC2::VPC", "/tags/a") - 0.5).abs() < 1e-9);
        assert!((policy.weight("AWS::EC2::VPC", "/cidr") - 1.0).abs() < 1e-9);
        assert_eq!(policy.severity("x", "/policy", FindingKind::Removed), Severity::Critical);
        assert_eq!(policy.environment("aws", "111", ""), "prod");
        assert_eq!(policy.environment("aws", "211", ""), DEFAULT_ENVIRONMENT);
    }

    #[test]
    fn impossible_rules_are_refused() {
        let rules = PolicyRules {
            weights: vec![WeightRule {
                resource_type: "*".into(),
                path: "/a".into(),
                weight: -1.0,
            }],
            ..PolicyRules::default()
        };
        assert!(matches!(Policy::new(&rules, vec![]), Err(PolicyError::Weight { .. })));
    }
}
