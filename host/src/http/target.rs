//! Normalized request paths: characters that need no encoding are decoded (RFC 3986, 6.2.2.2).

use hyper::Uri;
use hyper::http::uri::PathAndQuery;

use super::routes::hex;

/// Normalizes a URI: `/%6frders/1` → `/orders/1`.
pub fn normalize(uri: &mut Uri) {
    if !uri.path().contains('%') {
        return;
    }
    let Some(path) = decoded(uri.path()) else {
        return;
    };
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = uri.clone().into_parts();
    // A URI that can't be written stays as it came.
    let Ok(target) = PathAndQuery::try_from(target) else {
        return;
    };
    parts.path_and_query = Some(target);
    if let Ok(written) = Uri::from_parts(parts) {
        *uri = written;
    }
}

/// The path with its unreserved characters decoded; `None` if nothing changes.
fn decoded(path: &str) -> Option<String> {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    let mut is_other = false;
    while let Some(at) = rest.find('%') {
        let (before, from) = rest.split_at(at);
        decoded.push_str(before);
        let digits = from.get(1..3).unwrap_or_default();
        match unreserved(digits) {
            Some(character) => {
                decoded.push(character);
                is_other = true;
                rest = from.get(3..).unwrap_or_default();
            }
            None => {
                decoded.push('%');
                rest = from.get(1..).unwrap_or_default();
            }
        }
    }
    decoded.push_str(rest);
    is_other.then_some(decoded)
}

/// The character of two hex digits, if it needs no encoding.
fn unreserved(digits: &str) -> Option<char> {
    let [high, low] = digits.as_bytes() else {
        return None;
    };
    let byte = hex(*high)? << 4 | hex(*low)?;
    (byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)).then_some(byte as char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_equal_are_written_alike_and_no_others() {
        for (sent, written) in [
            ("/orders/1", "/orders/1"),
            ("/%6frders/1", "/orders/1"),
            (
                "/order%2Dservice/%6Frders?a=%6f",
                "/order-service/orders?a=%6f",
            ),
            ("http://a/%7e%5F%2e", "http://a/~_."),
            ("/a%2Fb%25%c3%bc", "/a%2Fb%25%c3%bc"),
            ("/%256f", "/%256f"),
            ("/%6%6", "/%6%6"),
            ("/%6f%zz%", "/o%zz%"),
            ("*", "*"),
        ] {
            let mut uri: Uri = sent.parse().unwrap();
            normalize(&mut uri);
            assert_eq!(uri.to_string(), written, "{sent}");
        }
    }
}
