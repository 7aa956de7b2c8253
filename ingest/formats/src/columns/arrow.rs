//! Arrow IPC files.

use std::sync::Arc;

use ::arrow::buffer::Buffer;
use ::arrow::error::ArrowError;
use ::arrow::ipc::convert::fb_to_schema;
use ::arrow::ipc::reader::{FileDecoder, read_footer_length};
use ::arrow::ipc::{Block, root_as_footer};
use bytes::Bytes;
use deployforge_model::RejectCode;

use super::{Rows, damaged, problem};
use crate::refusal::Refusal;
use crate::sink::Sink;

/// What ends the file: the length of the footer, and the six bytes that it began with.
const TAIL: usize = 10;

pub(super) fn read(bytes: &Bytes, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let bytes = Buffer::from(bytes.clone());
    let short = || damaged("it ends before its footer");
    let body = bytes.len().checked_sub(TAIL).ok_or_else(short)?;
    let tail: [u8; TAIL] = bytes[body..].try_into().map_err(|_| short())?;
    let length = read_footer_length(tail).map_err(|_| short())?;
    let start = body.checked_sub(length).ok_or_else(|| damaged("its footer is longer than it"))?;
    let footer = root_as_footer(&bytes[start..body]).map_err(|_| damaged("its footer is none"))?;
    let schema = footer.schema().ok_or_else(|| damaged("it has no schema"))?;
    let schema = Arc::new(fb_to_schema(schema));
    let mut rows = Rows::new(&schema, sink)?;
    let mut decoder = FileDecoder::new(schema, footer.version());
    for block in footer.dictionaries().iter().flatten() {
        decoder.read_dictionary(block, &slice(&bytes, block)?).map_err(|error| refused(&error))?;
    }
    for block in footer.recordBatches().iter().flatten() {
        let batch = decoder
            .read_record_batch(block, &slice(&bytes, block)?)
            .map_err(|error| refused(&error))?;
        if let Some(batch) = batch {
            rows.take(&batch, sink)?;
        }
    }
    Ok(())
}

/// The bytes of a block, if they lie within the file.
fn slice(bytes: &Buffer, block: &Block) -> Result<Buffer, Refusal> {
    let place = || {
        let start = usize::try_from(block.offset()).ok()?;
        let head = usize::try_from(block.metaDataLength()).ok()?;
        let length = usize::try_from(block.bodyLength()).ok()?.checked_add(head)?;
        (start.checked_add(length)? <= bytes.len() && head >= 8).then_some((start, length))
    };
    let (start, length) = place().ok_or_else(|| damaged("a block lies outside of it"))?;
    Ok(bytes.slice_with_length(start, length))
}

fn refused(error: &ArrowError) -> Refusal {
    let text = error.to_string();
    if text.contains("compression") || text.contains("feature") {
        let reason = "This Arrow file is compressed within, which is not read; write it without compression, or pack the file as a whole.";
        return Refusal::new(RejectCode::Unsupported, reason);
    }
    damaged(&problem(&text))
}
