//! ETags and conditional reads (RFC 9110, 8.8.3 and 13.1.2).
//!
//! The tag of a read is a hash of its body: strong, the same after a restart, and without stored
//! data.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};

use super::answer::{Answered, whole};
use crate::apidocs::resource;

/// The entity tag of this body; see [`resource::tag`].
#[must_use]
pub fn tag(body: &str) -> String {
    resource::tag(body.as_bytes())
}

/// Adds the tag, and lets caches keep the answer as long as they revalidate it each time.
pub fn mark(response: &mut Answered, tag: &str) {
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{tag}\"")) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}

/// Answers 304 without a body if the client has this tag already.
#[must_use]
pub fn answered(method: &Method, headers: &HeaderMap, response: Answered) -> Answered {
    let is_read = *method == Method::GET || *method == Method::HEAD;
    let tag = response.headers().get(header::ETAG);
    let is_known = tag.is_some_and(|tag| is_listed(headers, tag));
    if !is_read || response.status() != StatusCode::OK || !is_known {
        return response;
    }
    let (mut head, _) = response.into_parts();
    head.status = StatusCode::NOT_MODIFIED;
    // These headers describe the body that is left out.
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        let _: Option<HeaderValue> = head.headers.remove::<HeaderName>(name);
    }
    Answered::from_parts(head, whole(""))
}

/// True if `If-None-Match` lists this tag. Weak comparison, as the RFC demands for this header.
fn is_listed(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let Ok(tag) = tag.to_str().map(opaque) else {
        return false;
    };
    let lists = headers.get_all(header::IF_NONE_MATCH).iter();
    lists.filter_map(|list| list.to_str().ok()).any(|list| {
        // This host's tags contain no comma; the parts of a foreign tag that does match none of
        // ours.
        let mut listed = list.split(',').map(str::trim);
        listed.any(|listed| listed == "*" || opaque(listed) == tag)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use crate::http::answer::json_response;

    const BODY: &str = r#"{"id":1}"#;

    fn read() -> Answered {
        let mut response = json_response(StatusCode::OK, "application/json", BODY.into());
        mark(&mut response, &tag(BODY));
        response
    }

    fn asked(method: &Method, if_none_match: &[&str]) -> Answered {
        let mut headers = HeaderMap::new();
        for list in if_none_match {
            headers.append(header::IF_NONE_MATCH, list.parse().unwrap());
        }
        answered(method, &headers, read())
    }

    #[test]
    fn a_tag_follows_from_the_body_alone() {
        assert_eq!(tag(BODY), tag(BODY));
        assert_ne!(tag(BODY), tag(r#"{"id":2}"#));
        assert_eq!(tag(BODY).len(), 32);
    }

    #[test]
    fn a_tag_that_is_listed_in_any_way_answers_304() {
        let own = format!("\"{}\"", tag(BODY));
        for list in [
            vec![own.clone()],
            vec![format!("W/{own}")],
            vec![format!("\"a\", {own} , \"b\"")],
            vec!["\"a\"".to_owned(), own.clone()],
            vec!["*".to_owned()],
        ] {
            let list: Vec<_> = list.iter().map(String::as_str).collect();
            for method in [Method::GET, Method::HEAD] {
                let response = asked(&method, &list);
                assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{list:?}");
                assert_eq!(response.headers()[header::ETAG], own.as_str());
                assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
                assert!(!response.headers().contains_key(header::CONTENT_TYPE));
            }
        }
    }

    #[test]
    fn any_other_list_gets_the_whole_answer() {
        let bare = tag(BODY);
        for list in ["", "\"\"", "\"a\"", "W/", &bare, "\"a\", \"b\"", ","] {
            assert_eq!(
                asked(&Method::GET, &[list]).status(),
                StatusCode::OK,
                "{list}"
            );
        }
        assert_eq!(asked(&Method::GET, &[]).status(), StatusCode::OK);
        assert_eq!(asked(&Method::POST, &["*"]).status(), StatusCode::OK);
    }

    #[test]
    fn problems_and_answers_without_a_tag_are_sent_whole() {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, "*".parse().unwrap());
        let mut created = read();
        *created.status_mut() = StatusCode::CREATED;
        let untagged = json_response(StatusCode::OK, "application/json", BODY.into());
        for (response, expected) in [(created, 201), (untagged, 200)] {
            let response = answered(&Method::GET, &headers, response);
            assert_eq!(response.status().as_u16(), expected);
        }
    }
}
