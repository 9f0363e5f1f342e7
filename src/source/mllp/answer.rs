//! Which acknowledgements a reply becomes, and their bytes.
//!
//! An accepted message's answer is made of its stored id and time alone, so that a repeat is answered
//! byte for byte as the first time.

use bytes::Bytes;

use crate::hl7::ack::{self, AckCode, Answer, Outcome};
use crate::hl7::header::Header;
use crate::hl7::mllp;
use crate::message::id::MessageId;
use crate::message::time::Timestamp;
use crate::message::verdict::Problem;
use crate::source::intake::{Reply, problem};
use crate::source::mllp::options::{AckMode, AckOptions, ApplicationAck, OnUnavailable};

/// What leaves for one message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// Acknowledgements, unframed, in order.
    pub(super) acks: Vec<Bytes>,
    /// Whether the connection ends after them.
    pub(super) close: bool,
}

/// What is due for `reply`. `at`: when the message was read, for answers to what is not stored.
pub(super) fn due(
    header: Option<&Header<'_>>,
    reply: &Reply,
    options: &AckOptions,
    at: Timestamp,
) -> Due {
    let (outcome, problems) = match reply {
        Reply::Accepted { .. } => (Outcome::Accept, Vec::new()),
        Reply::Refused(problem) if problem.reject => (Outcome::Reject, vec![problem.clone()]),
        Reply::Refused(problem) => (Outcome::Error, vec![problem.clone()]),
        Reply::Unavailable { reason } => {
            let problems = vec![problem(207, reason, false)];
            match options.on_unavailable {
                OnUnavailable::Error => (Outcome::Error, problems),
                OnUnavailable::Reject => (Outcome::Reject, problems),
                OnUnavailable::Close => return Due { acks: Vec::new(), close: true },
            }
        }
    };
    let mode = mode(header, options);
    if mode == AckMode::Byte {
        return Due { acks: vec![byte(outcome)], close: false };
    }
    let codes = codes(header, outcome, mode, options);
    // A sender that wants no answer learns from the closed connection that nothing is taken.
    let close = codes.is_empty() && matches!(reply, Reply::Unavailable { .. });
    let (id, at) = match reply {
        Reply::Accepted { id, received_at, .. } => (*id, *received_at),
        Reply::Refused(_) | Reply::Unavailable { .. } => (MessageId::new(), at),
    };
    let acks = codes.iter().map(|code| build(header, *code, id, at, &problems, options)).collect();
    Due { acks, close }
}

/// The acknowledgement of MLLP release 2: stored or not, and no word why.
pub(super) const fn byte(outcome: Outcome) -> Bytes {
    match outcome {
        Outcome::Accept => Bytes::from_static(&[mllp::ACK]),
        Outcome::Error | Outcome::Reject => Bytes::from_static(&[mllp::NAK]),
    }
}

/// One acknowledgement.
pub(super) fn build(
    header: Option<&Header<'_>>,
    code: AckCode,
    id: MessageId,
    at: Timestamp,
    problems: &[Problem],
    options: &AckOptions,
) -> Bytes {
    let name = if code.is_commit() { "commit-ack" } else { "ack" };
    let control_id = ack::control_id(id, name);
    let at = ack::moment(at);
    let answer =
        Answer { code, control_id: &control_id, at: &at, problems, charset: options.charset };
    ack::build(header, &answer)
}

/// The codes that are due, in order. A commit refusal is the last word: nothing is processed after it.
fn codes(
    header: Option<&Header<'_>>,
    outcome: Outcome,
    mode: AckMode,
    options: &AckOptions,
) -> Vec<AckCode> {
    let mode = match mode {
        AckMode::Auto => ack::AckMode::Asked,
        AckMode::Original => ack::AckMode::Original,
        AckMode::Enhanced => ack::AckMode::Enhanced,
        AckMode::Byte | AckMode::None => ack::AckMode::Never,
    };
    let Some(header) = header else {
        let silent = mode == ack::AckMode::Never;
        return if silent { Vec::new() } else { vec![AckCode::application(outcome)] };
    };
    let owed = ack::owed(header, mode, outcome);
    let original = match mode {
        ack::AckMode::Original => true,
        ack::AckMode::Asked => !ack::is_enhanced(header),
        ack::AckMode::Enhanced | ack::AckMode::Never => false,
    };
    let application = original || options.application_ack == ApplicationAck::SameConnection;
    let owed = ack::Owed { application: owed.application && application, ..owed };
    let second = owed.second(outcome).filter(|_| outcome == Outcome::Accept);
    owed.first(outcome).into_iter().chain(second).collect()
}

/// The mode for this sender.
pub(super) fn mode(header: Option<&Header<'_>>, options: &AckOptions) -> AckMode {
    let special = header.and_then(|header| {
        let is = |wanted: &Option<Box<str>>, field| {
            wanted.as_ref().is_none_or(|name| name.as_bytes() == header.component(field, 1))
        };
        options.modes.iter().find(|one| is(&one.application, 3) && is(&one.facility, 4))
    });
    special.map_or(options.mode, |special| special.mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::mllp::options::SenderAckMode;

    fn accepted() -> Reply {
        let id = MessageId::from_bytes([7; 16]);
        Reply::Accepted { id, received_at: Timestamp(1_768_379_400_000_000), repeat: false }
    }

    fn unavailable() -> Reply {
        Reply::Unavailable { reason: "the disk is full".to_owned() }
    }

    /// The codes of the answers, `close` when the connection ends.
    fn told(conditions: &str, reply: &Reply, options: &AckOptions) -> String {
        let text = format!("MSH|^~\\&|LAB|WARD|HUB|H|2026||ORU^R01|C1|P|2.5|||{conditions}\r");
        let header = Header::read(text.as_bytes()).unwrap();
        let due = due(Some(&header), reply, options, Timestamp(0));
        let code = |ack: &Bytes| {
            let text = String::from_utf8_lossy(ack).into_owned();
            text.split("MSA|").nth(1).unwrap().split('|').next().unwrap().trim().to_owned()
        };
        let codes: Vec<_> = due.acks.iter().map(code).collect();
        format!("{}{}", codes.join("+"), if due.close { " close" } else { "" })
    }

    #[test]
    fn enhanced_mode_follows_msh_15_and_16() {
        let (yes, no) = (accepted(), Reply::Refused(problem(101, "missing", false)));
        let options = AckOptions::default();
        let check = |conditions: &str, taken: &str, refused: &str| {
            assert_eq!(told(conditions, &yes, &options), taken, "{conditions} taken");
            assert_eq!(told(conditions, &no, &options), refused, "{conditions} refused");
        };
        check("|", "AA", "AE");
        check("NE|NE", "", "");
        check("AL|NE", "CA", "CE");
        check("SU|NE", "CA", "");
        check("ER|NE", "", "CE");
        check("NE|AL", "AA", "AE");
        check("|AL", "AA", "AE");
        check("NE|SU", "AA", "");
        check("NE|ER", "", "AE");
        check("AL|AL", "CA+AA", "CE");
        check("AL|SU", "CA+AA", "CE");
        check("AL|ER", "CA", "CE");
        check("SU|AL", "CA+AA", "AE");
        check("ER|AL", "AA", "CE");
        check("ER|ER", "", "CE");
        check("AL|", "CA", "CE");
    }

    #[test]
    fn the_application_ack_can_be_left_to_others() {
        let options = AckOptions { application_ack: ApplicationAck::None, ..AckOptions::default() };
        assert_eq!(told("AL|AL", &accepted(), &options), "CA");
        assert_eq!(told("NE|AL", &accepted(), &options), "");
        assert_eq!(told("|", &accepted(), &options), "AA");
    }

    #[test]
    fn unavailable_is_told_as_the_channel_chose() {
        let check = |on_unavailable, mode, conditions: &str, expected: &str| {
            let options = AckOptions { on_unavailable, mode, ..AckOptions::default() };
            assert_eq!(told(conditions, &unavailable(), &options), expected, "{conditions}");
        };
        check(OnUnavailable::Error, AckMode::Auto, "|", "AE");
        check(OnUnavailable::Reject, AckMode::Auto, "|", "AR");
        check(OnUnavailable::Error, AckMode::Auto, "AL|AL", "CE");
        check(OnUnavailable::Reject, AckMode::Auto, "AL|NE", "CR");
        check(OnUnavailable::Close, AckMode::Auto, "AL|NE", " close");
        check(OnUnavailable::Error, AckMode::Auto, "NE|NE", " close");
        check(OnUnavailable::Error, AckMode::None, "AL|AL", " close");
        check(OnUnavailable::Error, AckMode::Original, "AL|AL", "AE");
    }

    #[test]
    fn in_byte_mode_one_byte_says_stored_or_not() {
        let options = AckOptions { mode: AckMode::Byte, ..AckOptions::default() };
        let header = Header::read(b"MSH|^~\\&|LAB|WARD|HUB|H|2026||ORU^R01|C1|P|2.5|||AL|AL\r");
        let header = header.unwrap();
        let check = |header, reply: &Reply, options: &AckOptions, expected: &[&[u8]], close| {
            let due = due(header, reply, options, Timestamp(0));
            let acks: Vec<&[u8]> = due.acks.iter().map(|ack| &**ack).collect();
            assert_eq!((acks.as_slice(), due.close), (expected, close));
        };
        let refused = Reply::Refused(problem(101, "missing", false));
        check(Some(&header), &accepted(), &options, &[&[0x06]], false);
        check(Some(&header), &refused, &options, &[&[0x15]], false);
        check(Some(&header), &unavailable(), &options, &[&[0x15]], false);
        check(None, &refused, &options, &[&[0x15]], false);
        let close = AckOptions { on_unavailable: OnUnavailable::Close, ..options };
        check(Some(&header), &unavailable(), &close, &[], true);
    }

    #[test]
    fn a_sender_may_have_its_own_mode() {
        let special = |application: Option<&str>, facility: Option<&str>, mode| SenderAckMode {
            application: application.map(Into::into),
            facility: facility.map(Into::into),
            mode,
        };
        let modes = vec![
            special(Some("LAB"), Some("OTHER"), AckMode::None),
            special(None, Some("WARD"), AckMode::Enhanced),
        ];
        let options = AckOptions { modes, ..AckOptions::default() };
        assert_eq!(told("|", &accepted(), &options), "CA");
    }

    #[test]
    fn a_repeat_is_answered_byte_for_byte() {
        let header = b"MSH|^~\\&|LAB|WARD|HUB|H|2026||ORU^R01|C1|P|2.5|||AL|AL\r";
        let header = Header::read(header).unwrap();
        let options = AckOptions::default();
        let first = due(Some(&header), &accepted(), &options, Timestamp(1));
        let Reply::Accepted { id, received_at, .. } = accepted() else { unreachable!() };
        let repeat = Reply::Accepted { id, received_at, repeat: true };
        assert_eq!(first, due(Some(&header), &repeat, &options, Timestamp(2)));
        let ids: Vec<_> = first.acks.iter().map(|ack| ack.split(|b| *b == b'|').nth(9)).collect();
        assert_ne!(ids[0], ids[1]);
        assert_eq!(ids[0].unwrap().len(), 20);
        assert!(first.acks[0].windows(20).any(|part| part == b"|20260114083000+0000"));
    }
}
