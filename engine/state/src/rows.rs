//! Rows in Arrow files that are mapped into memory instead of read into it.
//!
//! Values are most of a baseline's size and are looked at only where something differs. They stay in
//! the file; the system keeps in memory what is used, and may drop it at any time.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::root_as_footer;
use arrow::ipc::writer::FileWriter;

use crate::StateError;

/// Writes batches into an Arrow file, one after another.
pub struct RowsWriter {
    path: PathBuf,
    writer: FileWriter<Hashing>,
}

impl std::fmt::Debug for RowsWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowsWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A file that is hashed as it is written, if anybody will ask for the hash.
struct Hashing {
    file: BufWriter<File>,
    hasher: Option<blake3::Hasher>,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes[..written]);
        }
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl RowsWriter {
    /// Begins a file at `path`.
    pub fn create(path: &Path, schema: &SchemaRef) -> Result<Self, StateError> {
        Self::begin(path, schema, Some(blake3::Hasher::new()))
    }

    fn begin(
        path: &Path,
        schema: &SchemaRef,
        hasher: Option<blake3::Hasher>,
    ) -> Result<Self, StateError> {
        let mut options = File::options();
        options.create(true).truncate(true).read(true).write(true);
        // States may hold what is not for everybody on the machine.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| crate::io(path, error))?;
        let hashing = Hashing { file: BufWriter::with_capacity(1 << 20, file), hasher };
        let writer = FileWriter::try_new(hashing, schema).map_err(|error| failed(path, error))?;
        Ok(Self { path: path.to_owned(), writer })
    }

    /// Begins a file in `folder` that nobody else sees and that goes with the process.
    pub fn temporary(folder: &Path, schema: &SchemaRef) -> Result<Self, StateError> {
        let path = folder.join(format!("deployforge-{}-{}.arrow", std::process::id(), next()));
        let writer = Self::begin(&path, schema, None)?;
        // On systems that keep an open file's name, it is left to the next cleaning of the folder.
        #[cfg(unix)]
        fs::remove_file(&path).map_err(|error| crate::io(&path, error))?;
        Ok(writer)
    }

    /// Adds rows.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), StateError> {
        self.writer.write(rows).map_err(|error| failed(&self.path, error))
    }

    /// Ends the file and makes it durable; its rows, mapped, and the BLAKE3 of its content in hex.
    pub fn finish(self) -> Result<(Vec<RecordBatch>, String), StateError> {
        let (rows, hasher) = self.end(true)?;
        let hash = hasher.map(|hasher| hasher.finalize().to_hex().to_string());
        Ok((rows, hash.unwrap_or_default()))
    }

    /// Ends a temporary file: it need not outlive the process, so nothing waits for the disk.
    pub fn finish_temporary(self) -> Result<Vec<RecordBatch>, StateError> {
        self.end(false).map(|(rows, _)| rows)
    }

    fn end(self, durable: bool) -> Result<(Vec<RecordBatch>, Option<blake3::Hasher>), StateError> {
        let path = self.path;
        let Hashing { file, hasher } =
            self.writer.into_inner().map_err(|error| failed(&path, error))?;
        let file = file.into_inner().map_err(|error| crate::io(&path, error.into_error()))?;
        if durable {
            file.sync_all().map_err(|error| crate::io(&path, error))?;
        }
        let rows = map_file(&file).map_err(|error| failed(&path, error))?;
        Ok((rows, hasher))
    }
}

/// What the system refused is not damage: a full disk says nothing of the file.
fn failed(path: &Path, error: ArrowError) -> StateError {
    match error {
        ArrowError::IoError(_, error) => crate::io(path, error),
        other => crate::damaged(path, &other),
    }
}

/// Tells temporary files of one process apart.
fn next() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// The rows of an Arrow file, mapped into memory, and the BLAKE3 of its content in hex.
pub(crate) fn map(path: &Path) -> Result<(Vec<RecordBatch>, String), StateError> {
    let file = File::open(path).map_err(|error| crate::io(path, error))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&file).map_err(|error| crate::io(path, error))?;
    let rows = map_file(&file).map_err(|error| failed(path, error))?;
    Ok((rows, hasher.finalize().to_hex().to_string()))
}

fn map_file(file: &File) -> Result<Vec<RecordBatch>, ArrowError> {
    let bytes = bytes::Bytes::from_owner(map_bytes(file)?);
    let buffer = Buffer::from(bytes);
    let short = || ArrowError::ParseError("the file is cut short".to_owned());
    let trailer = buffer.len().checked_sub(10).ok_or_else(short)?;
    let tail: [u8; 10] = buffer[trailer..].try_into().map_err(|_| short())?;
    let length = read_footer_length(tail)?;
    let start = trailer.checked_sub(length).ok_or_else(short)?;
    let footer = root_as_footer(&buffer[start..trailer])
        .map_err(|error| ArrowError::ParseError(error.to_string()))?;
    let schema = footer.schema().ok_or_else(short)?;
    let decoder = FileDecoder::new(Arc::new(fb_to_schema(schema)), footer.version());
    let mut batches = Vec::new();
    for block in footer.recordBatches().iter().flatten() {
        let size = block.bodyLength() as usize + block.metaDataLength() as usize;
        let from = block.offset() as usize;
        if from.checked_add(size).is_none_or(|end| end > buffer.len()) {
            return Err(short());
        }
        let data = buffer.slice_with_length(from, size);
        batches.extend(decoder.read_record_batch(block, &data)?);
    }
    Ok(batches)
}

/// Maps a file into memory.
#[allow(unsafe_code)] // the one place where the project needs it
fn map_bytes(file: &File) -> io::Result<memmap2::Mmap> {
    // SAFETY: the files are ours. They are written once, in full, before they are mapped, and never
    // changed in place: a new version is a new file, a temporary one has no name. Who cuts a file of
    // the data directory short under a running process ends it with a bus error, as with any program
    // that is mapped from a file.
    unsafe { memmap2::Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_not_damage() {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1 << 20));
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let mut writer = RowsWriter::create(Path::new("/dev/full"), &batch.schema()).unwrap();
        let error = writer.write(&batch).and_then(|()| writer.finish().map(drop)).unwrap_err();
        assert!(matches!(error, StateError::Io { .. }), "{error}");
    }

    #[test]
    fn rows_come_back_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let batch = |from: i64| {
            let column: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + 100));
            RecordBatch::try_from_iter([("n", column)]).unwrap()
        };
        let path = dir.path().join("rows.arrow");
        let mut writer = RowsWriter::create(&path, &batch(0).schema()).unwrap();
        writer.write(&batch(0)).unwrap();
        writer.write(&batch(100)).unwrap();
        let (rows, hash) = writer.finish().unwrap();
        assert_eq!(rows, [batch(0), batch(100)]);
        assert_eq!(map(&path).unwrap(), (rows, hash));
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(
                &fs::metadata(&path).unwrap().permissions(),
            );
            assert_eq!(mode & 0o777, 0o600, "for the owner alone");
        }
        let temporary = RowsWriter::temporary(dir.path(), &batch(0).schema()).unwrap();
        assert!(temporary.finish_temporary().unwrap().is_empty());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
        let whole = fs::read(&path).unwrap();
        for size in [0, 5, whole.len() / 2, whole.len() - 1] {
            fs::write(dir.path().join("cut"), &whole[..size]).unwrap();
            assert!(map(&dir.path().join("cut")).is_err(), "cut at {size}");
        }
    }
}
