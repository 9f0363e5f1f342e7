//! A channel file: `channels/NAME.yaml`.

use crate::config::shapes::{destination, language, source};
use crate::yaml::shape::{Field, MapShape, Other, Shape};

/// The keys in the order a file has them.
pub static CHANNEL: MapShape = MapShape {
    planned: &["signals", "alarms"],
    ..MapShape::new(
        "channel",
        "A channel: where messages come from, which it takes, and where they go. One file a channel.",
        &[
            Field::required(
                "channel",
                Shape::Name,
                "adt-patient-sync",
                "The channel's name, unique in the engine and best the file's name.",
            ),
            Field::optional(
                "title",
                TITLE,
                "{en: Patient sync, zh: 患者信息同步}",
                "A title for people, in one or both languages.",
            ),
            Field::optional(
                "group",
                Shape::Name,
                "laboratory",
                "The group it belongs to. Users and API tokens can be limited to groups: they see these channels and their messages and no others.",
            ),
            Field::optional("owner", Shape::Text, "interfaces@hospital.example", "Whom to ask."),
            Field::optional(
                "description",
                Shape::Text,
                "Keeps the LIS up to date.",
                "What it is for.",
            ),
            Field::optional(
                "order_by",
                Shape::Language(&Shape::Path),
                "PID-3(MR).1",
                "Messages with the same value never overtake each other; messages with different ones never wait for each other. `strict`: all in order; `none`: any order. Default strict.",
            ),
            Field::required(
                "from",
                Shape::Map(&source::FROM),
                "{mllp: {listen: 0.0.0.0:6661}}",
                "Where messages come from.",
            ),
            Field::optional(
                "accept",
                Shape::Language(&ACCEPT),
                "{types: [ADT^A01]}",
                "Which messages it takes. Default: all.",
            ),
            Field::optional(
                "search_keys",
                Shape::Language(&SEARCH_KEYS),
                "{mrn: PID-3(MR).1}",
                "Values by which people search its messages.",
            ),
            Field::optional(
                "unmapped_code",
                Shape::Language(&language::UNMAPPED),
                "hold",
                "What happens when a table has no row for a code. Default hold.",
            ),
            Field::optional(
                "retention",
                Shape::Map(&RETENTION),
                "{bodies: 7d}",
                "How long what it receives is kept. Default: as engine.yaml says. Nothing pending, held or dead is ever removed.",
            ),
            Field::required(
                "to",
                Shape::Map(&TO),
                "{lis: {mllp: {host: lis.hospital.example, port: 2575}}}",
                "Where messages go: a name for each destination.",
            ),
            Field::optional(
                "tests",
                Shape::Language(&language::TESTS),
                "[]",
                "Tests of the channel, run by `medway test`.",
            ),
        ],
    )
};

static ACCEPT: Shape = Shape::Map(&language::ACCEPT);
static SEARCH_KEYS: Shape = Shape::Map(&language::SEARCH_KEYS);

const TITLE: Shape =
    Shape::ByKind { scalar: Some(&Shape::Text), items: None, map: Some(&TITLE_MAP) };

static TITLE_MAP: MapShape = MapShape::new(
    "title",
    "A text in one or both languages.",
    &[
        Field::optional("en", Shape::Text, "Patient sync from HIS", "English."),
        Field::optional("zh", Shape::Text, "HIS 患者信息同步", "Chinese."),
    ],
);

static RETENTION: MapShape = MapShape::new(
    "channel_retention",
    "How long what a channel receives is kept.",
    &[
        Field::optional("bodies", Shape::Duration, "7d", "The bytes of messages."),
        Field::optional(
            "messages",
            Shape::Duration,
            "365d",
            "Messages with their outcomes and search keys.",
        ),
    ],
);

static TO: MapShape = MapShape {
    other: Other::Names(&Shape::Map(&destination::DESTINATION)),
    ..MapShape::new("to", "The destinations, each under its name; names are kept for ever.", &[])
};
