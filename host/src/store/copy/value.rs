//! Values of rows in a form that no engine has a part in, and sums over rows by which two engines
//! compare them.

use sha2::{Digest as _, Sha256};

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Missing,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// The values of a row, in the order of the kind's columns.
pub(crate) type Row = Vec<Value>;

impl Value {
    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// As part of a row's name in a message.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Missing => "nothing".into(),
            Self::Integer(number) => number.to_string(),
            Self::Text(text) => format!("{text:?}"),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
        }
    }
}

/// The number of rows, and a sum of their hashes that does not depend on their order: engines sort
/// texts and ids in different ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) rows: u64,
    hash: [u64; 4],
}

impl Sum {
    pub(crate) fn add(&mut self, row: &Row) {
        let mut digest = Sha256::new();
        for value in row {
            let (tag, length): (u8, usize) = match value {
                Value::Missing => (0, 0),
                Value::Integer(_) => (1, 8),
                Value::Text(text) => (2, text.len()),
                Value::Bytes(bytes) => (3, bytes.len()),
            };
            digest.update([tag]);
            digest.update((length as u64).to_le_bytes());
            match value {
                Value::Missing => {}
                Value::Integer(number) => digest.update(number.to_le_bytes()),
                Value::Text(text) => digest.update(text.as_bytes()),
                Value::Bytes(bytes) => digest.update(bytes),
            }
        }
        let digest: [u8; 32] = digest.finalize().into();
        for (sum, part) in self.hash.iter_mut().zip(digest.chunks_exact(8)) {
            let part = part.try_into().map_or(0, u64::from_le_bytes);
            *sum = sum.wrapping_add(part);
        }
        self.rows += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[Row]) -> Sum {
        let mut sum = Sum::default();
        rows.iter().for_each(|row| sum.add(row));
        sum
    }

    fn texts(texts: &[&str]) -> Row {
        (texts.iter())
            .map(|text| Value::Text((*text).to_owned()))
            .collect()
    }

    #[test]
    fn a_sum_depends_on_every_value_and_not_on_the_order_of_rows() {
        let rows = [texts(&["a", "bc"]), vec![Value::Integer(1), Value::Missing]];
        let [first, second] = rows.clone();
        assert_eq!(sum(&rows), sum(&[second.clone(), first.clone()]));
        for other in [
            texts(&["ab", "c"]),
            texts(&["a", "bd"]),
            vec![Value::Text("a".into()), Value::Bytes(b"bc".to_vec())],
            vec![Value::Integer(1), Value::Integer(0)],
        ] {
            assert_ne!(
                sum(&[first.clone(), other.clone()]),
                sum(&rows),
                "{other:?}"
            );
        }
        // Two equal rows do not cancel each other out.
        assert_ne!(sum(&[first.clone(), first]), sum(&[]));
    }
}
