//! Acknowledgements: which are owed, how they are built, how a receiver's is read (HL7 v2.5.1 §2.9).
//!
//! An answer is a function of the incoming header and of what is passed in, so that a repeated message
//! gets the same answer byte for byte.

mod build;
mod read;

pub use build::{Answer, build, build_message};
pub use read::{Ack, AckError};

use crate::hl7::header::Header;
use crate::message::id::MessageId;
use crate::message::time::Timestamp;

/// Longest control id of our own: older receivers cut MSH-10 at 20 characters.
const CONTROL_ID_CHARS: usize = 20;

/// MSA-1 (HL7 table 0008).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AckCode {
    /// Application accept.
    AA,
    /// Application error: the content is wrong.
    AE,
    /// Application reject: the header is not acceptable, or nothing can be taken now.
    AR,
    /// Commit accept: stored.
    CA,
    /// Commit error.
    CE,
    /// Commit reject.
    CR,
}

/// What the answer says, whatever its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Taken.
    Accept,
    /// The content is refused.
    Error,
    /// The header is refused, or nothing can be taken now.
    Reject,
}

impl AckCode {
    /// The code of an application acknowledgement.
    #[must_use]
    pub const fn application(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Accept => Self::AA,
            Outcome::Error => Self::AE,
            Outcome::Reject => Self::AR,
        }
    }

    /// The code of a commit acknowledgement.
    #[must_use]
    pub const fn commit(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Accept => Self::CA,
            Outcome::Error => Self::CE,
            Outcome::Reject => Self::CR,
        }
    }

    /// The code as written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AA => "AA",
            Self::AE => "AE",
            Self::AR => "AR",
            Self::CA => "CA",
            Self::CE => "CE",
            Self::CR => "CR",
        }
    }

    /// The code with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        [Self::AA, Self::AE, Self::AR, Self::CA, Self::CE, Self::CR]
            .into_iter()
            .find(|code| code.as_str().as_bytes() == bytes)
    }

    /// What it says.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::AA | Self::CA => Outcome::Accept,
            Self::AE | Self::CE => Outcome::Error,
            Self::AR | Self::CR => Outcome::Reject,
        }
    }

    /// Whether it is a commit acknowledgement: "stored", not "processed".
    #[must_use]
    pub const fn is_commit(self) -> bool {
        matches!(self, Self::CA | Self::CE | Self::CR)
    }
}

impl std::fmt::Display for AckCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a listener answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AckMode {
    /// As MSH-15 and MSH-16 ask; original mode when both are empty.
    #[default]
    Asked,
    /// Always AA, AE or AR, whatever the message asks.
    Original,
    /// Always CA, CE or CR, and an application acknowledgement only where MSH-16 asks for one.
    Enhanced,
    /// Nothing at all.
    Never,
}

/// Which acknowledgements a message is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owed {
    /// A commit acknowledgement, at once, on the same connection.
    pub commit: bool,
    /// An application acknowledgement: at once when no commit acknowledgement is owed, else later, as a
    /// message of its own.
    pub application: bool,
}

impl Owed {
    /// The code to answer with at once; `None` when nothing is owed.
    #[must_use]
    pub const fn first(self, outcome: Outcome) -> Option<AckCode> {
        if self.commit {
            Some(AckCode::commit(outcome))
        } else if self.application {
            Some(AckCode::application(outcome))
        } else {
            None
        }
    }

    /// The code to answer with later, when a commit acknowledgement went first.
    #[must_use]
    pub const fn second(self, outcome: Outcome) -> Option<AckCode> {
        if self.commit && self.application { Some(AckCode::application(outcome)) } else { None }
    }
}

/// Which acknowledgements this message is owed for this outcome (HL7 v2.9 §2.9.2, table of MSH-15 and 16).
///
/// An acknowledgement never gets an application acknowledgement, and a commit one only when its MSH-15
/// asks: two engines that acknowledge each other's acknowledgements never stop.
#[must_use]
pub fn owed(header: &Header<'_>, mode: AckMode, outcome: Outcome) -> Owed {
    let success = outcome == Outcome::Accept;
    let (accept, application) = (header.accept_ack(), header.application_ack());
    if mode == AckMode::Never {
        return Owed::default();
    }
    if is_acknowledgement(header) {
        return Owed { commit: accept.is_due(success), application: false };
    }
    let original = !is_enhanced(header);
    match mode {
        AckMode::Never => Owed::default(),
        AckMode::Original => Owed { commit: false, application: true },
        AckMode::Enhanced => Owed { commit: true, application: application.is_due(success) },
        AckMode::Asked if original => Owed { commit: false, application: true },
        AckMode::Asked => {
            Owed { commit: accept.is_due(success), application: application.is_due(success) }
        }
    }
}

/// MSH-10 of an answer to the message with this id: unique to both, and the same for a repeat.
#[must_use]
pub fn control_id(id: MessageId, name: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bytes = id.derive(name).to_bytes();
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    let digit = |half| DIGITS.get(usize::from(half)).map(|digit| char::from(*digit));
    let mut id = String::with_capacity(CONTROL_ID_CHARS);
    id.extend(halves.filter_map(digit).take(CONTROL_ID_CHARS));
    id
}

/// MSH-7 of an answer, UTC with its zone.
#[must_use]
pub fn moment(at: Timestamp) -> String {
    let moment = jiff::Timestamp::from_microsecond(at.0).unwrap_or_default();
    let moment = jiff::tz::Offset::UTC.to_datetime(moment);
    let year = moment.year().unsigned_abs();
    let parts = [moment.month(), moment.day(), moment.hour(), moment.minute(), moment.second()];
    let parts = parts.map(|part| u16::from(part.unsigned_abs()));
    let mut text = String::with_capacity("YYYYMMDDHHMMSS+0000".len());
    for part in [year / 100, year % 100].into_iter().chain(parts) {
        let digits = [part / 10, part % 10].map(u32::from);
        text.extend(digits.into_iter().filter_map(|digit| char::from_digit(digit, 10)));
    }
    text.push_str("+0000");
    text
}

/// Whether the message asks for enhanced mode: MSH-15 or MSH-16 is valued.
#[must_use]
pub fn is_enhanced(header: &Header<'_>) -> bool {
    use crate::hl7::header::Condition::Unsaid;
    header.accept_ack() != Unsaid || header.application_ack() != Unsaid
}

/// Whether the message is itself an acknowledgement (ACK, or MCF, the delayed one of v2.1).
#[must_use]
pub fn is_acknowledgement(header: &Header<'_>) -> bool {
    matches!(header.message_type(), b"ACK" | b"MCF")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &str, msh15: &str, msh16: &str, mode: AckMode, expected: [&str; 2]) {
        let text = format!("MSH|^~\\&|A|B|C|D|2026||{kind}|1|P|2.5|||{msh15}|{msh16}\r");
        let header = Header::read(text.as_bytes()).unwrap();
        let found = [Outcome::Accept, Outcome::Error].map(|outcome| {
            let owed = owed(&header, mode, outcome);
            let codes = [owed.first(outcome), owed.second(outcome)];
            codes.iter().flatten().map(|code| code.as_str()).collect::<Vec<_>>().join("+")
        });
        assert_eq!(found, expected, "{kind} {msh15}/{msh16} {mode:?}");
    }

    #[test]
    fn owes_what_the_message_asks_for() {
        let asked = AckMode::Asked;
        check("ADT^A01", "", "", asked, ["AA", "AE"]);
        check("ADT^A01", "AL", "NE", asked, ["CA", "CE"]);
        check("ADT^A01", "AL", "", asked, ["CA", "CE"]);
        check("ADT^A01", "NE", "AL", asked, ["AA", "AE"]);
        check("ADT^A01", "AL", "AL", asked, ["CA+AA", "CE+AE"]);
        check("ADT^A01", "AL", "ER", asked, ["CA", "CE+AE"]);
        check("ADT^A01", "NE", "NE", asked, ["", ""]);
        check("ADT^A01", "ER", "NE", asked, ["", "CE"]);
        check("ADT^A01", "SU", "NE", asked, ["CA", ""]);
        check("ADT^A01", "ER", "SU", asked, ["AA", "CE"]);
    }

    #[test]
    fn the_listener_may_decide_instead() {
        check("ADT^A01", "AL", "NE", AckMode::Original, ["AA", "AE"]);
        check("ADT^A01", "", "", AckMode::Enhanced, ["CA", "CE"]);
        check("ADT^A01", "AL", "AL", AckMode::Never, ["", ""]);
    }

    #[test]
    fn an_acknowledgement_is_never_acknowledged_in_a_loop() {
        for mode in [AckMode::Asked, AckMode::Original, AckMode::Enhanced] {
            check("ACK^A01^ACK", "AL", "AL", mode, ["CA", "CE"]);
            check("ACK", "", "", mode, ["", ""]);
            check("ACK", "NE", "AL", mode, ["", ""]);
        }
    }
}
