//! Transactions: all entries or none (FHIR R4 http.html#trules). Identities are settled first, then the
//! links between entries, then the versions; the order of work is DELETE, POST, PUT and PATCH, GET.

use std::collections::{BTreeSet, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::fhir::json::read::{Limits, read};
use crate::fhir::json::resource_type;
use crate::message::criteria::{all_hold, no_chains};
use crate::message::resource::{Guard, ResourceKey};
use crate::resources::condition::criteria_of;
use crate::resources::fault::{Fault, bad, precondition};
use crate::resources::lens;
use crate::resources::links::{self, Links};
use crate::resources::plan::{Act, Body, Planner, Resolved, Step, Target};

/// An entry that writes.
#[derive(Debug, Clone)]
pub struct EntryAct {
    /// Its place in the bundle.
    pub at: usize,
    /// Its `fullUrl`.
    pub full_url: Option<Box<str>>,
    /// The resource type.
    pub kind: Box<str>,
    /// What it asks.
    pub act: Act,
}

/// Where `request.url` leads.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    kind: String,
    id: Option<String>,
    query: Option<String>,
}

/// Reads an entry that writes; `None` when it only reads (GET, HEAD).
///
/// # Errors
/// 400 when it cannot be understood.
pub fn entry_act(at: usize, entry: &Value, base: &str) -> Result<Option<EntryAct>, Fault> {
    let text =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let request = entry.get("request").unwrap_or(&Value::Null);
    let missing = |what: &str| {
        bad("request", format!("the entry has no {what}")).at(format!("Bundle.entry[{at}].request"))
    };
    let method = text(request, "method").ok_or_else(|| missing("request.method"))?;
    let url = text(request, "url").ok_or_else(|| missing("request.url"))?;
    if matches!(&*method, "GET" | "HEAD") {
        return Ok(None);
    }
    let place = place_of(&url, base).map_err(|fault| fault.within(at))?;
    let if_match = text(request, "ifMatch").map(|tag| version_of(&tag)).transpose();
    let if_match = if_match.map_err(|fault| fault.within(at))?;
    let body = || {
        let value = entry.get("resource").cloned().ok_or_else(|| missing("resource"))?;
        Ok(Body { value, bytes: None })
    };
    let act = match (&*method, &place.id) {
        ("POST", None) => {
            let unless = text(request, "ifNoneExist").map(Into::into);
            Act::Create { body: body()?, unless }
        }
        ("PUT", _) => Act::Update { target: place.target(at)?, body: body()?, if_match },
        ("PATCH", _) => {
            let patch = patch_of(&body()?.value).map_err(|fault| fault.within(at))?;
            Act::Patch { target: place.target(at)?, patch, if_match }
        }
        ("DELETE", _) => Act::Delete { target: place.target(at)?, if_match },
        _ => return Err(bad("request", "this method does not go with this url").within(at)),
    };
    let full_url = text(entry, "fullUrl").map(Into::into);
    Ok(Some(EntryAct { at, full_url, kind: place.kind.into(), act }))
}

impl Place {
    fn target(&self, at: usize) -> Result<Target, Fault> {
        match (&self.id, &self.query) {
            (Some(id), None) => Ok(Target::Id(id.as_str().into())),
            (None, Some(query)) => Ok(Target::Where(query.as_str().into())),
            _ => Err(bad("request", "request.url must name one resource").within(at)),
        }
    }
}

fn place_of(url: &str, base: &str) -> Result<Place, Fault> {
    let url = url.strip_prefix(base).unwrap_or(url).trim_start_matches('/');
    let (path, query) =
        url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
    let mut parts = path.split('/');
    let kind = parts.next().unwrap_or_default().to_owned();
    let id = parts.next().map(str::to_owned);
    if kind.is_empty() || parts.next().is_some() || url.contains("://") {
        return Err(bad("request", "request.url must be relative: Type, Type/id or Type?search"));
    }
    Ok(Place { kind, id, query: query.filter(|query| !query.is_empty()).map(str::to_owned) })
}

/// `W/"3"`, as in `If-Match`.
///
/// # Errors
/// 400 when it is no version of ours.
pub fn version_of(tag: &str) -> Result<u64, Fault> {
    let inner = tag.trim().strip_prefix("W/").unwrap_or(tag.trim()).trim_matches('"');
    inner.parse().map_err(|_| bad("etag", "a version is named as W/\"1\""))
}

/// A patch inside a bundle travels in a Binary (FHIR R4 http.html#patch), a FHIRPath Patch as it is.
///
/// # Errors
/// 400 when it is none.
pub fn patch_of(resource: &Value) -> Result<Value, Fault> {
    if resource_type(resource) == Some("Parameters") {
        return Ok(resource.clone());
    }
    let text = |name: &str| resource.get(name).and_then(Value::as_str);
    let known = resource_type(resource) == Some("Binary")
        && text("contentType").is_some_and(|name| name.starts_with("application/json-patch+json"));
    let bytes = text("data").filter(|_| known).and_then(|data| STANDARD.decode(data).ok());
    bytes
        .and_then(|bytes| read(&bytes, &Limits::default()).ok())
        .ok_or_else(|| bad("patch", "a patch stands in a Binary of application/json-patch+json"))
}

/// Plans all entries that write. Answers each with its place in the bundle, in the order of work.
///
/// # Errors
/// The fault of the first entry that cannot be done: nothing is done then.
pub async fn plan(
    planner: &Planner<'_>,
    mut entries: Vec<EntryAct>,
    guards: &mut Vec<Guard>,
) -> Result<Vec<(usize, Step)>, Fault> {
    entries.sort_by_key(|entry| match entry.act {
        Act::Delete { .. } => 0,
        Act::Create { .. } => 1,
        Act::Update { .. } | Act::Patch { .. } => 2,
    });
    let mut resolved = Vec::with_capacity(entries.len());
    let mut going: Vec<ResourceKey> = Vec::new();
    for entry in &entries {
        let planner = Planner { going: &going, ..*planner };
        let one = planner.resolve(&entry.kind, &entry.act, guards).await;
        let one = one.map_err(|fault| fault.within(entry.at))?;
        if let (Act::Delete { .. }, Some(id)) = (&entry.act, one.id()) {
            going.push(ResourceKey::new(&entry.kind, id));
        }
        resolved.push(one);
    }
    let planner = &Planner { going: &going, ..*planner };
    one_act_each(&entries, &resolved)?;
    let mut links = Links::new();
    for (entry, resolved) in entries.iter().zip(&resolved) {
        if let (Some(url), Some(id)) = (&entry.full_url, resolved.id()) {
            links.insert(url.to_string(), format!("{}/{id}", entry.kind));
        }
    }
    resolve_conditional(planner, &entries, &resolved, &mut links).await?;
    let mut steps = Vec::with_capacity(entries.len());
    for (entry, resolved) in entries.into_iter().zip(resolved) {
        let EntryAct { at, kind, mut act, full_url } = entry;
        let base = full_url.as_deref().and_then(links::base);
        match &mut act {
            Act::Create { body, .. } | Act::Update { body, .. } => {
                links::rewrite(&mut body.value, &links, base);
            }
            Act::Patch { patch, .. } => links::rewrite_patch(patch, &links, base),
            Act::Delete { .. } => {}
        }
        let step = planner.step(&kind, act, resolved).map_err(|fault| fault.within(at))?;
        steps.push((at, step));
    }
    Ok(steps)
}

/// No resource may be written twice, and no condition may create twice.
fn one_act_each(entries: &[EntryAct], resolved: &[Resolved]) -> Result<(), Fault> {
    let (mut keys, mut conditions, mut urls) = (HashSet::new(), HashSet::new(), HashSet::new());
    for (entry, resolved) in entries.iter().zip(resolved) {
        let stands = matches!(resolved, Resolved::Stands(_));
        let key = resolved.id().filter(|_| !stands).map(|id| ResourceKey::new(&entry.kind, id));
        let condition = match (&entry.act, resolved) {
            (Act::Create { unless: Some(query), .. }, Resolved::New(_))
            | (
                Act::Update { target: Target::Where(query), .. },
                Resolved::New(_) | Resolved::Chosen(_),
            ) => Some((&entry.kind, query)),
            _ => None,
        };
        let again = key.is_some_and(|key| !keys.insert(key))
            || condition.is_some_and(|condition| !conditions.insert(condition))
            || entry.full_url.as_ref().is_some_and(|url| !urls.insert(url));
        if again {
            let text = "another entry of the transaction is about the same resource";
            return Err(Fault::new(400, "duplicate", "duplicate", text).within(entry.at));
        }
    }
    Ok(())
}

/// Conditional references: a resource of the store, or one that this transaction makes.
async fn resolve_conditional(
    planner: &Planner<'_>,
    entries: &[EntryAct],
    resolved: &[Resolved],
    links: &mut Links,
) -> Result<(), Fault> {
    let mut wanted: BTreeSet<(String, usize)> = BTreeSet::new();
    for entry in entries {
        let mut found = BTreeSet::new();
        links::conditional_of(&entry.act, &mut found);
        wanted.extend(found.into_iter().map(|text| (text, entry.at)));
    }
    for (text, at) in wanted {
        if links.contains_key(&text) {
            continue;
        }
        let (kind, query) = text.split_once('?').unwrap_or((&text, ""));
        let stored = planner.look_up(kind, query).await.map_err(|fault| fault.within(at))?;
        let id = match stored.one {
            Some(one) => one.key.id,
            None => made_here(planner, kind, query, entries, resolved)
                .map_err(|fault| fault.within(at))?,
        };
        let target = format!("{kind}/{id}");
        links.insert(text, target);
    }
    Ok(())
}

fn made_here(
    planner: &Planner<'_>,
    kind: &str,
    query: &str,
    entries: &[EntryAct],
    resolved: &[Resolved],
) -> Result<Box<str>, Fault> {
    let criteria = criteria_of(kind, query, planner.reading)?;
    let mut ids = entries.iter().zip(resolved).filter_map(|(entry, resolved)| {
        let (Act::Create { body, .. } | Act::Update { body, .. }) = &entry.act else { return None };
        let fits = *entry.kind == *kind
            && all_hold(&criteria, &lens::values(&body.value, planner.reading), &no_chains);
        resolved.id().filter(|_| fits)
    });
    match (ids.next(), ids.next()) {
        (Some(id), None) => Ok(id.into()),
        (None, _) => {
            let text = "a conditional reference matches nothing";
            Err(precondition("not-found", "reference", text))
        }
        _ => {
            let text = "a conditional reference matches more than one resource";
            Err(precondition("multiple-matches", "reference", text))
        }
    }
}
