//! YAML: its documents become JSON text, and each is then read as any other record.
//!
//! The schema is YAML 1.2's core schema, with what the users of templates and manifests rely on:
//!
//! - `yes`, `no`, `on`, `off` are text, as in YAML 1.2. A tag's value `yes` or a country code `no`
//!   must not become a boolean; where a template means a boolean it says `true`.
//! - Whole numbers with leading zeros are text: they are account ids (`012345678901`) and file modes,
//!   and a number would lose the zeros.
//! - Dates and times are text, which is what `AWSTemplateFormatVersion: 2010-09-09` means.
//! - Numbers keep their spelling (`1.10` stays `1.10`), since a version may stand there without
//!   quotes. `0x` and `0o` become decimal, for JSON has no other spelling of them.
//! - `.inf` and `.nan` are text, for JSON has no such numbers.
//! - Merge keys (`<<`) of YAML 1.1 are followed: charts and templates use them, and what reads them
//!   follows them.
//! - Local tags are CloudFormation's short forms: `!Ref x` is `{"Ref":"x"}`, `!GetAtt a.b` is
//!   `{"Fn::GetAtt":["a","b"]}`, and any other `!Name` is `{"Fn::Name": …}`.
//!
//! A key that is given twice is refused: parsers disagree on which one counts.

mod convert;
mod scalar;
mod tag;
#[cfg(test)]
mod tests;

use deployforge_model::{RejectCode, SourcePosition};

use crate::detect;
use crate::refusal::Refusal;
use crate::sink::{Note, Sink};
use convert::Document;
pub(crate) use convert::documents;

/// Reads the documents of a YAML text, each as a record. What is refused of it is refused here.
pub(crate) fn read(text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let start = sink.position;
    let mut filled = 0;
    let template = Refusal::new(
        RejectCode::Unsupported,
        "This YAML holds `{{ }}` outside quotes, as templates do; render it and give the result, or quote the value.",
    );
    for document in documents(text, sink.options.limits) {
        sink.position = SourcePosition {
            offset: start.offset + document.bytes.start as u64,
            line: start.line + document.line - 1,
        };
        if document.is_empty() {
            continue;
        }
        filled += 1;
        let refused = &text.as_bytes()[document.bytes.clone()];
        let broken = document.json.is_err();
        if let Err(refusal) = read_document(document, start, sink) {
            let is_template = broken && TEMPLATES.iter().any(|mark| contains(refused, mark));
            sink.refuse(if is_template { &template } else { &refusal }, refused);
        }
    }
    sink.position = start;
    if filled == 0 {
        let reason = "This YAML holds comments or empty documents only; check which file it is.";
        return Err(Refusal::new(RejectCode::Empty, reason));
    }
    Ok(())
}

/// What templates of YAML hold that makes them no YAML.
const TEMPLATES: [&[u8]; 2] = [b"{{", b"{%"];

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

fn read_document(
    document: Document,
    start: SourcePosition,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    let text = document.json?;
    if !text.starts_with('[') {
        return detect::read(&text, sink);
    }
    // As in JSON, the brackets of an outermost list say nothing.
    let elements: Vec<&serde_json::value::RawValue> = serde_json::from_str(&text)?;
    sink.note(Note::EmptyList, elements.is_empty().into());
    for (number, element) in elements.into_iter().enumerate() {
        if let Some(line) = document.elements.get(number) {
            sink.position.line = start.line + line - 1;
        }
        if let Err(refusal) = detect::read(element.get(), sink) {
            sink.refuse(&refusal, element.get().as_bytes());
        }
    }
    Ok(())
}

/// The one document of a text that must hold one: YAML that stands as text inside another record.
pub(crate) fn single(text: &str, sink: &Sink<'_>) -> Result<String, Refusal> {
    let found = documents(text, sink.options.limits);
    let mut found = found.into_iter().filter(|document| !document.is_empty());
    match (found.next(), found.next()) {
        (Some(document), None) => document.json,
        _ => Err(Refusal::new(
            RejectCode::NotARecord,
            "This text must hold one YAML document; write each into a record of its own.",
        )),
    }
}

/// Whether text inside a record is more likely YAML than JSON.
pub(crate) fn is_likely(text: &str) -> bool {
    !text.trim_start().starts_with(['{', '['])
}
