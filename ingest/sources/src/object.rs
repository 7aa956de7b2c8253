//! Objects of stores: found by name, prefix or pattern, and read in ranges.
//!
//! An object is read with the entity tag that its listing had, so that one which is replaced while it is
//! read ends with an error and not with half of each.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use deployforge_store::object_store::path::Path;
use deployforge_store::object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use deployforge_store::{Object, Options, Place, StoreError, begin, pause, wait};
use globset::GlobBuilder;

use crate::SourceError;
use crate::expand::is_unfinished;

/// What is asked for at once.
const RANGE_BYTES: u64 = 4 << 20;

/// Ranges that are under way beside the one that is read.
const AHEAD: usize = 2;

/// How often a range is asked for before a failure is told; each request is made again as often as the
/// store's own patience goes.
const TRIES: u32 = 3;

/// How long the second try waits; each further one twice as long.
const PAUSE: Duration = Duration::from_millis(200);

/// One object, as a listing found it.
#[derive(Clone)]
pub struct ObjectLocation {
    store: Arc<dyn ObjectStore>,
    /// For people, and for history.
    name: String,
    object: Object,
}

impl ObjectLocation {
    /// Its URL.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes it has, as it lies there.
    pub fn size(&self) -> u64 {
        self.object.size
    }

    /// When it was put there, in microseconds since 1970.
    pub fn modified_micros(&self) -> i64 {
        self.object.last_modified.timestamp_micros()
    }

    fn of(bucket: &Bucket, object: Object) -> Self {
        let name = format!("{}{}", bucket.root, object.location);
        Self { store: Arc::clone(bucket.place.store()), name, object }
    }

    fn identity(&self) -> (&str, Option<&str>, u64) {
        (&self.name, self.object.e_tag.as_deref(), self.object.size)
    }
}

impl fmt::Debug for ObjectLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A store's own text may hold its credentials.
        f.debug_tuple("ObjectLocation").field(&self.name).finish()
    }
}

impl PartialEq for ObjectLocation {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for ObjectLocation {}

impl Hash for ObjectLocation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl PartialOrd for ObjectLocation {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ObjectLocation {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

/// A bucket, with its URL up to the first object.
struct Bucket {
    place: Place,
    root: String,
}

/// What a URL of a store means: an object is itself, a prefix is every object below it, and anything else
/// is a pattern.
pub(crate) fn expand(
    spec: &str,
    options: &Options,
    limit: usize,
) -> Result<Vec<ObjectLocation>, SourceError> {
    let failed = |error: StoreError| SourceError::Store { error };
    let (scheme, rest) = spec.split_once("://").unwrap_or(("", spec));
    let (host, key) = rest.split_once('/').unwrap_or((rest, ""));
    let root = format!("{scheme}://{host}/");
    let is_pattern = key.contains(['*', '?', '[', '{']);
    // A pattern is looked for below the last folder before its first sign.
    let begins = key.find(['*', '?', '[', '{']).unwrap_or(key.len());
    let folder =
        if is_pattern { key[..begins].rfind('/').map_or("", |at| &key[..at]) } else { key };
    let place = Place::open(&format!("{root}{folder}"), options).map_err(failed)?;
    let bucket = Bucket { place, root };
    if !is_pattern {
        match wait(bucket.place.store().head(bucket.place.prefix())) {
            Ok(object) if !key.is_empty() => return Ok(vec![ObjectLocation::of(&bucket, object)]),
            Ok(_) | Err(Error::NotFound { .. }) => {}
            // Some stores answer so for a prefix that is no object.
            Err(_) if key.is_empty() || key.ends_with('/') => {}
            Err(error) => return Err(failed(StoreError::of(&bucket.place, &error))),
        }
    }
    let found = wait(bucket.place.list()).map_err(failed)?;
    let named_hidden = key[begins..].split('/').any(|part| part.starts_with('.'));
    let mut wanted = Vec::new();
    let matcher = if is_pattern { Some(matcher(spec, key)?) } else { None };
    for object in found {
        if !is_wanted(&object.location, bucket.place.prefix(), named_hidden) || object.size == 0 {
            continue;
        }
        if matcher.as_ref().is_none_or(|matcher| matcher.is_match(object.location.as_ref())) {
            wanted.push(ObjectLocation::of(&bucket, object));
        }
        if wanted.len() > limit {
            return Err(SourceError::TooManyFiles { spec: spec.to_owned(), limit });
        }
    }
    if !wanted.is_empty() {
        return Ok(wanted);
    }
    Err(if is_pattern {
        SourceError::NoMatch { pattern: spec.to_owned(), folder: bucket.place.to_string() }
    } else {
        SourceError::NoObject { path: spec.to_owned() }
    })
}

fn matcher(spec: &str, key: &str) -> Result<globset::GlobMatcher, SourceError> {
    let glob = GlobBuilder::new(key).literal_separator(true).build();
    let glob = glob.map_err(|error| SourceError::BadPattern {
        pattern: spec.to_owned(),
        problem: error.kind().to_string(),
    })?;
    Ok(glob.compile_matcher())
}

/// Whether a name below a prefix is neither hidden nor that of something unfinished.
fn is_wanted(location: &Path, prefix: &Path, hidden: bool) -> bool {
    let Some(parts) = location.prefix_match(prefix) else { return false };
    let hides = parts.into_iter().any(|part| part.as_ref().starts_with('.'));
    (hidden || !hides) && location.filename().is_some_and(|name| !is_unfinished(name))
}

/// A range that is under way.
type Coming = Box<dyn FnOnce() -> io::Result<Vec<u8>> + Send>;

/// An object as bytes, a few ranges ahead of who reads it.
pub(crate) struct ObjectReader {
    location: ObjectLocation,
    /// From where the next range is asked for.
    next: u64,
    coming: VecDeque<Coming>,
    current: io::Cursor<Vec<u8>>,
}

impl ObjectReader {
    pub(crate) fn new(location: &ObjectLocation) -> Self {
        let (coming, current) = (VecDeque::new(), io::Cursor::default());
        Self { location: location.clone(), next: 0, coming, current }
    }

    fn ask_ahead(&mut self) {
        while self.coming.len() <= AHEAD && self.next < self.location.size() {
            let end = (self.next + RANGE_BYTES).min(self.location.size());
            let task = begin(range(self.location.clone(), self.next..end));
            self.next = end;
            self.coming.push_back(Box::new(move || {
                wait(task).unwrap_or_else(|error| Err(io::Error::other(error)))
            }));
        }
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.current.read(buf)?;
            if read > 0 || buf.is_empty() {
                return Ok(read);
            }
            self.ask_ahead();
            let Some(coming) = self.coming.pop_front() else { return Ok(0) };
            self.current = io::Cursor::new(coming()?);
        }
    }
}

/// What a store did to a reader, told from what is wrong with bytes.
fn aborted(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, why)
}

/// A part of an object, as long as it is the object that was listed.
async fn range(location: ObjectLocation, range: std::ops::Range<u64>) -> io::Result<Vec<u8>> {
    let options = GetOptions {
        range: Some(GetRange::Bounded(range.clone())),
        if_match: location.object.e_tag.clone(),
        ..GetOptions::default()
    };
    let mut tries = 0;
    loop {
        let get = async {
            let found = location.store.get_opts(&location.object.location, options.clone()).await?;
            found.bytes().await
        };
        match get.await {
            Ok(bytes) if bytes.len() as u64 == range.end - range.start => return Ok(bytes.into()),
            Ok(_) | Err(Error::Precondition { .. } | Error::NotFound { .. }) => {
                return Err(aborted("it was replaced or removed while it was read; read it again"));
            }
            Err(error) => {
                tries += 1;
                if tries == TRIES {
                    return Err(aborted(StoreError::of(&location.name, &error)));
                }
                pause(PAUSE * (1 << tries)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An object of a folder, as a listing finds it.
    fn object(folder: &std::path::Path, name: &str) -> ObjectLocation {
        let place = Place::folder(folder).unwrap();
        let root = "file:///".to_owned();
        let object = wait(place.store().head(&place.path(name))).unwrap();
        ObjectLocation::of(&Bucket { place, root }, object)
    }

    #[test]
    fn ranges_come_in_order_and_of_one_object() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..3 * RANGE_BYTES + 5).map(|n| (n % 251) as u8).collect();
        std::fs::write(folder.path().join("a"), &bytes).unwrap();
        let location = object(folder.path(), "a");
        assert_eq!(location.size(), bytes.len() as u64);
        let mut read = Vec::new();
        ObjectReader::new(&location).read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        std::fs::write(folder.path().join("a"), &bytes[1..]).unwrap();
        let error = ObjectReader::new(&location).read_to_end(&mut read).unwrap_err();
        assert!(error.to_string().contains("replaced"), "{error}");
        std::fs::remove_file(folder.path().join("a")).unwrap();
        assert!(ObjectReader::new(&location).read_to_end(&mut read).is_err());
    }

    #[test]
    fn hidden_and_unfinished_objects_are_left_out() {
        let prefix = Path::from("in/.put");
        for (name, hidden, wanted) in [
            ("in/.put/a.json", false, true),
            ("in/.put/.a.json", false, false),
            ("in/.put/.x/a.json", false, false),
            ("in/.put/.a.json", true, true),
            ("in/.put/a.json.tmp", true, false),
            ("out/a.json", true, false),
        ] {
            assert_eq!(is_wanted(&Path::from(name), &prefix, hidden), wanted, "{name}");
        }
    }
}
