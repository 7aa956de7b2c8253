//! The pages of one column of one row group, and what the footer says of them.

use arrow::array::Array;
use bytes::Bytes;
use deltalake::parquet::basic::{Compression, Encoding, EncodingMask, PageType, ZstdLevel};
use deltalake::parquet::column::page::{CompressedPage, Page, PageWriter as _};
use deltalake::parquet::column::writer::ColumnCloseResult;
use deltalake::parquet::errors::{ParquetError, Result};
use deltalake::parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats};
use deltalake::parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use deltalake::parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::Chunk;
use super::levels::Levels;
use crate::stats::ColumnStats;

/// Rows of a page: a reader that wants one row unpacks this many values of a column.
const PAGE_ROWS: usize = 65_536;

/// How hard zstd tries.
const ZSTD_LEVEL: i32 = 1;

/// Values on their way into pages, in one encoding.
pub(super) trait Values<'a> {
    /// What they come in.
    type Array: Array + 'a;

    /// How pages have them.
    const ENCODING: Encoding;

    /// How many of the `rows` from `row` on the page under way still takes. Of an empty page it is
    /// one at least.
    fn fitting(&self, _array: &'a Self::Array, _row: usize, rows: usize) -> usize {
        rows
    }

    /// Appends the rows that are not null to the page under way.
    fn append(&mut self, array: &'a Self::Array, row: usize, rows: usize);

    /// Writes the page's values and begins another page.
    fn flush(&mut self, out: &mut Vec<u8>);
}

/// Writes the pages of a chunk into memory.
pub(super) struct Pages {
    descriptor: ColumnDescPtr,
    compressor: Compressor<'static>,
    sink: TrackedWrite<Vec<u8>>,
    /// The page under way, before and after compression. Kept from page to page: memory that is new
    /// to the process costs more than the copy that keeps it.
    plain: Vec<u8>,
    packed: Vec<u8>,
    rows: u64,
    uncompressed: usize,
    first_data_page: Option<u64>,
    /// Kinds of pages, in order, with their number.
    kinds: Vec<PageEncodingStats>,
}

impl Pages {
    pub(super) fn new(descriptor: &ColumnDescPtr) -> Result<Self> {
        Ok(Self {
            descriptor: descriptor.clone(),
            compressor: Compressor::new(ZSTD_LEVEL).map_err(external)?,
            sink: TrackedWrite::new(Vec::new()),
            plain: Vec::new(),
            packed: Vec::new(),
            rows: 0,
            uncompressed: 0,
            first_data_page: None,
            kinds: Vec::new(),
        })
    }

    /// Writes the dictionary, which comes first: its values, plain.
    pub(super) fn dictionary(&mut self, plain: &[u8], values: usize) -> Result<()> {
        let page = Page::DictionaryPage {
            buf: self.compress(plain)?,
            num_values: values as u32,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        self.write(page, plain.len()).map(drop)
    }

    /// Writes all rows of the arrays.
    pub(super) fn data<'a, V: Values<'a>>(
        &mut self,
        arrays: &[&'a V::Array],
        values: &mut V,
    ) -> Result<()> {
        let mut levels = Levels::new();
        for array in arrays {
            let mut row = 0;
            while row < array.len() {
                let room = (PAGE_ROWS - levels.rows()).min(array.len() - row);
                let take = values.fitting(array, row, room);
                let nulls = array.nulls().map(|nulls| nulls.slice(row, take));
                levels.append(take, nulls.as_ref());
                values.append(array, row, take);
                row += take;
                if take < room || levels.rows() == PAGE_ROWS {
                    self.page(&mut levels, values)?;
                }
            }
        }
        if levels.rows() > 0 {
            self.page(&mut levels, values)?;
        }
        Ok(())
    }

    fn page<'a, V: Values<'a>>(&mut self, levels: &mut Levels, values: &mut V) -> Result<()> {
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        if self.descriptor.max_def_level() > 0 {
            levels.write(&mut plain);
        }
        values.flush(&mut plain);
        let page = Page::DataPage {
            buf: self.compress(&plain)?,
            num_values: levels.rows() as u32,
            encoding: V::ENCODING,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let offset = self.write(page, plain.len())?;
        self.first_data_page.get_or_insert(offset);
        self.rows += levels.rows() as u64;
        self.plain = plain;
        levels.clear();
        Ok(())
    }

    fn compress(&mut self, plain: &[u8]) -> Result<Bytes> {
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        self.compressor.compress_to_buffer(plain, &mut self.packed).map_err(external)?;
        Ok(Bytes::copy_from_slice(&self.packed))
    }

    fn write(&mut self, page: Page, uncompressed: usize) -> Result<u64> {
        let (page_type, encoding) = (page.page_type(), page.encoding());
        match self.kinds.last_mut().filter(|kind| kind.page_type == page_type) {
            Some(kind) => kind.count += 1,
            None => self.kinds.push(PageEncodingStats { page_type, encoding, count: 1 }),
        }
        let page = CompressedPage::new(page, uncompressed);
        let written = SerializedPageWriter::new(&mut self.sink).write_page(page)?;
        self.uncompressed += written.uncompressed_size;
        Ok(written.offset)
    }

    /// The finished chunk.
    pub(super) fn close(self, stats: ColumnStats) -> Result<Chunk> {
        let bytes = self.sink.into_inner()?;
        let encodings: Vec<Encoding> =
            self.kinds.iter().map(|kind| kind.encoding).chain([Encoding::RLE]).collect();
        let dictionary =
            self.kinds.first().map(|kind| kind.page_type) == Some(PageType::DICTIONARY_PAGE);
        let metadata = ColumnChunkMetaData::builder(self.descriptor.clone())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
            .set_encodings_mask(EncodingMask::new_from_encodings(encodings.iter()))
            .set_page_encoding_stats(self.kinds)
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_num_values(self.rows as i64)
            .set_data_page_offset(self.first_data_page.unwrap_or(0) as i64)
            .set_dictionary_page_offset(dictionary.then_some(0))
            .set_statistics(stats.of_footer(self.descriptor.physical_type()))
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: self.rows,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        Ok(Chunk { bytes: bytes.into(), close, stats })
    }
}

fn external(error: std::io::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}
