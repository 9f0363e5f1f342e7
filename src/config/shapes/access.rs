//! `access:` of `engine.yaml`: who people may sign in by.

use crate::yaml::shape::{Field, MapShape, Shape};

/// `access:`.
pub(super) static ACCESS: MapShape = MapShape::new(
    "access",
    "Who people may sign in by, besides a password.",
    &[Field::optional(
        "oidc",
        Shape::Map(&OIDC),
        "{issuer: \"https://id.hospital.example\", client_id: medway, redirect_url: \"https://medway.hospital.example/api/v1/session/oidc/callback\"}",
        "The hospital's own provider of OpenID Connect.",
    )],
);

static OIDC: MapShape = MapShape::new(
    "oidc",
    "A provider of OpenID Connect: authorization code with PKCE. It is asked first when somebody signs in.",
    &[
        Field::optional(
            "label",
            Shape::Text,
            "Hospital account",
            "What the button on the sign-in page says. Default single sign-on.",
        ),
        Field::required(
            "issuer",
            Shape::Url,
            "https://id.hospital.example",
            "Its issuer: the URL before /.well-known/openid-configuration.",
        ),
        Field::required("client_id", Shape::Text, "medway", "What it calls this engine."),
        Field::optional(
            "client_secret",
            Shape::Secret,
            "secret/oidc",
            "What it knows this engine by. Default: none, a public client; codes are bound by PKCE in any case.",
        ),
        Field::required(
            "redirect_url",
            Shape::Url,
            "https://medway.hospital.example/api/v1/session/oidc/callback",
            "Where it sends browsers back to: /api/v1/session/oidc/callback of the admin address, as browsers name it.",
        ),
        Field::optional(
            "scopes",
            Shape::OneOrMany(&Shape::Text),
            "[profile, groups]",
            "What is asked of it beside openid. Default profile.",
        ),
        Field::optional(
            "tls",
            Shape::Name,
            "hospital-ca",
            "Name of the TLS profile it is asked by.",
        ),
        Field::optional(
            "allow",
            Shape::OneOrMany(&Shape::Text),
            "[id.hospital.example]",
            "Hosts and networks it may be asked at. Default: outbound.allow; without that the issuer's host alone.",
        ),
        Field::optional(
            "name_claim",
            Shape::Text,
            "email",
            "The claim of the ID token that is the user's name here. Default preferred_username.",
        ),
        Field::optional(
            "claim",
            Shape::Text,
            "roles",
            "The claim of the ID token that mapping looks at: a text or a list of texts. Default groups.",
        ),
        Field::optional(
            "mapping",
            Shape::List(&Shape::Map(&MAPPED)),
            "[{value: medway-operators, roles: [operator], groups: [radiology]}]",
            "What the claim's values give. With it, whoever has a role by it is let in, is added at the first time, and has these roles alone, anew at each sign-in. Without it, a user must have been added here, without a password, under the name the provider gives.",
        ),
    ],
);

static MAPPED: MapShape = MapShape::new(
    "oidc_mapping",
    "What one value of the claim gives.",
    &[
        Field::required("value", Shape::Text, "medway-operators", "The value, exactly."),
        Field::required(
            "roles",
            Shape::OneOrMany(&Shape::Choice(ROLES)),
            "[operator]",
            "The roles it gives.",
        ),
        Field::optional(
            "groups",
            Shape::OneOrMany(&Shape::Text),
            "[radiology]",
            "The channel groups it gives. Who is given any sees these alone, whatever else they have. Default: no limit.",
        ),
    ],
);

const ROLES: &[(&str, &str)] = &[
    ("viewer", "sees what flows, messages masked"),
    ("operator", "resends as it was, skips, releases, pauses, messages masked"),
    ("analyst", "writes channels, resends what they edited"),
    ("releaser", "puts channels in force"),
    ("security_admin", "users and roles; sees no message"),
    ("auditor", "reads the trail; sees no message"),
    ("system_admin", "nodes and store; sees no message"),
];
