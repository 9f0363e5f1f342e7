//! `to.NAME.fhir:`: a FHIR server.

use crate::config::shapes::destination::BASIC;
use crate::config::shapes::http::{
    CONNECT_WITHIN, IDLE_MAX, IN_FLIGHT, REPLY_WITHIN, RETRY_AFTER_MAX,
};
use crate::yaml::shape::{Field, MapShape, Shape};

pub(super) static FHIR: MapShape = MapShape::new(
    "to_fhir",
    "Writes each message to a FHIR server. What is sent must be FHIR JSON: as received, or by `produce`.",
    &[
        Field::required(
            "base",
            Shape::Url,
            "https://fhir.hospital.example/r4",
            "The server's base URL.",
        ),
        Field::optional(
            "action",
            Shape::Choice(&[
                (
                    "auto",
                    "Transactions and batches are posted, messages processed, resources with an id updated, others created.",
                ),
                (
                    "create",
                    "POST of the resource; with an identifier as a conditional create, so that a repeat creates nothing.",
                ),
                ("update", "PUT under the resource's id."),
                ("conditional_update", "PUT where the resource's identifier leads."),
                ("transaction", "POST of a Bundle."),
                ("process_message", "POST of a message Bundle to $process-message."),
            ]),
            "conditional_update",
            "What is done with it. Default auto.",
        ),
        Field::optional(
            "identifier_system",
            Shape::Text,
            "http://hospital.example/mrn",
            "The system of the identifier that conditional actions look for. Default: the first identifier.",
        ),
        Field::optional(
            "deletes",
            Shape::Choice(&[
                ("refuse", "A delete is set aside."),
                ("send", "The resource is deleted there too."),
            ]),
            "refuse",
            "What becomes of the delete of a resource. Default refuse.",
        ),
        Field::optional(
            "tls",
            Shape::Text,
            "fhir",
            "TLS profile of engine.yaml, e.g. for a client certificate.",
        ),
        Field::optional(
            "token",
            Shape::Secret,
            "secret/fhir-token",
            "Sent as Authorization: Bearer.",
        ),
        Field::optional(
            "basic",
            Shape::Map(&BASIC),
            "{user: medway, password: secret/fhir-password}",
            "Sent as Authorization: Basic.",
        ),
        Field::optional(
            "oauth",
            Shape::Map(&OAUTH),
            "{token_url: https://login.hospital.example/token, client_id: medway, client_secret: secret/fhir-client}",
            "OAuth 2.0 client credentials.",
        ),
        Field::optional(
            "smart",
            Shape::Map(&SMART),
            "{token_url: https://login.hospital.example/token, client_id: medway, key: secret/smart-key, key_id: medway-1}",
            "SMART Backend Services; the public key stands at /.well-known/jwks.json of the admin surface.",
        ),
        Field::optional(
            "allow",
            Shape::OneOrMany(&Shape::Text),
            "[fhir.hospital.example, 10.20.0.0/16:443]",
            "Hosts and networks it may reach. Default: only the hosts of `base` and `token_url`.",
        ),
        CONNECT_WITHIN,
        REPLY_WITHIN,
        Field::optional(
            "max_answer",
            Shape::Size,
            "1MiB",
            "Most bytes read of an answer. Default 1MiB.",
        ),
        IN_FLIGHT,
        IDLE_MAX,
        RETRY_AFTER_MAX,
    ],
);

static OAUTH: MapShape = MapShape::new(
    "to_fhir_oauth",
    "OAuth 2.0 client credentials: tokens are asked for, kept, and renewed before they end.",
    &[
        Field::required(
            "token_url",
            Shape::Url,
            "https://login.hospital.example/token",
            "The token endpoint.",
        ),
        Field::required("client_id", Shape::Text, "medway", "The client's id there."),
        Field::required(
            "client_secret",
            Shape::Secret,
            "secret/fhir-client",
            "The client's secret.",
        ),
        Field::optional("scope", Shape::Text, "system/*.cruds", "What is asked for."),
        Field::optional(
            "send_secret",
            Shape::Choice(&[
                ("basic", "As Authorization: Basic."),
                ("form", "As client_secret in the form."),
            ]),
            "basic",
            "How the secret is sent. Default basic.",
        ),
    ],
);

static SMART: MapShape = MapShape::new(
    "to_fhir_smart",
    "SMART Backend Services: client credentials with a signed assertion (private_key_jwt).",
    &[
        Field::required(
            "token_url",
            Shape::Url,
            "https://login.hospital.example/token",
            "The token endpoint; also the assertion's audience.",
        ),
        Field::required("client_id", Shape::Text, "medway", "The client's id there."),
        Field::required(
            "key",
            Shape::Secret,
            "secret/smart-key",
            "The private key, as PEM (PKCS #8).",
        ),
        Field::required("key_id", Shape::Text, "medway-1", "The key's id in our key set."),
        Field::optional(
            "algorithm",
            Shape::Choice(&[
                ("RS384", "RSA with SHA-384."),
                ("ES384", "ECDSA on P-384 with SHA-384."),
            ]),
            "ES384",
            "How it signs. Default RS384.",
        ),
        Field::optional("scope", Shape::Text, "system/*.cruds", "What is asked for."),
    ],
);
