//! The note beside the store's file: the marks that the file may have.
//!
//! One line with a checksum: a damaged note counts as empty. See [`super::log_mark`].

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use saga_core::hex;
use sha2::{Digest as _, Sha256};

/// Bytes of the note. It fits one sector, so it is written as a whole.
const NOTE_BYTES: usize = 512;

/// Marks of the file that the note can hold. There are several only while a program keeps reading
/// and others take checkpoints. If there are more, nothing is checked until a checkpoint is
/// complete.
pub(super) const MOST: usize = 16;

/// The note beside the store's file. Without marks nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LogNote {
    /// The marks that the file by itself may have. Empty if it may have any.
    pub(super) file: Vec<String>,
    /// The mark that is certainly in the log.
    pub(super) log: Option<String>,
    /// Inode of the file.
    pub(super) inode: u64,
}

impl LogNote {
    /// Adds a mark that the file may have. An empty list stays empty, since the file may have any
    /// mark.
    pub(super) fn add(&mut self, mark: String) {
        if self.file.is_empty() || self.file.contains(&mark) {
            return;
        }
        self.file.push(mark);
        if self.file.len() > MOST {
            self.file.clear();
        }
    }

    /// The note in this file, if it is valid.
    pub(super) fn read(file: &File) -> Option<Self> {
        let mut bytes = [0; NOTE_BYTES];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let text = std::str::from_utf8(&bytes).ok()?;
        let (line, _) = text.split_once('\n')?;
        let (content, sum) = line.rsplit_once(' ')?;
        if sum != print(content) {
            return None;
        }
        let mut words = content.split(' ').skip(1);
        let inode = words.next()?.parse().ok()?;
        let log = words.next().filter(|mark| *mark != "-").map(str::to_owned);
        let file = words.map(|mark| mark.trim_start_matches('.').to_owned());
        Some(Self {
            file: file.collect(),
            log,
            inode,
        })
    }

    /// The note in its written form.
    pub(super) fn bytes(&self) -> [u8; NOTE_BYTES] {
        let mut bytes = [b' '; NOTE_BYTES];
        if self.file.is_empty() {
            // Nothing is known of the file.
            return bytes;
        }
        let log = self.log.as_deref().unwrap_or("-");
        let mut content = format!("saga-log-mark-1 {} {log}", self.inode);
        for mark in &self.file {
            content.push_str(" .");
            content.push_str(mark);
        }
        let line = format!("{content} {}\n", print(&content));
        for (byte, written) in bytes.iter_mut().zip(line.bytes()) {
            *byte = written;
        }
        bytes
    }
}

fn print(content: &str) -> String {
    hex(Sha256::digest(content).iter().take(8))
}
