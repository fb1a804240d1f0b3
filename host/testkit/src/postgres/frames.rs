//! Messages of PostgreSQL's protocol, version 3, in a stream of bytes.
//!
//! The first message of a client has no type: it is a start, or asks for encryption, which a server
//! answers with one byte.

use std::collections::HashMap;
use std::io::{self, Read};

/// Longest message.
const LONGEST: usize = 1 << 30;

/// The codes of the first message by which a client asks for TLS or GSS encryption.
const ENCRYPTION: [u32; 2] = [80_877_103, 80_877_104];

/// A message with its bytes as they were read.
pub(super) struct Frame {
    /// Its type; 0 for the first message of a client.
    pub(super) kind: u8,
    /// All bytes, with type and length.
    pub(super) bytes: Vec<u8>,
}

impl Frame {
    /// Reads a message; with `has_kind` one with a type. None at the end of the stream.
    pub(super) fn read(stream: &mut impl Read, has_kind: bool) -> io::Result<Option<Self>> {
        let head = if has_kind { 5 } else { 4 };
        let mut bytes = vec![0; head];
        if stream.read(bytes.get_mut(..1).unwrap_or_default())? == 0 {
            return Ok(None);
        }
        stream.read_exact(bytes.get_mut(1..).unwrap_or_default())?;
        let kind = if has_kind {
            bytes.first().copied()
        } else {
            None
        };
        let length = number(bytes.get(head - 4..).unwrap_or_default()) as usize;
        // The length counts itself.
        if !(4..LONGEST).contains(&length) {
            return Err(io::Error::other("this is no message of PostgreSQL"));
        }
        bytes.resize(head - 4 + length, 0);
        stream.read_exact(bytes.get_mut(head..).unwrap_or_default())?;
        Ok(Some(Self {
            kind: kind.unwrap_or(0),
            bytes,
        }))
    }

    /// True for the first message of a client if it asks for encryption.
    pub(super) fn asks_for_encryption(&self) -> bool {
        let code = self.bytes.get(4..8).map_or(0, number);
        self.kind == 0 && ENCRYPTION.contains(&code)
    }

    /// The texts with which the message begins.
    fn texts(&self) -> impl Iterator<Item = String> {
        let rest = self.bytes.get(5..).unwrap_or_default();
        rest.split(|byte| *byte == 0)
            .map(|text| String::from_utf8_lossy(text).into_owned())
    }
}

/// The statement that a client's messages are about.
#[derive(Debug, Default)]
pub(super) struct Subject {
    /// The statements that were prepared, by name.
    prepared: HashMap<String, String>,
    present: String,
}

impl Subject {
    /// The text of the statement that this message, or the last one before it, names.
    pub(super) fn after(&mut self, frame: &Frame) -> &str {
        let mut texts = frame.texts();
        match frame.kind {
            b'Q' => self.present = texts.next().unwrap_or_default(),
            b'P' => {
                let (name, text) = (texts.next(), texts.next());
                self.present = text.unwrap_or_default();
                let name = name.unwrap_or_default();
                self.prepared.insert(name, self.present.clone());
            }
            b'B' => {
                let statement = texts.nth(1).unwrap_or_default();
                let text = self.prepared.get(&statement);
                self.present = text.cloned().unwrap_or_default();
            }
            _ => {}
        }
        &self.present
    }
}

fn number(bytes: &[u8]) -> u32 {
    let numbers = bytes.iter().take(4);
    numbers.fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind][..], &length.to_be_bytes(), body].concat()
    }

    #[test]
    fn messages_are_read_one_by_one_and_name_their_statements() {
        let start = [&8_u32.to_be_bytes()[..], &80_877_103_u32.to_be_bytes()].concat();
        let sent = [
            start.clone(),
            message(b'P', b"s1\0UPDATE t\0\0\0"),
            message(b'P', b"s2\0SELECT 1\0\0\0"),
            message(b'B', b"\0s1\0\0\0\0\0\0\0"),
            message(b'E', b"\0\0\0\0\0"),
            message(b'S', b""),
            message(b'Q', b"COMMIT\0"),
        ]
        .concat();
        let mut stream = &*sent;
        let first = Frame::read(&mut stream, false).unwrap().unwrap();
        assert_eq!((first.kind, first.asks_for_encryption()), (0, true));
        assert_eq!(first.bytes, start);
        let mut subject = Subject::default();
        let mut seen = Vec::new();
        while let Some(frame) = Frame::read(&mut stream, true).unwrap() {
            seen.push((frame.kind, subject.after(&frame).to_owned()));
        }
        let expected = [
            (b'P', "UPDATE t"),
            (b'P', "SELECT 1"),
            (b'B', "UPDATE t"),
            (b'E', "UPDATE t"),
            (b'S', "UPDATE t"),
            (b'Q', "COMMIT"),
        ];
        assert_eq!(seen, expected.map(|(kind, text)| (kind, text.to_owned())));
        assert!(Frame::read(&mut &b"GET / HTTP/1.1\r\n"[..], true).is_err());
        assert!(
            Frame::read(&mut &sent[..6], false).is_err(),
            "it is cut off"
        );
    }
}
