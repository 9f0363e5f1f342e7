//! Reads a Subscription: which dialect it is, whether all of it is supported, and what it asks for.

use std::time::Duration;

use serde_json::Value;

use crate::fhir::subscription::filter;
use crate::fhir::subscription::header::{self, Header};
use crate::fhir::subscription::topic::Topic;
use crate::fhir::subscription::{
    BACKPORT, Content, Dialect, Issue, ORDERING, Ordering, STYLE, Status, Style, Subscription,
};
use crate::message::resource::Criterion;
use crate::message::time::Timestamp;

/// Most headers, filters and bytes of one text; a Subscription is written by people.
const ITEMS_MAX: usize = 50;
/// Longest wait a client may ask for (`backport-timeout`).
const TIMEOUT_MAX: u64 = 30;
/// Longest period between two heartbeats.
const HEARTBEAT_MAX: u64 = 30 * 86_400;
/// Most events in one notification.
const TOGETHER_MAX: u64 = 100;

/// Makes a criterion of a type, a parameter with its modifier, and a value; or says why not.
pub type Compile<'a> = dyn Fn(&str, &str, &str) -> Result<Criterion, String> + 'a;

/// What a Subscription is read against.
pub struct Rules<'a> {
    /// The topics there are.
    pub topics: &'a [Topic],
    /// How searches are understood.
    pub compile: &'a Compile<'a>,
    /// Whether whole resources may be sent without TLS.
    pub plain_http: bool,
}

/// Reads a Subscription.
///
/// # Errors
/// Everything that is wrong with it: 422 for whoever wrote it.
pub fn read(resource: &Value, rules: &Rules<'_>) -> Result<Subscription, Vec<Issue>> {
    let mut reading = Reading { resource, rules, issues: Vec::new() };
    let found = reading.subscription();
    match found {
        Some(subscription) if reading.issues.is_empty() => Ok(subscription),
        _ => Err(reading.issues),
    }
}

/// A submitted Subscription as it is stored: a client may ask for `requested` or `off`; `active`, which
/// clients send, is taken for `requested`. `error` may only be written back over `error`.
///
/// # Errors
/// When the status is none that a client may write.
// FHIR R4 subscription-definitions.html#Subscription.status
pub fn coerced(submitted: &Value, previous: Option<&Value>) -> Result<Value, Issue> {
    let mut stored = submitted.clone();
    let was_error = previous.and_then(status) == Some(Status::Error);
    let becomes = match status(submitted) {
        Some(Status::Requested | Status::Active) => Status::Requested,
        Some(Status::Off) => Status::Off,
        Some(Status::Error) if was_error => Status::Error,
        _ => {
            let text = "a client writes `requested` or `off`; the engine alone sets the others";
            return Err(Issue::new("value", "Subscription.status", text));
        }
    };
    if let Value::Object(members) = &mut stored {
        members.insert("status".to_owned(), Value::from(becomes.name()));
        if becomes == Status::Requested {
            members.remove("error");
        }
    }
    Ok(stored)
}

/// The status of a Subscription.
#[must_use]
pub fn status(resource: &Value) -> Option<Status> {
    resource.get("status").and_then(Value::as_str).and_then(Status::from_name)
}

struct Reading<'a> {
    resource: &'a Value,
    rules: &'a Rules<'a>,
    issues: Vec<Issue>,
}

impl Reading<'_> {
    fn issue(&mut self, code: &'static str, expression: &str, text: impl Into<String>) {
        self.issues.push(Issue::new(code, expression, text));
    }

    fn subscription(&mut self) -> Option<Subscription> {
        let status = status(self.resource);
        if status.is_none() {
            self.issue("required", "Subscription.status", "`status` is missing or unknown");
        }
        let dialect = self.dialect();
        let is_topic = matches!(dialect, Some(Dialect::Topic { .. }));
        self.channel_type();
        let payload = self.payload(is_topic);
        let content = self.content(is_topic);
        let endpoint = self.endpoint(payload.is_some() && content == Some(Content::FullResource));
        let headers = self.headers();
        let end = self.end();
        let seconds = |number: Option<u64>| number.map(Duration::from_secs);
        let heartbeat = seconds(self.number("backport-heartbeat-period", "seconds", HEARTBEAT_MAX));
        let timeout = seconds(self.number("backport-timeout", "seconds", TIMEOUT_MAX));
        let together = self.number("backport-max-count", "events", TOGETHER_MAX);
        let style = self.own_choice(STYLE, Style::from_name);
        let ordering = self.own_choice(ORDERING, Ordering::from_name);
        Some(Subscription {
            status: status?,
            dialect: dialect?,
            endpoint: endpoint?,
            payload,
            content: content?,
            headers,
            end,
            heartbeat,
            timeout,
            style,
            ordering,
            together: together.and_then(|count| usize::try_from(count).ok()).unwrap_or(1),
        })
    }

    fn dialect(&mut self) -> Option<Dialect> {
        let Some(criteria) = self.resource.get("criteria").and_then(Value::as_str) else {
            self.issue("required", "Subscription.criteria", "`criteria` is missing");
            return None;
        };
        let known = self.rules.topics.iter().find(|topic| topic.is(criteria));
        if let Some(topic) = known {
            let filters = self.filters(topic);
            let canonical = topic.canonical.clone();
            return Some(Dialect::Topic { canonical, filters });
        }
        let absolute = criteria.contains("://") || criteria.starts_with("urn:");
        if has_profile(self.resource) || (absolute && !criteria.contains('?')) {
            let text = "no such topic; the CapabilityStatement names those there are";
            self.issue("not-supported", "Subscription.criteria", text);
            return None;
        }
        self.search(criteria)
    }

    fn search(&mut self, criteria: &str) -> Option<Dialect> {
        let at = "Subscription.criteria";
        let (kind, query) = criteria.split_once('?').unwrap_or((criteria, ""));
        if !filter::is_type(kind) {
            let text = "`criteria` is a search such as Observation?code=1234-5, or a topic's URL";
            self.issue("value", at, text);
            return None;
        }
        let mut found = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).take(ITEMS_MAX) {
            match (self.rules.compile)(kind, &name, &value) {
                Ok(criterion) => found.push(criterion),
                Err(text) => self.issue("not-supported", at, text),
            }
        }
        Some(Dialect::Search { kind: kind.into(), criteria: found })
    }

    /// The filters stand in extensions of `criteria` (backport: `backport-filter-criteria`); all hold.
    fn filters(&mut self, topic: &Topic) -> Vec<(Box<str>, Criterion)> {
        let at = "Subscription.criteria.extension";
        let mut found = Vec::new();
        let kinds = topic.types();
        let extensions = extensions(self.resource.get("_criteria"), "backport-filter-criteria");
        for extension in extensions.take(ITEMS_MAX) {
            let text = extension.get("valueString").and_then(Value::as_str).unwrap_or_default();
            let filters = match filter::read(text, &kinds) {
                Ok(filters) => filters,
                Err(text) => {
                    self.issue("value", at, text);
                    continue;
                }
            };
            for filter in filters {
                if !topic.filters.has(filter.parameter()) {
                    let text = format!("the topic has no filter `{}`", filter.parameter());
                    self.issue("not-supported", at, text);
                    continue;
                }
                self.compile_filter(&filter, &kinds, &mut found);
            }
        }
        found
    }

    /// A filter without a type speaks of every type that has its parameter, and of one at least.
    fn compile_filter(
        &mut self,
        filter: &filter::Filter,
        kinds: &[Box<str>],
        found: &mut Vec<(Box<str>, Criterion)>,
    ) {
        let wanted: Vec<&Box<str>> = match &filter.kind {
            Some(kind) => vec![kind],
            None => kinds.iter().collect(),
        };
        let before = found.len();
        let mut last = None;
        for kind in wanted {
            match (self.rules.compile)(kind, &filter.name, &filter.value) {
                Ok(criterion) => found.push((kind.clone(), criterion)),
                Err(text) => last = Some(text),
            }
        }
        if found.len() == before
            && let Some(text) = last
        {
            self.issue("not-supported", "Subscription.criteria.extension", text);
        }
    }

    fn channel_type(&mut self) {
        let at = "Subscription.channel.type";
        match self.resource.pointer("/channel/type").and_then(Value::as_str) {
            Some("rest-hook") => {}
            Some(_) => self.issue("not-supported", at, "the one channel type is `rest-hook`"),
            None => self.issue("required", at, "`channel.type` is missing; write rest-hook"),
        }
        let other = extensions(self.resource.pointer("/channel/_type"), "backport-channel-type")
            .filter_map(|one| one.pointer("/valueCoding/code").and_then(Value::as_str))
            .any(|code| code != "rest-hook");
        if other {
            self.issue("not-supported", at, "the one channel type is `rest-hook`");
        }
    }

    /// `channel.payload`: JSON alone. A `fhirVersion` other than 4.0 is refused (backport channels.html).
    fn payload(&mut self, is_topic: bool) -> Option<Box<str>> {
        let at = "Subscription.channel.payload";
        let Some(text) = self.resource.pointer("/channel/payload").and_then(Value::as_str) else {
            return is_topic.then(|| "application/fhir+json".into());
        };
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        if !matches!(media.as_str(), "application/fhir+json" | "application/json" | "text/json") {
            let text = "the one payload is FHIR JSON: write application/fhir+json";
            self.issue("not-supported", at, text);
            return None;
        }
        for parameter in parts {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
            let fits = match name.as_str() {
                "fhirversion" => value == "4.0",
                "charset" => value.eq_ignore_ascii_case("utf-8"),
                _ => false,
            };
            if !fits {
                let text = "the payload is FHIR 4.0 in UTF-8; no other parameter is supported";
                self.issue("not-supported", at, text);
            }
        }
        Some(text.into())
    }

    fn content(&mut self, is_topic: bool) -> Option<Content> {
        let at = "Subscription.channel.payload.extension";
        let extension =
            extensions(self.resource.pointer("/channel/_payload"), "backport-payload-content")
                .next();
        let code = extension.and_then(|one| one.get("valueCode")).and_then(Value::as_str);
        match (extension, code) {
            (Some(_), _) => {
                let content = code.and_then(Content::from_name);
                if content.is_none() {
                    let text = "the content is one of empty, id-only, full-resource";
                    self.issue("not-supported", at, text);
                }
                content
            }
            // backport StructureDefinition-backport-subscription: 1..1
            (None, _) if is_topic => {
                let text = "`backport-payload-content` is missing: empty, id-only or full-resource";
                self.issue("required", at, text);
                None
            }
            (None, _) => Some(Content::FullResource),
        }
    }

    fn endpoint(&mut self, full_resource: bool) -> Option<Box<str>> {
        let at = "Subscription.channel.endpoint";
        let Some(text) = self.resource.pointer("/channel/endpoint").and_then(Value::as_str) else {
            self.issue("required", at, "`channel.endpoint` is missing");
            return None;
        };
        let Ok(url) = url::Url::parse(text) else {
            self.issue("value", at, "`channel.endpoint` is no URL");
            return None;
        };
        let is_plain = match url.scheme() {
            "https" => false,
            "http" => true,
            _ => {
                self.issue("not-supported", at, "`channel.endpoint` is an https or http URL");
                return None;
            }
        };
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            let text =
                "`channel.endpoint` holds no user, password or fragment; use `channel.header`";
            self.issue("value", at, text);
        }
        // backport safety_security.html: whole resources go over TLS.
        if is_plain && full_resource && !self.rules.plain_http {
            let text = "whole resources are sent over https alone; use https, or content `id-only`";
            self.issue("not-supported", at, text);
        }
        Some(text.into())
    }

    fn headers(&mut self) -> Vec<Header> {
        let at = "Subscription.channel.header";
        let Some(Value::Array(items)) = self.resource.pointer("/channel/header") else {
            return Vec::new();
        };
        if items.len() > ITEMS_MAX {
            self.issue("too-long", at, format!("at most {ITEMS_MAX} headers are sent"));
        }
        let mut headers = Vec::new();
        for item in items.iter().take(ITEMS_MAX) {
            match header::read(item.as_str().unwrap_or_default()) {
                Ok(header) => headers.push(header),
                Err(text) => self.issue("value", at, text),
            }
        }
        headers
    }

    fn end(&mut self) -> Option<Timestamp> {
        let text = self.resource.get("end").and_then(Value::as_str)?;
        let moment = text.parse::<jiff::Timestamp>();
        if moment.is_err() {
            self.issue("value", "Subscription.end", "`end` is no instant with a time zone");
        }
        moment.ok().map(|moment| Timestamp(moment.as_microsecond()))
    }

    /// A whole number of the backport's extensions of the channel.
    fn number(&mut self, name: &str, of: &str, max: u64) -> Option<u64> {
        let extension = extensions(self.resource.get("channel"), name).next()?;
        let number = ["valueUnsignedInt", "valuePositiveInt", "valueInteger"]
            .iter()
            .find_map(|member| extension.get(*member)?.as_u64());
        match number {
            // The specification has 0 for "none".
            Some(0) => None,
            Some(number) if number <= max => Some(number),
            _ => {
                let text = format!("`{name}` is a number of {of}, at most {max}");
                self.issue("value", "Subscription.channel.extension", text);
                None
            }
        }
    }

    fn own_choice<T>(&mut self, url: &str, choose: impl Fn(&str) -> Option<T>) -> Option<T> {
        let list = self.resource.get("extension").and_then(Value::as_array)?;
        let extension = list.iter().find(|one| one.get("url").is_some_and(|own| own == url))?;
        let code =
            ["valueCode", "valueString"].iter().find_map(|name| extension.get(*name)?.as_str());
        let choice = code.and_then(choose);
        if choice.is_none() {
            self.issue("value", "Subscription.extension", format!("`{url}` has no such value"));
        }
        choice
    }
}

fn has_profile(resource: &Value) -> bool {
    let profiles = resource.pointer("/meta/profile").and_then(Value::as_array);
    let wanted = format!("{BACKPORT}backport-subscription");
    profiles.is_some_and(|list| {
        list.iter()
            .filter_map(Value::as_str)
            .any(|profile| profile.split('|').next() == Some(wanted.as_str()))
    })
}

/// The extensions of an element that have a name of the backport.
fn extensions<'v>(element: Option<&'v Value>, name: &str) -> impl Iterator<Item = &'v Value> {
    let url = format!("{BACKPORT}{name}");
    let list = element.and_then(|element| element.get("extension")).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter(move |one| one.get("url").and_then(Value::as_str) == Some(url.as_str()))
}

#[cfg(test)]
mod tests;
