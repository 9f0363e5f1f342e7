//! Which outcome follows from a FHIR server's answer. Pure.

use std::time::Duration;

use serde_json::Value;

use crate::destination::fhir::request::Expected;
use crate::destination::webhook::answer::Body;
use crate::message::outcome::{Answer, Outcome, Scope};

/// An answer, read as far as the limit allows.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    pub(super) status: u16,
    /// The body, when it is whole and JSON.
    pub(super) body: Option<Value>,
    /// How reading it ended.
    pub(super) read: Body,
    pub(super) retry_after: Option<Duration>,
}

/// The outcome that follows.
///
/// | answer | outcome |
/// | --- | --- |
/// | 2xx | accepted; a batch or message as its own answer says |
/// | 2xx, body broken or too slow | uncertain |
/// | 2xx but 202 and 204, to a batch or message, without a Bundle that can be read | uncertain |
/// | 3xx 401 403 429 502 503 504 507 | failed: the endpoint's affair, `Retry-After` honoured |
/// | 408 409 423 425, other 5xx | failed: this message's affair |
/// | 400 or 422 whose issues all pass by themselves | failed: this message's affair |
/// | 404 410 412 413 415 422 501, other 4xx | rejected |
pub(super) fn outcome_of(expected: Expected, answered: &Answered) -> Outcome {
    let Answered { status, body, read, retry_after } = answered;
    let answer = Answer::new(status.to_string(), &words(body.as_ref()));
    let failed =
        |answer: Answer, scope: Scope| Outcome::Failed { answer, scope, retry_after: *retry_after };
    match (*status, read) {
        (200..=299, Body::Broken | Body::Slow) => Outcome::Uncertain(Answer::new(
            if *read == Body::Slow { "timeout" } else { "reset" },
            &format!("answered {status}, but the answer did not come to its end"),
        )),
        (200..=299, Body::Read) => match (expected, body) {
            (Expected::Resource, _) => Outcome::Accepted(answer),
            (Expected::Entries, Some(bundle)) if is_bundle(bundle) => {
                entries(bundle, answer, *retry_after)
            }
            (Expected::Message, Some(bundle)) if is_bundle(bundle) => {
                message(bundle, answer, *retry_after)
            }
            // Taken, to be answered later or never.
            _ if matches!(status, 202 | 204) => Outcome::Accepted(answer),
            // How each entry went stands in a body that is too long, or none: nobody knows.
            _ => Outcome::Uncertain(Answer::new(
                "unread",
                &format!(
                    "answered {status}, but not with a Bundle that can be read within the limit"
                ),
            )),
        },
        // Wrong credentials and rights are mended by people, while everything waits.
        (300..=399 | 401 | 403 | 429 | 502..=504 | 507, _) => failed(answer, Scope::Endpoint),
        // FHIR R4 http.html: 409 and 423 say that somebody else writes just now.
        (408 | 409 | 423 | 425, _) => failed(answer, Scope::Message),
        (400 | 422, _) if is_transient(body.as_ref()) => failed(answer, Scope::Message),
        (501, _) | (400..=499, _) => Outcome::Rejected(answer),
        (500..=599, _) => failed(answer, Scope::Message),
        _ => Outcome::Uncertain(Answer::new("other", "")),
    }
}

fn is_bundle(body: &Value) -> bool {
    body.get("resourceType").is_some_and(|kind| kind == "Bundle")
}

/// A batch tells of each entry. One that may pass later has the whole repeated: entries are conditional or
/// by id, or the sender takes the risk that `batch` means.
fn entries(bundle: &Value, answer: Answer, retry_after: Option<Duration>) -> Outcome {
    let list = bundle.get("entry").and_then(Value::as_array);
    let mut worst = 0;
    for entry in list.into_iter().flatten() {
        let status = entry.pointer("/response/status").and_then(Value::as_str).unwrap_or_default();
        let code: u16 = status.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0);
        if code >= 400 {
            let text = words(entry.pointer("/response/outcome"));
            let said = Answer::new(code.to_string(), &text);
            if matches!(code, 408 | 409 | 423 | 425 | 429 | 500 | 502..=599) {
                return Outcome::Failed { answer: said, scope: Scope::Message, retry_after };
            }
            worst = worst.max(code);
        }
    }
    match worst {
        0 => Outcome::Accepted(answer),
        code => Outcome::Rejected(Answer::new(
            code.to_string(),
            "entries of the batch were refused; the server's answer names them",
        )),
    }
}

/// FHIR R4 messageheader.html: `response.code`.
fn message(bundle: &Value, answer: Answer, retry_after: Option<Duration>) -> Outcome {
    let entries = bundle.get("entry").and_then(Value::as_array);
    let resources = || entries.into_iter().flatten().filter_map(|entry| entry.get("resource"));
    let of = |kind: &'static str| {
        resources()
            .find(move |resource| resource.get("resourceType").is_some_and(|own| own == kind))
    };
    let code = of("MessageHeader").and_then(|header| header.pointer("/response/code")?.as_str());
    let said = |code: &'static str| Answer::new(code, &words(of("OperationOutcome")));
    match code {
        Some("transient-error") => {
            Outcome::Failed { answer: said("transient-error"), scope: Scope::Message, retry_after }
        }
        Some("fatal-error") => Outcome::Rejected(said("fatal-error")),
        _ => Outcome::Accepted(answer),
    }
}

/// FHIR R4 valueset-issue-type: `transient` and what stands below it pass by themselves.
fn is_transient(body: Option<&Value>) -> bool {
    let codes: Vec<&str> = issues(body)
        .filter(|issue| issue.get("severity").is_none_or(|s| s == "error" || s == "fatal"))
        .filter_map(|issue| issue.get("code")?.as_str())
        .collect();
    !codes.is_empty()
        && codes.iter().all(|code| {
            matches!(
                *code,
                "transient"
                    | "lock-error"
                    | "no-store"
                    | "exception"
                    | "timeout"
                    | "incomplete"
                    | "throttled"
            )
        })
}

fn issues(body: Option<&Value>) -> impl Iterator<Item = &Value> {
    let outcome =
        body.filter(|body| body.get("resourceType").is_some_and(|kind| kind == "OperationOutcome"));
    let list = outcome.and_then(|outcome| outcome.get("issue")).and_then(Value::as_array);
    list.into_iter().flatten()
}

/// The issues of an `OperationOutcome`, for people. May quote the message; `Answer` cuts and hides it.
fn words(body: Option<&Value>) -> String {
    let mut text = String::new();
    for issue in issues(body).take(5) {
        let part = |name: &str| issue.get(name).and_then(Value::as_str);
        let details = issue.pointer("/details/text").and_then(Value::as_str);
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(part("code").unwrap_or("issue"));
        if let Some(said) = part("diagnostics").or(details) {
            text.push_str(": ");
            text.push_str(said);
        }
        let list = issue.get("expression").and_then(Value::as_array);
        if let Some(place) = list.and_then(|list| list.first()).and_then(Value::as_str) {
            text.push_str(" (");
            text.push_str(place);
            text.push(')');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answered(status: u16, body: Option<Value>) -> Answered {
        let retry_after = Some(Duration::from_secs(7));
        Answered { status, body, read: Body::Read, retry_after }
    }

    fn check(
        expected: Expected,
        status: u16,
        body: Option<Value>,
        name: &str,
        scope: Option<Scope>,
    ) {
        let outcome = outcome_of(expected, &answered(status, body));
        assert_eq!(outcome.name(), name, "{status}");
        if let Outcome::Failed { scope: found, retry_after, .. } = outcome {
            assert_eq!(
                (Some(found), retry_after),
                (scope, Some(Duration::from_secs(7))),
                "{status}"
            );
        }
    }

    #[test]
    fn each_status_has_its_outcome() {
        let one = Expected::Resource;
        for status in [200, 201, 202, 204] {
            check(one, status, None, "accepted", None);
        }
        for status in [301, 302, 307, 401, 403, 429, 502, 503, 504, 507] {
            check(one, status, None, "failed", Some(Scope::Endpoint));
        }
        for status in [408, 409, 423, 425, 500, 505, 599] {
            check(one, status, None, "failed", Some(Scope::Message));
        }
        for status in [400, 404, 405, 410, 412, 413, 415, 422, 501] {
            check(one, status, None, "rejected", None);
        }
        check(one, 101, None, "uncertain", None);
        let broken = Answered { read: Body::Broken, ..answered(201, None) };
        assert_eq!(outcome_of(one, &broken).name(), "uncertain");
    }

    #[test]
    fn issues_that_pass_by_themselves_are_tried_again() {
        let outcome = |codes: &[&str]| {
            let issues: Vec<Value> =
                codes.iter().map(|code| json!({"severity": "error", "code": code})).collect();
            Some(json!({"resourceType": "OperationOutcome", "issue": issues}))
        };
        let one = Expected::Resource;
        check(one, 422, outcome(&["lock-error"]), "failed", Some(Scope::Message));
        check(one, 422, outcome(&["lock-error", "required"]), "rejected", None);
        check(one, 422, outcome(&[]), "rejected", None);
    }

    #[test]
    fn a_batch_is_as_good_as_its_entries() {
        let batch = |statuses: &[&str]| {
            let entries: Vec<Value> =
                statuses.iter().map(|status| json!({"response": {"status": status}})).collect();
            Some(json!({"resourceType": "Bundle", "type": "batch-response", "entry": entries}))
        };
        let many = Expected::Entries;
        check(many, 200, batch(&["201 Created", "200"]), "accepted", None);
        check(many, 200, batch(&["201 Created", "422 Unprocessable"]), "rejected", None);
        check(many, 200, batch(&["422", "503"]), "failed", Some(Scope::Message));
        check(many, 200, None, "uncertain", None);
        check(many, 200, Some(json!({"resourceType": "OperationOutcome"})), "uncertain", None);
        check(many, 202, None, "accepted", None);
    }

    #[test]
    fn a_message_is_as_good_as_its_response() {
        let reply = |code: &str| {
            Some(json!({"resourceType": "Bundle", "type": "message", "entry": [
                {"resource": {"resourceType": "MessageHeader", "response": {"code": code}}},
                {"resource": {"resourceType": "OperationOutcome", "issue": [
                    {"severity": "error", "code": "processing", "diagnostics": "later"}]}},
            ]}))
        };
        let message = Expected::Message;
        check(message, 200, reply("ok"), "accepted", None);
        check(message, 200, reply("transient-error"), "failed", Some(Scope::Message));
        check(message, 200, reply("fatal-error"), "rejected", None);
        check(message, 202, None, "accepted", None);
        check(message, 200, None, "uncertain", None);
        let outcome = outcome_of(message, &answered(200, reply("fatal-error")));
        assert_eq!(&*outcome.answer().text, "processing: later");
    }
}
