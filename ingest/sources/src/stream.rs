//! One location as a stream of unpacked bytes.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use crate::object::ObjectReader;
use crate::{Location, SourceError};

const BUFFER_BYTES: usize = 256 << 10;

/// How the bytes were packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of any number of members.
    Gzip,
    /// zstd, of any number of frames.
    Zstd,
}

/// How much packed data may grow. A small file that unpacks without end is an attack or a mistake;
/// real inventories pack at most some hundred to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpansionLimits {
    /// Unpacked bytes, whatever the ratio.
    pub expanded_bytes: u64,
    /// Unpacked bytes from which on the ratio counts.
    pub ratio_from_bytes: u64,
    /// Unpacked bytes for each packed one.
    pub ratio: u64,
}

impl Default for ExpansionLimits {
    /// 64 GiB, and 2000 to one beyond 1 GiB.
    fn default() -> Self {
        Self { expanded_bytes: 64 << 30, ratio_from_bytes: 1 << 30, ratio: 2000 }
    }
}

/// The bytes of one location, unpacked.
pub struct ByteStream {
    name: String,
    reader: Box<dyn Read + Send>,
    compression: Compression,
    limits: ExpansionLimits,
    packed: Arc<AtomicU64>,
    position: u64,
    total: Option<u64>,
    file: Option<Arc<File>>,
}

impl std::fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByteStream")
            .field("name", &self.name)
            .field("compression", &self.compression)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// Opens a location, within the default limits.
pub fn open(location: &Location) -> Result<ByteStream, SourceError> {
    open_with(location, ExpansionLimits::default())
}

/// Opens a location.
pub fn open_with(location: &Location, limits: ExpansionLimits) -> Result<ByteStream, SourceError> {
    match location {
        Location::Stdin => ByteStream::new("standard input".to_owned(), io::stdin(), None, limits),
        Location::Object(object) => {
            let (name, total) = (object.name().to_owned(), Some(object.size()));
            ByteStream::new(name, ObjectReader::new(object), total, limits)
        }
        Location::File(path) => {
            let metadata =
                std::fs::metadata(path).map_err(|error| SourceError::from_io(path, error))?;
            let name = path.display().to_string();
            if metadata.is_dir() {
                return Err(SourceError::IsDirectory { path: name });
            }
            let file = File::open(path).map_err(|error| SourceError::from_io(path, error))?;
            let file = Arc::new(file);
            // The size of a pipe says nothing.
            let total = metadata.is_file().then_some(metadata.len());
            let mut stream = ByteStream::new(name, Arc::clone(&file), total, limits)?;
            stream.file = (cfg!(unix) && metadata.is_file()).then_some(file);
            Ok(stream)
        }
    }
}

impl ByteStream {
    /// A stream over any reader, unpacked by its first bytes.
    fn new(
        name: String,
        reader: impl Read + Send + 'static,
        total: Option<u64>,
        limits: ExpansionLimits,
    ) -> Result<Self, SourceError> {
        let packed = Arc::new(AtomicU64::new(0));
        let mut counted = Counted { inner: reader, count: Arc::clone(&packed) };
        let io_error = |source| SourceError::Io { name: name.clone(), source };
        let mut head = Vec::with_capacity(4);
        counted.by_ref().take(4).read_to_end(&mut head).map_err(io_error)?;
        let compression = match head.as_slice() {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Compression::Zstd,
            _ => Compression::None,
        };
        let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(head).chain(counted));
        let reader: Box<dyn Read + Send> = match compression {
            Compression::None => Box::new(whole),
            Compression::Gzip => Box::new(MultiGzDecoder::new(whole)),
            Compression::Zstd => {
                Box::new(zstd::stream::read::Decoder::with_buffer(whole).map_err(io_error)?)
            }
        };
        Ok(Self { name, reader, compression, limits, packed, position: 0, total, file: None })
    }

    /// Reads the next unpacked bytes into `buf`; 0 is the end. After an error, what was returned
    /// before it is good, and there is no more.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, SourceError> {
        let read = loop {
            match self.reader.read(buf) {
                Ok(read) => break read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        };
        self.position += read as u64;
        self.check_expansion()?;
        Ok(read)
    }

    /// The file itself, where its bytes are the stream's and can be read at any place.
    pub fn plain_file(&self) -> Option<Arc<File>> {
        self.file.clone().filter(|_| self.compression == Compression::None)
    }

    /// Goes on at `position` of the [plain file](Self::plain_file). If it cannot, the next read says
    /// why.
    pub fn seek(&mut self, position: u64) {
        let Some(file) = self.plain_file() else { return };
        self.reader = match (&*file).seek(SeekFrom::Start(position)) {
            Ok(_) => {
                self.packed.store(position, Ordering::Relaxed);
                let counted = Counted { inner: file, count: Arc::clone(&self.packed) };
                Box::new(BufReader::with_capacity(BUFFER_BYTES, counted))
            }
            Err(error) => Box::new(Refused(Some(error))),
        };
        self.position = position;
    }

    /// The location, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the bytes were packed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Bytes read from the location, packed as they are: beside [`ByteStream::total_bytes`], how far
    /// reading has come.
    pub fn compressed_bytes_read(&self) -> u64 {
        self.packed.load(Ordering::Relaxed)
    }

    /// Unpacked bytes so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The size of the location, packed as it is, where it has one.
    pub fn total_bytes(&self) -> Option<u64> {
        self.total
    }

    fn check_expansion(&self) -> Result<(), SourceError> {
        if self.compression == Compression::None {
            return Ok(());
        }
        let packed = self.compressed_bytes_read();
        let limits = self.limits;
        let too_dense = self.position > limits.ratio_from_bytes
            && self.position > packed.saturating_mul(limits.ratio);
        if too_dense || self.position > limits.expanded_bytes {
            let name = self.name.clone();
            return Err(SourceError::TooMuchExpansion { name, expanded: self.position, packed });
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> SourceError {
        let name = self.name.clone();
        // Decoders report bad data as these; an error number comes from the operating system, and a
        // store's reader aborts.
        let of_store = source.kind() == io::ErrorKind::ConnectionAborted;
        if self.compression == Compression::None || source.raw_os_error().is_some() || of_store {
            return SourceError::Io { name, source };
        }
        let problem = if source.kind() == io::ErrorKind::UnexpectedEof {
            "it breaks off".to_owned()
        } else {
            source.to_string()
        };
        SourceError::Damaged { name, position: self.position, problem }
    }
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// A place that could not be gone to.
struct Refused(Option<io::Error>);

impl Read for Refused {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

#[cfg(test)]
mod tests;
