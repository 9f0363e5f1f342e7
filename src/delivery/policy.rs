//! What an answer means for the delivery: a table from answer codes to reactions. Pure.
//!
//! The engines in the field contradict each other (one retries AR and sets AE aside, another does the
//! reverse), so no rule is built in: a preset is a starting point, and every line of it can be changed.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::message::outcome::{Outcome, Scope};

/// What is done after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reaction {
    /// Delivered.
    Accept,
    /// Tried again by the retry rule, with the same id.
    Retry,
    /// Held until a person decides; the later deliveries of its lane wait behind it.
    HoldLane,
    /// Set aside with its evidence; its lane goes on.
    DeadLetter,
    /// The whole destination stops until a person resumes it; the delivery stays first in its lane.
    Pause,
}

impl Reaction {
    /// All names, as written in a channel file.
    pub const NAMES: [&'static str; 5] = ["accept", "retry", "hold_lane", "dead_letter", "pause"];

    /// Reads a name; `None` when there is no such reaction.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "accept" => Self::Accept,
            "retry" => Self::Retry,
            "hold_lane" => Self::HoldLane,
            "dead_letter" => Self::DeadLetter,
            "pause" => Self::Pause,
            _ => return None,
        })
    }

    /// The name, as written in a channel file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Retry => "retry",
            Self::HoldLane => "hold_lane",
            Self::DeadLetter => "dead_letter",
            Self::Pause => "pause",
        }
    }
}

/// Codes that are words; besides them a policy may name HTTP statuses (`404`) and classes (`4xx`).
///
/// `no_answer` also covers `timeout`. `other` is every answer that is not named and not a success.
/// `failed`, `rejected` and `uncertain` are the fallbacks by class of outcome. `transient-error` and
/// `fatal-error` answer a FHIR message, `unread` is an answer to a batch or message that cannot be read, and
/// `unfit` is what cannot be sent at all as the destination wants it.
pub const CODES: &[&str] = &[
    "AA",
    "AE",
    "AR",
    "CA",
    "CE",
    "CR",
    "no_answer",
    "timeout",
    "wrong_id",
    "garbage",
    "refused",
    "reset",
    "closed",
    "unreachable",
    "tls",
    "transient-error",
    "fatal-error",
    "unread",
    "unfit",
    "other",
    "failed",
    "rejected",
    "uncertain",
];

/// Names of the presets.
pub const PRESETS: &[&str] = &["standard", "mirth", "intersystems", "strict_order"];

/// Why a line of a policy makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no answer code; write one of AA AE AR CA CE CR, no_answer, wrong_id, garbage, refused, reset, transient-error, fatal-error, unread, unfit, other, failed, rejected, uncertain, an HTTP status (404) or a class (4xx)"
)]
pub struct UnknownCode(pub String);

/// The table. Looked up by exact code, then `no_answer` for a timeout, then the HTTP class, then
/// `other`, then the class of the outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AckPolicy {
    rules: BTreeMap<Box<str>, Reaction>,
    failed: Reaction,
    rejected: Reaction,
    uncertain: Reaction,
}

impl Default for AckPolicy {
    fn default() -> Self {
        Self::standard()
    }
}

impl AckPolicy {
    fn of(rules: &[(&str, Reaction)]) -> Self {
        Self {
            rules: rules.iter().map(|(code, reaction)| ((*code).into(), *reaction)).collect(),
            failed: Reaction::Retry,
            rejected: Reaction::DeadLetter,
            uncertain: Reaction::Retry,
        }
    }

    /// What the HL7 standard says (v2.5.1 §2.9.2): AE and CR speak of the content, so repeating them
    /// is useless: dead letter. AR and CE speak of the receiver's state ("system down, internal
    /// error"): retry. No answer, a wrong id and garbage leave open whether the receiver has it:
    /// repeat with the same id.
    #[must_use]
    pub fn standard() -> Self {
        Self::of(&[
            ("AA", Reaction::Accept),
            ("CA", Reaction::Accept),
            ("AE", Reaction::DeadLetter),
            ("AR", Reaction::Retry),
            ("CE", Reaction::Retry),
            ("CR", Reaction::DeadLetter),
        ])
    }

    /// As Mirth Connect does it: every negative answer is an error that leaves the queue; only a
    /// missing answer or connection is tried again. A wrong id is never credited: tried again.
    #[must_use]
    pub fn mirth() -> Self {
        Self::of(&[
            ("AA", Reaction::Accept),
            ("CA", Reaction::Accept),
            ("AE", Reaction::DeadLetter),
            ("AR", Reaction::DeadLetter),
            ("CE", Reaction::DeadLetter),
            ("CR", Reaction::DeadLetter),
            ("garbage", Reaction::DeadLetter),
        ])
    }

    /// As InterSystems does it: AR and CR are tried again until the retry rule gives up; AE and CE are
    /// set aside ("suspended") and the queue goes on. Unlike there, a wrong id is never credited.
    #[must_use]
    pub fn intersystems() -> Self {
        Self::of(&[
            ("AA", Reaction::Accept),
            ("CA", Reaction::Accept),
            ("AE", Reaction::DeadLetter),
            ("AR", Reaction::Retry),
            ("CE", Reaction::DeadLetter),
            ("CR", Reaction::Retry),
        ])
    }

    /// Order before progress: whatever is not accepted keeps its place. Refusals hold the lane until a
    /// person decides; what may succeed later is tried again in place.
    #[must_use]
    pub fn strict_order() -> Self {
        let mut policy = Self::of(&[
            ("AA", Reaction::Accept),
            ("CA", Reaction::Accept),
            ("AE", Reaction::HoldLane),
            ("AR", Reaction::HoldLane),
            ("CE", Reaction::Retry),
            ("CR", Reaction::HoldLane),
            ("garbage", Reaction::HoldLane),
        ]);
        policy.rejected = Reaction::HoldLane;
        policy
    }

    /// A preset by name; `None` when there is none of this name.
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        Some(match name {
            "standard" => Self::standard(),
            "mirth" => Self::mirth(),
            "intersystems" => Self::intersystems(),
            "strict_order" => Self::strict_order(),
            _ => return None,
        })
    }

    /// Changes one line.
    ///
    /// # Errors
    /// When `code` is none of [`CODES`], no HTTP status and no class of statuses.
    pub fn set(&mut self, code: &str, reaction: Reaction) -> Result<(), UnknownCode> {
        match code {
            "failed" => self.failed = reaction,
            "rejected" => self.rejected = reaction,
            "uncertain" => self.uncertain = reaction,
            _ if CODES.contains(&code) || is_status(code) || is_class(code) => {
                self.rules.insert(code.into(), reaction);
            }
            _ => return Err(UnknownCode(code.to_owned())),
        }
        Ok(())
    }

    /// What to do after this outcome.
    #[must_use]
    pub fn reaction(&self, outcome: &Outcome) -> Reaction {
        let code = &*outcome.answer().code;
        if let Some(reaction) = self.named(code) {
            return reaction;
        }
        match outcome {
            Outcome::Accepted(_) => Reaction::Accept,
            // Nobody answered: what "other" says of answers does not speak of a closed door.
            Outcome::Failed { scope: Scope::Endpoint, .. } if !is_status(code) => self.failed,
            Outcome::Failed { .. } => self.other().unwrap_or(self.failed),
            Outcome::Rejected(_) => self.other().unwrap_or(self.rejected),
            Outcome::Uncertain(_) => self.other().unwrap_or(self.uncertain),
        }
    }

    fn named(&self, code: &str) -> Option<Reaction> {
        if let Some(reaction) = self.rules.get(code) {
            return Some(*reaction);
        }
        if code == "timeout" {
            return self.rules.get("no_answer").copied();
        }
        if is_status(code) {
            let class = match code.as_bytes().first() {
                Some(b'1') => "1xx",
                Some(b'2') => "2xx",
                Some(b'3') => "3xx",
                Some(b'4') => "4xx",
                _ => "5xx",
            };
            return self.rules.get(class).copied();
        }
        None
    }

    fn other(&self) -> Option<Reaction> {
        self.rules.get("other").copied()
    }
}

fn is_status(code: &str) -> bool {
    matches!(code.as_bytes(), [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'])
}

fn is_class(code: &str) -> bool {
    matches!(code.as_bytes(), [b'1'..=b'5', b'x', b'x'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::outcome::Answer;

    fn failed(code: &'static str) -> Outcome {
        Outcome::Failed { answer: Answer::new(code, ""), scope: Scope::Message, retry_after: None }
    }

    fn rejected(code: &'static str) -> Outcome {
        Outcome::Rejected(Answer::new(code, ""))
    }

    fn uncertain(code: &'static str) -> Outcome {
        Outcome::Uncertain(Answer::new(code, ""))
    }

    #[test]
    fn presets_differ_where_the_engines_do() {
        let check = |preset: &str, expected: [Reaction; 4]| {
            let policy = AckPolicy::preset(preset).unwrap();
            let found = ["AE", "AR", "CE", "CR"].map(|code| policy.reaction(&rejected(code)));
            assert_eq!(found, expected, "{preset}");
            assert_eq!(
                policy.reaction(&Outcome::Accepted(Answer::new("AA", ""))),
                Reaction::Accept
            );
            assert_eq!(policy.reaction(&uncertain("wrong_id")), Reaction::Retry, "{preset}");
            assert_eq!(policy.reaction(&uncertain("timeout")), Reaction::Retry, "{preset}");
        };
        use Reaction::{DeadLetter, HoldLane, Retry};
        check("standard", [DeadLetter, Retry, Retry, DeadLetter]);
        check("mirth", [DeadLetter, DeadLetter, DeadLetter, DeadLetter]);
        check("intersystems", [DeadLetter, Retry, DeadLetter, Retry]);
        check("strict_order", [HoldLane, HoldLane, Retry, HoldLane]);
        assert!(PRESETS.iter().all(|name| AckPolicy::preset(name).is_some()));
    }

    #[test]
    fn the_nearest_line_wins() {
        let mut policy = AckPolicy::standard();
        policy.set("4xx", Reaction::HoldLane).unwrap();
        policy.set("404", Reaction::Accept).unwrap();
        policy.set("no_answer", Reaction::Pause).unwrap();
        assert_eq!(policy.reaction(&rejected("404")), Reaction::Accept);
        assert_eq!(policy.reaction(&rejected("422")), Reaction::HoldLane);
        assert_eq!(policy.reaction(&failed("503")), Reaction::Retry);
        assert_eq!(policy.reaction(&uncertain("timeout")), Reaction::Pause);
        policy.set("timeout", Reaction::Retry).unwrap();
        assert_eq!(policy.reaction(&uncertain("timeout")), Reaction::Retry);
    }

    #[test]
    fn other_covers_what_is_not_named_but_never_a_success() {
        let mut policy = AckPolicy::standard();
        policy.set("other", Reaction::HoldLane).unwrap();
        assert_eq!(policy.reaction(&failed("strange")), Reaction::HoldLane);
        assert_eq!(policy.reaction(&Outcome::Accepted(Answer::new("201", ""))), Reaction::Accept);
        let closed = |code: &'static str| Outcome::Failed {
            answer: Answer::new(code, ""),
            scope: Scope::Endpoint,
            retry_after: None,
        };
        for code in ["refused", "unreachable", "tls"] {
            assert_eq!(policy.reaction(&closed(code)), Reaction::Retry, "{code} is no answer");
        }
        assert_eq!(policy.reaction(&closed("503")), Reaction::HoldLane);
        policy.set("refused", Reaction::Pause).unwrap();
        assert_eq!(policy.reaction(&closed("refused")), Reaction::Pause);
        policy.set("uncertain", Reaction::HoldLane).unwrap();
        assert_eq!(AckPolicy::standard().reaction(&failed("strange")), Reaction::Retry);
    }

    #[test]
    fn refuses_codes_nobody_answers() {
        let mut policy = AckPolicy::standard();
        for code in ["", "XX", "999", "40", "6xx", "aa"] {
            assert!(policy.set(code, Reaction::Retry).is_err(), "{code}");
        }
        assert!(Reaction::NAMES.iter().all(|name| Reaction::parse(name).unwrap().name() == *name));
    }
}
