//! The bytes of the recorded decisions, and the bound on them.
//!
//! The size of the journal is that of its rows: key, state and packed decision, and 24 bytes for the
//! numbers beside them. The store is larger by what its engine adds, and keeps the room of deleted
//! rows for later ones. Nothing is counted in turns: the pruner reads the sizes of the rows that came
//! since its last step, and once at the start those of all rows, a step at a time.

/// Rows whose sizes one step reads.
pub(in crate::store) const COUNTED: i64 = 5_000;

/// Rows that one step deletes at most.
pub(in crate::store) const DELETED: i64 = 2_000;

/// The rows of the journal, as an engine has them.
pub(in crate::store) trait JournalSizes {
    /// An error of the engine.
    type Error;

    /// Of the first rows behind this number, at most so many: how many there are, their bytes, and
    /// the number of the last one.
    fn sizes(&self, behind: i64, most: i64) -> Result<(i64, i64, Option<i64>), Self::Error>;

    /// Number and bytes of the first rows up to this number, in order, at most so many.
    fn oldest(&self, to: i64, most: i64) -> Result<Vec<(i64, i64)>, Self::Error>;

    /// Deletes the rows up to this number.
    fn delete(&self, to: i64) -> Result<(), Self::Error>;
}

/// The size of the journal as far as it is counted, and its bound.
#[derive(Debug)]
pub(in crate::store) struct JournalSize {
    /// Most bytes; 0 for no bound.
    most: u64,
    /// Bytes of the rows that are counted.
    pub(in crate::store) bytes: u64,
    /// Number of the last one.
    pub(in crate::store) counted: i64,
}

impl JournalSize {
    pub(in crate::store) fn new(most: u64) -> Self {
        Self {
            most,
            bytes: 0,
            counted: i64::MIN,
        }
    }

    /// True if there is a bound.
    pub(in crate::store) fn is_bounded(&self) -> bool {
        self.most > 0
    }

    /// Notes that another part deleted a row of this number and these bytes.
    pub(in crate::store) fn is_deleted(&mut self, number: i64, bytes: i64) {
        if number <= self.counted {
            self.bytes = self.bytes.saturating_sub(bytes.unsigned_abs());
        }
    }

    /// Counts further rows, and deletes the oldest ones beyond the bound. Returns true if there is
    /// more to do.
    pub(in crate::store) fn step<J: JournalSizes>(
        &mut self,
        journal: &J,
    ) -> Result<bool, J::Error> {
        if !self.is_bounded() {
            return Ok(false);
        }
        let (rows, bytes, last) = journal.sizes(self.counted, COUNTED)?;
        self.bytes = self.bytes.saturating_add(bytes.unsigned_abs());
        self.counted = last.unwrap_or(self.counted);
        let counts_on = rows == COUNTED;
        let deletes_on = self.bytes > self.most && self.delete(journal)?;
        Ok(counts_on || deletes_on)
    }

    /// Deletes the oldest rows that are counted, until what is left fits; not all in one step.
    fn delete<J: JournalSizes>(&mut self, journal: &J) -> Result<bool, J::Error> {
        let (mut left, mut last) = (self.bytes, None);
        for (number, bytes) in journal.oldest(self.counted, DELETED)? {
            if left <= self.most {
                break;
            }
            last = Some(number);
            left = left.saturating_sub(bytes.unsigned_abs());
        }
        let Some(last) = last else {
            // Rows went that were not told of.
            self.bytes = 0;
            self.counted = i64::MIN;
            return Ok(true);
        };
        journal.delete(last)?;
        self.bytes = left;
        Ok(left > self.most)
    }
}
