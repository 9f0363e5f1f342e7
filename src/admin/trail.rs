//! The audit trail: read, verified, exported. Reading it is on record too.

use std::sync::Arc;

use axum::extract::Query;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::access::door::Door;
use crate::access::verify::{Verified, verify};
use crate::admin::problem::Problem;
use crate::message::time::Timestamp;
use crate::store::access::{AuditQuery, AuditRecord};

/// Most records a page.
const PAGE_MAX: u32 = 500;
/// Records read at once for an export.
const EXPORT_PAGE: u32 = 1000;
/// So many times: an export that asks for little looks at no more than so many records.
const EXPORT_PAGES_MAX: u32 = 100;
/// An export with so many records ends at the next page.
const EXPORT_ENOUGH: usize = 9_000;

/// Which records.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AuditSearch)]
pub(crate) struct Search {
    actor: Option<String>,
    action: Option<String>,
    object: Option<String>,
    /// What somebody searched messages for, in place of `object`: finds who looked for it.
    term: Option<String>,
    since: Option<String>,
    until: Option<String>,
    before: Option<i64>,
    limit: Option<u32>,
}

fn moment(text: Option<&str>, field: &str) -> Result<Option<Timestamp>, Problem> {
    crate::admin::messages::moment(text, field)
}

fn shown(record: &AuditRecord) -> Value {
    let entry = &record.entry;
    json!({
        "number": record.number,
        "at": entry.at.to_string(),
        "actor": entry.actor,
        "address": entry.address,
        "action": entry.action,
        "outcome": entry.outcome,
        "object": entry.object,
        "reason": entry.reason,
    })
}

/// Records, newest first.
pub(crate) async fn search(
    Extension(door): Extension<Arc<Door>>,
    Json(search): Json<Search>,
) -> Result<Json<Value>, Problem> {
    let limit = search.limit.unwrap_or(100).clamp(1, PAGE_MAX);
    let object = match &search.term {
        Some(term) => Some(door.term(term).await?),
        None => search.object,
    };
    let query = AuditQuery {
        since: moment(search.since.as_deref(), "since")?,
        until: moment(search.until.as_deref(), "until")?,
        actor: search.actor,
        action: search.action,
        object,
        before: search.before,
        limit,
    };
    let found = door.store().audit_records(&query).await?;
    let full = u32::try_from(found.len()).is_ok_and(|count| count >= limit);
    let next = found.last().filter(|_| full).map(|record| record.number);
    Ok(Json(json!({"records": found.iter().map(shown).collect::<Vec<_>>(), "next": next})))
}

/// Whether every record is there and as it was written.
pub(crate) async fn verified(
    Extension(door): Extension<Arc<Door>>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(match verify(&**door.store()).await? {
        Verified::Whole { records, head } => json!({
            "whole": true,
            "records": records,
            "head": head.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        }),
        Verified::Broken { number, why } => json!({"whole": false, "record": number, "why": why}),
    }))
}

/// Where an export begins, and its form.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Export {
    #[serde(default)]
    from: i64,
    format: Form,
    actor: Option<String>,
    action: Option<String>,
    object: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

/// The `from` of an export's next part, when there is one.
const NEXT: HeaderName = HeaderName::from_static("medway-next");

/// What an export holds, and where the next one begins.
struct Exported {
    records: Vec<AuditRecord>,
    next: Option<i64>,
}

/// Records from a number on that fit, oldest first: at most so many, among at most so many.
async fn exported(door: &Door, export: &Export) -> Result<Exported, Problem> {
    let since = moment(export.since.as_deref(), "since")?;
    let until = moment(export.until.as_deref(), "until")?;
    let is =
        |wanted: &Option<String>, has: &str| wanted.as_deref().is_none_or(|wanted| wanted == has);
    let fits = |record: &AuditRecord| {
        let entry = &record.entry;
        let family = |wanted: &str| wanted.ends_with('.') && entry.action.starts_with(wanted);
        is(&export.actor, &entry.actor)
            && is(&export.object, &entry.object)
            && (is(&export.action, &entry.action) || export.action.as_deref().is_some_and(family))
            && since.is_none_or(|since| entry.at >= since)
            && until.is_none_or(|until| entry.at < until)
    };
    let mut found = Exported { records: Vec::new(), next: Some(export.from) };
    for _ in 0..EXPORT_PAGES_MAX {
        let Some(from) = found.next else { break };
        let page = door.store().audit_from(from, EXPORT_PAGE).await?;
        let full = u32::try_from(page.len()).is_ok_and(|count| count >= EXPORT_PAGE);
        found.next = page.last().filter(|_| full).map(|last| last.number.saturating_add(1));
        found.records.extend(page.into_iter().filter(fits));
        if found.records.len() >= EXPORT_ENOUGH {
            break;
        }
    }
    Ok(found)
}

/// The form of an export.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Form {
    /// Comma-separated values.
    Csv,
    /// A FHIR R4 collection Bundle of `AuditEvent`.
    Fhir,
}

/// Records from a number on, as a file.
pub(crate) async fn export(
    Extension(door): Extension<Arc<Door>>,
    Query(export): Query<Export>,
) -> Result<Response, Problem> {
    let Exported { records, next } = exported(&door, &export).await?;
    let (media_type, body) = match export.format {
        Form::Csv => ("text/csv; charset=utf-8", csv(&records)?),
        Form::Fhir => {
            let entries: Vec<Value> =
                records.iter().map(|record| json!({"resource": event(record)})).collect();
            let mut bundle = json!({"resourceType": "Bundle", "type": "collection"});
            // FHIR R4 json.html: an array that holds nothing is left out.
            if let Some(bundle) = bundle.as_object_mut().filter(|_| !entries.is_empty()) {
                bundle.insert("entry".to_owned(), json!(entries));
            }
            ("application/fhir+json", bundle.to_string().into_bytes())
        }
    };
    let mut response =
        ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "no-store")], body)
            .into_response();
    if let Some(next) = next {
        response.headers_mut().insert(NEXT, HeaderValue::from(next));
    }
    Ok(response)
}

/// A cell that a spreadsheet does not take for a formula.
fn cell(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

fn csv(records: &[AuditRecord]) -> Result<Vec<u8>, Problem> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let fault = |_| Problem::fault("the records could not be written as CSV");
    let head = ["number", "at", "actor", "address", "action", "outcome", "object", "reason"];
    writer.write_record(head).map_err(fault)?;
    for record in records {
        let entry = &record.entry;
        let row = [
            record.number.to_string(),
            entry.at.to_string(),
            cell(&entry.actor),
            cell(&entry.address),
            cell(&entry.action),
            cell(&entry.outcome),
            cell(&entry.object),
            cell(&entry.reason),
        ];
        writer.write_record(row).map_err(fault)?;
    }
    writer.into_inner().map_err(|_| Problem::fault("the records could not be written as CSV"))
}

/// A record as FHIR R4 `AuditEvent` (auditevent.html).
fn event(record: &AuditRecord) -> Value {
    let entry = &record.entry;
    let action = match entry.action.rsplit('.').next().unwrap_or_default() {
        "add" | "set_up" => "C",
        "see" | "list" | "search" | "content" | "sent" | "read" | "verify" | "export" => "R",
        "change" | "password" | "second_factor" => "U",
        "revoke" => "D",
        _ => "E",
    };
    let outcome = if matches!(entry.outcome.as_str(), "granted" | "done") { "0" } else { "8" };
    let mut agent = json!({"requestor": true, "who": {"display": entry.actor}});
    let mut made = json!({
        "resourceType": "AuditEvent",
        "id": format!("audit-{}", record.number),
        "type": {
            "system": "http://terminology.hl7.org/CodeSystem/audit-event-type",
            "code": "rest",
        },
        "subtype": [{"system": "urn:medway:action", "code": entry.action}],
        "action": action,
        "recorded": entry.at.to_string(),
        "outcome": outcome,
        "outcomeDesc": entry.outcome,
        "source": {"observer": {"display": "Medway"}},
    });
    // FHIR R4 datatypes.html#string: a string is not empty; what is not known is left out.
    if let Some(agent) = agent.as_object_mut() {
        if !entry.address.is_empty() {
            let network = json!({"address": entry.address, "type": "2"});
            agent.insert("network".to_owned(), network);
        }
        if !entry.reason.trim().is_empty() {
            agent.insert("purposeOfUse".to_owned(), json!([{"text": entry.reason}]));
        }
    }
    if let Some(made) = made.as_object_mut() {
        made.insert("agent".to_owned(), json!([agent]));
        if !entry.object.trim().is_empty() {
            made.insert("entity".to_owned(), json!([{"what": {"display": entry.object}}]));
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn a_spreadsheet_takes_no_cell_for_a_formula() {
        for text in ["=1+1", "+1", "-1", "@x", "\tx"] {
            assert!(cell(text).starts_with('\''), "{text:?}");
        }
        assert_eq!(cell("user:li"), "user:li");
    }
}
