//! `from.fhir`: a FHIR R4 endpoint.

use crate::config::shapes::COUNT;
use crate::config::shapes::http::{MAX_CONNECTIONS, MAX_CONNECTIONS_PER_PEER, TIMEOUTS};
use crate::yaml::shape::{Field, MapShape, Shape};

/// `from.fhir`.
pub static FHIR: MapShape = MapShape::new(
    "from_fhir",
    "A FHIR R4 endpoint: what clients write is a message of the channel and a version of a resource.",
    &[
        Field::required(
            "listen",
            Shape::Address,
            "0.0.0.0:8443",
            "Address and port to listen on; port 0 takes any free port.",
        ),
        Field::optional(
            "base",
            Shape::Text,
            "/fhir",
            "Path below which the endpoint lives. Default /fhir.",
        ),
        Field::optional(
            "public_url",
            Shape::Url,
            "https://fhir.hospital.example/fhir",
            "What clients call the endpoint, when that is not what they send as Host (behind a proxy).",
        ),
        Field::optional(
            "tls",
            Shape::Name,
            "emr-mutual",
            "Name of a TLS profile of engine.yaml. Default: plain HTTP.",
        ),
        Field::optional(
            "allow",
            Shape::OneOrMany(&Shape::Network),
            "10.20.0.0/16",
            "Networks that may connect. Default: all.",
        ),
        Field::required(
            "access",
            ACCESS,
            "{tokens: [{name: emr, secret: secret/emr-token, scopes: system/*.cruds}]}",
            "Who may do what. `none` asks nobody, and must be said in so many words.",
        ),
        Field::optional(
            "types",
            Shape::OneOrMany(&Shape::Text),
            "[Patient, Encounter, Observation]",
            "Resource types that are taken and served; others are 404. Default: all of R4.",
        ),
        Field::optional(
            "update_creates",
            Shape::Bool,
            "false",
            "Whether a client may choose the id of a new resource (PUT Patient/new-id). Default true.",
        ),
        Field::optional(
            "validation",
            Shape::Choice(&[
                ("strict", "A resource that breaks R4 is refused: 422."),
                ("warn", "It is taken, and the answer tells what is wrong."),
                ("off", "Nothing is checked but that it is JSON of the right type."),
            ]),
            "warn",
            "How much a resource must keep to R4. Default strict.",
        ),
        Field::optional(
            "max_message",
            Shape::Size,
            "2MiB",
            "Largest body; a larger one gets 413. Default 10MiB.",
        ),
        Field::optional(
            "max_depth",
            Shape::Integer { min: 8, max: 120 },
            "50",
            "Deepest nesting of a body; a deeper one gets 400. Default 100.",
        ),
        Field::optional(
            "max_entries",
            COUNT,
            "1000",
            "Entries of one batch or transaction; more get 413. Default 1000.",
        ),
        Field::optional(
            "page_size",
            Shape::Integer { min: 1, max: 1_000 },
            "50",
            "Matches on a page when _count says nothing. Default 50.",
        ),
        Field::optional(
            "max_page_size",
            Shape::Integer { min: 1, max: 1_000 },
            "1000",
            "Most matches on a page, whatever _count says. Default 1000.",
        ),
        Field::optional(
            "max_includes",
            Shape::Integer { min: 1, max: 10_000 },
            "1000",
            "Most included resources on a page. Default 1000.",
        ),
        Field::optional(
            "notifications",
            Shape::Map(&NOTIFICATIONS),
            "{from: https://emr.hospital.example/fhir, secret: secret/emr-notifications}",
            "Notifications of another server's FHIR subscriptions, posted to the base: each event is a message of the channel.",
        ),
        Field::optional(
            "repeat_within",
            Shape::Duration,
            "7d",
            "How far back a repeated $process-message gets the first answer again, and a repeated event of a subscription counts once. Default 7d.",
        ),
        MAX_CONNECTIONS,
        MAX_CONNECTIONS_PER_PEER,
        Field::optional(
            "retry_after",
            Shape::Duration,
            "5s",
            "What 503 and 429 ask the client to wait. Default 5s.",
        ),
        TIMEOUTS,
    ],
);

static ACCESS: Shape =
    Shape::ByKind { scalar: Some(&ACCESS_NONE), items: None, map: Some(&ACCESS_MAP) };

static ACCESS_NONE: Shape = Shape::Choice(&[("none", "Nobody is asked.")]);

static ACCESS_MAP: MapShape = MapShape::new(
    "from_fhir_access",
    "Who may do what: whoever shows one of these.",
    &[
        Field::optional(
            "jwt",
            Shape::Map(&JWT),
            "{issuer: \"https://login.hospital.example\", audience: \"https://fhir.hospital.example/fhir\", keys: login-keys.json}",
            "Bearer tokens of an authorization server (SMART backend services).",
        ),
        Field::optional(
            "tokens",
            Shape::List(&Shape::Map(&TOKEN)),
            "[{name: emr, secret: secret/emr-token, scopes: system/*.cruds}]",
            "Bearer tokens of our own.",
        ),
        Field::optional(
            "basic",
            Shape::List(&Shape::Map(&BASIC)),
            "[{user: ris, password: secret/ris-password, scopes: system/*.rs}]",
            "Users with passwords, for senders that know nothing else.",
        ),
        Field::optional(
            "certificates",
            Shape::List(&Shape::Map(&CERTIFICATE)),
            "[{name: emr.hospital.example}]",
            "Names in client certificates; the TLS profile must ask for certificates.",
        ),
    ],
);

const SCOPES_EXAMPLE: &str = "system/Patient.rs system/Observation.cruds";
const SCOPES_DOC: &str =
    "SMART scopes of the holder, divided by blanks (v1 or v2). Default: everything.";

static JWT: MapShape = MapShape::new(
    "from_fhir_jwt",
    "Tokens of an authorization server: RS256, RS384, ES256, ES384 or EdDSA; iss, aud, exp and nbf are checked.",
    &[
        Field::required(
            "issuer",
            Shape::Text,
            "\"https://login.hospital.example\"",
            "The iss that tokens must carry.",
        ),
        Field::required(
            "audience",
            Shape::Text,
            "\"https://fhir.hospital.example/fhir\"",
            "The aud that tokens must carry.",
        ),
        Field::required(
            "keys",
            Shape::Text,
            "\"https://login.hospital.example/jwks.json\"",
            "The issuer's key set (JWKS): a URL, or a file relative to the channel file.",
        ),
        Field::optional(
            "keys_tls",
            Shape::Name,
            "hospital",
            "TLS profile for fetching them: its ca and certificate. Default: the system's roots.",
        ),
        Field::optional(
            "keys_for",
            Shape::Duration,
            "1h",
            "How long keys are used before they are fetched again. Default 1h.",
        ),
        Field::optional(
            "token_endpoint",
            Shape::Url,
            "https://login.hospital.example/token",
            "Where clients get tokens, for .well-known/smart-configuration.",
        ),
        Field::optional(
            "withdrawn",
            Shape::OneOrMany(&Shape::Text),
            "[old-portal]",
            "Clients (client_id, azp or sub) whose tokens are not taken any more, and whose subscriptions get nothing more.",
        ),
    ],
);

static TOKEN: MapShape = MapShape::new(
    "from_fhir_token",
    "A bearer token of our own.",
    &[
        Field::required("name", Shape::Name, "emr", "The holder's name in the audit trail."),
        Field::required(
            "secret",
            Shape::Secret,
            "secret/emr-token",
            "The token, or sha256: and its SHA-256 in hexadecimal, so that the token is kept nowhere.",
        ),
        Field::optional("scopes", Shape::Text, SCOPES_EXAMPLE, SCOPES_DOC),
    ],
);

static BASIC: MapShape = MapShape::new(
    "from_fhir_basic",
    "A user with a password.",
    &[
        Field::required("user", Shape::Text, "ris", "The user's name."),
        Field::required(
            "password",
            Shape::Secret,
            "secret/ris-password",
            "The password, or sha256: and its SHA-256 in hexadecimal.",
        ),
        Field::optional("scopes", Shape::Text, SCOPES_EXAMPLE, SCOPES_DOC),
    ],
);

static CERTIFICATE: MapShape = MapShape::new(
    "from_fhir_certificate",
    "A client certificate.",
    &[
        Field::required(
            "name",
            Shape::Text,
            "emr.hospital.example",
            "Its common name, or one of its alternative names.",
        ),
        Field::optional("scopes", Shape::Text, SCOPES_EXAMPLE, SCOPES_DOC),
    ],
);

static NOTIFICATIONS: MapShape = MapShape::new(
    "notifications",
    "Notifications of another server's FHIR subscriptions.",
    &[
        Field::required(
            "from",
            Shape::Url,
            "https://emr.hospital.example/fhir",
            "Base URL of the other server. Only its subscriptions are listened to; events that were missed are asked for there ($events).",
        ),
        Field::required(
            "secret",
            Shape::OneOrMany(&Shape::Secret),
            "secret/emr-notifications",
            "What signs notifications (Standard Webhooks: whsec_… or text), or a public key (whpk_…). Several while one is changed.",
        ),
        Field::optional(
            "token",
            Shape::Secret,
            "secret/emr-token",
            "Bearer token for $events. Default: none is sent.",
        ),
    ],
);
