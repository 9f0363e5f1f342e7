//! `to.NAME.mllp`: how HL7 v2 messages are sent over MLLP.

use crate::config::shapes::{COUNT, PORT};
use crate::yaml::shape::{Field, MapShape, Shape};

/// `to.NAME.mllp`.
pub static MLLP: MapShape = MapShape {
    one_of: &[&["host", "endpoints", "listen"]],
    ..MapShape::new(
        "to_mllp",
        "Sends HL7 v2 messages over MLLP and waits for the acknowledgement of each. Either host and port, or endpoints, or listen.",
        &[
            Field::optional("host", Shape::Host, "lis.hospital.example", "The receiver."),
            Field::optional("port", PORT, "2575", "Its port; goes with `host`."),
            Field::optional(
                "endpoints",
                Shape::List(&Shape::Endpoint),
                "[mpi-a.hospital.example:2575, mpi-b.hospital.example:2575]",
                "Several receivers, all equal.",
            ),
            Field::optional(
                "listen",
                LISTENING,
                "{at: 0.0.0.0:6670, allow: 10.20.0.7}",
                "Where the receiver connects to us, to be sent to on its own connection (reverse MLLP). An address alone suffices on this machine, and with `tls`.",
            ),
            Field::optional(
                "balance",
                Shape::Choice(&[
                    ("round_robin", "Each in turn."),
                    ("random", "Any, with equal chance."),
                    ("least_connections", "The one with the fewest messages in flight."),
                ]),
                "least_connections",
                "How an endpoint is chosen. Default round_robin.",
            ),
            Field::optional(
                "failures_max",
                COUNT,
                "3",
                "Failures in a row after which an endpoint is spared. Default 3.",
            ),
            Field::optional(
                "cool_down",
                Shape::Duration,
                "1s",
                "How long it is spared first; doubles. Default 1s.",
            ),
            Field::optional(
                "cool_down_max",
                Shape::Duration,
                "1m",
                "The longest time it is spared. Default 1m.",
            ),
            Field::optional(
                "tls",
                Shape::Name,
                "hospital-ca",
                "Name of a TLS profile of engine.yaml. Default: plain TCP.",
            ),
            Field::optional("connections", COUNT, "1", "Connections to each endpoint. Default 1."),
            Field::optional(
                "in_flight",
                COUNT,
                "1",
                "Messages in flight on each connection; more than 1 needs a receiver that answers in order. Default 1.",
            ),
            Field::optional(
                "connect_within",
                Shape::Duration,
                "10s",
                "Name lookup, connection and TLS handshake together. Default 10s.",
            ),
            Field::optional(
                "write_within",
                Shape::Duration,
                "30s",
                "Handing one message to the network. Default 30s.",
            ),
            Field::optional(
                "reply_within",
                Shape::Duration,
                "20s",
                "Wait for the acknowledgement; then the connection is closed. Default 30s.",
            ),
            Field::optional(
                "keep_open",
                Shape::Bool,
                "true",
                "Whether the connection stays open for the next message. Default true.",
            ),
            Field::optional(
                "idle_max",
                Shape::Duration,
                "5m",
                "An idle connection is closed after so long. Default 5m.",
            ),
            Field::optional(
                "keepalive",
                Shape::Duration,
                "1m",
                "Quiet time before a TCP keep-alive probe. Default 1m.",
            ),
            Field::optional(
                "unconfirmed_max",
                Shape::Duration,
                "30s",
                "How long sent bytes may stay unconfirmed by the receiver's machine. Default 30s.",
            ),
            Field::optional(
                "frame_start",
                Shape::Text,
                "0B",
                "First bytes of a frame, hexadecimal. Default 0B.",
            ),
            Field::optional(
                "frame_end",
                Shape::Text,
                "1C0D",
                "Last bytes of a frame, hexadecimal. Default 1C0D.",
            ),
            Field::optional(
                "max_answer",
                Shape::Size,
                "64KiB",
                "Largest answer read. Default 64KiB.",
            ),
            Field::optional(
                "answer",
                Shape::Choice(&[
                    ("hl7", "An HL7 acknowledgement."),
                    ("byte", "One byte (MLLP release 2): 06 counts as CA, 15 as CE."),
                    ("nothing", "Nothing: what was written counts as delivered."),
                ]),
                "byte",
                "What the receiver answers. Default hl7.",
            ),
            Field::optional(
                "commit_ack",
                Shape::Choice(&[
                    ("final", "The receiver has it."),
                    ("wait", "It answers a second time; that answer counts."),
                ]),
                "final",
                "What a commit acknowledgement (CA) means. Default final.",
            ),
            Field::optional(
                "application_within",
                Shape::Duration,
                "1m",
                "With commit_ack: wait, the wait for the second answer. Default 1m.",
            ),
            Field::optional(
                "control_id",
                Shape::Choice(&[
                    ("required", "MSA-2 must equal MSH-10."),
                    ("ignored", "Any answer on the connection counts."),
                ]),
                "required",
                "Whether the answer must name the message. Default required.",
            ),
        ],
    )
};

const LISTENING: Shape =
    Shape::ByKind { scalar: Some(&Shape::Address), items: None, map: Some(&LISTENING_MAP) };

static LISTENING_MAP: MapShape = MapShape::new(
    "to_mllp_listen",
    "Where the receiver connects to us. Whoever connects is sent messages.",
    &[
        Field::required(
            "at",
            Shape::Address,
            "0.0.0.0:6670",
            "Address and port; port 0 takes any free port.",
        ),
        Field::optional(
            "allow",
            Shape::OneOrMany(&Shape::Network),
            "10.20.0.7",
            "Networks that may connect. Default: all.",
        ),
    ],
);
