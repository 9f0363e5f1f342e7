//! What a reference's text says of its target (FHIR R4 references.html#literal, http.html#general).

use super::definitions;

/// The type of the resource a literal reference leads to: of `Patient/1`, of
/// `https://host/fhir/Patient/1/_history/2`; none for `#p1`, `urn:uuid:…` and what has another form.
#[must_use]
pub fn target_type(reference: &str) -> Option<&str> {
    target(reference).map(|(kind, _)| kind)
}

/// Type and id of the resource a literal reference leads to, on whatever server.
#[must_use]
pub fn target(reference: &str) -> Option<(&str, &str)> {
    if reference.contains('?') {
        // A conditional reference (`Patient?identifier=…`) names no id.
        return None;
    }
    let plain = reference.split(['#', '|']).next()?;
    let plain = plain.split_once("/_history/").map_or(plain, |(before, _)| before);
    let mut parts = plain.rsplit('/');
    let (id, kind) = (parts.next()?, parts.next()?);
    definitions::r4().resource(kind).filter(|_| !id.is_empty()).map(|_| (kind, id))
}
