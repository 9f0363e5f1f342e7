//! E01..: keys and values that do not fit their place.

use crate::yaml::codes::Explanation;

pub(super) const CODES: &[Explanation] = &[
    Explanation {
        code: "E0101",
        title: "a key is not known here",
        text: "Every key is checked, because a mistyped one would otherwise be ignored silently. The hint \
               names the nearest key, or all of them. `medway schema` lets your editor complete them.",
        wrong: "search_key:\n  mrn: PID-3",
        right: "search_keys:\n  mrn: PID-3",
    },
    Explanation {
        code: "E0102",
        title: "a key is missing",
        text: "This key has no default. The place shown is the one it belongs below.",
        wrong: "mllp: {host: lis.hospital.example}",
        right: "mllp: {host: lis.hospital.example, port: 2575}",
    },
    Explanation {
        code: "E0103",
        title: "a value is of the wrong kind",
        text: "A single value, a list and a mapping are different things, and this key takes another one \
               than it was given, or it was given nothing at all.",
        wrong: "mllp: lis.hospital.example:2575",
        right: "mllp: {host: lis.hospital.example, port: 2575}",
    },
    Explanation {
        code: "E0104",
        title: "a value cannot be read",
        text: "Durations are written 500ms, 5s, 2m, 72h, 7d; sizes 64KiB, 2MiB; shares 10%; listeners \
               0.0.0.0:6661; receivers host:port; switches true or false.",
        wrong: "reply_within: 20",
        right: "reply_within: 20s",
    },
    Explanation {
        code: "E0105",
        title: "a number is outside of what is allowed",
        text: "The hint says from where to where it may go.",
        wrong: "port: 70000",
        right: "port: 2575",
    },
    Explanation {
        code: "E0106",
        title: "a word is not one of those allowed",
        text: "This key takes one of a few words; the hint lists them.",
        wrong: "ack: after_store",
        right: "ack: after_stored",
    },
    Explanation {
        code: "E0107",
        title: "exactly one of several keys must be there",
        text: "A channel has one kind of source, a destination one transport. For a second one make a \
               second destination, or a second channel.",
        wrong: "lis:\n  mllp: {host: lis, port: 2575}\n  file: {directory: /var/lis}",
        right: "lis:\n  mllp: {host: lis, port: 2575}\nlis_copy:\n  file: {directory: /var/lis}",
    },
    Explanation {
        code: "E0108",
        title: "this is not in this version",
        text: "The key is reserved for something that a later version brings. The hint lists what there \
               is now.",
        wrong: "billing:\n  rabbitmq: {exchange: adt}",
        right: "billing:\n  webhook: {url: \"https://billing.hospital.example/adt\"}",
    },
    Explanation {
        code: "E0109",
        title: "a secret stands in the file",
        text: "Files are read by many and kept in version control. Passwords, tokens and keys are only \
               named: secret/NAME. The value stands in the file NAME of the secrets directory, or in the \
               environment variable MEDWAY_SECRET_NAME.",
        wrong: "sign: whsec_made-up-and-open",
        right: "sign: secret/emr-hook",
    },
];
