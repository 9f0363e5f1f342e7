//! Compares what happened with what was expected.

use serde_json::Value as Json;

use crate::channel::cases::explain::{Reason, because, not_sent, readable};
use crate::channel::cases::run::{Got, Happened};
use crate::channel::cases::{AckClass, Case, Expected, Failure, Place, PlaceKind, Want};
use crate::channel::json_path::{JsonPath, dotted};
use crate::channel::{Channel, accept};
use crate::hl7::raw::RawMessage;
use crate::hl7::value::Value;
use crate::message::outcome::Outbound;
use crate::message::verdict::Rendered;
use crate::yaml::node::Span;

/// Longest text of a message that a report quotes, in characters.
const QUOTED_MAX: usize = 200;

/// What was not as expected, and the names of what was.
pub(super) fn compare(
    channel: &Channel,
    case: &Case,
    happened: &Happened,
) -> (Vec<Failure>, Vec<String>) {
    let mut failures = Vec::new();
    let mut fine = Vec::new();
    let mut note = |name: &str, found: Vec<Failure>| {
        if found.is_empty() {
            fine.push(name.to_owned());
        }
        failures.extend(found);
    };
    if !case.expect.acks.is_empty() {
        note("ack", acks(case, happened));
    }
    if case.expect.error_at.is_some() {
        note("error_at", error_at(case, happened));
    }
    for (name, expected, span) in &case.expect.destinations {
        let none = Vec::new();
        let got = happened.got.get(name.as_str()).unwrap_or(&none);
        let asked = Asked { channel, happened, name, span: *span };
        note(name, asked.compare(expected, got));
    }
    (failures, fine)
}

fn acks(case: &Case, happened: &Happened) -> Vec<Failure> {
    // One code holds for every message; several stand for one message each.
    let expected = &case.expect.acks;
    let mut failures = Vec::new();
    for (index, sent) in happened.sent.iter().enumerate() {
        let wanted = if expected.len() == 1 { expected.first() } else { expected.get(index) };
        let Some((wanted, span)) = wanted else { continue };
        if *wanted == sent.ack {
            continue;
        }
        let mut because = Vec::new();
        if let Some(problem) = &sent.problem {
            let place = problem.location.as_ref().map(shown_location);
            let place = place.map(|place| format!(" at {place}")).unwrap_or_default();
            because.push(format!("message {} was refused: {}{place}", index + 1, problem.text));
        }
        failures.push(Failure {
            subject: "ack".to_owned(),
            expected: shown_ack(*wanted).to_owned(),
            got: shown_ack(sent.ack).to_owned(),
            because,
            fix: None,
            span: *span,
        });
    }
    failures
}

const fn shown_ack(class: AckClass) -> &'static str {
    match class {
        AckClass::Accept => "AA",
        AckClass::Error => "AE",
        AckClass::Reject => "AR",
    }
}

fn shown_location(location: &crate::message::verdict::Location) -> String {
    let mut text = location.segment.clone();
    if let Some(field) = location.field {
        text.push_str(&format!("-{field}"));
        if let Some(component) = location.component {
            text.push_str(&format!(".{component}"));
        }
    }
    text
}

fn error_at(case: &Case, happened: &Happened) -> Vec<Failure> {
    let Some((path, span)) = &case.expect.error_at else { return Vec::new() };
    let wanted = accept::at(path);
    let places = happened.sent.iter().filter_map(|sent| sent.problem.as_ref()?.location.as_ref());
    let found: Vec<_> = places.collect();
    let same = |place: &&crate::message::verdict::Location| {
        place.segment == wanted.segment
            && place.field == wanted.field
            && (wanted.component.is_none() || place.component == wanted.component)
    };
    if found.iter().any(same) {
        return Vec::new();
    }
    let got = found.last().map_or("no place".to_owned(), |place| shown_location(place));
    vec![Failure {
        subject: "error_at".to_owned(),
        expected: path.to_string(),
        got,
        because: Vec::new(),
        fix: None,
        span: *span,
    }]
}

struct Asked<'a> {
    channel: &'a Channel,
    happened: &'a Happened,
    name: &'a str,
    span: Span,
}

impl Asked<'_> {
    fn failure(
        &self,
        place: &str,
        expected: String,
        got: String,
        span: Span,
        why: Reason,
    ) -> Failure {
        let subject =
            if place.is_empty() { self.name.to_owned() } else { format!("{} {place}", self.name) };
        Failure { subject, expected, got, because: why.because, fix: why.fix, span }
    }

    fn compare(&self, expected: &Expected, got: &[Got]) -> Vec<Failure> {
        let plain = |expected: &str, found: String, why: Reason| {
            vec![self.failure("", expected.to_owned(), found, self.span, why)]
        };
        match (expected, got.last()) {
            (Expected::Nothing, None) => Vec::new(),
            (Expected::Nothing, Some(last)) => plain("nothing", shown_got(last), Reason::default()),
            (Expected::Each(each), _) => self.compare_each(each, got),
            (Expected::Sent, Some(last)) if is_sent(last) => Vec::new(),
            (Expected::Held, Some(last)) if is_held(last) => Vec::new(),
            (Expected::Rejected, Some(last)) if is_rejected(last) => Vec::new(),
            (Expected::Has(places), Some(last)) => self.compare_places(places, last, got),
            (expected, None) => {
                let wanted = shown_expected(expected);
                plain(
                    wanted,
                    "nothing".to_owned(),
                    not_sent(self.channel, self.name, self.happened),
                )
            }
            (expected, Some(last)) => {
                plain(shown_expected(expected), shown_got(last), held_reason(last))
            }
        }
    }

    fn compare_each(&self, each: &[(Expected, Span)], got: &[Got]) -> Vec<Failure> {
        if each.len() != got.len() {
            let why = not_sent(self.channel, self.name, self.happened);
            let expected = format!("{} deliveries", each.len());
            return vec![self.failure("", expected, format!("{}", got.len()), self.span, why)];
        }
        let pairs = each.iter().zip(got);
        pairs
            .flat_map(|((expected, span), got)| {
                let asked = Asked { span: *span, ..*self };
                asked.compare(expected, std::slice::from_ref(got))
            })
            .collect()
    }

    fn compare_places(&self, places: &[Place], last: &Got, got: &[Got]) -> Vec<Failure> {
        places.iter().filter_map(|place| self.compare_place(place, last, got)).collect()
    }

    fn compare_place(&self, place: &Place, last: &Got, got: &[Got]) -> Option<Failure> {
        let told = match place.kind {
            PlaceKind::Count => Some(got.iter().filter(|got| is_sent(got)).count().to_string()),
            PlaceKind::Attempts => Some(last.attempts.to_string()),
            PlaceKind::Outcome => Some(last.outcome.to_owned()),
            _ => None,
        };
        if let Some(told) = told {
            return self.text_differs(place, &told, Reason::default());
        }
        let Rendered::Send(outbound) = &last.rendering.rendered else {
            let wanted = shown_want(&place.want);
            let why = held_reason(last);
            return Some(self.failure(&place.name, wanted, shown_got(last), place.span, why));
        };
        if last.held {
            let wanted = shown_want(&place.want);
            return Some(self.failure(
                &place.name,
                wanted,
                shown_got(last),
                place.span,
                held_reason(last),
            ));
        }
        self.compare_sent(place, last, outbound)
    }

    fn compare_sent(&self, place: &Place, last: &Got, outbound: &Outbound) -> Option<Failure> {
        let why = || because(self.channel, self.name, place, last, self.happened);
        match &place.kind {
            PlaceKind::Attribute => {
                let fixed = || self.channel.fixed_attribute(self.name, &place.name);
                let found = outbound.attribute(&place.name).or_else(fixed).unwrap_or_default();
                self.text_differs(place, found, Reason::default())
            }
            PlaceKind::Body => {
                let body = String::from_utf8_lossy(&outbound.body);
                self.text_differs(place, &body, Reason::default())
            }
            PlaceKind::Same => {
                let sent = self.happened.sent.get(last.message)?;
                let same = *sent.input.payload().expose() == outbound.body;
                let found = if same { "true" } else { "other bytes" };
                self.text_differs(place, found, Reason::default())
            }
            PlaceKind::Hl7(path) => {
                let message =
                    RawMessage::parse_with(outbound.body.clone(), self.channel.read_options);
                let Ok(message) = message else {
                    return self.text_differs(place, "no HL7 message", Reason::default());
                };
                let found = match message.get(path) {
                    Value::Null => "\"\"".to_owned(),
                    value => value.text(message.charset()).into_owned(),
                };
                self.text_differs(place, &found, why())
            }
            PlaceKind::Json => {
                let document: Json = serde_json::from_slice(&outbound.body).unwrap_or_default();
                let found = match JsonPath::parse(&place.name, 0..0) {
                    Ok(path) => path.read(&document).first().copied().cloned(),
                    Err(_) => dotted(&document, &place.name).cloned(),
                };
                if matches(&place.want, found.as_ref()) {
                    return None;
                }
                let shown = found.map_or("nothing".to_owned(), |found| shown_json(&found));
                Some(self.failure(&place.name, shown_want(&place.want), shown, place.span, why()))
            }
            PlaceKind::Fhir(path) => {
                let document: Json = serde_json::from_slice(&outbound.body).unwrap_or_default();
                let mut found: Vec<Json> =
                    path.read(&document).into_iter().map(std::borrow::Cow::into_owned).collect();
                let several = found.len() > 1 || matches!(place.want, Want::List(_));
                let found = if several { Some(Json::Array(found)) } else { found.pop() };
                if matches(&place.want, found.as_ref()) {
                    return None;
                }
                let shown = found.map_or("nothing".to_owned(), |found| shown_json(&found));
                Some(self.failure(&place.name, shown_want(&place.want), shown, place.span, why()))
            }
            PlaceKind::Count | PlaceKind::Attempts | PlaceKind::Outcome => None,
        }
    }

    fn text_differs(&self, place: &Place, found: &str, mut why: Reason) -> Option<Failure> {
        let same = match &place.want {
            Want::Empty => found.is_empty(),
            Want::Text(text) => text == found,
            Want::List(_) | Want::Members(_) => false,
        };
        if same {
            return None;
        }
        if let Want::Text(text) = &place.want {
            why.mention_blanks(text, found);
        }
        let shown =
            if found.is_empty() { "nothing".to_owned() } else { readable(found, QUOTED_MAX) };
        Some(self.failure(&place.name, shown_want(&place.want), shown, place.span, why))
    }
}

/// Whether JSON is as wanted: members may be more, items may not.
fn matches(want: &Want, found: Option<&Json>) -> bool {
    match (want, found) {
        (Want::Empty, None | Some(Json::Null)) => true,
        (Want::Text(text), Some(Json::String(found))) => text == found,
        (Want::Text(text), Some(Json::Bool(found))) => text.as_str() == found.to_string().as_str(),
        (Want::Text(text), Some(Json::Number(found))) => {
            text.as_str() == found.to_string().as_str()
        }
        (Want::List(items), Some(Json::Array(found))) => {
            items.len() == found.len()
                && items.iter().zip(found).all(|(want, found)| matches(want, Some(found)))
        }
        (Want::Members(members), Some(found)) => {
            members.iter().all(|(name, want)| matches(want, dotted(found, name)))
        }
        _ => false,
    }
}

fn is_sent(got: &Got) -> bool {
    !got.held && matches!(got.rendering.rendered, Rendered::Send(_))
}

fn is_held(got: &Got) -> bool {
    got.held || matches!(got.rendering.rendered, Rendered::Hold(_)) || got.outcome == "held"
}

fn is_rejected(got: &Got) -> bool {
    matches!(got.rendering.rendered, Rendered::Fail(_)) || got.outcome == "dead_letter"
}

fn shown_expected(expected: &Expected) -> &'static str {
    match expected {
        Expected::Nothing => "nothing",
        Expected::Held => "held",
        Expected::Rejected => "rejected",
        Expected::Sent | Expected::Has(_) | Expected::Each(_) => "something",
    }
}

fn shown_got(got: &Got) -> String {
    match &got.rendering.rendered {
        _ if got.held => "held: the same id came with another content".to_owned(),
        Rendered::Send(outbound) => format!("{} bytes sent", outbound.body.len()),
        Rendered::Hold(problem) => format!("held: {}", problem.text),
        Rendered::Fail(problem) => format!("rejected: {}", problem.text),
    }
}

fn held_reason(got: &Got) -> Reason {
    let mut reason = Reason::default();
    if let Rendered::Hold(problem) | Rendered::Fail(problem) = &got.rendering.rendered
        && !problem.detail.is_empty()
    {
        reason.because.push(problem.detail.clone());
    }
    reason
}

fn shown_want(want: &Want) -> String {
    match want {
        Want::Empty => "nothing".to_owned(),
        Want::Text(text) => readable(text, QUOTED_MAX),
        Want::List(items) => {
            format!("[{}]", items.iter().map(shown_want).collect::<Vec<_>>().join(", "))
        }
        Want::Members(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(name, want)| format!("{name}: {}", shown_want(want)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

fn shown_json(found: &Json) -> String {
    match found {
        Json::String(text) => readable(text, QUOTED_MAX),
        other => readable(&other.to_string(), QUOTED_MAX),
    }
}
