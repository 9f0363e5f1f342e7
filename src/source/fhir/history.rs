//! History of a resource, a type, everything (FHIR R4 http.html#history), newest first.

use serde_json::{Value, json};

use crate::message::resource::{HistoryQuery, Interaction, ResourceKey, ResourceVersion};
use crate::message::time::Timestamp;
use crate::resources::condition::of_store;
use crate::resources::fault::{Fault, bad, not_found};
use crate::resources::plan::{check_id, live};
use crate::source::fhir::answer::Answer;
use crate::source::fhir::ask::{Ask, query_text};
use crate::source::fhir::desk::Desk;
use crate::source::fhir::page::PAGE;

impl Desk {
    pub(super) async fn history(&self, ask: &Ask, kind: &str, id: &str) -> Result<Answer, Fault> {
        let mut path = ask.caller.base.to_string();
        if !kind.is_empty() {
            self.rules.check_kind(kind)?;
            path.push_str(&format!("/{kind}"));
        }
        if !id.is_empty() {
            check_id(id)?;
            path.push_str(&format!("/{id}"));
        }
        path.push_str("/_history");
        let limit = self.count(ask)?;
        let since = ask.parameter("_since").map(instant).transpose()?;
        let page = ask.parameter(PAGE).map(|token| self.seal.open(token)).transpose()?;
        let query = HistoryQuery {
            kind: kind.into(),
            id: id.into(),
            since,
            page: page.map(Into::into),
            limit: limit.max(1),
        };
        let found = self.parts.store.resource_history(&query).await.map_err(of_store)?;
        if !id.is_empty() && found.matches.is_empty() && query.page.is_none() {
            let key = ResourceKey::new(kind, id);
            if self.parts.store.resource(&key).await.map_err(of_store)?.is_none() {
                return Err(not_found("there is no such resource"));
            }
        }
        let mut understood: Vec<(String, String)> = Vec::new();
        for name in ["_count", "_since"] {
            understood.extend(ask.parameter(name).map(|value| (name.to_owned(), value.to_owned())));
        }
        let with = |more: Option<(String, String)>| {
            let text = query_text(understood.iter().chain(more.iter()));
            if text.is_empty() { path.clone() } else { format!("{path}?{text}") }
        };
        let own = ask.parameter(PAGE).map(|page| (PAGE.to_owned(), page.to_owned()));
        let mut links = vec![json!({"relation": "self", "url": with(own)})];
        if let Some(next) = found.next.and_then(|next| self.seal.seal(&next)) {
            links.push(json!({"relation": "next", "url": with(Some((PAGE.to_owned(), next)))}));
        }
        let base = &*ask.caller.base;
        let shown = found
            .matches
            .iter()
            .filter(|version| kind.is_empty() || !id.is_empty() || *version.key.kind == *kind)
            // Of a type that this endpoint does not serve nothing is told either.
            .filter(|version| self.rules.check_kind(&version.key.kind).is_ok());
        let entries: Vec<Value> = shown.map(|version| entry(base, version)).collect();
        let mut bundle = json!({
            "resourceType": "Bundle",
            "type": "history",
            "link": links,
        });
        if let Some(members) = bundle.as_object_mut() {
            if let Some(total) = found.total {
                members.insert("total".to_owned(), total.into());
            }
            if limit > 0 && !entries.is_empty() {
                members.insert("entry".to_owned(), entries.into());
            }
        }
        Ok(Answer::of(200, bundle))
    }

    /// `_count`, within the limits.
    pub(super) fn count(&self, ask: &Ask) -> Result<u32, Fault> {
        let options = &self.options;
        match ask.parameter("_count") {
            None | Some("") => Ok(options.page_size.min(options.page_size_max)),
            Some(text) => {
                let wanted: u32 =
                    text.parse().map_err(|_| bad("count", "_count is a whole number"))?;
                Ok(wanted.min(options.page_size_max))
            }
        }
    }
}

fn entry(base: &str, version: &ResourceVersion) -> Value {
    let ResourceKey { kind, id } = &version.key;
    let (method, url, status) = match version.interaction {
        Interaction::Create => ("POST", kind.to_string(), "201 Created"),
        Interaction::Update if version.version == 1 => {
            ("PUT", version.key.to_string(), "201 Created")
        }
        Interaction::Update => ("PUT", version.key.to_string(), "200 OK"),
        Interaction::Patch => ("PATCH", version.key.to_string(), "200 OK"),
        Interaction::Delete => ("DELETE", version.key.to_string(), "204 No Content"),
    };
    let mut entry = json!({"fullUrl": format!("{base}/{kind}/{id}")});
    if let Some(members) = entry.as_object_mut() {
        if let Some(resource) = live(version) {
            members.insert("resource".to_owned(), resource);
        }
        members.insert("request".to_owned(), json!({"method": method, "url": url}));
        members.insert(
            "response".to_owned(),
            json!({
                "status": status,
                "etag": format!("W/\"{}\"", version.version),
                "lastModified": version.at.to_string(),
            }),
        );
    }
    entry
}

/// An instant, or a date, which then is its first moment in UTC.
fn instant(text: &str) -> Result<Timestamp, Fault> {
    // A plus sign in a URL is often sent unescaped and then reads as a blank.
    let text = text.replace(' ', "+");
    let moment = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let date = text.parse::<jiff::civil::Date>().ok()?;
        Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    });
    let moment =
        moment.ok_or_else(|| bad("since", "_since is an instant, 2026-01-01T00:00:00Z"))?;
    Ok(Timestamp(moment.as_microsecond()))
}
