//! Frames: token (64 bits, little endian), length (32 bits, little endian), body. Cuts queries out of a byte
//! stream and puts response bodies into one. Knows nothing of what a body says.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::limits;
use crate::numbers::{ErrorType, ResponseType};
use crate::response;

/// Bytes before a body.
pub const HEADER_SIZE: usize = 12;

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// The body of a query, for [`crate::query::parse`].
    Query {
        /// Chosen by the client; goes back with every answer.
        token: u64,
        /// Shares the read buffer's memory.
        body: Bytes,
    },
    /// A body above [`limits::QUERY_SIZE_MAX`]. The connection answers with
    /// [`crate::response::write_query_too_large`] and closes; the codec gives nothing more.
    TooLarge {
        /// Goes with the answer.
        token: u64,
        /// The size announced, in bytes.
        size: u32,
    },
}

/// Cuts queries out of a byte stream. Buffers what has arrived of one query, never what its header promises; an
/// oversized body is thrown away as it arrives, so that the client gets to read the error, up to
/// [`limits::QUERY_DISCARD_MAX`].
#[derive(Debug, Default)]
pub struct FrameCodec {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Frames,
    Discarding {
        token: u64,
        size: u32,
        left: usize,
    },
    Ended,
}

impl FrameCodec {
    /// Token and bytes, header included, of the frame that the input begins with, once its header is there. None of one
    /// that is thrown away as it arrives.
    pub fn arriving(&self, input: &BytesMut) -> Option<(u64, usize)> {
        let (token, size) = header(input)?;
        let is_taken = matches!(self.state, State::Frames) && size <= limits::QUERY_SIZE_MAX;
        is_taken.then_some((token, HEADER_SIZE + size as usize))
    }
}

impl Decoder for FrameCodec {
    type Item = Received;
    type Error = std::io::Error;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Received>, std::io::Error> {
        if let State::Frames = self.state {
            let Some((token, size)) = header(input) else { return Ok(None) };
            if size <= limits::QUERY_SIZE_MAX {
                let end = HEADER_SIZE + size as usize;
                if input.len() < end {
                    return Ok(None);
                }
                input.advance(HEADER_SIZE);
                let body = input.split_to(size as usize).freeze();
                return Ok(Some(Received::Query { token, body }));
            }
            input.advance(HEADER_SIZE);
            let left = if size < limits::QUERY_DISCARD_MAX { size as usize } else { 0 };
            self.state = State::Discarding { token, size, left };
        }
        if let State::Discarding { token, size, left } = &mut self.state {
            let arrived = input.len().min(*left);
            input.advance(arrived);
            *left -= arrived;
            if *left > 0 {
                return Ok(None);
            }
            let event = Received::TooLarge { token: *token, size: *size };
            self.state = State::Ended;
            return Ok(Some(event));
        }
        input.clear();
        Ok(None)
    }

    /// What is left of a query at the end of the stream is dropped: no client waits for it.
    fn decode_eof(&mut self, input: &mut BytesMut) -> Result<Option<Received>, std::io::Error> {
        let event = self.decode(input)?;
        if event.is_none() {
            input.clear();
        }
        Ok(event)
    }
}

/// Token and length at the start of the input, once both are there.
fn header(input: &BytesMut) -> Option<(u64, u32)> {
    let (token, rest) = input.split_first_chunk::<8>()?;
    let (size, _) = rest.split_first_chunk::<4>()?;
    Some((u64::from_le_bytes(*token), u32::from_le_bytes(*size)))
}

/// Writes one frame, as a client sends queries.
impl<B: AsRef<[u8]>> Encoder<(u64, B)> for FrameCodec {
    type Error = std::io::Error;

    fn encode(&mut self, (token, body): (u64, B), output: &mut BytesMut) -> std::io::Result<()> {
        let body = body.as_ref();
        let size = u32::try_from(body.len())
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidInput, "frame too long"))?;
        output.reserve(HEADER_SIZE + body.len());
        output.put_u64_le(token);
        output.put_u32_le(size);
        output.put_slice(body);
        Ok(())
    }
}

/// Appends one response frame: `body` appends the body, the header before it is filled in afterwards. A body above
/// [`limits::RESPONSE_SIZE_MAX`] is replaced by RethinkDB's error about it.
pub fn write_response(output: &mut Vec<u8>, token: u64, body: impl FnOnce(&mut Vec<u8>)) {
    let start = output.len();
    output.extend_from_slice(&token.to_le_bytes());
    output.extend_from_slice(&[0; 4]);
    let body_start = output.len();
    body(output);
    let size = output.len() - body_start;
    if size > limits::RESPONSE_SIZE_MAX as usize {
        let maximum = limits::RESPONSE_SIZE_MAX;
        let message = format!("Response size ({size}) greater than maximum ({maximum}).");
        output.truncate(body_start);
        let (kind, error) = (ResponseType::RuntimeError, Some(ErrorType::ResourceLimit));
        response::write_error(output, kind, error, &message, &[]);
    }
    let size = (output.len() - body_start) as u32;
    if let Some(field) = output.get_mut(start + 8..body_start) {
        field.copy_from_slice(&size.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(token: u64, size: u32, body: &[u8]) -> Vec<u8> {
        [&token.to_le_bytes()[..], &size.to_le_bytes(), body].concat()
    }

    fn query(token: u64, body: &'static [u8]) -> Received {
        Received::Query { token, body: Bytes::from_static(body) }
    }

    /// Everything the codec gives for the input, fed in pieces of one size.
    fn received(input: &[u8], piece: usize) -> Vec<Received> {
        let (mut codec, mut buffer, mut events) =
            (FrameCodec::default(), BytesMut::new(), Vec::new());
        for piece in input.chunks(piece) {
            buffer.extend_from_slice(piece);
            while let Some(event) = codec.decode(&mut buffer).unwrap() {
                events.push(event);
            }
        }
        events
    }

    #[test]
    fn queries_come_out_however_they_arrive() {
        let mut input = bytes(1, 7, b"[1,1,{}");
        input.extend(bytes(1 << 63, 0, b""));
        input.extend(bytes(u64::MAX, 1, b"x"));
        let expected = [query(1, b"[1,1,{}"), query(1 << 63, b""), query(u64::MAX, b"x")];
        for piece in 1..=input.len() {
            assert_eq!(received(&input, piece), expected, "pieces of {piece}");
        }
        assert_eq!(received(&input[..input.len() - 1], 5), expected[..2]);
    }

    #[test]
    fn a_promised_length_allocates_nothing() {
        let mut codec = FrameCodec::default();
        let mut buffer = BytesMut::from(&bytes(1, limits::QUERY_SIZE_MAX, b"[1")[..]);
        let before = buffer.capacity();
        assert_eq!(codec.decode(&mut buffer).unwrap(), None);
        assert_eq!((buffer.capacity(), buffer.len()), (before, 14));
        let whole = HEADER_SIZE + limits::QUERY_SIZE_MAX as usize;
        assert_eq!(codec.arriving(&buffer), Some((1, whole)));
    }

    #[test]
    fn a_body_of_a_gigabyte_is_refused_at_once() {
        for size in [limits::QUERY_DISCARD_MAX, u32::MAX] {
            let mut input = bytes(1, size, b"rest");
            input.extend(bytes(2, 0, b""));
            assert_eq!(received(&input, 3), [Received::TooLarge { token: 1, size }]);
        }
    }

    #[test]
    fn a_smaller_oversized_body_is_refused_after_its_end() {
        let size = limits::QUERY_SIZE_MAX + 1;
        let mut codec = FrameCodec::default();
        let mut buffer = BytesMut::from(&bytes(7, size, b"")[..]);
        assert_eq!(codec.decode(&mut buffer).unwrap(), None);
        let piece = vec![b' '; 1 << 20];
        for _ in 0..(size >> 20) - 1 {
            buffer.extend_from_slice(&piece);
            assert_eq!(codec.decode(&mut buffer).unwrap(), None);
            assert!(buffer.is_empty());
        }
        buffer.extend_from_slice(&piece);
        buffer.extend_from_slice(&bytes(8, 0, b""));
        assert_eq!(codec.decode(&mut buffer).unwrap(), Some(Received::TooLarge { token: 7, size }));
        assert_eq!(codec.decode(&mut buffer).unwrap(), None);
        assert!(buffer.is_empty() && buffer.capacity() < 4 << 20);
    }

    #[test]
    fn half_a_frame_at_the_end_is_dropped() {
        let mut codec = FrameCodec::default();
        let mut buffer = BytesMut::from(&bytes(1, 5, b"[1")[..]);
        assert_eq!(codec.decode_eof(&mut buffer).unwrap(), None);
        assert!(buffer.is_empty());
    }

    #[test]
    fn encoded_frames_decode() {
        let (mut codec, mut buffer) = (FrameCodec::default(), BytesMut::new());
        codec.encode((3, b"[2]"), &mut buffer).unwrap();
        codec.encode((4, &b"[3]"[..]), &mut buffer).unwrap();
        assert_eq!(received(&buffer, 4), [query(3, b"[2]"), query(4, b"[3]")]);
    }

    #[test]
    fn responses_are_framed_in_place() {
        let mut output = b"before".to_vec();
        write_response(&mut output, 1, |output| output.extend_from_slice(br#"{"t":1,"r":[5]}"#));
        write_response(&mut output, 1 << 63, |_| {});
        let expected = [
            &b"before"[..],
            b"\x01\0\0\0\0\0\0\0\x0f\0\0\0{\"t\":1,\"r\":[5]}",
            b"\0\0\0\0\0\0\0\x80\0\0\0\0",
        ];
        assert_eq!(output, expected.concat());
    }
}
