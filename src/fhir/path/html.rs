//! Whether a narrative is the limited XHTML that FHIR allows (FHIR R4 narrative.html#Narrative, txt-1,
//! txt-2): one `div` of formatting elements, well nested, no scripts, no styles from elsewhere, not empty.

const ELEMENTS: &[&str] = &[
    "div",
    "p",
    "span",
    "b",
    "i",
    "u",
    "em",
    "strong",
    "small",
    "big",
    "tt",
    "sub",
    "sup",
    "br",
    "hr",
    "a",
    "img",
    "ul",
    "ol",
    "li",
    "dl",
    "dt",
    "dd",
    "table",
    "caption",
    "colgroup",
    "col",
    "thead",
    "tfoot",
    "tbody",
    "tr",
    "th",
    "td",
    "pre",
    "blockquote",
    "code",
    "samp",
    "kbd",
    "var",
    "cite",
    "q",
    "abbr",
    "acronym",
    "address",
    "dfn",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "bdo",
    "ins",
    "del",
    "map",
    "area",
];

/// Whether the text is such a `div`.
pub(crate) fn is_allowed(text: &str) -> bool {
    let mut rest = text.trim();
    let mut open: Vec<&str> = Vec::new();
    let mut has_content = false;
    if !rest.starts_with("<div") {
        return false;
    }
    loop {
        let Some(at) = rest.find('<') else { return false };
        let (plain, tag) = rest.split_at_checked(at).unwrap_or((rest, ""));
        has_content |= !plain.trim().is_empty();
        if !entities_fit(plain) {
            return false;
        }
        if let Some(comment) = tag.strip_prefix("<!--") {
            let Some(end) = comment.find("-->") else { return false };
            rest = comment.get(end + 3..).unwrap_or_default();
            continue;
        }
        let Some(end) = end_of_tag(tag) else { return false };
        let inside = tag.get(1..end).unwrap_or_default();
        rest = tag.get(end + 1..).unwrap_or_default();
        if let Some(name) = inside.strip_prefix('/') {
            if open.pop() != Some(name.trim_end()) {
                return false;
            }
            if open.is_empty() {
                return has_content && rest.is_empty();
            }
            continue;
        }
        let (inside, closes) = inside.strip_suffix('/').map_or((inside, false), |one| (one, true));
        let name_end = inside.find(|c: char| c.is_whitespace()).unwrap_or(inside.len());
        let (name, attributes) = inside.split_at_checked(name_end).unwrap_or((inside, ""));
        if !ELEMENTS.contains(&name) || !attributes_fit(attributes) {
            return false;
        }
        has_content |= name == "img";
        if !closes {
            open.push(name);
        } else if open.is_empty() {
            return false;
        }
    }
}

/// Where the tag's `>` stands, outside of quotes.
fn end_of_tag(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(mark), byte) if mark == byte => quote = None,
            _ => {}
        }
    }
    None
}

/// No event handlers, no `javascript:`, every value quoted.
fn attributes_fit(attributes: &str) -> bool {
    let mut rest = attributes.trim_start();
    while !rest.is_empty() {
        let Some((name, after)) = rest.split_once('=') else { return false };
        let name = name.trim().to_ascii_lowercase();
        let after = after.trim_start();
        let Some(mark) = after.chars().next().filter(|mark| matches!(mark, '"' | '\'')) else {
            return false;
        };
        let Some((value, more)) = after.get(1..).and_then(|after| after.split_once(mark)) else {
            return false;
        };
        let value = value.trim_start().to_ascii_lowercase();
        if name.starts_with("on") || value.starts_with("javascript:") || value.contains('<') {
            return false;
        }
        rest = more.trim_start();
    }
    true
}

/// Every `&` starts a reference.
fn entities_fit(text: &str) -> bool {
    text.split('&').skip(1).all(|after| {
        after.find(';').is_some_and(|end| {
            end > 0
                && after.get(..end).is_some_and(|name| {
                    name.trim_start_matches('#').bytes().all(|byte| byte.is_ascii_alphanumeric())
                })
        })
    })
}
