//! `subscriptions:` of `engine.yaml`.

use crate::config::shapes::COUNT;
use crate::yaml::shape::{Field, MapShape, Shape};

pub(super) static SUBSCRIPTIONS: MapShape = MapShape::new(
    "subscriptions",
    "FHIR subscriptions: topics, where notifications may go, and what holds for all subscribers.",
    &[
        Field::optional(
            "allow",
            Shape::OneOrMany(&Shape::Text),
            "[\"*.hospital.example\", 10.20.0.0/16:443]",
            "Hosts and networks subscribers may have. Default: those of outbound.allow; without either, none.",
        ),
        Field::optional(
            "tls",
            Shape::Text,
            "emr",
            "TLS profile for calls. Default: the system's roots.",
        ),
        Field::optional(
            "topics",
            Shape::List(&Shape::Map(&TOPIC)),
            "[{url: https://hospital.example/topics/admission, types: [Encounter], current: status=in-progress}]",
            "Topics beside the built-in [base]/SubscriptionTopic/patient, /report and so on.",
        ),
        Field::optional(
            "order",
            Shape::Choice(&[
                ("per-patient", "Events of one patient, or of one resource where none is named."),
                ("per-resource", "Events of one resource."),
                ("strict", "All events of the subscription."),
                ("none", "None."),
            ]),
            "per-patient",
            "Which events wait for each other. Default per-patient.",
        ),
        Field::optional(
            "style",
            Shape::Choice(&[
                ("post", "POST of the resource to the endpoint."),
                ("put-resource", "PUT of the resource to endpoint/Type/id."),
                ("bundle", "POST of a notification Bundle."),
            ]),
            "post",
            "How receivers of search subscriptions are called. Default post.",
        ),
        Field::optional(
            "deletes",
            Shape::Bool,
            "false",
            "Whether search subscriptions hear of deletes. Default false.",
        ),
        Field::optional(
            "plain_http",
            Shape::Bool,
            "false",
            "Whether whole resources may be sent without TLS. Default false.",
        ),
        Field::optional(
            "old_signatures",
            Shape::Bool,
            "false",
            "Whether X-Hub-Signature and X-Signature are sent too. Default false.",
        ),
        Field::optional(
            "schedule",
            Shape::OneOrMany(&Shape::Duration),
            "[5s, 5m, 30m, 2h]",
            "The waits between attempts. Default: those of Standard Webhooks, ten attempts in 75 hours.",
        ),
        Field::optional(
            "fail_fast_4xx",
            Shape::Bool,
            "false",
            "Whether a 4xx other than 408, 409, 423, 425 and 429 turns the Subscription to error at once instead of after the schedule. Default false.",
        ),
        Field::optional(
            "per_second",
            COUNT,
            "20",
            "Calls a second to one subscriber at most. Without it: as many as it takes.",
        ),
        Field::optional(
            "off_after",
            Shape::Duration,
            "120h",
            "A receiver that took nothing for so long is turned off. Default 120h.",
        ),
        Field::optional(
            "reply_within",
            Shape::Duration,
            "15s",
            "How long a receiver may take whose Subscription has no wish. Default 15s.",
        ),
    ],
);

static TOPIC: MapShape = MapShape::new(
    "topic",
    "A topic of FHIR subscriptions.",
    &[
        Field::required(
            "url",
            Shape::Text,
            "https://hospital.example/topics/admission",
            "Its canonical URL.",
        ),
        Field::optional("title", Shape::Text, "Admissions", "For people."),
        Field::required("types", Shape::OneOrMany(&Shape::Text), "[Encounter]", "Resource types."),
        Field::optional(
            "on",
            Shape::OneOrMany(&Shape::Text),
            "[create]",
            "What must happen: create, update, delete.",
        ),
        Field::optional(
            "previous",
            Shape::Text,
            "\"status:not=in-progress\"",
            "A search that must find the version before.",
        ),
        Field::optional(
            "current",
            Shape::Text,
            "status=in-progress",
            "A search that must find the version after.",
        ),
        Field::optional(
            "filters",
            Shape::OneOrMany(&Shape::Text),
            "[patient, status]",
            "Search parameters subscriptions may filter by. Default: any.",
        ),
    ],
);
