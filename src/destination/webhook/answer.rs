//! Which outcome follows from the way a request ended.

use std::time::Duration;

use crate::clock::Clock;
use crate::message::outcome::{Answer, Outcome, Scope};

/// How reading the answer's body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Read to its end, or to the limit.
    Read,
    /// The connection broke before.
    Broken,
    /// It was not over in time.
    Slow,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The receiver answered.
    Answered {
        /// HTTP status.
        status: u16,
        /// The beginning of the body, for people; may quote the message.
        text: String,
        /// How the body ended.
        body: Body,
        /// When the receiver wants the next attempt.
        retry_after: Option<Duration>,
    },
    /// There was no connection, so nothing of the request was sent. `code` is `refused`,
    /// `unreachable`, `tls`, `egress` or `busy`.
    NotSent {
        /// The code the policy knows.
        code: &'static str,
        /// What happened, without content.
        text: String,
    },
    /// The request was sent, or a part of it, and no answer came. `code` is `timeout` or `reset`.
    Unanswered {
        /// The code the policy knows.
        code: &'static str,
        /// What happened, without content.
        text: String,
    },
    /// The message itself leads to a request that may not or cannot be made.
    Unsendable {
        /// The code the policy knows.
        code: &'static str,
        /// What is wrong, without content.
        text: String,
    },
}

/// The outcome that follows.
///
/// | answer | outcome |
/// | --- | --- |
/// | 2xx, body read | accepted |
/// | 2xx, body broken or too slow | uncertain |
/// | 3xx | failed: redirects are not followed, the URL wants correcting |
/// | 408 425 429, 5xx | failed, `Retry-After` honoured |
/// | 410, other 4xx | rejected |
/// | no connection | failed |
/// | sent, no answer | uncertain |
#[must_use]
pub fn outcome_of(ending: &Ending) -> Outcome {
    match ending {
        Ending::Answered { status, text, body, retry_after } => {
            answered(*status, text, *body, *retry_after)
        }
        Ending::NotSent { code, text } => Outcome::Failed {
            answer: Answer::new(*code, text),
            scope: Scope::Endpoint,
            retry_after: None,
        },
        Ending::Unanswered { code, text } => Outcome::Uncertain(Answer::new(*code, text)),
        Ending::Unsendable { code, text } => Outcome::Rejected(Answer::new(*code, text)),
    }
}

fn answered(status: u16, text: &str, body: Body, retry_after: Option<Duration>) -> Outcome {
    let answer = Answer::new(status.to_string(), text);
    match (status, body) {
        (200..=299, Body::Read) => Outcome::Accepted(answer),
        (200..=299, Body::Broken) => Outcome::Uncertain(Answer::new(
            "reset",
            &format!("answered {status}, but the connection broke before the end of the answer"),
        )),
        (200..=299, Body::Slow) => Outcome::Uncertain(Answer::new(
            "timeout",
            &format!("answered {status}, but the answer was not over in time"),
        )),
        // Redirects, rate limits and gateways speak of the endpoint; 500 may speak of this message.
        (300..=399 | 429 | 502..=504, _) => {
            Outcome::Failed { answer, scope: Scope::Endpoint, retry_after }
        }
        (408 | 425 | 500..=599, _) => {
            Outcome::Failed { answer, scope: Scope::Message, retry_after }
        }
        (400..=499, _) => Outcome::Rejected(answer),
        _ => Outcome::Uncertain(Answer::new("other", text)),
    }
}

/// The wait a `Retry-After` header asks for: seconds, or a date (RFC 9110 §10.2.3); cut to `longest`.
pub(in crate::destination) fn retry_after(
    header: &str,
    clock: &Clock,
    longest: Duration,
) -> Option<Duration> {
    let header = header.trim();
    let wait = if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(header.parse().unwrap_or(u64::MAX))
    } else {
        let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(header).ok()?;
        let now = clock.now();
        crate::message::time::Timestamp(date.as_microsecond()).since(now)
    };
    Some(wait.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::time::Timestamp;

    #[test]
    fn each_status_has_its_outcome() {
        let check = |status: u16, body, name: &str, expected: Option<Scope>| {
            let outcome = answered(status, "", body, None);
            assert_eq!(outcome.name(), name, "{status}");
            if let Outcome::Failed { scope, .. } = outcome {
                assert_eq!(Some(scope), expected, "{status}");
            }
        };
        for status in [200, 201, 202, 204, 299] {
            check(status, Body::Read, "accepted", None);
            check(status, Body::Broken, "uncertain", None);
            check(status, Body::Slow, "uncertain", None);
        }
        for status in [301, 302, 304, 308, 429, 502, 503, 504] {
            check(status, Body::Slow, "failed", Some(Scope::Endpoint));
        }
        for status in [408, 425, 500, 501, 599] {
            check(status, Body::Broken, "failed", Some(Scope::Message));
        }
        for status in [400, 401, 403, 404, 409, 410, 413, 422, 499] {
            check(status, Body::Read, "rejected", None);
        }
        for status in [100, 199, 600, 999] {
            check(status, Body::Read, "uncertain", None);
        }
    }

    #[test]
    fn a_wish_when_to_come_again_is_read() {
        // 1994-11-06T08:49:37Z
        let clock = Clock::manual(Timestamp(784_111_777_000_000));
        let check = |header: &str, expected: Option<u64>| {
            let found = retry_after(header, &clock, Duration::from_hours(24));
            assert_eq!(found, expected.map(Duration::from_secs), "{header}");
        };
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("99999999999999999999999", Some(86_400));
        check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
        check("Sun, 06 Nov 1994 08:49:00 GMT", Some(0));
        check("Mon, 06 Nov 2094 08:49:00 GMT", None);
        check("Sat, 06 Nov 2094 08:49:00 GMT", Some(86_400));
        check("soon", None);
        check("-5", None);
        check("", None);
    }
}
