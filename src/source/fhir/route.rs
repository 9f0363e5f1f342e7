//! What a path below the base means (FHIR R4 http.html#summary).

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// The base itself: batch, transaction, system search.
    System,
    /// `/metadata`.
    Metadata,
    /// `/.well-known/smart-configuration`.
    Smart,
    /// `/_history`.
    SystemHistory,
    /// `/Patient`.
    Type(Box<str>),
    /// `/_search`.
    SystemSearch,
    /// `/Patient/_search`.
    Search(Box<str>),
    /// `/Patient/_history`.
    TypeHistory(Box<str>),
    /// `/Patient/1`.
    Instance(Box<str>, Box<str>),
    /// `/Patient/1/_history`.
    History(Box<str>, Box<str>),
    /// `/Patient/1/_history/2`.
    Version(Box<str>, Box<str>, Box<str>),
    /// `/$name`, `/Patient/$name`, `/Patient/1/$name`.
    Operation {
        /// The type, when there is one.
        kind: Option<Box<str>>,
        /// The id, when there is one.
        id: Option<Box<str>>,
        /// The name without `$`.
        name: Box<str>,
    },
    /// Nothing of ours.
    Unknown,
}

impl Route {
    /// What may be done here, as `Allow` says it (RFC 9110 §10.2.1).
    pub(super) const fn methods(&self) -> &'static str {
        match self {
            Self::Metadata | Self::Smart | Self::Version(..) => "GET, HEAD",
            Self::SystemHistory | Self::TypeHistory(_) | Self::History(..) => "GET",
            Self::Type(_) => "GET, POST, PUT, PATCH, DELETE",
            Self::Instance(..) => "GET, HEAD, PUT, PATCH, DELETE",
            Self::System => "GET, POST",
            Self::SystemSearch | Self::Search(_) | Self::Operation { .. } => "POST",
            Self::Unknown => "",
        }
    }
}

/// Reads a path; `path` begins after the base.
pub(super) fn route(path: &str) -> Route {
    let path = path.trim_matches('/');
    if path.is_empty() {
        return Route::System;
    }
    let parts: Option<Vec<Cow<'_, str>>> =
        path.split('/').map(|part| percent_decode_str(part).decode_utf8().ok()).collect();
    let Some(parts) = parts else { return Route::Unknown };
    let parts: Vec<&str> = parts.iter().map(|part| &**part).collect();
    let is_type = |text: &str| text.starts_with(|c: char| c.is_ascii_uppercase());
    let operation = |text: &str| text.strip_prefix('$').map(Into::into);
    match parts.as_slice() {
        ["metadata"] => Route::Metadata,
        [".well-known", "smart-configuration"] => Route::Smart,
        ["_history"] => Route::SystemHistory,
        ["_search"] => Route::SystemSearch,
        [name] if name.starts_with('$') => operation(name)
            .map_or(Route::Unknown, |name| Route::Operation { kind: None, id: None, name }),
        [kind] if is_type(kind) => Route::Type((*kind).into()),
        [kind, "_search"] if is_type(kind) => Route::Search((*kind).into()),
        [kind, "_history"] if is_type(kind) => Route::TypeHistory((*kind).into()),
        [kind, name] if is_type(kind) => match operation(name) {
            Some(name) => Route::Operation { kind: Some((*kind).into()), id: None, name },
            None => Route::Instance((*kind).into(), (*name).into()),
        },
        [kind, id, "_history"] if is_type(kind) => Route::History((*kind).into(), (*id).into()),
        [kind, id, name] if is_type(kind) => match operation(name) {
            Some(name) => {
                Route::Operation { kind: Some((*kind).into()), id: Some((*id).into()), name }
            }
            None => Route::Unknown,
        },
        [kind, id, "_history", version] if is_type(kind) => {
            Route::Version((*kind).into(), (*id).into(), (*version).into())
        }
        _ => Route::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_what_the_standard_says() {
        let check = |path: &str, expected: Route| assert_eq!(route(path), expected, "{path}");
        check("/", Route::System);
        check("/metadata", Route::Metadata);
        check("/Patient/", Route::Type("Patient".into()));
        check("/_search", Route::SystemSearch);
        check("/Patient/_search", Route::Search("Patient".into()));
        check("/Patient/1", Route::Instance("Patient".into(), "1".into()));
        check("/Patient/a%2Db", Route::Instance("Patient".into(), "a-b".into()));
        check("/Patient/1/_history/2", Route::Version("Patient".into(), "1".into(), "2".into()));
        let validate = |kind: Option<&str>, id: Option<&str>| Route::Operation {
            kind: kind.map(Into::into),
            id: id.map(Into::into),
            name: "validate".into(),
        };
        check("/$validate", validate(None, None));
        check("/Patient/$validate", validate(Some("Patient"), None));
        check("/Patient/1/$validate", validate(Some("Patient"), Some("1")));
        check("/patient", Route::Unknown);
        check("/Patient/1/x/y/z", Route::Unknown);
        check("/Patient/%FF", Route::Unknown);
    }
}
