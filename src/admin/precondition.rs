//! `If-Match` (RFC 9110 §13.1.1): a change is made to what its author saw, or not at all.

use axum::http::{HeaderMap, HeaderValue, header};
use ring::digest::{SHA256, digest};

use crate::admin::problem::Problem;

/// The tag of something, by all that makes it what it is.
pub(crate) fn tag(content: &[u8]) -> String {
    let hash = digest(&SHA256, content);
    let short = hash.as_ref().get(..16).unwrap_or_default();
    let hexadecimal: String = short.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hexadecimal}\"")
}

/// As a header.
pub(crate) fn header(tag: &str) -> [(header::HeaderName, HeaderValue); 1] {
    let value = HeaderValue::from_str(tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""));
    [(header::ETAG, value)]
}

/// Refuses a change to something other than its author saw. Without `If-Match` there is nothing to refuse.
pub(crate) fn check(headers: &HeaderMap, tag: &str) -> Result<(), Problem> {
    let mut given = headers.get_all(header::IF_MATCH).iter().peekable();
    if given.peek().is_none() {
        return Ok(());
    }
    let texts = given.filter_map(|value| value.to_str().ok());
    let mut tags = texts.flat_map(|text| text.split(',')).map(str::trim);
    if tags.any(|one| one == "*" || one == tag) { Ok(()) } else { Err(Problem::changed()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_holds_for_what_was_seen() {
        let check = |given: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(header::IF_MATCH, value.parse().unwrap());
            }
            check(&headers, "\"a\"").is_ok()
        };
        assert!(
            check(&[]) && check(&["*"]) && check(&["\"b\", \"a\""]) && check(&["\"b\"", "\"a\""])
        );
        assert!(!check(&["\"b\""]) && !check(&["W/\"a\""]) && !check(&[""]));
    }
}
