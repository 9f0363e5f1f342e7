//! `engine.yaml`: everything has a default, so that no file at all works.

use crate::config::shapes::COUNT;
use crate::config::shapes::access::ACCESS;
use crate::config::shapes::subscriptions::SUBSCRIPTIONS;
use crate::yaml::shape::{Field, MapShape, Other, Shape};

/// `engine.yaml`.
pub static ENGINE: MapShape = MapShape::new(
    "engine",
    "The engine's own settings. Paths are relative to the file. Every key has a default.",
    &[
        Field::optional("data", Shape::Text, "data", "Directory of the store. Default data."),
        Field::optional(
            "channels",
            Shape::Text,
            "channels",
            "Directory of the channel files. Default channels.",
        ),
        Field::optional(
            "admin",
            Shape::Map(&ADMIN),
            "{listen: 127.0.0.1:8080, token: secret/admin}",
            "The admin API, health and metrics.",
        ),
        Field::optional(
            "access",
            Shape::Map(&ACCESS),
            "{oidc: {issuer: \"https://id.hospital.example\", client_id: medway, redirect_url: \"https://medway.hospital.example/api/v1/session/oidc/callback\"}}",
            "Who people may sign in by, besides a password.",
        ),
        Field::optional(
            "secrets",
            Shape::Map(&SECRETS),
            "{directory: secrets}",
            "Where secret/NAME is looked up: first the environment (MEDWAY_SECRET_NAME), then a file.",
        ),
        Field::optional(
            "tls",
            Shape::Map(&TLS),
            "{hospital-ca: {ca: tls/ca.pem}}",
            "TLS profiles, each under its name.",
        ),
        Field::optional(
            "subscriptions",
            Shape::Map(&SUBSCRIPTIONS),
            "{allow: [\"*.hospital.example\"]}",
            "FHIR subscriptions: topics, where notifications may go, and what holds for all subscribers.",
        ),
        Field::optional(
            "outbound",
            Shape::Map(&OUTBOUND),
            "{allow: [10.20.0.0/16, \"*.hospital.example\"]}",
            "Where the engine may send to at all.",
        ),
        Field::optional(
            "limits",
            Shape::Map(&LIMITS),
            "{waiting_bytes: 64MiB}",
            "Limits of intake and store.",
        ),
        Field::optional(
            "retention",
            Shape::Map(&RETENTION),
            "{messages: 90d}",
            "How long things are kept. Nothing pending, held or dead is ever removed.",
        ),
        Field::optional(
            "log",
            Shape::Map(&LOG),
            "{level: info, format: json}",
            "What is logged, to stderr.",
        ),
        Field::optional(
            "shutdown",
            Shape::Map(&SHUTDOWN),
            "{within: 30s}",
            "How the engine stops.",
        ),
    ],
);

static ADMIN: MapShape = MapShape::new(
    "admin",
    "The admin API, health and metrics.",
    &[
        Field::optional(
            "listen",
            Shape::Address,
            "127.0.0.1:8080",
            "Address and port. Default 127.0.0.1:8080.",
        ),
        Field::optional(
            "token",
            Shape::Secret,
            "secret/admin",
            "The token of the API. Without one it is drawn at the first start and stands in admin.token in the data directory; the API must then listen on a loopback address.",
        ),
        Field::optional("tls", Shape::Name, "admin", "Name of a TLS profile. Default: plain HTTP."),
    ],
);

static SECRETS: MapShape = MapShape::new(
    "secrets",
    "Where secret/NAME is looked up.",
    &[
        Field::optional(
            "directory",
            Shape::Text,
            "secrets",
            "One file a secret, its name the secret's. Default secrets.",
        ),
        Field::optional(
            "env_prefix",
            Shape::Text,
            "MEDWAY_SECRET_",
            "Prefix of environment variables; the name follows in capitals with _ for -. Default MEDWAY_SECRET_.",
        ),
    ],
);

static TLS: MapShape = MapShape {
    other: Other::Names(&Shape::Map(&TLS_PROFILE)),
    ..MapShape::new("tls", "TLS profiles, each under its name.", &[])
};

static TLS_PROFILE: MapShape = MapShape::new(
    "tls_profile",
    "A set of TLS files and rules; the files are PEM and are read again when they change.",
    &[
        Field::optional(
            "certificate",
            Shape::Text,
            "tls/engine.pem",
            "Our certificate, then its intermediates. Required to listen.",
        ),
        Field::optional(
            "private_key",
            Shape::Text,
            "tls/engine.key",
            "Its private key, not encrypted.",
        ),
        Field::optional(
            "ca",
            Shape::Text,
            "tls/hospital-ca.pem",
            "Roots that sign the receivers' certificates. Default: the system's.",
        ),
        Field::optional(
            "client_auth",
            Shape::Choice(&[
                ("none", "No certificate is asked for."),
                ("optional", "It is asked for; a wrong one is refused."),
                ("required", "Without a valid one the sender is refused."),
            ]),
            "required",
            "Whether senders must show a certificate. Default none.",
        ),
        Field::optional(
            "client_ca",
            Shape::Text,
            "tls/his-ca.pem",
            "Roots that sign the senders' certificates. Default: `ca`.",
        ),
        Field::optional("revoked", Shape::Text, "tls/revoked.pem", "Certificate revocation lists."),
        Field::optional(
            "server_name",
            Shape::Host,
            "lis.hospital.example",
            "The name the receiver's certificate must carry. Default: the host.",
        ),
        Field::optional(
            "min_version",
            Shape::Choice(&[("1.2", "TLS 1.2 and 1.3."), ("1.3", "TLS 1.3 alone.")]),
            "\"1.2\"",
            "Oldest version spoken. Default 1.2.",
        ),
    ],
);

static OUTBOUND: MapShape = MapShape::new(
    "outbound",
    "Where the engine may send to at all.",
    &[Field::optional(
        "allow",
        Shape::OneOrMany(&Shape::Text),
        "[lis.hospital.example:2575, \"*.hospital.example\", 10.20.0.0/16]",
        "Hosts, hosts with ports, and networks. Default: wherever channels say.",
    )],
);

static LIMITS: MapShape = MapShape::new(
    "limits",
    "Limits of intake and store; beyond them senders are told to come again.",
    &[
        Field::optional(
            "waiting_messages",
            COUNT,
            "50000",
            "Messages that wait for the store. Default 50000.",
        ),
        Field::optional(
            "disk_free",
            Shape::Size,
            "1GiB",
            "Free space under the data directory below which nothing new is taken, so that what was accepted can still be delivered and recorded. Default 64MiB.",
        ),
        Field::optional("waiting_bytes", Shape::Size, "256MiB", "Their bytes. Default 256MiB."),
        Field::optional(
            "connection_bytes",
            Shape::Size,
            "512MiB",
            "Bytes that all connections of all listeners may hold together, beyond 64KiB each: what is still coming in and what waits for its answer. When they are used up, connections are read no further until there is room. Default 256MiB.",
        ),
        Field::optional(
            "evidence_bytes",
            Shape::Size,
            "64KiB",
            "Bytes kept of each refused input. Default 64KiB.",
        ),
        Field::optional(
            "store_bytes",
            Shape::Size,
            "100GiB",
            "Largest size of the store; beyond it intake is refused. Default: the disk.",
        ),
        Field::optional("commit_messages", COUNT, "512", "Messages in one commit. Default 512."),
        Field::optional("commit_bytes", Shape::Size, "1MiB", "Bytes in one commit. Default 1MiB."),
        Field::optional(
            "duplicates",
            Shape::Integer { min: 1000, max: 100_000_000 },
            "1000000",
            "Messages remembered to recognise repeats, about 64 bytes each. Default 1000000.",
        ),
    ],
);

static RETENTION: MapShape = MapShape::new(
    "retention",
    "How long things are kept.",
    &[
        Field::optional("bodies", Shape::Duration, "30d", "The bytes of messages. Default 30d."),
        Field::optional(
            "messages",
            Shape::Duration,
            "90d",
            "Messages with their outcomes and search keys. Default 90d.",
        ),
        Field::optional("rejects", Shape::Duration, "30d", "Refused input. Default 30d."),
        Field::optional(
            "versions",
            Shape::Duration,
            "90d",
            "Superseded versions of FHIR resources. Current ones stay. Default 90d.",
        ),
        Field::optional(
            "versions_max",
            COUNT,
            "100",
            "Versions kept of one FHIR resource, the newest. Default 100.",
        ),
        Field::optional("step", COUNT, "500", "Messages removed in one transaction. Default 500."),
        Field::optional("every", Shape::Duration, "1m", "Time between two looks. Default 1m."),
    ],
);

static LOG: MapShape = MapShape::new(
    "log",
    "What is logged, to stderr. Never message content.",
    &[
        Field::optional(
            "level",
            Shape::Text,
            "info",
            "error, warn, info, debug, or a filter such as medway=debug. Default info.",
        ),
        Field::optional(
            "format",
            Shape::Choice(&[
                ("auto", "Text on a terminal, JSON otherwise."),
                ("text", "Lines for people."),
                ("json", "One JSON object a line."),
            ]),
            "json",
            "How lines are written. Default auto.",
        ),
    ],
);

static SHUTDOWN: MapShape = MapShape::new(
    "shutdown",
    "How the engine stops.",
    &[Field::optional(
        "within",
        Shape::Duration,
        "30s",
        "Time for answers and deliveries in flight. Default 30s.",
    )],
);
