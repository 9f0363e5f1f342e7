//! `to.NAME:`: one destination: when, transport, what is sent, and how its delivery is made.

use crate::config::shapes::http::{
    CONNECT_WITHIN, IDLE_MAX, IN_FLIGHT, REPLY_WITHIN, RETRY_AFTER_MAX,
};
use crate::config::shapes::to_fhir::FHIR;
use crate::config::shapes::{COUNT, destination_mllp, language};
use crate::yaml::shape::{Field, MapShape, Shape};

/// Transports of this version.
pub const TRANSPORTS: &[&str] = &["mllp", "webhook", "fhir", "file", "channel", "resources"];

/// One destination.
pub static DESTINATION: MapShape = MapShape {
    one_of: &[TRANSPORTS],
    planned: &[
        "rabbitmq", "kafka", "nats", "alert", "stream", "sql", "sftp", "email", "dicom", "on",
        "escalate", "expire",
    ],
    ..MapShape::new(
        "destination",
        "One receiver: when it gets a message, by which transport, what is sent, and how delivery is made.",
        &[
            Field::optional(
                "when",
                Shape::Language(&Shape::Expression),
                "MSH-9.2 is A01 or A04",
                "Only messages for which this holds are sent there. Default: all.",
            ),
            Field::optional(
                "mllp",
                Shape::Map(&destination_mllp::MLLP),
                "{host: lis.hospital.example, port: 2575}",
                "HL7 v2 over MLLP; delivered means AA or CA with our control id.",
            ),
            Field::optional(
                "webhook",
                Shape::Map(&WEBHOOK),
                "{url: https://emr.hospital.example/hooks/adt}",
                "HTTP POST; delivered means 2xx.",
            ),
            Field::optional(
                "fhir",
                Shape::Map(&FHIR),
                "{base: https://fhir.hospital.example/r4}",
                "A FHIR server; delivered means that it took the resource, transaction or message.",
            ),
            Field::optional(
                "file",
                Shape::Map(&FILE),
                "{directory: /var/spool/out}",
                "One file a message; delivered means synced and renamed.",
            ),
            Field::optional(
                "channel",
                CHANNEL,
                "{topic: lab-critical}",
                "A topic of this engine, to which other channels listen.",
            ),
            Field::optional(
                "resources",
                Shape::Map(&RESOURCES),
                "{channel: fhir-gateway}",
                "The engine's own FHIR resources, as a channel with `from: {fhir: …}` serves them.",
            ),
            Field::optional(
                "change",
                Shape::Language(&language::STEPS),
                "[{set: {MSH-5: LIS}}]",
                "Steps that change the message before it is sent. Without `change` and `produce` it is sent as received.",
            ),
            Field::optional(
                "produce",
                Shape::Language(&language::PRODUCE),
                "{json: hl7}",
                "Makes something else of the message: a new HL7 message, to which the steps of `change` are then applied, or JSON or text of the changed message.",
            ),
            Field::optional(
                "on_ack",
                ON_ACK,
                "standard",
                "What each answer means. Default standard: AE and CR are set aside, AR and CE retried, no answer retried with the same id.",
            ),
            Field::optional(
                "retry",
                Shape::Map(&RETRY),
                "{first: 5s, max: 5m, for: 24h, then: dead_letter}",
                "When a failed delivery is tried again.",
            ),
            Field::optional(
                "limit",
                Shape::Map(&LIMIT),
                "{per_second: 50}",
                "How fast it is sent.",
            ),
            Field::optional(
                "order",
                Shape::Language(&Shape::Text),
                "strict",
                "`strict`: one after the other, whatever they are about; `none`: in any order; or a path. Default: the channel's order_by.",
            ),
            Field::optional(
                "unmapped_code",
                Shape::Language(&language::UNMAPPED),
                "hold",
                "What happens when a table has no row for a code. Default: the channel's, else hold.",
            ),
            Field::optional(
                "breaker",
                Shape::Map(&BREAKER),
                "{failures: 3}",
                "When a receiver that nobody gets through to is left alone.",
            ),
            Field::optional(
                "parallel",
                COUNT,
                "16",
                "Deliveries at the same time, each of another lane. Default 16.",
            ),
            Field::optional(
                "window",
                Shape::Map(&WINDOW),
                "{messages: 1024}",
                "How much is kept in memory.",
            ),
            Field::optional(
                "drain",
                Shape::Duration,
                "10s",
                "How long a stop waits for what is being sent. Default 10s.",
            ),
        ],
    )
};

static RETRY: MapShape = MapShape::new(
    "retry",
    "When a failed delivery is tried again: first wait, growing by `factor` up to `max`, for so long, and then.",
    &[
        Field::optional("first", Shape::Duration, "2s", "The first wait. Default 2s."),
        Field::optional(
            "factor",
            Shape::Factor,
            "2",
            "Each wait is the one before times this. Default 2.",
        ),
        Field::optional("max", Shape::Duration, "5m", "The longest wait. Default 5m."),
        Field::optional(
            "jitter",
            Shape::Percent,
            "10%",
            "Waits are spread by this share to both sides. Default 10%.",
        ),
        Field::optional(
            "for",
            FOR,
            "24h",
            "How long it is tried; `ever` without an end. Default 24h.",
        ),
        Field::optional(
            "attempts",
            COUNT,
            "20",
            "How often it is tried. Default: any number of times.",
        ),
        Field::optional(
            "then",
            Shape::Choice(&[
                ("dead_letter", "Set aside; its lane goes on."),
                ("hold", "Held; its lane waits for a person."),
            ]),
            "dead_letter",
            "What happens then. Default dead_letter.",
        ),
        Field::optional(
            "retry_after_max",
            Shape::Duration,
            "1h",
            "The longest wait a receiver may ask for. Default 1h.",
        ),
    ],
);

/// A duration or `ever`: checked where it is decoded.
static FOR: Shape = Shape::Text;

static LIMIT: MapShape = MapShape::new(
    "limit",
    "How fast it is sent.",
    &[Field::required("per_second", COUNT, "50", "Deliveries a second.")],
);

static BREAKER: MapShape = MapShape::new(
    "breaker",
    "When a receiver that nobody gets through to is left alone.",
    &[Field::optional("failures", COUNT, "3", "Failures in a row that open it. Default 3.")],
);

static WINDOW: MapShape = MapShape::new(
    "window",
    "How much of the backlog is kept in memory; the rest stays on disk.",
    &[
        Field::optional(
            "messages",
            COUNT,
            "1024",
            "Deliveries waiting or being sent. Default 1024.",
        ),
        Field::optional("bytes", Shape::Size, "16MiB", "Bytes of their messages. Default 16MiB."),
        Field::optional(
            "exceptions",
            COUNT,
            "10000",
            "Deliveries in retry or held; beyond it nothing more is taken. Default 10000.",
        ),
        Field::optional(
            "behind",
            COUNT,
            "250000",
            "Deliveries behind one that is in retry or held, about 200 bytes each; beyond it nothing more is taken. Default 250000.",
        ),
    ],
);

static ON_ACK: Shape =
    Shape::ByKind { scalar: Some(&ON_ACK_PRESET), items: None, map: Some(&ON_ACK_MAP) };

static ON_ACK_PRESET: Shape = Shape::Choice(&[
    ("standard", "As the HL7 standard says: AE, CR set aside; AR, CE and no answer retried."),
    ("mirth", "Every negative answer is set aside; only no answer is retried."),
    ("intersystems", "AR and CR retried; AE and CE set aside."),
    ("strict_order", "Whatever is not accepted keeps its place: refusals hold the lane."),
]);

const REACTION: Shape = Shape::Choice(&[
    ("accept", "Delivered."),
    ("retry", "Tried again by the retry rule, with the same id."),
    ("hold_lane", "Held until a person decides; its lane waits."),
    ("dead_letter", "Set aside with its evidence; its lane goes on."),
    ("pause", "The whole destination stops until a person resumes it."),
]);

const fn answer(key: &'static str, doc: &'static str) -> Field {
    Field::optional(key, REACTION, "retry", doc)
}

/// `on_ack` as a mapping. HTTP statuses (`404`) and classes (`4xx`) are checked where it is decoded.
static ON_ACK_MAP: MapShape = MapShape {
    other: crate::yaml::shape::Other::Paths(&REACTION),
    ..MapShape::new(
        "on_ack",
        "What each answer means: code and reaction. Besides these codes, HTTP statuses (404) and classes (4xx).",
        &[
            Field::optional(
                "like",
                ON_ACK_PRESET,
                "standard",
                "The preset whose lines these change. Default standard.",
            ),
            answer("AA", "Application accept."),
            answer("AE", "Application error."),
            answer("AR", "Application reject."),
            answer("CA", "Commit accept."),
            answer("CE", "Commit error."),
            answer("CR", "Commit reject."),
            answer("no_answer", "No answer within reply_within."),
            answer("timeout", "The same, where it differs from no_answer."),
            answer("wrong_id", "An answer to another message."),
            answer("garbage", "An answer that cannot be read."),
            answer("refused", "The connection was refused."),
            answer("reset", "The connection broke."),
            answer("closed", "The connection was closed."),
            answer("unreachable", "No way to the host."),
            answer("tls", "The TLS handshake failed."),
            answer("transient-error", "The answer of a FHIR message that may pass later."),
            answer("fatal-error", "The answer of a FHIR message that will never be taken."),
            answer("unread", "An answer to a FHIR batch or message that cannot be read."),
            answer("unfit", "It cannot be sent at all as this destination wants it."),
            answer("other", "Every answer that is not named and not a success."),
            answer("failed", "Surely not taken, may be later."),
            answer("rejected", "Will never be taken."),
            answer("uncertain", "Sent, and nobody knows."),
        ],
    )
};

static WEBHOOK: MapShape = MapShape::new(
    "to_webhook",
    "Sends each message as one HTTP POST.",
    &[
        Field::required(
            "url",
            Shape::Url,
            "https://emr.hospital.example/hooks/adt",
            "Where to. `<PATH>` in path and query is filled in from the message.",
        ),
        Field::optional(
            "tls",
            Shape::Name,
            "hospital-ca",
            "Name of a TLS profile of engine.yaml. Default: the system's roots.",
        ),
        Field::optional(
            "sign",
            Shape::OneOrMany(&Shape::Secret),
            "secret/emr-hook",
            "Secrets that sign each request (Standard Webhooks); several while one is being changed.",
        ),
        Field::optional(
            "token",
            Shape::Secret,
            "secret/emr-token",
            "Sent as Authorization: Bearer.",
        ),
        Field::optional(
            "basic",
            Shape::Map(&BASIC),
            "{user: medway, password: secret/emr-password}",
            "Sent as Authorization: Basic. Not together with `token`.",
        ),
        Field::optional(
            "headers",
            Shape::Map(&HEADERS),
            "{X-Ward: lab}",
            "Headers added to each request.",
        ),
        Field::optional(
            "content_type",
            Shape::Text,
            "application/json",
            "Content-Type of each request. Default: the message's.",
        ),
        Field::optional(
            "allow",
            Shape::OneOrMany(&Shape::Text),
            "[emr.hospital.example, 10.20.0.0/16:443]",
            "Hosts and networks it may reach. Default: only the host of `url`.",
        ),
        CONNECT_WITHIN,
        REPLY_WITHIN,
        Field::optional(
            "max_answer",
            Shape::Size,
            "64KiB",
            "Most bytes read of an answer. Default 64KiB.",
        ),
        IN_FLIGHT,
        IDLE_MAX,
        RETRY_AFTER_MAX,
    ],
);

pub(super) static BASIC: MapShape = MapShape::new(
    "basic",
    "User and password.",
    &[
        Field::required("user", Shape::Text, "medway", "The user."),
        Field::required("password", Shape::Secret, "secret/emr-password", "The password."),
    ],
);

static HEADERS: MapShape = MapShape {
    other: crate::yaml::shape::Other::Paths(&Shape::Text),
    ..MapShape::new("headers", "Headers: name and value; a value may be secret/NAME.", &[])
};

static FILE: MapShape = MapShape::new(
    "to_file",
    "Writes each message as one file, complete or not at all.",
    &[
        Field::required(
            "directory",
            Shape::Text,
            "/var/spool/out",
            "The directory. It must exist.",
        ),
        Field::optional(
            "folder",
            Shape::Template,
            "<MSH-4>",
            "A directory below it, made when missing. Default: none.",
        ),
        Field::optional(
            "name",
            Shape::Template,
            "<MSH-10>.hl7",
            "The file's name. Default: the message's id and `extension`.",
        ),
        Field::optional(
            "extension",
            Shape::Text,
            "hl7",
            "Ending of a file without `name`. Default hl7.",
        ),
        Field::optional(
            "if_exists",
            Shape::Choice(&[
                ("reject", "The delivery is rejected: a person looks."),
                ("replace", "The new content takes its place."),
            ]),
            "reject",
            "When a file with this name and other content is there. Default reject.",
        ),
        Field::optional(
            "max_files",
            COUNT,
            "100000",
            "Most files in one directory; above, sending fails. Default 100000.",
        ),
        Field::optional(
            "write_within",
            Shape::Duration,
            "30s",
            "Longest wait for the disk. Default 30s.",
        ),
    ],
);

static RESOURCES: MapShape = MapShape::new(
    "to_resources",
    "Writes FHIR resources into the engine's own store: what they do not say stays, what HL7 v2 removed goes.",
    &[
        Field::required(
            "channel",
            Shape::Text,
            "fhir-gateway",
            "The channel whose FHIR endpoint serves them; its `accept` and its destinations see them too.",
        ),
        Field::optional(
            "stored_within",
            Shape::Duration,
            "30s",
            "Longest wait for the resources to be stored. Default 30s.",
        ),
    ],
);

static CHANNEL: Shape =
    Shape::ByKind { scalar: Some(&Shape::Template), items: None, map: Some(&CHANNEL_MAP) };

static CHANNEL_MAP: MapShape = MapShape::new(
    "to_channel",
    "Publishes to a topic of this engine.",
    &[
        Field::required(
            "topic",
            Shape::Template,
            "lab-critical",
            "The topic; other channels listen to it with `from: {topic: …}`.",
        ),
        Field::optional(
            "stored_within",
            Shape::Duration,
            "30s",
            "Longest wait for the message to be stored. Default 30s.",
        ),
    ],
);
