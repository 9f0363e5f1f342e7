//! Read and vread (FHIR R4 http.html#read, #vread), with what makes them cheap: 304.

use crate::fhir::json::subset::{Subset, subset};
use crate::message::resource::{ResourceKey, ResourceVersion};
use crate::resources::condition::of_store;
use crate::resources::fault::{Fault, bad, gone, not_found};
use crate::resources::plan::{check_id, live};
use crate::source::fhir::answer::{Answer, Content};
use crate::source::fhir::ask::Ask;
use crate::source::fhir::desk::Desk;

impl Desk {
    pub(super) async fn read(&self, ask: &Ask, kind: &str, id: &str) -> Result<Answer, Fault> {
        self.rules.check_kind(kind)?;
        check_id(id)?;
        let found = self.parts.store.resource(&ResourceKey::new(kind, id)).await;
        let found = found.map_err(of_store)?;
        let version = found.ok_or_else(|| not_found("there is no such resource"))?;
        if version.is_deleted() {
            return Ok(Answer::fault(&gone()).versioned(&version));
        }
        shown(ask, &version)
    }

    pub(super) async fn vread(
        &self,
        ask: &Ask,
        kind: &str,
        id: &str,
        version: &str,
    ) -> Result<Answer, Fault> {
        self.rules.check_kind(kind)?;
        check_id(id)?;
        let none = || not_found("there is no such version");
        let number = version.parse().map_err(|_| none())?;
        let key = ResourceKey::new(kind, id);
        let found = self.parts.store.resource_version(&key, number).await.map_err(of_store)?;
        let version = found.ok_or_else(none)?;
        if version.is_deleted() {
            return Ok(Answer::fault(&gone()).versioned(&version));
        }
        shown(ask, &version)
    }
}

fn shown(ask: &Ask, version: &ResourceVersion) -> Result<Answer, Fault> {
    if not_modified(ask, version) {
        return Ok(Answer::empty(304).versioned(version));
    }
    let body = match part(ask)? {
        Some(part) => live(version)
            .map_or(Content::Nothing, |resource| Content::Json(subset(&resource, &part))),
        None => Content::Stored(version.body.expose().clone()),
    };
    Ok(Answer { status: 200, body, ..Answer::default() }.versioned(version))
}

/// RFC 9110 §13.2.2: `If-Modified-Since` counts only without `If-None-Match`.
fn not_modified(ask: &Ask, version: &ResourceVersion) -> bool {
    if let Some(tags) = &ask.conditions.if_none_match {
        let ours = version.version.to_string();
        return tags.split(',').map(str::trim).any(|tag| {
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"') == ours
        });
    }
    ask.conditions
        .if_modified_since
        .is_some_and(|since| version.at.0.div_euclid(1_000_000) <= since)
}

/// The part of resources that is asked for: `_summary`, `_elements`.
pub(super) fn part(ask: &Ask) -> Result<Option<Subset>, Fault> {
    if let Some(names) = ask.parameter("_elements").filter(|names| !names.is_empty()) {
        let plain = |name: &str| {
            let name = name.trim();
            name.rsplit_once('.').map_or(name, |(_, name)| name).to_owned()
        };
        return Ok(Some(Subset::Elements(names.split(',').map(plain).collect())));
    }
    match ask.parameter("_summary") {
        None | Some("false" | "count" | "") => Ok(None),
        Some("true") => Ok(Some(Subset::Summary)),
        Some("text") => Ok(Some(Subset::Text)),
        Some("data") => Ok(Some(Subset::Data)),
        Some(_) => Err(bad("summary", "_summary is true, text, data, count or false")),
    }
}
