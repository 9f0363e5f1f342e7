//! Search (FHIR R4 search.html): what is understood is searched and echoed; what is not is told, or
//! refused when the client asked for strict handling.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::fhir::definitions;
use crate::fhir::json::subset::{Subset, subset};
use crate::fhir::outcome::{Issue, outcome};
use crate::fhir::search::Reading;
use crate::fhir::search::request::{self, Handling, Limits, SearchRequest, Summary};
use crate::message::resource::{Criterion, Indexed, ResourceKey, ResourceVersion, TYPE, Test};
use crate::resources::condition::of_store;
use crate::resources::fault::Fault;
use crate::resources::lens;
use crate::resources::plan::live;
use crate::source::fhir::access::scope::Permission;
use crate::source::fhir::answer::Answer;
use crate::source::fhir::ask::{Ask, query_of, query_text};
use crate::source::fhir::desk::Desk;
use crate::source::fhir::page::PAGE;

/// Divides a sealed page: the query, and the store's place.
const DIVIDER: char = '\0';

/// Bytes of the resources that come along with a page.
const INCLUDED_BYTES_MAX: usize = 16 << 20;

/// Which page is asked for.
struct Page<'a> {
    /// The store's place.
    place: &'a str,
    /// The link's token.
    token: &'a str,
}

impl Desk {
    /// Resources of a type, or of all that are served when it is empty (FHIR R4 http.html#search).
    pub(super) async fn search(&self, ask: &Ask, kind: &str) -> Result<Answer, Fault> {
        if !kind.is_empty() {
            self.rules.check_kind(kind)?;
        }
        let Some(token) = ask.parameter(PAGE) else {
            return self.search_page(ask, kind, None).await;
        };
        let sealed = self.seal.open(token)?;
        let (query, place) = sealed.split_once(DIVIDER).unwrap_or((&sealed, ""));
        let again = Ask { query: query_of(query), ..ask.clone() };
        self.search_page(&again, kind, Some(Page { place, token })).await
    }

    async fn search_page(
        &self,
        ask: &Ask,
        kind: &str,
        page: Option<Page<'_>>,
    ) -> Result<Answer, Fault> {
        let reading = ask.reading(ask.at);
        let mut search = match kind {
            "" => self.understand_all(ask, &reading)?,
            kind => self.understand(ask, kind, &reading)?,
        };
        search.query.page = page.as_ref().map(|page| page.place.into());
        let counting = search.summary == Summary::Count;
        let found = self.parts.store.resource_search(&search.query).await.map_err(of_store)?;
        let whole = page.is_none() && found.next.is_none() && !counting;
        let matched = u64::try_from(found.matches.len()).unwrap_or(u64::MAX);
        let total = found.total.or_else(|| whole.then_some(matched));
        let base = &*ask.caller.base;
        let own = page.map(|page| [(PAGE.to_owned(), page.token.to_owned())]);
        let own = own.as_ref().map_or(&*search.understood, |own| own.as_slice());
        let mut links = vec![json!({"relation": "self", "url": url(base, kind, own)})];
        if let Some(next) = found.next.as_deref().filter(|_| !counting) {
            let sealed = format!("{}{DIVIDER}{next}", query_text(&search.understood));
            if let Some(token) = self.seal.seal(&sealed) {
                let next = url(base, kind, &[(PAGE.to_owned(), token)]);
                links.push(json!({"relation": "next", "url": next}));
            }
        }
        let mut entries = Vec::new();
        if !counting {
            let part = part(&search);
            let matches = found.matches.iter();
            entries.extend(matches.filter_map(|one| entry(base, one, "match", part.as_ref())));
            let included = self.included(ask, &search, &found.matches, &reading).await?;
            entries.extend(included.iter().filter_map(|one| entry(base, one, "include", None)));
        }
        if !search.ignored.is_empty() {
            let told = ignored(&search);
            entries.push(json!({"resource": outcome(&told), "search": {"mode": "outcome"}}));
        }
        let mut bundle = json!({"resourceType": "Bundle", "type": "searchset"});
        if let Some(members) = bundle.as_object_mut() {
            members.extend(total.map(|total| ("total".to_owned(), total.into())));
            members.insert("link".to_owned(), links.into());
            if !entries.is_empty() {
                members.insert("entry".to_owned(), entries.into());
            }
        }
        Ok(Answer::of(200, bundle))
    }

    /// A search over all types: those named by `_type`, or all that are served and may be searched. One type
    /// has all its parameters; of several only those count that every type has.
    fn understand_all(&self, ask: &Ask, reading: &Reading) -> Result<SearchRequest, Fault> {
        let (named, rest): (Vec<_>, Vec<_>) =
            ask.query.iter().cloned().partition(|(name, value)| name == TYPE && !value.is_empty());
        let may = |kind: &str| {
            self.rules.check_kind(kind)?;
            ask.caller.principal.may(kind, Permission::Search)
        };
        let mut kinds: Vec<&str> = named.iter().flat_map(|(_, list)| list.split(',')).collect();
        for kind in &kinds {
            may(kind)?;
        }
        let without = Ask { query: rest, ..ask.clone() };
        let mut search = match kinds.as_slice() {
            [kind] => self.understand(&without, kind, reading)?,
            _ => self.understand(&without, "", reading)?,
        };
        search.understood.extend(named.iter().cloned());
        let mut all = true;
        if kinds.is_empty() {
            let offered: Vec<&str> = definitions::r4().resource_names().collect();
            kinds = offered.iter().copied().filter(|kind| may(kind).is_ok()).collect();
            all = kinds.len() == offered.len();
            if kinds.is_empty() {
                ask.caller.principal.may("*", Permission::Search)?;
            }
        }
        if search.query.kind.is_empty() && (!all || !named.is_empty()) {
            let token = |kind: &&str| Test::Token { system: None, code: Some((*kind).into()) };
            let any = kinds.iter().map(token).collect();
            search.query.criteria.push(Criterion { param: TYPE.into(), any, negate: false });
        }
        Ok(search)
    }

    fn understand(&self, ask: &Ask, kind: &str, reading: &Reading) -> Result<SearchRequest, Fault> {
        let limits = Limits {
            count_default: self.options.page_size.min(self.options.page_size_max),
            count_max: self.options.page_size_max,
            ..Limits::default()
        };
        let handling = if ask.prefer.strict { Handling::Strict } else { Handling::Lenient };
        // FHIR R4 search.html#empty: a parameter without a value is left out.
        let asked = ask.query.iter().filter(|(name, value)| !value.is_empty() && name != PAGE);
        let asked = asked.map(|(name, value)| (&**name, &**value));
        let search = request::parse(kind, asked, reading, &limits, handling);
        let mut search = search.map_err(|error| lens::wrong(&error))?;
        search.understood.retain(|(name, _)| !matches!(&**name, "_format" | "_pretty"));
        let who = &ask.caller.principal;
        search.query.criteria = self.rules.served(search.query.criteria)?;
        let mut chains = Vec::new();
        search.query.criteria.iter().for_each(|criterion| chained(criterion, &mut chains));
        for chained in chains {
            // A chain looks into resources of another type.
            who.may(chained, Permission::Search)?;
        }
        search.revinclude.retain(|include| {
            let served = self.rules.check_kind(&include.source).is_ok();
            served && who.may(&include.source, Permission::Search).is_ok()
        });
        Ok(search)
    }

    /// Resources that the matches refer to, and those that refer to the matches; each once.
    async fn included(
        &self,
        ask: &Ask,
        search: &SearchRequest,
        matches: &[ResourceVersion],
        reading: &Reading,
    ) -> Result<Vec<ResourceVersion>, Fault> {
        let most = usize::try_from(self.options.includes_max).unwrap_or(usize::MAX);
        let mut seen: HashSet<ResourceKey> = matches.iter().map(|one| one.key.clone()).collect();
        let mut included: Vec<ResourceVersion> = Vec::new();
        for key in referred(search, matches, reading) {
            if included.len() >= most || bytes_of(&included) >= INCLUDED_BYTES_MAX {
                return Ok(included);
            }
            let may = self.rules.check_kind(&key.kind).is_ok()
                && ask.caller.principal.may(&key.kind, Permission::Read).is_ok();
            if !may || !seen.insert(key.clone()) {
                continue;
            }
            let found = self.parts.store.resource(&key).await.map_err(of_store)?;
            included.extend(found.filter(|version| !version.is_deleted()));
        }
        let keys: Vec<ResourceKey> = matches.iter().map(|one| one.key.clone()).collect();
        let store = &self.parts.store;
        for include in search.revinclude.iter().filter(|_| !keys.is_empty()) {
            let limit = self.options.includes_max;
            let found = store.resource_referrers(&include.source, &include.param, &keys, limit);
            for version in found.await.map_err(of_store)? {
                let room = included.len() < most && bytes_of(&included) < INCLUDED_BYTES_MAX;
                if room && seen.insert(version.key.clone()) {
                    included.push(version);
                }
            }
        }
        Ok(included)
    }
}

fn bytes_of(versions: &[ResourceVersion]) -> usize {
    versions.iter().map(|version| version.body.len()).sum()
}

/// The keys that the matches' includes lead to.
fn referred(
    search: &SearchRequest,
    matches: &[ResourceVersion],
    reading: &Reading,
) -> Vec<ResourceKey> {
    if search.include.is_empty() {
        return Vec::new();
    }
    let mut keys = Vec::new();
    for version in matches {
        let Some(resource) = live(version) else { continue };
        for value in lens::values(&resource, reading) {
            let Indexed::Reference { kind, id } = &value.value else { continue };
            let wanted = search.include.iter().any(|include| {
                (&*include.source == "*" || include.source == version.key.kind)
                    && (&*include.param == "*" || include.param == value.param)
                    && include.target.as_ref().is_none_or(|target| target == kind)
            });
            if wanted && !kind.is_empty() {
                keys.push(ResourceKey::new(kind, id));
            }
        }
    }
    keys
}

/// The types that a criterion looks into by a chain.
fn chained<'a>(criterion: &'a Criterion, kinds: &mut Vec<&'a str>) {
    for test in &criterion.any {
        if let Some((kind, further)) = test.elsewhere() {
            kinds.push(kind);
            chained(further, kinds);
        }
    }
}

/// The part of each match that is asked for.
fn part(search: &SearchRequest) -> Option<Subset> {
    if !search.elements.is_empty() {
        let names = search
            .elements
            .iter()
            .map(|name| name.rsplit_once('.').map_or(&**name, |(_, name)| name).to_owned());
        return Some(Subset::Elements(names.collect()));
    }
    match search.summary {
        Summary::True => Some(Subset::Summary),
        Summary::Text => Some(Subset::Text),
        Summary::Data => Some(Subset::Data),
        Summary::False | Summary::Count => None,
    }
}

fn ignored(search: &SearchRequest) -> Vec<Issue> {
    let told = search.ignored.iter().map(|error| Issue {
        severity: "warning",
        ..Issue::error("not-supported", "parameter", error.to_string())
    });
    told.collect()
}

fn url(base: &str, kind: &str, query: &[(String, String)]) -> String {
    let path = if kind.is_empty() { base.to_owned() } else { format!("{base}/{kind}") };
    if query.is_empty() {
        return path;
    }
    format!("{path}?{}", query_text(query))
}

fn entry(
    base: &str,
    version: &ResourceVersion,
    mode: &str,
    part: Option<&Subset>,
) -> Option<Value> {
    let resource = live(version)?;
    let resource = match part {
        Some(part) => subset(&resource, part),
        None => resource,
    };
    let mut entry = json!({"fullUrl": format!("{base}/{}", version.key)});
    // Moved in: the macro would write the numbers of the resource anew.
    let members = entry.as_object_mut()?;
    members.insert("resource".to_owned(), resource);
    members.insert("search".to_owned(), json!({"mode": mode}));
    Some(entry)
}
