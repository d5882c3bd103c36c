//! WebSocket frames (RFC 6455, section 5) without I/O: bytes in, messages out, and the frames to send back.
//!
//! Made for a hub with many sockets that are silent most of the time. Whoever reads the sockets owns the buffer,
//! one for many of them; frames are unmasked where they lie in it, and messages borrow from it. All that a
//! connection keeps is a [`Decoder`], the size of a pointer, and the bytes of an incomplete frame. What is sent
//! is framed once, as [`Bytes`] that every receiver shares.
//!
//! The header is read by tungstenite's parser, which takes any header that can be read at all; what RFC 6455
//! forbids of it is refused here. `docs/adr/0002-websocket-codec.md` says why it is split there.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use std::borrow::Cow;
use std::io::Cursor;
use std::ops::{Deref, Range};
use tungstenite::protocol::Role;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// The most bytes that a control frame carries.
const MAX_CONTROL: usize = 125;

/// The most fragments without a byte in one message. They take no memory, so the limit on messages would never
/// end them; one or two (an empty first or last one) are usual.
const MAX_EMPTY_FRAGMENTS: u8 = 64;

/// What a decoder holds its peer to; the same for every connection of a hub.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Which end we are: a server takes masked frames only, a client unmasked ones only.
    pub(crate) role: Role,
    /// Bytes of one message, all fragments together; equal is allowed.
    pub(crate) max_message: usize,
}

/// What a peer sent: a whole message, or a control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message<'b> {
    /// A text message. Whether it is UTF-8 is for the caller to check, together with what it says.
    Text(Cow<'b, [u8]>),
    /// A binary message.
    Binary(Cow<'b, [u8]>),
    /// To be answered by a [`pong`] with the same bytes.
    Ping(&'b [u8]),
    /// The answer to a [`ping`], or sent unasked.
    Pong(&'b [u8]),
    /// The peer's last word: whatever comes after it is not to be read.
    Close {
        /// Why, where the peer says so.
        code: Option<u16>,
        /// The same in words; often empty.
        reason: &'b str,
    },
}

/// What a peer did that RFC 6455 forbids; the connection ends with [`Violation::close_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Violation {
    /// A client's frame came unmasked.
    #[error("a client's frame is not masked")]
    Unmasked,
    /// A server's frame came masked.
    #[error("a server's frame is masked")]
    Masked,
    /// A reserved bit is set, and no extension was agreed on that gives it a meaning.
    #[error("a reserved bit is set")]
    ReservedBits,
    /// The opcode has no meaning yet.
    #[error("the opcode is reserved")]
    ReservedOpcode,
    /// A length is written in more bytes than it needs.
    #[error("a payload's length is not written in its shortest form")]
    LongForm,
    /// The top bit of a length of 64 bits is set.
    #[error("a payload's length has its top bit set")]
    TopBit,
    /// A control frame came in fragments.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A control frame holds more than 125 bytes.
    #[error("a control frame is longer than {MAX_CONTROL} bytes")]
    LongControl,
    /// A continuation, with no message to continue.
    #[error("a continuation frame continues nothing")]
    StrayContinuation,
    /// A new message began before the fragmented one had ended.
    #[error("a new message begins inside a fragmented one")]
    Interrupted,
    /// The payload of a close frame is a single byte, which is half a code.
    #[error("a close frame holds half a close code")]
    HalfCloseCode,
    /// A close code that is not for the wire, or belongs to nobody.
    #[error("the close code {0} may not be sent")]
    CloseCode(u16),
    /// The reason in a close frame is not UTF-8.
    #[error("the reason of a close is not UTF-8")]
    CloseReason,
    /// A message is longer than allowed.
    #[error("the message is longer than the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A message goes on and on in fragments that hold nothing.
    #[error("the message has more than {MAX_EMPTY_FRAGMENTS} empty fragments")]
    EmptyFragments,
}

impl Violation {
    /// The code to close the connection with.
    pub(crate) const fn close_code(self) -> u16 {
        match self {
            Self::CloseReason => 1007,
            Self::TooLarge { .. } | Self::EmptyFragments => 1009,
            _ => 1002,
        }
    }
}

/// One connection's place in the stream of frames: nothing but a null pointer, save between the fragments of
/// a message.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    assembly: Option<Box<Assembly>>,
}

impl Decoder {
    /// Whether the next frame begins a message, as opposed to going on with one in fragments.
    pub(crate) const fn is_between_messages(&self) -> bool {
        self.assembly.is_none()
    }

    /// The memory that it takes beside itself.
    pub(crate) fn held(&self) -> usize {
        self.assembly.as_ref().map_or(0, |assembly| size_of::<Assembly>() + assembly.bytes.capacity())
    }

    /// Reads the next message from `buffer[*at..]` and moves `at` behind the frames it took.
    ///
    /// `None` asks for more bytes: the caller keeps those from `at` on, which are the beginning of one frame,
    /// and puts the new ones behind them. They are untouched, as a payload is unmasked only once it is whole.
    /// Kept here and there is never more than [`Rules::max_message`] and a control frame.
    ///
    /// An unfragmented message borrows from `buffer`; one in fragments is given away with the memory it was
    /// joined in.
    ///
    /// # Errors
    /// [`Violation`], as soon as a header shows it and before any memory is taken. The stream is lost then:
    /// neither the buffer nor the decoder may be read on.
    pub(crate) fn next<'b>(
        &mut self,
        rules: Rules,
        buffer: &'b mut [u8],
        at: &mut usize,
    ) -> Result<Option<Message<'b>>, Violation> {
        let whole = loop {
            let Some(frame) = self.frame(rules, buffer, *at)? else { return Ok(None) };
            let payload = &mut buffer[frame.payload.clone()];
            if let Some(key) = frame.key {
                unmask(payload, key);
            }
            *at = frame.payload.end;

            let kind = match frame.opcode {
                // The header was checked: a continuation finds the message that it continues.
                OpCode::Data(kind) if kind == Data::Continue || !frame.is_final => kind,
                _ => break frame,
            };
            let assembly = self.assembly.get_or_insert_with(|| Box::new(Assembly::new(kind)));
            assembly.push(payload)?;
            if frame.is_final {
                return Ok(self.assembly.take().map(|assembly| assembly.into_message()));
            }
        };

        let payload = &buffer[whole.payload];
        Ok(Some(match whole.opcode {
            OpCode::Data(kind) => data(kind, Cow::Borrowed(payload)),
            OpCode::Control(Control::Ping) => Message::Ping(payload),
            OpCode::Control(Control::Pong) => Message::Pong(payload),
            OpCode::Control(_) => close_message(payload)?,
        }))
    }

    /// The frame at `buffer[at..]`, checked as far as its header goes; `None` until the whole of it is there.
    fn frame(&self, rules: Rules, buffer: &[u8], at: usize) -> Result<Option<Frame>, Violation> {
        // The usual end of a read.
        if at == buffer.len() {
            return Ok(None);
        }
        let mut cursor = Cursor::new(&buffer[at..]);
        // A slice does not fail to be read: the only thing that the parser refuses is the opcode.
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Violation::ReservedOpcode)?;
        let Some((header, length)) = parsed else { return Ok(None) };
        let read = cursor.position() as usize;
        let shortest = header.len(length) == read;
        self.check(rules, &header, length, shortest)?;

        let start = at + read;
        // It passed a limit that is a usize itself, so nothing is cut off.
        let length = length as usize;
        if buffer.len() - start < length {
            return Ok(None);
        }
        let FrameHeader { is_final, opcode, mask, .. } = header;
        Ok(Some(Frame { opcode, is_final, key: mask, payload: start..start + length }))
    }

    /// All that can be refused before the payload is there.
    fn check(
        &self,
        rules: Rules,
        header: &FrameHeader,
        length: u64,
        shortest: bool,
    ) -> Result<(), Violation> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Violation::ReservedBits);
        }
        match (rules.role, header.mask) {
            (Role::Server, None) => return Err(Violation::Unmasked),
            (Role::Client, Some(_)) => return Err(Violation::Masked),
            _ => {}
        }
        if length >> 63 != 0 {
            return Err(Violation::TopBit);
        }
        if !shortest {
            return Err(Violation::LongForm);
        }
        match (header.opcode, &self.assembly) {
            (OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)), _) => {
                Err(Violation::ReservedOpcode)
            }
            (OpCode::Control(_), _) if !header.is_final => Err(Violation::FragmentedControl),
            (OpCode::Control(_), _) if length > MAX_CONTROL as u64 => Err(Violation::LongControl),
            (OpCode::Control(_), _) => Ok(()),
            (OpCode::Data(Data::Continue), None) => Err(Violation::StrayContinuation),
            (OpCode::Data(Data::Text | Data::Binary), Some(_)) => Err(Violation::Interrupted),
            (OpCode::Data(_), assembly) => {
                let taken = assembly.as_ref().map_or(0, |assembly| assembly.bytes.len());
                let room = rules.max_message.saturating_sub(taken);
                // Compared before it is narrowed: on 32 bits a usize does not hold every length.
                if length > room as u64 {
                    return Err(Violation::TooLarge { limit: rules.max_message });
                }
                Ok(())
            }
        }
    }
}

/// A frame whose header was checked and whose payload is there.
struct Frame {
    opcode: OpCode,
    is_final: bool,
    /// What the payload is masked with.
    key: Option<[u8; 4]>,
    /// Where in the buffer the payload lies.
    payload: Range<usize>,
}

/// A message in fragments, as far as it has come.
#[derive(Debug)]
struct Assembly {
    kind: Data,
    bytes: Vec<u8>,
    empty_fragments: u8,
}

impl Assembly {
    const fn new(kind: Data) -> Self {
        Self { kind, bytes: Vec::new(), empty_fragments: 0 }
    }

    fn push(&mut self, fragment: &[u8]) -> Result<(), Violation> {
        if fragment.is_empty() {
            if self.empty_fragments == MAX_EMPTY_FRAGMENTS {
                return Err(Violation::EmptyFragments);
            }
            self.empty_fragments += 1;
        }
        self.bytes.extend_from_slice(fragment);
        Ok(())
    }

    fn into_message(self) -> Message<'static> {
        data(self.kind, Cow::Owned(self.bytes))
    }
}

/// A message of the kind that its first frame named.
fn data(kind: Data, payload: Cow<'_, [u8]>) -> Message<'_> {
    match kind {
        Data::Text => Message::Text(payload),
        _ => Message::Binary(payload),
    }
}

/// Whether a close frame may hold this code.
pub(crate) const fn may_be_sent(code: u16) -> bool {
    // 1004 to 1006 and 1015 name what was never sent; 1012 to 1014 were registered after RFC 6455.
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Reads a close frame's payload.
fn close_message(payload: &[u8]) -> Result<Message<'_>, Violation> {
    let (code, reason) = match payload.split_first_chunk() {
        Some((code, reason)) => (u16::from_be_bytes(*code), reason),
        None if payload.is_empty() => return Ok(Message::Close { code: None, reason: "" }),
        None => return Err(Violation::HalfCloseCode),
    };
    if !may_be_sent(code) {
        return Err(Violation::CloseCode(code));
    }
    let reason = str::from_utf8(reason).map_err(|_| Violation::CloseReason)?;
    Ok(Message::Close { code: Some(code), reason })
}

/// Unmasks a payload where it lies; the same again masks it.
fn unmask(payload: &mut [u8], key: [u8; 4]) {
    // As wide as a vector register, for the compiler to use one.
    let wide: [u8; 16] = std::array::from_fn(|i| key[i % 4]);
    let (chunks, rest) = payload.as_chunks_mut::<16>();
    for chunk in chunks {
        for (byte, key) in chunk.iter_mut().zip(wide) {
            *byte ^= key;
        }
    }
    for (byte, key) in rest.iter_mut().zip(wide) {
        *byte ^= key;
    }
}

/// First bytes of the frames that a server sends: final, no reserved bit, and the opcode.
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// A server's frame header: 2, 4 or 10 bytes, read as a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    bytes: [u8; 10],
    len: u8,
}

impl Header {
    /// For a payload of `length` bytes, unmasked.
    fn new(first: u8, length: usize) -> Self {
        let mut bytes = [0; 10];
        bytes[0] = first;
        let len = if length <= 125 {
            bytes[1] = length as u8;
            2
        } else if let Ok(length) = u16::try_from(length) {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            4
        } else {
            bytes[1] = 127;
            bytes[2..].copy_from_slice(&(length as u64).to_be_bytes());
            10
        };
        Self { bytes, len }
    }
}

impl Deref for Header {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The header of a server's text message of `length` bytes, for a caller that puts the two together itself.
pub(crate) fn text_header(length: usize) -> Header {
    Header::new(TEXT, length)
}

/// A server's text message in one frame, to be shared by all who receive it.
pub(crate) fn text(text: &str) -> Bytes {
    [&text_header(text.len()), text.as_bytes()].concat().into()
}

/// What a frame made by [`text`] holds; `None` for one of another kind.
pub(crate) fn text_of(framed: &[u8]) -> Option<&[u8]> {
    let header = match framed {
        [TEXT, 126, ..] => 4,
        [TEXT, 127, ..] => 10,
        [TEXT, ..] => 2,
        _ => return None,
    };
    framed.get(header..)
}

/// A server's ping; of `payload` the first 125 bytes, as a control frame holds no more.
pub(crate) fn ping(payload: &[u8]) -> Bytes {
    control(PING, &[], payload)
}

/// A server's answer to a [`Message::Ping`] with this payload.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    control(PONG, &[], payload)
}

/// A server's close frame; of `reason` as many whole characters as a control frame holds.
///
/// Without a code it is empty, as is fit for an answer to a close without one.
pub(crate) fn close(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else { return control(CLOSE, &[], &[]) };
    let reason = &reason[..reason.floor_char_boundary(MAX_CONTROL - 2)];
    control(CLOSE, &code.to_be_bytes(), reason.as_bytes())
}

/// A control frame of a payload in two parts, the second cut to what fits.
fn control(first: u8, start: &[u8], rest: &[u8]) -> Bytes {
    let rest = &rest[..rest.len().min(MAX_CONTROL - start.len())];
    [&Header::new(first, start.len() + rest.len()), start, rest].concat().into()
}
