//! `diff`: two documents, or pairs of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use deployforge_canon::{Canon, Normalise, Parser};
use deployforge_compare::{DiffOptions, compare};
use deployforge_model::{Dialect, Mode, Verdict};
use deployforge_policy::Policy;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::{Diff, DiffFormat};
use crate::config::{self, ConfigFile};
use crate::error::{CommandError, CommandResult, Outcome};
use crate::render::safe;
use crate::report::{Report, ResourceReport, Summary, of_comparison, write_to};
use crate::setup::{HashKeys, canon, normalise};

/// Bytes of one document or one pair at most.
const DOCUMENT_BYTES: u64 = 64 << 20;

/// One line of `--pairs`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(rename = "type", default)]
    resource_type: Option<String>,
    dialect: Option<Dialect>,
    mode: Option<Mode>,
    normalise: Option<Normalise>,
    #[serde(borrow)]
    expected: &'a RawValue,
    #[serde(borrow)]
    observed: &'a RawValue,
}

struct Differ {
    canon: Canon,
    policy: Policy,
    parser: Parser,
    explain: bool,
}

/// What two documents are of, and how they are compared.
#[derive(Clone, Copy)]
struct Way<'a> {
    resource_type: &'a str,
    dialect: Option<Dialect>,
    mode: Mode,
    normalise: Normalise,
}

pub(crate) fn run(args: &Diff) -> CommandResult {
    let config = match &args.config {
        Some(path) => config::load(path)?,
        None => ConfigFile::default(),
    };
    let mut differ = Differ {
        canon: canon(&config, &HashKeys::ephemeral())?,
        policy: Policy::new(&config.policy, Vec::new())?,
        parser: Parser::default(),
        explain: args.explain,
    };
    let way = Way {
        resource_type: &args.resource_type,
        dialect: args.dialect,
        mode: args.mode.or(config.mode).unwrap_or(Mode::Full),
        normalise: normalise(args.normalise, &config),
    };
    if let Some(path) = &args.pairs {
        return differ.pairs(path, way);
    }
    let (Some(expected), Some(observed)) = (&args.expected, &args.observed) else {
        return Err(CommandError::new("two files are needed"));
    };
    let left = read(expected)?;
    let right = read(observed)?;
    let (report, suppressed) = differ.one(way, &left, &right).map_err(|(side, error)| {
        let path = if side == 0 { expected } else { observed };
        CommandError::new(format!("{}: {error}", path.display()))
    })?;
    let drifted = report.verdict == Verdict::Drifted;
    write_to(None, |out| print(report, suppressed, args.format, out))?;
    Ok(if drifted { Outcome::Drift } else { Outcome::Ok })
}

fn print(
    report: ResourceReport,
    suppressed: u64,
    format: DiffFormat,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    if format == DiffFormat::Json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        return out.write_all(b"\n");
    }
    let findings = report.findings.iter().filter(|f| f.kind.counts()).count() as u64;
    let is = |verdict| u64::from(report.verdict == verdict);
    let summary = Summary {
        checked: is(Verdict::Drifted) + is(Verdict::InSync),
        in_sync: is(Verdict::InSync),
        drifted: is(Verdict::Drifted),
        unknown: is(Verdict::Unknown),
        findings,
        suppressed,
        coverage: if report.verdict == Verdict::Unknown { 0.0 } else { 1.0 },
        score: report.score,
        unknown_by: report.reason.iter().map(|reason| (reason.name(), 1)).collect(),
        ..Summary::default()
    };
    let quiet = report.findings.is_empty()
        && report.suppressed.is_empty()
        && report.not_compared.is_empty()
        && report.verdict != Verdict::Unknown;
    let resources = if quiet { Vec::new() } else { vec![report] };
    Report { summary, resources }.write_table(out, usize::MAX)
}

fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    let failed = |error| CommandError::io(path.display(), &error);
    let mut text = Vec::new();
    let mut source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(failed)?)
    };
    source.by_ref().take(DOCUMENT_BYTES + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > DOCUMENT_BYTES {
        return Err(CommandError::new(format!(
            "{}: larger than {DOCUMENT_BYTES} bytes; `audit` reads files of any size",
            path.display()
        )));
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(CommandError::new(format!("{}: the file is empty", path.display())));
    }
    Ok(text)
}

impl Differ {
    /// Compares two documents; the error says which side is wrong.
    fn one(
        &mut self,
        way: Way<'_>,
        expected: &[u8],
        observed: &[u8],
    ) -> Result<(ResourceReport, u64), (usize, String)> {
        let Way { resource_type, mode, normalise, .. } = way;
        let dialect = way.dialect.unwrap_or_else(|| Dialect::of_type(resource_type));
        let mut read = |side, text| {
            self.canon
                .value(&mut self.parser, dialect, resource_type, text)
                .map_err(|error| (side, error.to_string()))
        };
        let (expected, observed) = (read(0, expected)?, read(1, observed)?);
        let folds = self.canon.folds.of(normalise, dialect, resource_type);
        let options = DiffOptions { mode, folds: &folds };
        let comparison =
            compare(&expected.root, &observed.root, options, &self.policy, resource_type);
        Ok(of_comparison(resource_type, &comparison, &self.policy, self.explain))
    }

    fn pairs(&mut self, path: &Path, way: Way<'_>) -> CommandResult {
        let failed = |error| CommandError::io(path.display(), &error);
        let input: Box<dyn Read> = if path == Path::new("-") {
            Box::new(std::io::stdin())
        } else {
            Box::new(std::fs::File::open(path).map_err(failed)?)
        };
        let mut input = BufReader::new(input);
        let mut out = std::io::BufWriter::new(std::io::stdout());
        let (mut drifted, mut broken, mut pairs, mut number) = (false, false, 0u64, 0u64);
        let mut line = Vec::new();
        loop {
            line.clear();
            number += 1;
            let size = input
                .by_ref()
                .take(DOCUMENT_BYTES + 1)
                .read_until(b'\n', &mut line)
                .map_err(failed)?;
            if size == 0 {
                break;
            }
            if size as u64 > DOCUMENT_BYTES {
                return Err(CommandError::new(format!(
                    "{}, line {number}: longer than {DOCUMENT_BYTES} bytes",
                    path.display()
                )));
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            pairs += 1;
            match self.pair(&line, way, &mut out)? {
                Ok(found) => drifted |= found,
                Err((id, reason)) => {
                    broken = true;
                    let at = format!("line {number}: {reason}");
                    let id: &RawValue = id.as_deref().unwrap_or(RawValue::NULL);
                    let text = serde_json::to_string(&at).map_err(std::io::Error::from)?;
                    writeln!(out, "{{\"id\":{},\"error\":{text}}}", id.get())?;
                    anstream::eprintln!("{}, {}", path.display(), safe(&at));
                }
            }
        }
        out.flush()?;
        if pairs == 0 {
            return Err(CommandError::new(format!(
                "{}: 0 pairs compared: it is empty",
                path.display()
            )));
        }
        Ok(match (broken, drifted) {
            (true, _) => Outcome::Trouble,
            (false, true) => Outcome::Drift,
            (false, false) => Outcome::Ok,
        })
    }

    /// One line in, one line out, or what is wrong with it and its id if that could be read.
    #[allow(clippy::type_complexity)] // an inner result that is data, in an outer one that is failure
    fn pair(
        &mut self,
        line: &[u8],
        way: Way<'_>,
        out: &mut dyn Write,
    ) -> Result<Result<bool, (Option<Box<RawValue>>, String)>, CommandError> {
        let pair: Pair<'_> = match serde_json::from_slice(line) {
            Ok(pair) => pair,
            Err(error) => return Ok(Err((None, error.to_string()))),
        };
        let way = Way {
            resource_type: pair.resource_type.as_deref().unwrap_or(way.resource_type),
            dialect: pair.dialect.or(way.dialect),
            mode: pair.mode.unwrap_or(way.mode),
            normalise: pair.normalise.unwrap_or(way.normalise),
        };
        let (left, right) = (pair.expected.get().as_bytes(), pair.observed.get().as_bytes());
        match self.one(way, left, right) {
            Ok((report, _)) => {
                let text = serde_json::to_string(&report).map_err(std::io::Error::from)?;
                // `report` is an object: its members follow the id.
                writeln!(out, "{{\"id\":{},{}", pair.id.get(), &text[1..])?;
                Ok(Ok(report.verdict == Verdict::Drifted))
            }
            Err((side, error)) => {
                let side = if side == 0 { "expected" } else { "observed" };
                Ok(Err((Some(pair.id.to_owned()), format!("{side}: {error}"))))
            }
        }
    }
}
