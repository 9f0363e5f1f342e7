//! What goes on record of a call: about what it was, who was refused at the door, and whether a screen that
//! refreshes itself shows something that is on record already.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::RawPathParams;
use ring::digest::{Context, SHA256};
use serde_json::Value;

use crate::access::door::{Actor, Door};
use crate::admin::guard::record;
use crate::admin::problem::Problem;
use crate::admin::route::Route;
use crate::message::id::MessageId;
use crate::message::time::Timestamp;
use crate::store::access::AuditEntry;

/// Longest reason kept on record, in characters.
const REASON_CHARS_MAX: usize = 500;
/// Refusals of one address for one cause that go on record within [`SPAN`]; the others are counted.
const REFUSALS_MAX: u32 = 5;
/// Refusals of all addresses together that go on record within [`SPAN`].
const REFUSALS_ALL_MAX: u32 = 60;
/// How long refusals are counted together.
const SPAN: Duration = Duration::from_secs(60);
/// Callers remembered at once; then all are forgotten, and what they look at goes on record once more.
const REMEMBERED_MAX: usize = 1000;

/// A record of an answer to somebody who is known.
pub(super) fn entry(door: &Door, actor: &Actor, address: &str, route: &Route) -> AuditEntry {
    AuditEntry {
        at: door.now(),
        actor: actor.name.clone(),
        address: address.to_owned(),
        action: route.action.to_owned(),
        outcome: "granted".to_owned(),
        object: String::new(),
        reason: String::new(),
    }
}

/// What a route is about, by the parameters of its path. What stands in the place of a message's id and is none may
/// be a patient's number that somebody pasted there: it is not kept.
pub(super) fn object(route: &Route, params: &RawPathParams) -> String {
    let of_messages = ["/messages/", "/deliveries/"].iter().any(|own| route.path.starts_with(own));
    let kept = params.iter().map(|(name, value)| {
        let strange = of_messages && name == "id" && MessageId::parse(value).is_none();
        if strange { "(no id)" } else { value }
    });
    let values: Vec<&str> = kept.collect();
    values.join("/").chars().take(REASON_CHARS_MAX).collect()
}

/// What a body says of an act: on whom or what where the path does not say it, why, and which rights somebody
/// or some program is given.
pub(super) fn told(entry: &mut AuditEntry, body: &Bytes) {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    let short = |text: &str| -> String { text.chars().take(REASON_CHARS_MAX).collect() };
    let text = |at: &str| value.pointer(at).and_then(Value::as_str);
    if entry.object.is_empty() {
        let named = match entry.action.as_str() {
            "user.add" | "token.add" => text("/name"),
            "job.begin" => text("/selection/destination"),
            "system.log_level" => text("/level"),
            _ => None,
        };
        entry.object = short(named.unwrap_or_default()).replace(char::is_control, "");
    }
    entry.reason = short(text("/reason").unwrap_or_default());
    if matches!(entry.action.as_str(), "user.add" | "user.change" | "token.add") {
        let rights = ["roles", "groups", "view", "disabled", "second_factor"];
        let given = rights.iter().filter_map(|name| {
            let given = value.get(*name).filter(|given| !given.is_null())?;
            Some(format!("{name}={given}"))
        });
        let why = Some(entry.reason.clone()).filter(|why| !why.is_empty());
        entry.reason = short(&given.chain(why).collect::<Vec<_>>().join(" "));
    }
}

/// Where the body of a call names what it looks for: this goes on record as a keyed hash.
pub(super) fn term_field(action: &str) -> Option<&'static str> {
    match action {
        "message.search" => Some("value"),
        "audit.read" => Some("term"),
        _ => None,
    }
}

/// What a call looks for, as its record names it.
pub(super) async fn term(
    door: &Door,
    field: &str,
    body: &Bytes,
) -> Result<Option<String>, Problem> {
    let value = serde_json::from_slice::<Value>(body).unwrap_or_default();
    match value.get(field).and_then(Value::as_str) {
        Some(term) => Ok(Some(door.term(term).await?)),
        None => Ok(None),
    }
}

/// Why somebody was refused before it was known what they may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// They showed nothing, or a session that has ended: browsers do so every day.
    Nobody,
    /// They showed a token that is none (any more).
    BadToken,
    /// They did not come from a page of ours.
    Forged,
}

impl Stranger {
    const fn reason(self) -> &'static str {
        match self {
            Self::Nobody => "",
            Self::BadToken => "a token that is not valid",
            Self::Forged => "not from a page of this engine",
        }
    }
}

/// A refusal before it is known who asks.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) problem: Problem,
    pub(crate) why: Stranger,
    /// Whose session it was, where that is known.
    pub(crate) actor: Option<String>,
}

impl Refused {
    pub(super) fn nobody() -> Self {
        Self { problem: Problem::unauthorized(), why: Stranger::Nobody, actor: None }
    }

    pub(super) fn bad_token() -> Self {
        Self { why: Stranger::BadToken, ..Self::nobody() }
    }

    pub(super) fn forged(actor: Option<&Actor>) -> Self {
        let actor = actor.map(|actor| actor.name.clone());
        Self { problem: Problem::forged(), why: Stranger::Forged, actor }
    }
}

impl From<crate::store::StoreError> for Refused {
    fn from(error: crate::store::StoreError) -> Self {
        Self { problem: error.into(), ..Self::nobody() }
    }
}

/// Refusals within one span.
#[derive(Debug, Default)]
struct Counted {
    since: Timestamp,
    all: u32,
    by: HashMap<(String, &'static str), u32>,
    /// Refused since the last record of one, and on none.
    silent: u64,
}

/// Who was refused lately. A flood of refusals fills no disk: most of it is counted alone.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Counted>);

impl Refusals {
    /// Whether one more goes on record, and how many before it did not.
    fn counts(&self, now: Timestamp, address: &str, why: Stranger) -> Option<u64> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(counted.since) >= SPAN {
            (counted.since, counted.all) = (now, 0);
            counted.by.clear();
        }
        let own = counted.by.get(&(address.to_owned(), why.reason())).copied().unwrap_or_default();
        if own >= REFUSALS_MAX || counted.all >= REFUSALS_ALL_MAX {
            counted.silent = counted.silent.saturating_add(1);
            return None;
        }
        counted.by.insert((address.to_owned(), why.reason()), own.saturating_add(1));
        counted.all = counted.all.saturating_add(1);
        Some(std::mem::take(&mut counted.silent))
    }

    /// Puts a refusal on record, unless there were many.
    pub(super) async fn note(
        &self,
        door: &Door,
        route: &Route,
        address: &str,
        refused: Refused,
    ) -> Problem {
        if refused.why == Stranger::Nobody {
            return refused.problem;
        }
        let Some(silent) = self.counts(door.now(), address, refused.why) else {
            return refused.problem;
        };
        let mut reason = refused.why.reason().to_owned();
        if silent > 0 {
            reason.push_str(&format!("; {silent} refusals before it are not on record"));
        }
        let entry = AuditEntry {
            at: door.now(),
            actor: refused.actor.unwrap_or_else(|| "nobody".to_owned()),
            address: address.to_owned(),
            action: route.action.to_owned(),
            outcome: "denied".to_owned(),
            object: String::new(),
            reason,
        };
        // Refused it is anyway, and nothing is shown.
        record(door, entry).await.err().unwrap_or(refused.problem)
    }
}

/// An answer quotes what receivers said, which may quote a message. This tells one such answer from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quotes([u8; 32]);

impl Quotes {
    /// Of these texts, each with what it was said of. `None` when nothing is quoted.
    pub(crate) fn of(texts: impl IntoIterator<Item = (String, String)>) -> Option<Self> {
        let mut texts: Vec<(String, String)> =
            texts.into_iter().filter(|(_, text)| !text.is_empty()).collect();
        if texts.is_empty() {
            return None;
        }
        texts.sort_unstable();
        let mut context = Context::new(&SHA256);
        for (about, text) in texts {
            context.update(about.as_bytes());
            context.update(&[0]);
            context.update(text.as_bytes());
            context.update(&[0]);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Some(Self(hash))
    }
}

/// What each caller was shown last, by the action: a screen that refreshes itself and shows the same is no new
/// look.
#[derive(Debug, Default)]
pub(crate) struct Looks(Mutex<HashMap<(String, String, String), Quotes>>);

impl Looks {
    fn key(entry: &AuditEntry) -> (String, String, String) {
        (entry.actor.clone(), entry.address.clone(), entry.action.clone())
    }

    /// Whether that is what this caller was shown last.
    pub(super) fn again(&self, entry: &AuditEntry, quotes: Quotes) -> bool {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.get(&Self::key(entry)) == Some(&quotes)
    }

    /// It was shown, and is on record.
    pub(super) fn note(&self, entry: &AuditEntry, quotes: Quotes) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() >= REMEMBERED_MAX {
            shown.clear();
        }
        shown.insert(Self::key(entry), quotes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_leaves_few_records_and_its_number() {
        let (refusals, now) = (Refusals::default(), Timestamp(1_800_000_000_000_000));
        let kept = |address: &str, at| refusals.counts(at, address, Stranger::BadToken);
        let first: Vec<_> = (0..100).map(|_| kept("192.0.2.1", now)).collect();
        assert_eq!(first.iter().filter(|one| one.is_some()).count(), 5);
        assert_eq!(kept("192.0.2.2", now), Some(95), "another one is still told of");
        let many = (0..500).filter_map(|n| kept(&format!("2001:db8::{n}"), now)).count();
        assert_eq!(many, 54, "sixty of all addresses");
        let later = now.after(SPAN);
        assert_eq!(kept("192.0.2.1", later), Some(446));
        assert_eq!(kept("192.0.2.1", later), Some(0));
    }

    #[test]
    fn rights_that_are_given_stand_beside_the_reason() {
        let check = |body: &str, expected: &str| {
            let mut entry = AuditEntry {
                at: Timestamp(0),
                actor: "admin".to_owned(),
                address: String::new(),
                action: "user.change".to_owned(),
                outcome: "granted".to_owned(),
                object: "li".to_owned(),
                reason: String::new(),
            };
            told(&mut entry, &Bytes::from(body.to_owned()));
            assert_eq!(entry.reason, expected);
        };
        check(r#"{"disabled": true, "reason": "left"}"#, "disabled=true left");
        check(r#"{"password": "x", "reason": "forgotten"}"#, "forgotten");
        check(r#"{"view": "full"}"#, "view=\"full\"");
    }

    #[test]
    fn answers_that_quote_the_same_are_the_same_in_any_order() {
        let text = |about: &str, said: &str| (about.to_owned(), said.to_owned());
        assert_eq!(Quotes::of([text("a", "")]), None);
        let one = Quotes::of([text("a", "no visit"), text("b", "full")]);
        assert_eq!(one, Quotes::of([text("b", "full"), text("a", "no visit"), text("c", "")]));
        assert_ne!(one, Quotes::of([text("a", "full"), text("b", "no visit")]));
    }
}
