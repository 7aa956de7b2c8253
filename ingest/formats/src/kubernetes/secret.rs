//! The data of a Secret as the API server holds it: what was given as `stringData` is written into `data`,
//! encoded, and wins over a value of the same name; base64 has no line breaks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use crate::json::{self, Members, ObjectWriter};
use crate::refusal::Refusal;

/// The member `data` of a Secret; `None`: it stands as it is written.
pub(super) fn data_of(members: &Members<'_>) -> Result<Option<Vec<u8>>, Refusal> {
    let object = |name| members.get(name).filter(|raw| json::is_object(raw));
    let texts = match object("stringData") {
        Some(raw) => Some(Members::parse(raw.get())?),
        None => None,
    };
    if let Some(texts) = &texts {
        texts.unique("the member `stringData`")?;
    }
    let given = match object("data") {
        Some(raw) => Some(Members::parse(raw.get())?),
        None => None,
    };
    if texts.is_none() && given.as_ref().is_none_or(|given| given.iter().all(|(_, v)| is_plain(v)))
    {
        return Ok(None);
    }
    let mut data = ObjectWriter::with_capacity(256);
    for (name, value) in given.iter().flat_map(Members::iter) {
        if texts.as_ref().is_some_and(|texts| texts.has(name)) {
            continue;
        }
        match json::text_of(value).filter(|_| !is_plain(value)) {
            Some(text) => data.member(name, &string(&text.replace(['\r', '\n'], ""))),
            None => data.member(name, value.get().as_bytes()),
        }
    }
    for (name, value) in texts.iter().flat_map(Members::iter) {
        match json::text_of(value) {
            Some(text) => data.member(name, &string(&STANDARD.encode(text.as_bytes()))),
            None => data.member(name, value.get().as_bytes()),
        }
    }
    Ok(Some(data.finish()))
}

/// Whether a value has no escapes, and so no line breaks.
fn is_plain(raw: &RawValue) -> bool {
    !raw.get().contains('\\')
}

fn string(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    json::write_string(&mut out, text);
    out
}
