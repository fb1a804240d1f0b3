//! A client of server-sent events, which takes them one by one.
//!
//! Must not know any participant.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use crate::expect::{address, connect, path_of};

/// A stream of events that was opened.
pub struct Stream {
    reader: BufReader<TcpStream>,
    head: String,
    /// Sent bytes that are not taken yet.
    text: String,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: String,
    pub data: String,
}

impl Event {
    /// The phase of the saga, by the id.
    pub fn phase(&self) -> &str {
        self.id.rsplit_once('-').unwrap().1
    }

    /// The part of the id that it has in common with the ETag of the same state.
    pub fn tag(&self) -> &str {
        self.id.rsplit_once('-').unwrap().0
    }

    /// A member of the data.
    pub fn member(&self, name: &str) -> serde_json::Value {
        let data: serde_json::Value = serde_json::from_str(&self.data).unwrap();
        data[name].clone()
    }
}

impl Stream {
    /// Asks for the events of a URL, having seen this one last.
    pub fn ask(url: &str, last: Option<&str>) -> Self {
        let last = last.map(|id| format!("last-event-id: {id}\r\n"));
        Self::ask_with(url, &last.unwrap_or_default())
    }

    /// Asks for the events of a URL with these headers, each with its line end.
    pub fn ask_with(url: &str, headers: &str) -> Self {
        let mut stream = connect(url);
        let head = format!(
            "GET {} HTTP/1.1\r\nhost: {}\r\naccept: text/event-stream\r\n{headers}\r\n",
            path_of(url),
            address(url)
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
        }
        Self {
            reader,
            head: head.to_ascii_lowercase(),
            text: String::new(),
        }
    }

    /// Opens the events of a URL, which must be there.
    pub fn open(url: &str) -> Self {
        let stream = Self::ask(url, None);
        assert_eq!(stream.status(), 200, "{}", stream.head);
        assert!(stream.head.contains("content-type: text/event-stream\r\n"));
        assert!(stream.head.contains("cache-control: no-store\r\n"));
        stream
    }

    /// Status of the answer.
    pub fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    /// The next event; none when the stream has ended as it should.
    pub fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block()?;
            if block.starts_with(':') {
                continue;
            }
            let lines: Vec<_> = block.lines().collect();
            let ["event: state", id, data] = lines[..] else {
                panic!("no event: {block}");
            };
            return Some(Event {
                id: id.strip_prefix("id: ").unwrap().to_owned(),
                data: data.strip_prefix("data: ").unwrap().to_owned(),
            });
        }
    }

    /// The next event, or comment, without the empty line that ends it; none at the end of the stream.
    pub fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                let block = std::mem::replace(&mut self.text, rest);
                return Some(block.trim_end().to_owned());
            }
            let mut length = String::new();
            self.reader.read_line(&mut length).unwrap();
            let length = usize::from_str_radix(length.trim_end(), 16).unwrap();
            let mut chunk = vec![0; length + 2];
            self.reader.read_exact(&mut chunk).unwrap();
            assert!(chunk.ends_with(b"\r\n"));
            if length == 0 {
                assert_eq!(self.text, "", "the stream ends with a whole event");
                return None;
            }
            self.text += std::str::from_utf8(&chunk[..length]).unwrap();
        }
    }
}
