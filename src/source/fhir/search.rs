//! Search (FHIR R4 search.html): what is understood is searched and echoed; what is not is told, or
//! refused when the client asked for strict handling.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::fhir::json::subset::{Subset, subset};
use crate::message::resource::{Indexed, ResourceKey, ResourceQuery, ResourceVersion};
use crate::resources::condition::of_store;
use crate::resources::fault::{Fault, Issue, bad, outcome};
use crate::resources::lens;
use crate::resources::plan::live;
use crate::source::fhir::access::scope::Permission;
use crate::source::fhir::answer::Answer;
use crate::source::fhir::ask::{Ask, Query, is_about_form, query_of, query_text};
use crate::source::fhir::desk::Desk;
use crate::source::fhir::page::PAGE;
use crate::source::fhir::read::part;

/// Divides a sealed page: the query, and the store's place.
const DIVIDER: char = '\0';

/// A search as it was understood.
struct Search {
    query: ResourceQuery,
    /// Parameters that count, for the `self` link.
    understood: Query,
    /// Parameters that do not.
    issues: Vec<Issue>,
    includes: Vec<Include>,
    reverse: Vec<Include>,
    /// Only the number of matches is wanted.
    counting: bool,
}

/// `_include=Observation:subject:Patient`, or `_revinclude`.
struct Include {
    source: Box<str>,
    /// `None`: every reference.
    param: Option<Box<str>>,
    target: Option<Box<str>>,
}

impl Desk {
    pub(super) async fn search(&self, ask: &Ask, kind: &str) -> Result<Answer, Fault> {
        self.planner(ask.at).check_kind(kind)?;
        let Some(token) = ask.parameter(PAGE) else {
            return self.search_page(ask, kind, None).await;
        };
        let sealed = self.seal.open(token)?;
        let (query, page) = sealed.split_once(DIVIDER).unwrap_or((&sealed, ""));
        let again = Ask { query: query_of(query), ..ask.clone() };
        self.search_page(&again, kind, Some((page, token))).await
    }

    async fn search_page(
        &self,
        ask: &Ask,
        kind: &str,
        page: Option<(&str, &str)>,
    ) -> Result<Answer, Fault> {
        let mut search = self.understand(ask, kind)?;
        search.query.page = page.map(|(page, _)| page.into());
        let part = part(ask)?;
        let found = self.parts.store.resource_search(&search.query).await.map_err(of_store)?;
        let whole = page.is_none() && found.next.is_none();
        let matched = u64::try_from(found.matches.len()).unwrap_or(u64::MAX);
        let total = found.total.or_else(|| (whole && !search.counting).then_some(matched));
        let base = &*ask.caller.base;
        let mut links = vec![json!({"relation": "self", "url": match page {
            Some((_, token)) => url(base, kind, &[(PAGE.to_owned(), token.to_owned())]),
            None => url(base, kind, &search.understood),
        }})];
        if let Some(next) = found.next.as_deref().filter(|_| !search.counting) {
            let sealed = format!("{}{DIVIDER}{next}", query_text(&search.understood));
            if let Some(token) = self.seal.seal(&sealed) {
                let next = url(base, kind, &[(PAGE.to_owned(), token)]);
                links.push(json!({"relation": "next", "url": next}));
            }
        }
        let mut entries = Vec::new();
        if !search.counting {
            for version in &found.matches {
                entries.extend(entry(base, version, "match", part.as_ref()));
            }
            for version in self.included(ask, &search, &found.matches).await? {
                entries.extend(entry(base, &version, "include", None));
            }
        }
        if !search.issues.is_empty() {
            let told = outcome(&search.issues);
            entries.push(json!({"resource": told, "search": {"mode": "outcome"}}));
        }
        let mut bundle = json!({"resourceType": "Bundle", "type": "searchset"});
        if let Some(members) = bundle.as_object_mut() {
            if let Some(total) = total {
                members.insert("total".to_owned(), total.into());
            }
            members.insert("link".to_owned(), links.into());
            if !entries.is_empty() {
                members.insert("entry".to_owned(), entries.into());
            }
        }
        Ok(Answer::of(200, bundle))
    }

    /// Sorts parameters into what is searched, what shapes the answer, and what is not known.
    fn understand(&self, ask: &Ask, kind: &str) -> Result<Search, Fault> {
        let counted = self.count(ask)?;
        let counting = counted == 0 || ask.parameter("_summary") == Some("count");
        let mut search = Search {
            query: ResourceQuery {
                kind: kind.into(),
                limit: counted.max(1),
                total: counting,
                ..ResourceQuery::default()
            },
            understood: Query::new(),
            issues: Vec::new(),
            includes: Vec::new(),
            reverse: Vec::new(),
            counting,
        };
        for (name, value) in &ask.query {
            if is_about_form(name) || name == PAGE || value.is_empty() {
                continue;
            }
            if self.take(&mut search, ask, kind, name, value)? {
                search.understood.push((name.clone(), value.clone()));
            } else {
                let text = format!("the search parameter {} is not known for {kind}", known_part(name));
                if ask.prefer.strict {
                    let fault = Fault::new(400, "not-supported", "parameter", text);
                    return Err(fault.at(format!("http.{}", known_part(name))));
                }
                let issue = Issue::information("not-supported", "parameter", text);
                search.issues.push(Issue { severity: "warning", ..issue });
            }
        }
        Ok(search)
    }

    /// Takes one parameter in; `false` when it is not known.
    fn take(
        &self,
        search: &mut Search,
        ask: &Ask,
        kind: &str,
        name: &str,
        value: &str,
    ) -> Result<bool, Fault> {
        match name {
            "_count" | "_summary" | "_elements" => {}
            "_total" => match value {
                "none" => {}
                "estimate" | "accurate" => search.query.total = true,
                _ => return Err(bad("total", "_total is none, estimate or accurate")),
            },
            "_sort" => {
                for word in value.split(',').map(str::trim) {
                    let (code, down) =
                        word.strip_prefix('-').map_or((word, false), |code| (code, true));
                    if !lens::can_sort(kind, code) {
                        return Ok(false);
                    }
                    search.query.sort.push((code.into(), down));
                }
            }
            "_include" | "_revinclude" => {
                let Some(include) = include(value) else { return Ok(false) };
                let reverse = name == "_revinclude";
                let may = ask.caller.principal.may(&include.source, Permission::Search);
                if may.is_err() || !known(&include, kind, reverse) {
                    return Ok(false);
                }
                if reverse { &mut search.reverse } else { &mut search.includes }.push(include);
            }
            _ => {
                let Some(criterion) = lens::criterion(kind, name, value, &ask.caller.base)? else {
                    return Ok(false);
                };
                if let Some(chained) = lens::chained(&criterion) {
                    // A chain looks into resources of another type.
                    ask.caller.principal.may(chained, Permission::Search)?;
                }
                search.query.criteria.push(criterion);
            }
        }
        Ok(true)
    }

    /// Resources that the matches refer to, and those that refer to the matches; each once.
    async fn included(
        &self,
        ask: &Ask,
        search: &Search,
        matches: &[ResourceVersion],
    ) -> Result<Vec<ResourceVersion>, Fault> {
        let limit = self.options.includes_max;
        let full = |included: &Vec<ResourceVersion>| {
            u32::try_from(included.len()).unwrap_or(u32::MAX) >= limit
        };
        let mut seen: HashSet<ResourceKey> = matches.iter().map(|one| one.key.clone()).collect();
        let mut included: Vec<ResourceVersion> = Vec::new();
        for key in referred(search, matches) {
            if full(&included) {
                return Ok(included);
            }
            let may = ask.caller.principal.may(&key.kind, Permission::Read).is_ok();
            if !may || !seen.insert(key.clone()) {
                continue;
            }
            let found = self.parts.store.resource(&key).await.map_err(of_store)?;
            included.extend(found.filter(|version| !version.is_deleted()));
        }
        let keys: Vec<ResourceKey> = matches.iter().map(|one| one.key.clone()).collect();
        for include in &search.reverse {
            let Some(param) = include.param.as_deref().filter(|_| !keys.is_empty()) else { continue };
            let store = &self.parts.store;
            let found = store.resource_referrers(&include.source, param, &keys, limit).await;
            for version in found.map_err(of_store)? {
                if !full(&included) && seen.insert(version.key.clone()) {
                    included.push(version);
                }
            }
        }
        Ok(included)
    }
}

/// The keys that the matches' includes lead to.
fn referred(search: &Search, matches: &[ResourceVersion]) -> Vec<ResourceKey> {
    if search.includes.is_empty() {
        return Vec::new();
    }
    let mut keys = Vec::new();
    for resource in matches.iter().filter_map(live) {
        for value in lens::values(&resource) {
            let Indexed::Reference { kind, id } = &value.value else { continue };
            let wanted = search.includes.iter().any(|include| {
                include.param.as_deref().is_none_or(|param| *param == *value.param)
                    && include.target.as_deref().is_none_or(|target| *target == **kind)
            });
            if wanted && !kind.is_empty() {
                keys.push(ResourceKey::new(kind, id));
            }
        }
    }
    keys
}

fn include(text: &str) -> Option<Include> {
    if text == "*" {
        return Some(Include { source: "*".into(), param: None, target: None });
    }
    let mut parts = text.split(':');
    let (source, param) = (parts.next()?, parts.next()?);
    let target = parts.next();
    if parts.next().is_some() || target == Some("iterate") {
        return None;
    }
    Some(Include {
        source: source.into(),
        param: (param != "*").then(|| param.into()),
        target: target.map(Into::into),
    })
}

/// Whether an include leads from (or, reversed, to) this type by a reference parameter.
fn known(include: &Include, kind: &str, reverse: bool) -> bool {
    let is_reference = |param: &str| {
        lens::parameters(&include.source)
            .iter()
            .any(|parameter| parameter.code == param && parameter.sort == "reference")
    };
    match (&include.param, reverse) {
        (None, false) => matches!(&*include.source, "*") || *include.source == *kind,
        (None, true) => false,
        (Some(param), false) => *include.source == *kind && is_reference(param),
        (Some(param), true) => {
            is_reference(param) && include.target.as_deref().is_none_or(|target| target == kind)
        }
    }
}

/// What of an unknown parameter may be repeated: its name as far as it looks like one.
fn known_part(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    name.chars().take(64).take_while(|c| fits(*c)).collect()
}

fn url(base: &str, kind: &str, query: &[(String, String)]) -> String {
    if query.is_empty() {
        return format!("{base}/{kind}");
    }
    format!("{base}/{kind}?{}", query_text(query))
}

fn entry(base: &str, version: &ResourceVersion, mode: &str, part: Option<&Subset>) -> Option<Value> {
    let resource = live(version)?;
    let resource = part.map_or_else(|| resource.clone(), |part| subset(&resource, part));
    Some(json!({
        "fullUrl": format!("{base}/{}", version.key),
        "resource": resource,
        "search": {"mode": mode},
    }))
}
