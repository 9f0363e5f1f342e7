//! `from:`: where a channel's messages come from.

use crate::config::shapes::fhir::FHIR;
use crate::config::shapes::http::{MAX_CONNECTIONS, MAX_CONNECTIONS_PER_PEER, TIMEOUTS};
use crate::config::shapes::{CONTENT, COUNT};
use crate::yaml::shape::{Field, MapShape, Shape};

/// `from:`.
pub static FROM: MapShape = MapShape {
    one_of: &[&["mllp", "http", "fhir", "file", "topic"]],
    planned: &["rabbitmq", "kafka", "nats", "sftp", "sql", "dicom"],
    ..MapShape::new(
        "from",
        "Where the channel's messages come from: exactly one of mllp, http, fhir, file and topic.",
        &[
            Field::optional(
                "mllp",
                Shape::Map(&MLLP),
                "{listen: 0.0.0.0:6661}",
                "HL7 v2 over MLLP.",
            ),
            Field::optional(
                "http",
                Shape::Map(&HTTP),
                "{listen: 0.0.0.0:8081, path: /adt}",
                "HTTP POST, one message (or one HL7 batch) a request.",
            ),
            Field::optional(
                "fhir",
                Shape::Map(&FHIR),
                "{listen: 0.0.0.0:8443, access: none}",
                "A FHIR R4 endpoint: REST, transactions, messages.",
            ),
            Field::optional(
                "file",
                Shape::Map(&FILE),
                "{directory: /var/spool/lab}",
                "Files that appear in a directory.",
            ),
            Field::optional(
                "topic",
                Shape::OneOrMany(&Shape::Text),
                "patient",
                "Messages inside the engine: a kind (patient, report, device, order, …: every accepted message of that kind) or a topic that a destination publishes.",
            ),
            Field::optional(
                "ack",
                ACK,
                "after_stored",
                "How MLLP senders are answered. Default after_stored: AA (CA) means \"safely on disk\".",
            ),
            Field::optional(
                "charset",
                CHARSET,
                "{from: MSH-18, otherwise: GB18030}",
                "How bytes become text. Default: as MSH-18 says, UTF-8 where it says nothing.",
            ),
        ],
    )
};

static ACK: Shape = Shape::ByKind { scalar: Some(&ACK_WHEN), items: None, map: Some(&ACK_MAP) };

static ACK_WHEN: Shape = Shape::Choice(&[
    ("after_stored", "After the message and its plan are on disk."),
    ("none", "Never: for senders that read no answers."),
]);

static ACK_MAP: MapShape = MapShape::new(
    "ack",
    "How MLLP senders are answered.",
    &[
        Field::optional("mode", MODE, "auto", "Original or enhanced mode. Default auto."),
        Field::optional(
            "modes",
            Shape::List(&Shape::Map(&ACK_SENDER)),
            "[{application: HIS, mode: original}]",
            "Senders that differ; the first that matches holds.",
        ),
        Field::optional(
            "on_unavailable",
            Shape::Choice(&[
                ("error", "AE (CE)."),
                ("reject", "AR (CR)."),
                ("close", "No answer, the connection is closed."),
            ]),
            "error",
            "What a sender hears whose message cannot be taken now (store full, overloaded, draining). Default error.",
        ),
        Field::optional(
            "application",
            Shape::Choice(&[
                ("same_connection", "After the commit acknowledgement, on the same connection."),
                ("none", "Never."),
            ]),
            "same_connection",
            "Whether an enhanced-mode sender that asks for it (MSH-16) gets an application acknowledgement. Default same_connection.",
        ),
        Field::optional(
            "batch_reply",
            Shape::Choice(&[
                ("individual", "One batch with an ACK for each message."),
                ("errors_only", "One batch with the ACKs that are not positive."),
                ("single", "One ACK for the whole batch."),
            ]),
            "individual",
            "What answers a batch (FHS/BHS). Default individual.",
        ),
        Field::optional(
            "batch",
            Shape::Choice(&[
                ("messages", "Each message is taken or refused on its own."),
                ("whole", "One refused message refuses the batch."),
            ]),
            "messages",
            "Whether a batch is taken as a whole. Default messages.",
        ),
        Field::optional(
            "no_header",
            Shape::Choice(&[("reject", "AR with a header of our own."), ("silence", "Nothing.")]),
            "reject",
            "What a frame without MSH gets. It is kept as evidence either way. Default reject.",
        ),
        Field::optional(
            "max_batch",
            COUNT,
            "10000",
            "Messages in one batch; a larger one is refused. Default 10000.",
        ),
    ],
);

static MODE: Shape = Shape::Choice(&[
    ("auto", "Enhanced when the message values MSH-15 or MSH-16, original otherwise."),
    ("original", "Always AA, AE, AR."),
    ("enhanced", "Always CA, CE, CR."),
    ("byte", "One byte in a frame: 06 stored, 15 not taken (MLLP release 2)."),
    ("none", "Nothing is ever answered."),
]);

static ACK_SENDER: MapShape = MapShape::new(
    "ack_sender",
    "The acknowledgement mode of one sender.",
    &[
        Field::optional("application", Shape::Text, "HIS", "MSH-3, first component. Default: any."),
        Field::optional("facility", Shape::Text, "MAIN", "MSH-4, first component. Default: any."),
        Field::required("mode", MODE, "original", "Its mode."),
    ],
);

static CHARSET: Shape =
    Shape::ByKind { scalar: Some(&Shape::Text), items: None, map: Some(&CHARSET_MAP) };

static CHARSET_MAP: MapShape = MapShape::new(
    "charset",
    "How bytes become text. A single name instead (`charset: GB18030`) holds whatever MSH-18 says.",
    &[
        Field::optional(
            "from",
            Shape::Choice(&[("MSH-18", "What the message says.")]),
            "MSH-18",
            "Where the charset is read from.",
        ),
        Field::optional(
            "otherwise",
            Shape::Text,
            "GB18030",
            "The charset when the message names none. Default UTF-8.",
        ),
    ],
);

static MLLP: MapShape = MapShape {
    one_of: &[&["listen", "connect"]],
    ..MapShape::new(
        "from_mllp",
        "Receives HL7 v2 messages over MLLP. Either we listen, or we connect to the sender.",
        &[
            Field::optional(
                "listen",
                Shape::Address,
                "0.0.0.0:6661",
                "Address and port to listen on; port 0 takes any free port.",
            ),
            Field::optional(
                "connect",
                Shape::Endpoint,
                "his.hospital.example:6661",
                "The sender to connect to (reverse MLLP).",
            ),
            Field::optional(
                "tls",
                Shape::Name,
                "his-mutual",
                "Name of a TLS profile of engine.yaml. Default: plain TCP.",
            ),
            Field::optional(
                "senders",
                Shape::List(&Shape::Map(&SENDER)),
                "[{certificate: his.hospital.example}]",
                "Which certificate may send as whom. Default: a valid certificate may send as anybody.",
            ),
            Field::optional(
                "allow",
                Shape::OneOrMany(&Shape::Network),
                "10.20.0.0/16",
                "Networks that may connect. Default: all.",
            ),
            Field::optional(
                "max_message",
                Shape::Size,
                "2MiB",
                "Largest message; a larger one is refused (AR/CR). Default 10MiB.",
            ),
            MAX_CONNECTIONS,
            MAX_CONNECTIONS_PER_PEER,
            Field::optional(
                "peer_full",
                Shape::Choice(&[
                    ("refuse_new", "The new connection is closed."),
                    ("close_oldest", "The oldest is closed: the newest wins."),
                ]),
                "close_oldest",
                "What happens to a connection beyond max_connections_per_peer. Default refuse_new.",
            ),
            Field::optional(
                "max_garbage",
                Shape::Size,
                "64KiB",
                "Bytes outside of frames that a connection may send before it is closed. Default 64KiB.",
            ),
            Field::optional(
                "nested_start",
                Shape::Choice(&[
                    ("resync", "The sender began anew; what came before is dropped and counted."),
                    ("reject", "The frame is refused and the connection closed."),
                ]),
                "resync",
                "What a start byte inside a frame means. Default resync.",
            ),
            Field::optional(
                "frame_end",
                Shape::Choice(&[
                    ("strict", "1C 0D."),
                    ("lenient", "1C is enough before LF, another frame or a pause."),
                ]),
                "strict",
                "How a frame must end. Default lenient.",
            ),
            Field::optional(
                "frames_in_flight",
                COUNT,
                "256",
                "Frames of one connection that may wait for the store at once. Default 256.",
            ),
            Field::optional(
                "timeouts",
                Shape::Map(&MLLP_TIMEOUTS),
                "{idle: 12h}",
                "How long each step may take.",
            ),
        ],
    )
};

static SENDER: MapShape = MapShape::new(
    "sender",
    "A certificate and the senders it may speak for.",
    &[
        Field::required(
            "certificate",
            Shape::Text,
            "his.hospital.example",
            "A name in the certificate.",
        ),
        Field::optional(
            "applications",
            Shape::OneOrMany(&Shape::Text),
            "[HIS]",
            "MSH-3 it may send as. Default: any.",
        ),
        Field::optional(
            "facilities",
            Shape::OneOrMany(&Shape::Text),
            "[MAIN]",
            "MSH-4 it may send as. Default: any.",
        ),
    ],
);

static MLLP_TIMEOUTS: MapShape = MapShape::new(
    "from_mllp_timeouts",
    "How long each step of a connection may take; each ends the connection.",
    &[
        Field::optional("handshake", Shape::Duration, "10s", "The TLS handshake. Default 10s."),
        Field::optional(
            "first_byte",
            Shape::Duration,
            "5m",
            "From the connection's start to its first byte. Default 5m.",
        ),
        Field::optional(
            "in_frame",
            Shape::Duration,
            "30s",
            "Between two reads inside a frame. Default 30s.",
        ),
        Field::optional(
            "frame",
            Shape::Duration,
            "5m",
            "A whole frame, however steadily it drips. Default 5m.",
        ),
        Field::optional("idle", Shape::Duration, "12h", "Between two frames. Default 12h."),
        Field::optional(
            "ack",
            Shape::Duration,
            "30s",
            "From a frame's last byte to its answer. Default 30s.",
        ),
        Field::optional("write", Shape::Duration, "30s", "Writing an answer. Default 30s."),
        Field::optional(
            "keepalive",
            Shape::Duration,
            "1m",
            "Quiet time before the first TCP keep-alive probe. Default 1m.",
        ),
        Field::optional(
            "unconfirmed",
            Shape::Duration,
            "90s",
            "How long sent bytes may stay unconfirmed by the peer's machine. Default 90s.",
        ),
        Field::optional("connect", Shape::Duration, "10s", "With `connect`: one try. Default 10s."),
        Field::optional(
            "reconnect_max",
            Shape::Duration,
            "30s",
            "With `connect`: the longest wait between two tries. Default 30s.",
        ),
    ],
);

static HTTP: MapShape = MapShape::new(
    "from_http",
    "Receives messages by HTTP POST.",
    &[
        Field::required(
            "listen",
            Shape::Address,
            "0.0.0.0:8081",
            "Address and port to listen on; port 0 takes any free port.",
        ),
        Field::optional(
            "path",
            Shape::Text,
            "/adt",
            "The path that is posted to; everything else is 404. Default /.",
        ),
        Field::optional(
            "tls",
            Shape::Name,
            "his-mutual",
            "Name of a TLS profile of engine.yaml. Default: plain HTTP.",
        ),
        Field::optional(
            "allow",
            Shape::OneOrMany(&Shape::Network),
            "10.20.0.0/16",
            "Networks that may connect. Default: all.",
        ),
        Field::optional(
            "tokens",
            Shape::OneOrMany(&Shape::Secret),
            "secret/his-token",
            "Bearer tokens that may post, any of them. Default: nobody is asked.",
        ),
        Field::optional(
            "content",
            CONTENT,
            "hl7",
            "How a body without Content-Type is read. Default: 415.",
        ),
        Field::optional(
            "max_message",
            Shape::Size,
            "2MiB",
            "Largest body; a larger one gets 413. Default 10MiB.",
        ),
        Field::optional(
            "max_batch",
            COUNT,
            "10000",
            "Messages in one HL7 batch; a larger one gets 422. Default 10000.",
        ),
        MAX_CONNECTIONS,
        MAX_CONNECTIONS_PER_PEER,
        Field::optional(
            "retry_after",
            Shape::Duration,
            "5s",
            "What 503 asks the sender to wait. Default 5s.",
        ),
        Field::optional(
            "idempotency_within",
            Shape::Duration,
            "24h",
            "How far back an Idempotency-Key is remembered when the channel has no rule of its own. Default 24h.",
        ),
        TIMEOUTS,
    ],
);

pub(super) static HTTP_TIMEOUTS: MapShape = MapShape::new(
    "from_http_timeouts",
    "How long each step of a request may take.",
    &[
        Field::optional("handshake", Shape::Duration, "10s", "The TLS handshake. Default 10s."),
        Field::optional(
            "header",
            Shape::Duration,
            "30s",
            "A request's header; on a kept connection the idle time. Default 30s.",
        ),
        Field::optional("body", Shape::Duration, "1m", "The whole body. Default 1m."),
        Field::optional(
            "answer",
            Shape::Duration,
            "30s",
            "From the body's last byte to the answer; then 503. Default 30s.",
        ),
    ],
);

static FILE: MapShape = MapShape::new(
    "from_file",
    "Takes files from a directory, one message or one HL7 batch a file.",
    &[
        Field::required(
            "directory",
            Shape::Text,
            "/var/spool/lab",
            "The directory that is watched; those below it are not.",
        ),
        Field::optional(
            "pattern",
            Shape::Text,
            "\"*.hl7\"",
            "Which names are taken: * any run of characters, ? one. Default *.hl7.",
        ),
        Field::optional("content", CONTENT, "hl7", "How the content is read. Default hl7."),
        Field::optional(
            "poll",
            Shape::Duration,
            "1s",
            "Time between two looks at the directory. Default 1s.",
        ),
        Field::optional(
            "min_age",
            Shape::Duration,
            "2s",
            "A file is taken once it has not changed for so long. Default 2s.",
        ),
        Field::optional(
            "order",
            Shape::Choice(&[("name", "By name."), ("changed", "By time of last change.")]),
            "name",
            "In which order files are taken. Default name.",
        ),
        Field::optional(
            "max_file",
            Shape::Size,
            "64MiB",
            "Largest file; a larger one goes to `failed` unread. Default 64MiB.",
        ),
        Field::optional("max_files", COUNT, "1000", "Files taken in one look. Default 1000."),
        Field::optional(
            "done",
            Shape::Text,
            "done",
            "Where taken files go: a directory below the watched one, or `delete`. Default done.",
        ),
        Field::optional(
            "failed",
            Shape::Text,
            "failed",
            "Where refused files go, each with a .reason.txt. Default failed.",
        ),
        Field::optional(
            "answer",
            Shape::Duration,
            "30s",
            "The longest wait for the store; then the file is tried again. Default 30s.",
        ),
        Field::optional(
            "repeat_within",
            Shape::Duration,
            "7d",
            "How far back a file that was taken but not moved is recognised. Default 7d.",
        ),
        Field::optional(
            "max_batch",
            COUNT,
            "100000",
            "Messages in one batch file. Default 100000.",
        ),
    ],
);
