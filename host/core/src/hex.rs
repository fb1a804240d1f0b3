//! Bytes as hexadecimal digits, in lower case.

/// The digits of these bytes, two for each.
#[must_use]
pub fn hex<'b>(bytes: impl IntoIterator<Item = &'b u8>) -> String {
    let mut text = String::new();
    push(&mut text, bytes);
    text
}

/// Appends the digits of these bytes.
pub(crate) fn push<'b>(text: &mut String, bytes: impl IntoIterator<Item = &'b u8>) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 0x0f] {
            text.push(char::from(match digit {
                0..=9 => b'0' + digit,
                _ => b'a' + (digit - 10),
            }));
        }
    }
}

/// The bytes whose digits a text begins with, and what follows them; none if a digit is missing, or
/// in upper case.
pub(crate) fn take<const N: usize>(mut text: &[u8]) -> Option<([u8; N], &[u8])> {
    let digit = |digit: &u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for byte in &mut bytes {
        let [high, low, rest @ ..] = text else {
            return None;
        };
        *byte = (digit(high)? << 4) | digit(low)?;
        text = rest;
    }
    Some((bytes, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all: [u8; 256] = std::array::from_fn(|index| index as u8);
        let text = hex(&all);
        assert_eq!(text.get(..8), Some("00010203"));
        assert_eq!(take(text.as_bytes()), Some((all, &b""[..])));
        assert_eq!(take(b"abx"), Some(([0xab], &b"x"[..])));
        for other in ["", "a", "AB", "g0"] {
            assert_eq!(take::<1>(other.as_bytes()), None, "{other}");
        }
    }
}
