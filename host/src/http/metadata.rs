//! The headers of a request that the rules ask for.
//!
//! Rules can't ask for headers by which a proxy states a caller (`Security::check_metadata`).

use hyper::header::HeaderMap;

use super::problem::Problem;
use crate::apidocs::problems::Kind;

/// The headers of these names, in the order of the names. Of a repeated header, the last. `longest`
/// is the most bytes of a value.
///
/// # Errors
/// A value is longer, or not visible ASCII and spaces.
pub(super) fn given(
    names: &[String],
    headers: &HeaderMap,
    longest: usize,
) -> Result<Vec<(String, String)>, Problem> {
    let mut metadata = Vec::new();
    for name in names {
        let Some(value) = headers.get_all(name).iter().next_back() else {
            continue;
        };
        // `to_str` would take a tab.
        let bytes = value.as_bytes();
        let is_plain = bytes.len() <= longest && bytes.iter().all(|byte| is_told(*byte));
        let text = value.to_str().ok().filter(|_| is_plain);
        let text = text.ok_or_else(|| {
            let detail = format!(
                "the header {name} is not at most {longest} visible ASCII characters and spaces"
            );
            Problem::new(Kind::BadHeader, detail)
        })?;
        metadata.push((name.clone(), text.to_owned()));
    }
    Ok(metadata)
}

fn is_told(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_value_is_visible_ascii_and_spaces() {
        let read = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert("x-tenant", HeaderValue::from_bytes(value).unwrap());
            given(&["x-tenant".into()], &headers, 8).map_err(|problem| problem.detail)
        };
        for value in ["", "a b", "~!", "12345678"] {
            let told = vec![("x-tenant".to_owned(), value.to_owned())];
            assert_eq!(read(value.as_bytes()), Ok(told));
        }
        for value in [&b"a\tb"[..], b"k\xc3\xbc", b"123456789"] {
            let refused = read(value).unwrap_err();
            assert!(
                refused.contains("header x-tenant is not at most 8"),
                "{refused}"
            );
        }
    }
}
