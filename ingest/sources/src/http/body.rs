//! Bodies: read within limits of bytes and time, unpacked within limits of bytes.

use std::future::poll_fn;
use std::io::Read as _;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use flate2::read::MultiGzDecoder;

use super::desk::{Refusal, Room};

/// How long a body may take, and how long nothing of it may come.
const BODY_TIME: Duration = Duration::from_mins(1);
const SILENCE: Duration = Duration::from_secs(10);

/// Bytes that are unpacked at a time.
const STEP_BYTES: usize = 64 << 10;

/// Why a body is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadBody {
    TooLarge,
    TooSlow,
    /// The other side broke it off.
    BrokenOff,
    NotGzip,
    Refused(Refusal),
}

impl From<Refusal> for BadBody {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Reads a body, chunk by chunk, each as room is made for it.
pub(super) async fn read(
    body: Body,
    room: &mut Room<'_>,
    bytes_max: usize,
) -> Result<Vec<u8>, BadBody> {
    let whole = read_all(body, room, bytes_max);
    tokio::time::timeout(BODY_TIME, whole).await.map_err(|_| BadBody::TooSlow)?
}

async fn read_all(
    mut body: Body,
    room: &mut Room<'_>,
    bytes_max: usize,
) -> Result<Vec<u8>, BadBody> {
    let mut read = Vec::new();
    loop {
        let frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context));
        let frame = tokio::time::timeout(SILENCE, frame).await.map_err(|_| BadBody::TooSlow)?;
        let Some(frame) = frame else { return Ok(read) };
        // Trailers say nothing.
        let Ok(chunk) = frame.map_err(|_| BadBody::BrokenOff)?.into_data() else { continue };
        if read.len() + chunk.len() > bytes_max {
            return Err(BadBody::TooLarge);
        }
        room.grow(chunk.len())?;
        read.extend_from_slice(&chunk);
    }
}

/// Unpacks a gzip body; what is unpacked has the limit of a body that never was packed.
pub(super) fn unpack(
    packed: &Bytes,
    room: &mut Room<'_>,
    bytes_max: usize,
) -> Result<Vec<u8>, BadBody> {
    let mut decoder = MultiGzDecoder::new(&packed[..]);
    let mut unpacked = Vec::new();
    loop {
        let before = unpacked.len();
        let step = decoder.by_ref().take(STEP_BYTES as u64).read_to_end(&mut unpacked);
        step.map_err(|_| BadBody::NotGzip)?;
        let read = unpacked.len() - before;
        if unpacked.len() > bytes_max {
            return Err(BadBody::TooLarge);
        }
        room.grow(read)?;
        if read == 0 {
            room.shrink(packed.len());
            return Ok(unpacked);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::desk::Desk;
    use super::*;

    fn packed(bytes: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("memory takes it");
        encoder.finish().expect("memory takes it").into()
    }

    #[test]
    fn what_unpacks_to_too_much_is_refused() {
        let desk = Desk::new(1 << 20);
        let mut room = Room::new(&desk);
        let bomb = packed(&vec![0; 1 << 20]);
        assert_eq!(unpack(&bomb, &mut room, 100_000), Err(BadBody::TooLarge));
        drop(room);
        assert_eq!(desk.bytes(), 0);
        let mut room = Room::new(&desk);
        let text = packed(b"{}\n{}\n");
        room.grow(text.len()).expect("there is room");
        assert_eq!(unpack(&text, &mut room, 100).as_deref(), Ok(&b"{}\n{}\n"[..]));
        assert_eq!(desk.bytes(), 6, "the packed bytes are gone");
        assert_eq!(unpack(&Bytes::from("{}"), &mut room, 100), Err(BadBody::NotGzip));
        let pressed = Desk::new(10);
        let full = unpack(&bomb, &mut Room::new(&pressed), 1 << 20);
        assert_eq!(full, Err(BadBody::Refused(Refusal::Pressure)));
    }

    #[tokio::test]
    async fn a_body_is_read_within_its_limits() {
        let desk = Desk::new(100);
        let mut room = Room::new(&desk);
        assert_eq!(read(Body::from("abc"), &mut room, 3).await.as_deref(), Ok(&b"abc"[..]));
        assert_eq!(read(Body::from("abcd"), &mut room, 3).await, Err(BadBody::TooLarge));
        let much = Body::from(vec![0; 98]);
        assert_eq!(read(much, &mut room, 200).await, Err(BadBody::Refused(Refusal::Pressure)));
    }
}
