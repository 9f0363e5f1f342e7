//! Media types, `_format`, `Prefer` (FHIR R4 http.html#mime-type, #ops, search.html#errors).

use crate::resources::fault::Fault;

/// The media type of answers.
pub(super) const FHIR_JSON: &str = "application/fhir+json; charset=utf-8";

/// The media type of a JSON Patch (RFC 6902).
pub(super) const JSON_PATCH: &str = "application/json-patch+json";

/// The media type of a merge patch (RFC 7396).
pub(super) const MERGE_PATCH: &str = "application/merge-patch+json";

/// What comes back from a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Return {
    /// Headers alone.
    Minimal,
    /// The resource.
    Representation,
    /// What there is to say about it.
    Outcome,
}

/// `Prefer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Prefer {
    /// `return=`; `None` when nothing was said.
    pub(super) returns: Option<Return>,
    /// `handling=strict`: what is not understood is refused.
    pub(super) strict: bool,
}

/// Reads `Prefer`; what it does not know is left out (RFC 7240 §2).
pub(super) fn prefer(header: &str) -> Prefer {
    let mut prefer = Prefer::default();
    for part in header.split([',', ';']) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match (name.trim(), value.trim().trim_matches('"')) {
            ("return", "minimal") => prefer.returns = Some(Return::Minimal),
            ("return", "representation") => prefer.returns = Some(Return::Representation),
            ("return", "OperationOutcome") => prefer.returns = Some(Return::Outcome),
            ("handling", "strict") => prefer.strict = true,
            ("handling", "lenient") => prefer.strict = false,
            _ => {}
        }
    }
    prefer
}

/// Whether an answer in JSON is welcome: `_format` beats `Accept`.
pub(super) fn acceptable(format: Option<&str>, accept: Option<&str>) -> Result<(), Fault> {
    let known = match (format, accept) {
        (Some(format), _) => {
            // A plus sign in a query is often sent unescaped and then reads as a blank.
            let format = format.replace(' ', "+");
            format == "json" || is_json(&format)
        }
        (None, Some(accept)) if !accept.trim().is_empty() => accept.split(',').any(|one| {
            let refused = parameter(one, "q").is_some_and(|q| q.parse::<f32>() == Ok(0.0));
            !refused && (matches!(name(one).as_str(), "*/*" | "application/*") || is_json(one))
        }),
        _ => true,
    };
    if known {
        return Ok(());
    }
    let text = "answers are application/fhir+json of FHIR version 4.0";
    Err(Fault::new(406, "not-supported", "format", text))
}

/// Whether a body of this type is a resource.
pub(super) fn is_resource(content_type: Option<&str>) -> Result<(), Fault> {
    match content_type {
        Some(given) if is_json(given) && is_utf8(given) => Ok(()),
        None => Err(unsupported("Content-Type is missing; send application/fhir+json")),
        Some(_) => Err(unsupported("send application/fhir+json of FHIR version 4.0 in UTF-8")),
    }
}

/// Whether a body of this type is a FHIRPath Patch, a Parameters resource (FHIR R4 http.html#patch).
pub(super) fn is_fhir_patch(content_type: &str) -> bool {
    name(content_type) == "application/fhir+json"
}

/// Whether a body of this type is a patch: a list is a JSON Patch, an object a merge patch. Plain
/// `application/json` is what some clients call either.
pub(super) fn is_patch(content_type: Option<&str>) -> Result<(), Fault> {
    let known = [JSON_PATCH, MERGE_PATCH, "application/json"];
    let is_known = |given: &str| known.contains(&&*name(given)) || is_fhir_patch(given);
    if content_type.is_some_and(|given| is_known(given) && is_utf8(given)) {
        return Ok(());
    }
    Err(unsupported(
        "patches are application/json-patch+json, application/merge-patch+json or application/fhir+json",
    ))
}

/// Whether a body of this type is a form.
pub(super) fn is_form(content_type: Option<&str>) -> bool {
    content_type.is_some_and(|given| name(given) == "application/x-www-form-urlencoded")
}

pub(super) fn unsupported(text: &str) -> Fault {
    Fault::new(415, "not-supported", "media-type", text)
}

fn name(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn parameter<'a>(media_type: &'a str, wanted: &str) -> Option<&'a str> {
    media_type.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"'))
    })
}

fn is_json(media_type: &str) -> bool {
    let known = matches!(
        name(media_type).as_str(),
        "application/fhir+json" | "application/json" | "text/json" | "application/json+fhir"
    );
    let version = parameter(media_type, "fhirVersion");
    known && version.is_none_or(|version| matches!(version, "4.0" | "4.0.1"))
}

fn is_utf8(media_type: &str) -> bool {
    parameter(media_type, "charset").is_none_or(|charset| charset.eq_ignore_ascii_case("utf-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_of_r4_is_what_is_spoken() {
        let check = |format: Option<&str>, accept: Option<&str>, expected: bool| {
            assert_eq!(acceptable(format, accept).is_ok(), expected, "{format:?} {accept:?}");
        };
        check(None, None, true);
        check(None, Some("*/*"), true);
        check(None, Some("application/fhir+json;fhirVersion=4.0"), true);
        check(None, Some("application/fhir+json;fhirVersion=5.0"), false);
        check(None, Some("application/fhir+xml"), false);
        check(None, Some("application/fhir+xml, application/json;q=0.5"), true);
        check(None, Some("application/json;q=0"), false);
        check(Some("json"), Some("application/fhir+xml"), true);
        check(Some("application/fhir json"), None, true);
        check(Some("xml"), Some("application/json"), false);
    }

    #[test]
    fn bodies_are_json_in_utf8() {
        let check = |given: Option<&str>, expected: bool| {
            assert_eq!(is_resource(given).is_ok(), expected, "{given:?}");
        };
        check(Some("application/fhir+json"), true);
        check(Some("application/fhir+json; charset=UTF-8"), true);
        check(Some("application/json; charset=latin1"), false);
        check(Some("application/fhir+json; fhirVersion=3.0"), false);
        check(Some("text/plain"), false);
        check(None, false);
    }

    #[test]
    fn preferences_are_read_and_the_unknown_left_out() {
        assert_eq!(
            prefer("return=minimal, handling=strict; x=1"),
            Prefer { returns: Some(Return::Minimal), strict: true }
        );
        assert_eq!(prefer("return=OperationOutcome").returns, Some(Return::Outcome));
        assert_eq!(prefer("respond-async"), Prefer::default());
    }
}
