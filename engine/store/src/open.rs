//! From a URL and options to a store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{ObjectStore, RetryConfig};
use url::Url;

use crate::StoreError;

/// How long a request is made again and again before its failure is told.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The same for the first request to a store: who mistyped its address learns so soon.
const FIRST: Duration = Duration::from_secs(3);

/// Options of stores by name, such as `aws_endpoint`; one that begins with the name of another cloud than
/// a store's is not that store's.
pub type Options = BTreeMap<String, String>;

/// Clouds: the schemes of their URLs, and how the names of their options begin.
pub const CLOUDS: [(&str, &str); 3] = [("s3", "aws_"), ("gs", "google_"), ("az", "azure_")];

/// The schemes of stores.
pub const SCHEMES: [&str; 3] = [CLOUDS[0].0, CLOUDS[1].0, CLOUDS[2].0];

/// Whether a text is the URL of a store, and not a path.
pub fn is_url(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| SCHEMES.contains(&scheme))
}

/// How patient a store is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    First,
    Usual,
}

/// The store behind the host of a URL.
pub(crate) fn store(
    url: &Url,
    options: &Options,
    patience: Patience,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let prefix = CLOUDS.iter().find(|(scheme, _)| *scheme == url.scheme());
    let Some((_, prefix)) = prefix else {
        let problem = format!("{}:// is not the scheme of one", url.scheme());
        return Err(StoreError::Url { url: shown(url), problem });
    };
    let foreign =
        |name: &str| CLOUDS.iter().any(|(_, other)| other != prefix && name.starts_with(other));
    let options: Vec<(&String, &String)> =
        options.iter().filter(|(name, _)| !foreign(&name.to_ascii_lowercase())).collect();
    let wanted = |problem| {
        move |name: &String| StoreError::Option { place: shown(url), name: name.clone(), problem }
    };
    let unknown =
        wanted("there is no such option; docs/how-to/object-store.md lists the usual ones");
    let retry = retry(patience);
    // A builder's own error may hold the value of an option.
    let refused = || StoreError::Url {
        url: shown(url),
        problem: "its options do not go together, or one has a wrong value".to_owned(),
    };
    macro_rules! build {
        ($builder:ty) => {{
            let mut builder = <$builder>::from_env().with_url(url.as_str()).with_retry(retry);
            for (name, value) in options {
                let key = name.to_ascii_lowercase().parse().map_err(|_| unknown(name))?;
                builder = builder.with_config(key, value.clone());
            }
            Ok(Arc::new(builder.build().map_err(|_| refused())?) as Arc<dyn ObjectStore>)
        }};
    }
    match *prefix {
        "aws_" => build!(AmazonS3Builder),
        "google_" => build!(GoogleCloudStorageBuilder),
        _ => build!(MicrosoftAzureBuilder),
    }
}

fn retry(patience: Patience) -> RetryConfig {
    let (max_retries, retry_timeout) = match patience {
        Patience::First => (3, FIRST),
        Patience::Usual => (20, PATIENCE),
    };
    RetryConfig { max_retries, retry_timeout, ..RetryConfig::default() }
}

/// A URL without what may be a secret.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // They fail on URLs that cannot have them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string().trim_end_matches('/').to_owned()
}
