//! Filters of a topic subscription: `param=value`, `param:modifier=value`, `Type.param=value`; servers in
//! the field also write `Type?param=value`.

/// One filter, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The type it speaks of; every type of the topic without.
    pub kind: Option<Box<str>>,
    /// The parameter, with its modifier.
    pub name: Box<str>,
    /// The value, decoded.
    pub value: Box<str>,
}

impl Filter {
    /// The parameter without modifier and chain.
    #[must_use]
    pub fn parameter(&self) -> &str {
        self.name.split([':', '.']).next().unwrap_or(&self.name)
    }
}

/// Reads the filters of one `backport-filter-criteria`: several may be joined by `&`.
///
/// # Errors
/// What is wrong, in words.
pub fn read(text: &str, kinds: &[Box<str>]) -> Result<Vec<Filter>, String> {
    let (kind, query) = match text.split_once('?') {
        Some((kind, query)) if is_type(kind) => (Some(kind), query),
        _ => (None, text),
    };
    let mut filters = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name.is_empty() || value.is_empty() {
            return Err("a filter is written parameter=value, e.g. patient=Patient/123".to_owned());
        }
        // `Type.param`: a parameter itself starts with a small letter, or `_`.
        let (own, name) = match name.split_once('.') {
            Some((kind, name)) if is_type(kind) => (Some(kind.to_owned()), name.to_owned()),
            _ => (kind.map(str::to_owned), name.into_owned()),
        };
        if let Some(kind) = &own
            && !kinds.iter().any(|known| **known == **kind)
        {
            return Err(format!("the topic has no resources of type {kind}"));
        }
        filters.push(Filter {
            kind: own.map(Into::into),
            name: name.into(),
            value: (*value).into(),
        });
    }
    if filters.is_empty() {
        return Err("a filter is written parameter=value, e.g. patient=Patient/123".to_owned());
    }
    Ok(filters)
}

/// Whether this can be a type's name.
pub(super) fn is_type(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_in_use_is_read() {
        let kinds: Vec<Box<str>> = vec!["Encounter".into(), "Patient".into()];
        let check = |text: &str, expected: &[(Option<&str>, &str, &str)]| {
            let found = read(text, &kinds).unwrap();
            let found: Vec<_> =
                found.iter().map(|f| (f.kind.as_deref(), &*f.name, &*f.value)).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("patient=Patient/1", &[(None, "patient", "Patient/1")]);
        check("status:not=finished", &[(None, "status:not", "finished")]);
        check("Encounter.status=planned", &[(Some("Encounter"), "status", "planned")]);
        check(
            "Encounter?patient=Patient/1&class=IMP",
            &[(Some("Encounter"), "patient", "Patient/1"), (Some("Encounter"), "class", "IMP")],
        );
        check(
            "identifier=http%3A%2F%2Fx.example%2Fmrn%7C1",
            &[(None, "identifier", "http://x.example/mrn|1")],
        );
        check("patient.name=a", &[(None, "patient.name", "a")]);
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let kinds: Vec<Box<str>> = vec!["Encounter".into()];
        for wrong in ["", "patient", "=x", "patient=", "Device?status=active", "Device.status=a"] {
            assert!(read(wrong, &kinds).is_err(), "{wrong}");
        }
    }
}
