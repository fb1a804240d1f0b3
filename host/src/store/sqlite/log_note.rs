//! The note beside the store's file: the marks that the file may have.
//!
//! One line, with a checksum: a note that is not whole says nothing. See [`super::log_mark`].

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use sha2::{Digest as _, Sha256};

/// Bytes of the note. One sector holds it, so it is written as a whole.
const NOTE_BYTES: usize = 512;

/// Marks that the file may have, as far as the note can hold them. There are several only while a
/// program keeps reading and others take checkpoints: where there are more, nothing is judged until
/// a checkpoint takes all.
pub(super) const MOST: usize = 16;

/// The note beside the store's file. Without marks nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Note {
    /// The marks that the file by itself may have: none are known where it may be any.
    pub(super) file: Vec<String>,
    /// The mark that is in the log for certain.
    pub(super) log: Option<String>,
    /// Number of the file.
    pub(super) inode: u64,
}

impl Note {
    /// Notes that the file may have this mark too. Where it is not known what the file has, it
    /// stays so.
    pub(super) fn add(&mut self, mark: String) {
        if self.file.is_empty() || self.file.contains(&mark) {
            return;
        }
        self.file.push(mark);
        if self.file.len() > MOST {
            self.file.clear();
        }
    }

    /// The note in this file, if it is whole.
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

    /// The note as it is written.
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
    let digest = Sha256::digest(content);
    (digest.iter().take(8))
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
