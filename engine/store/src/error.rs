//! What can go wrong with a store, for people.

use object_store::Error;

/// Characters of a store's own words that are repeated.
const SAID_CHARS: usize = 300;

/// Why a store could not be used. Each text says which place, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A URL that names no place.
    #[error(
        "`{url}` names no store: {problem}; write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///FOLDER"
    )]
    Url {
        /// As it was given, without what may be a secret.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An option that the store does not know, or a value that it does not take.
    #[error("the option `{name}` of {place}: {problem}")]
    Option {
        /// Where.
        place: String,
        /// Which option.
        name: String,
        /// What is wrong, without the value.
        problem: &'static str,
    },
    /// The store does not let us in.
    #[error(
        "{place} refuses access: {said}; check the credentials, and that they may list, read, write and delete there"
    )]
    Refused {
        /// Where.
        place: String,
        /// What the store said.
        said: String,
    },
    /// Nothing is there to keep things in.
    #[error("{place} is not there: {said}; check its name and region, or make the bucket")]
    Absent {
        /// Where.
        place: String,
        /// What the store said.
        said: String,
    },
    /// Anything else, such as no answer.
    #[error("{place} cannot be used: {said}; check the endpoint, the region and the network")]
    Failed {
        /// Where.
        place: String,
        /// What failed.
        said: String,
    },
}

impl StoreError {
    /// Where it happened.
    pub fn place(&self) -> &str {
        match self {
            Self::Url { url, .. } => url,
            Self::Option { place, .. }
            | Self::Refused { place, .. }
            | Self::Absent { place, .. }
            | Self::Failed { place, .. } => place,
        }
    }

    /// What a store's error means to people.
    pub fn of(place: &impl std::fmt::Display, error: &Error) -> Self {
        let place = place.to_string();
        let said = said(error);
        match error {
            Error::Unauthenticated { .. } | Error::PermissionDenied { .. } => {
                Self::Refused { place, said }
            }
            Error::NotFound { .. } => Self::Absent { place, said },
            // A bucket that is not there is told as any failed listing.
            _ if said.contains("NoSuchBucket") => Self::Absent { place, said },
            _ if said.contains("SignatureDoesNotMatch") || said.contains("InvalidAccessKeyId") => {
                Self::Refused { place, said }
            }
            _ => Self::Failed { place, said },
        }
    }
}

/// A store's error in one line: the innermost reason, or the code of the store's answer if it has one.
/// What is around them repeats URLs and headers.
pub fn said(error: &Error) -> String {
    let mut reason: &dyn std::error::Error = error;
    let mut all = error.to_string();
    while let Some(inner) = reason.source() {
        reason = inner;
        all.push(' ');
        all.push_str(&reason.to_string());
    }
    let code = between(&all, "<Code>", "</Code>");
    let message = between(&all, "<Message>", "</Message>");
    let text = match (code, message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => reason.to_string(),
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.trim_end_matches('.');
    match line.char_indices().nth(SAID_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let rest = &text[text.find(from)? + from.len()..];
    Some(&rest[..rest.find(to)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> Error {
        Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn the_stores_answer_is_told_in_short() {
        let answer = "status 403: <Error><Code>SignatureDoesNotMatch</Code>\
             <Message>The signature\n does not match.</Message><StringToSign>x</StringToSign></Error>";
        let error = StoreError::of(&"s3://b/p", &generic(answer));
        assert!(matches!(error, StoreError::Refused { .. }));
        let text = error.to_string();
        assert!(text.contains("SignatureDoesNotMatch: The signature does not match;"), "{text}");
        assert!(!text.contains("StringToSign"), "{text}");
        let error = StoreError::of(&"s3://b/p", &generic("<Code>NoSuchBucket</Code>"));
        assert!(matches!(error, StoreError::Absent { .. }), "{error}");
        let error = StoreError::of(&"s3://b/p", &generic(&"x".repeat(1000)));
        assert!(error.to_string().len() < 500, "{error}");
    }
}
