//! `subscriptions:` of `engine.yaml`: topics, where notifications may go, and what holds for all subscribers.

use std::time::Duration;

use crate::config::read::Fields;
use crate::fhir::subscription::topic::Trigger;
use crate::fhir::subscription::{Ordering, Style};
use crate::yaml::decode;
use crate::yaml::finding::Finding;
use crate::yaml::node::Node;

/// What holds for all subscriptions.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionsConfig {
    /// Hosts and networks subscribers may have; `None`: those of `outbound.allow`.
    pub allow: Option<Vec<String>>,
    /// Name of the TLS profile (own roots, client certificate); the system's roots without.
    pub tls: Option<String>,
    /// Topics beside the built-in ones.
    pub topics: Vec<TopicConfig>,
    /// Which events wait for each other, when the Subscription says nothing.
    pub order: Ordering,
    /// How receivers of search subscriptions are called, when the Subscription says nothing.
    pub style: Style,
    /// Whether search subscriptions hear of deletes.
    pub deletes: bool,
    /// Whether whole resources may be sent without TLS.
    pub plain_http: bool,
    /// Whether `X-Hub-Signature` and `X-Signature` are sent too.
    pub old_signatures: bool,
    /// The waits between attempts.
    pub schedule: Vec<Duration>,
    /// Whether a refusal (4xx) that is no matter of time ends an event's attempts.
    pub fail_fast_4xx: bool,
    /// Calls a second to one subscriber at most.
    pub per_second: Option<u32>,
    /// A receiver that took nothing for so long is turned off.
    pub off_after: Duration,
    /// The longest answer time a Subscription without a wish gets.
    pub reply_within: Duration,
}

/// A topic as configured.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    /// Its canonical URL.
    pub url: String,
    /// For people.
    pub title: String,
    /// Resource types.
    pub types: Vec<String>,
    /// What must happen.
    pub on: Vec<Trigger>,
    /// A search that must find the version before.
    pub previous: Option<String>,
    /// A search that must find the version after.
    pub current: Option<String>,
    /// Filters subscriptions may use; any parameter when `None`.
    pub filters: Option<Vec<String>>,
}

/// Standard Webhooks' example: ten attempts in 75 hours.
#[must_use]
pub fn usual_schedule() -> Vec<Duration> {
    const HOUR: u64 = 3600;
    [5, 300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR]
        .map(Duration::from_secs)
        .to_vec()
}

impl Default for SubscriptionsConfig {
    fn default() -> Self {
        Self {
            allow: None,
            tls: None,
            topics: Vec::new(),
            order: Ordering::PerPatient,
            style: Style::Post,
            deletes: false,
            plain_http: false,
            old_signatures: false,
            schedule: usual_schedule(),
            fail_fast_4xx: false,
            per_second: None,
            off_after: Duration::from_hours(5 * 24),
            reply_within: Duration::from_secs(15),
        }
    }
}

pub(super) fn read(fields: Fields<'_>, findings: &mut Vec<Finding>) -> SubscriptionsConfig {
    let usual = SubscriptionsConfig::default();
    let orders = Ordering::ALL.map(|order| (order.name(), order));
    let styles = Style::ALL.map(|style| (style.name(), style));
    let mut schedule = Vec::new();
    for text in fields.texts("schedule") {
        schedule.extend(decode::duration(&text).ok());
    }
    SubscriptionsConfig {
        allow: fields.node("allow").map(|_| fields.texts("allow")),
        tls: fields.string("tls"),
        topics: fields.many("topics").into_iter().map(|node| topic(node, findings)).collect(),
        order: fields.choice("order", &orders, usual.order),
        style: fields.choice("style", &styles, usual.style),
        deletes: fields.boolean("deletes", usual.deletes),
        plain_http: fields.boolean("plain_http", usual.plain_http),
        old_signatures: fields.boolean("old_signatures", usual.old_signatures),
        schedule: if schedule.is_empty() { usual.schedule } else { schedule },
        fail_fast_4xx: fields.boolean("fail_fast_4xx", usual.fail_fast_4xx),
        per_second: fields.node("per_second").map(|_| fields.integer("per_second", u32::MAX)),
        off_after: fields.duration("off_after", usual.off_after),
        reply_within: fields.duration("reply_within", usual.reply_within),
    }
}

fn topic(node: &Node, findings: &mut Vec<Finding>) -> TopicConfig {
    let fields = Fields::of(Some(node));
    let mut on = Vec::new();
    for place in fields.many("on") {
        let text = place.text().unwrap_or_default();
        match Trigger::ALL.into_iter().find(|trigger| trigger.name() == text) {
            Some(trigger) => on.push(trigger),
            None => findings.push(
                Finding::error("E0104", place, format!("on: nothing is called `{text}`"))
                    .hint("write create, update or delete"),
            ),
        }
    }
    let url = fields.string("url").unwrap_or_default();
    TopicConfig {
        title: fields.string("title").unwrap_or_else(|| url.clone()),
        url,
        types: fields.texts("types"),
        on: if on.is_empty() { vec![Trigger::Create, Trigger::Update] } else { on },
        previous: fields.string("previous"),
        current: fields.string("current"),
        filters: fields.node("filters").map(|_| fields.texts("filters")),
    }
}
