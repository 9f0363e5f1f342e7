//! The channel language as shapes, for completion in editors and for the reference. What is wrong in it
//! is found by `channel::`, which knows paths and tables too.

use crate::yaml::shape::{Field, MapShape, Other, Shape};

const PATHS: Shape = Shape::OneOrMany(&Shape::Path);
const VALUE: Shape = Shape::Template;

/// `unmapped_code`.
pub static UNMAPPED: Shape =
    Shape::ByKind { scalar: Some(&UNMAPPED_WORD), items: None, map: Some(&UNMAPPED_DEFAULT) };

static UNMAPPED_WORD: Shape = Shape::Choice(&[
    ("hold", "The delivery is held until a person adds the row."),
    ("pass", "The code is sent as it is."),
    ("reject", "The delivery is set aside."),
]);

static UNMAPPED_DEFAULT: MapShape = MapShape::new(
    "unmapped_default",
    "A code of its own for whatever has no row.",
    &[Field::required("default", Shape::Text, "U", "The code that is sent instead.")],
);

/// `accept:`.
pub static ACCEPT: MapShape = MapShape::new(
    "accept",
    "Which messages the channel takes. What it does not take is refused, and the sender is told why.",
    &[
        Field::optional(
            "types",
            Shape::OneOrMany(&Shape::Text),
            "[ADT^A01, ADT^A08]",
            "Message types: ADT^A01, ADT^* or ADT. Default: all.",
        ),
        Field::optional(
            "require",
            PATHS,
            "[PID-3, PID-5.1]",
            "Fields that must be there; otherwise AE, and ERR-2 names the field.",
        ),
        Field::optional("when", Shape::Expression, "MSH-4 is MAIN", "A condition that must hold."),
        Field::optional(
            "duplicate",
            DUPLICATE,
            "{same: MSH-4 + MSH-10, within: 7d}",
            "How a repeated message is recognised. Default: same MSH-3, MSH-4 and MSH-10 within a day; `none` for never.",
        ),
        Field::optional(
            "strict",
            Shape::Bool,
            "true",
            "Whether the message must be exactly as the standard says. Default false.",
        ),
        Field::optional("profile", Shape::Text, "IHE_PCD_001", "The profile MSH-21 must state."),
        Field::optional(
            "otherwise",
            Shape::Choice(&[
                ("refuse", "The sender is told."),
                ("ignore", "Stored and acknowledged, and sent nowhere."),
            ]),
            "ignore",
            "What becomes of messages of other types. Default refuse.",
        ),
    ],
);

const DUPLICATE: Shape =
    Shape::ByKind { scalar: Some(&NO_DUPLICATE), items: None, map: Some(&DUPLICATE_MAP) };

static NO_DUPLICATE: Shape = Shape::Choice(&[("none", "Every message is a new one.")]);

static DUPLICATE_MAP: MapShape = MapShape::new(
    "duplicate",
    "How a repeated message is recognised and treated. It is stored once and answered again.",
    &[
        Field::optional(
            "same",
            Shape::Expression,
            "MSH-4 + MSH-10",
            "What must be equal. Default MSH-3 + MSH-4 + MSH-10.",
        ),
        Field::optional("within", Shape::Duration, "7d", "How far back. Default 24h."),
        Field::optional(
            "reply",
            Shape::Choice(&[("ack_again", "The first answer, again.")]),
            "ack_again",
            "How the repeat is answered.",
        ),
        Field::optional(
            "if_changed",
            Shape::Choice(&[
                ("hold", "Stored; its deliveries wait for a person."),
                ("refuse", "The sender is told."),
                ("accept", "Stored and sent like any other."),
            ]),
            "hold",
            "When the content differs. Default hold.",
        ),
    ],
);

/// `search_keys:`.
pub static SEARCH_KEYS: MapShape = MapShape {
    other: Other::Names(&SEARCH_KEY),
    ..MapShape::new(
        "search_keys",
        "Values by which people search messages: a name and a path.",
        &[
            Field::optional("mrn", SEARCH_KEY, "PID-3(MR).1", "The patient's number."),
            Field::optional("visit", SEARCH_KEY, "PV1-19.1", "The visit."),
            Field::optional("accession", SEARCH_KEY, "OBR-3.1", "The accession number."),
            Field::optional("order", SEARCH_KEY, "OBR-2.1", "The order."),
            Field::optional("device", SEARCH_KEY, "OBX-18.1", "The device."),
        ],
    )
};

static SEARCH_KEY: Shape =
    Shape::ByKind { scalar: Some(&Shape::Path), items: None, map: Some(&SEARCH_KEY_MAP) };

static SEARCH_KEY_MAP: MapShape = MapShape::new(
    "search_key",
    "A search key with options.",
    &[
        Field::required("path", Shape::Path, "PID-5", "Where the value stands."),
        Field::optional(
            "mask",
            Shape::Bool,
            "true",
            "Whether people below the full view neither see nor find it, e.g. a name. Default false: they see its shape.",
        ),
    ],
);

/// `change:`.
pub static STEPS: Shape = Shape::List(&Shape::Map(&STEP));

const WHEN: Field =
    Field::optional("when", Shape::Expression, "PID-4 is empty", "Only when this holds.");

/// One step. A step has one verb, and may have `when`.
pub static STEP: MapShape = MapShape {
    one_of: &[&[
        "set", "copy", "remove", "map", "lookup", "split", "join", "date", "trim", "case",
        "default", "each", "if",
    ]],
    planned: &["javascript"],
    ..MapShape::new(
        "step",
        "One step: exactly one verb, and `when` if it only holds sometimes.",
        &[
            Field::optional(
                "set",
                Shape::Map(&ASSIGNMENTS),
                "{MSH-5: LIS, MSH-6: LAB}",
                "Writes values at paths.",
            ),
            Field::optional(
                "default",
                Shape::Map(&ASSIGNMENTS),
                "{PID-8: U}",
                "Writes values where there is none.",
            ),
            Field::optional(
                "copy",
                Shape::Map(&COPY),
                "{from: PID-18.1, to: PID-4.1}",
                "Copies a value.",
            ),
            Field::optional("remove", PATHS, "[ZPV, PID-19]", "Removes fields or segments."),
            Field::optional(
                "map",
                Shape::Map(&MAP),
                "{at: PID-8, codes: {M: 1, F: 2}}",
                "Replaces codes by those listed here.",
            ),
            Field::optional(
                "lookup",
                Shape::Map(&LOOKUP),
                "{at: PID-8, table: tables/sex.csv}",
                "Replaces a code by a row of a table.",
            ),
            Field::optional(
                "split",
                Shape::Map(&SPLIT),
                "{from: PID-5.1, at: ' ', to: [PID-5.1, PID-5.2]}",
                "Splits a text at a separator.",
            ),
            Field::optional(
                "join",
                Shape::Map(&JOIN),
                "{from: [PID-5.2, PID-5.1], with: ' ', to: PID-5.1}",
                "Joins texts.",
            ),
            Field::optional("date", DATE, "{at: PID-7, from: DD/MM/YYYY}", "Rewrites dates."),
            Field::optional("trim", PATHS, "PID-8", "Removes blanks at both ends."),
            Field::optional(
                "case",
                Shape::Map(&CASE),
                "{upper: PID-5.1}",
                "Makes capitals or small letters.",
            ),
            Field::optional(
                "each",
                Shape::Text,
                "OBX",
                "Repeats the steps under `change` for each segment of this name.",
            ),
            Field::optional(
                "change",
                Shape::List(&Shape::Map(&STEP)),
                "[{trim: OBX-5}]",
                "With `each`: the steps.",
            ),
            Field::optional(
                "if",
                Shape::Expression,
                "PID-8 is F",
                "Takes the steps under `then` or those under `else`.",
            ),
            Field::optional(
                "then",
                Shape::List(&Shape::Map(&STEP)),
                "[{set: {PV1-2: I}}]",
                "With `if`: the steps when it holds.",
            ),
            Field::optional(
                "else",
                Shape::List(&Shape::Map(&STEP)),
                "[{set: {PV1-2: O}}]",
                "With `if`: the steps when it does not.",
            ),
            WHEN,
        ],
    )
};

static ASSIGNMENTS: MapShape = MapShape {
    other: Other::Paths(&VALUE),
    ..MapShape::new(
        "assignments",
        "Paths and the values written there; `<PATH>` is filled in.",
        &[],
    )
};

static COPY: MapShape = MapShape::new(
    "copy",
    "Copies a value.",
    &[
        Field::required("from", Shape::Expression, "PID-18.1", "Where from."),
        Field::required("to", Shape::Path, "PID-4.1", "Where to."),
        WHEN,
    ],
);

static MAP: MapShape = MapShape::new(
    "map",
    "Replaces codes.",
    &[
        Field::required("at", Shape::Path, "PID-8", "Where the code stands."),
        Field::required(
            "codes",
            Shape::Map(&CODES),
            "{M: 1, F: 2}",
            "Each code and what it becomes.",
        ),
        Field::optional(
            "otherwise",
            Shape::Text,
            "9",
            "What every other code becomes. Default: as unmapped_code says.",
        ),
    ],
);

static CODES: MapShape = MapShape {
    other: Other::Paths(&Shape::Text),
    ..MapShape::new("codes", "Each code and what it becomes.", &[])
};

static LOOKUP: MapShape = MapShape::new(
    "lookup",
    "Replaces a code by a row of a table.",
    &[
        Field::required("at", Shape::Path, "PID-8", "Where the code stands."),
        Field::required(
            "table",
            Shape::File,
            "tables/sex.csv",
            "The table: a CSV file, its first column is the key.",
        ),
        Field::optional("column", Shape::Text, "display", "The column taken. Default: the second."),
        Field::optional(
            "to",
            Shape::Path,
            "PID-8",
            "Where the result goes. Default: where the code stands.",
        ),
    ],
);

static SPLIT: MapShape = MapShape::new(
    "split",
    "Splits a text.",
    &[
        Field::required("from", Shape::Path, "PID-5.1", "The text."),
        Field::required("at", Shape::Text, "' '", "The separator."),
        Field::required(
            "to",
            PATHS,
            "[PID-5.1, PID-5.2]",
            "Where the parts go; the last takes the rest.",
        ),
    ],
);

static JOIN: MapShape = MapShape::new(
    "join",
    "Joins texts.",
    &[
        Field::required("from", Shape::OneOrMany(&VALUE), "[PID-5.2, PID-5.1]", "The texts."),
        Field::optional("with", Shape::Text, "' '", "What stands between them. Default: nothing."),
        Field::required("to", Shape::Path, "PID-5.1", "Where the result goes."),
    ],
);

const DATE: Shape =
    Shape::ByKind { scalar: Some(&Shape::Path), items: Some(&Shape::Path), map: Some(&DATE_MAP) };

static DATE_MAP: MapShape = MapShape::new(
    "date",
    "Rewrites a date.",
    &[
        Field::required("at", PATHS, "PID-7", "Where it stands."),
        Field::optional(
            "from",
            Shape::Text,
            "DD/MM/YYYY",
            "How it is written. Default: as HL7 writes it, or ISO 8601.",
        ),
        Field::optional("to", Shape::Text, "YYYYMMDD", "How it becomes written. Default YYYYMMDD."),
    ],
);

static CASE: MapShape = MapShape {
    one_of: &[&["upper", "lower"]],
    ..MapShape::new(
        "case",
        "Makes capitals or small letters.",
        &[
            Field::optional("upper", PATHS, "PID-5.1", "Capitals."),
            Field::optional("lower", PATHS, "PID-13.4", "Small letters."),
        ],
    )
};

/// `produce:`.
pub static PRODUCE: Shape = Shape::Map(&PRODUCE_MAP);

static PRODUCE_MAP: MapShape = MapShape {
    one_of: &[&["hl7", "json", "text", "fhir", "ack"]],
    planned: &["xml", "csv"],
    ..MapShape::new(
        "produce",
        "Makes something else of the message: a new HL7 message, FHIR, JSON, text, or its acknowledgement.",
        &[
            Field::optional(
                "hl7",
                Shape::Any,
                "ORU^R01",
                "A new HL7 message: a type, `{type, version, segments}`, or made of FHIR resources: `{from_fhir: ADT}` (auto, ADT, ORU, ORM, OML, SIU; with version, charset, identifiers, events).",
            ),
            Field::optional(
                "json",
                Shape::Any,
                "{mrn: PID-3(MR).1}",
                "JSON after a template; `hl7` for the whole message. A mapping with `each: SEGMENT` becomes a list.",
            ),
            Field::optional(
                "text",
                VALUE,
                "<OBX-3.2> <OBX-5> <OBX-6.1>",
                "Text with `<PATH>` in it.",
            ),
            Field::optional(
                "fhir",
                FHIR,
                "r4",
                "FHIR R4 of an HL7 v2 message: `r4` for a transaction bundle, or a mapping of options. docs/mapping.md says what becomes what.",
            ),
            Field::optional(
                "ack",
                Shape::Choice(&[(
                    "application",
                    "AA: the engine has taken the message. With `when: MSH-16 is AL or SU` it goes to those who ask.",
                )]),
                "application",
                "The acknowledgement of the message as a message of its own: for senders that listen for it on another connection.",
            ),
        ],
    )
};

const FHIR: Shape = Shape::ByKind { scalar: Some(&FHIR_WORD), items: None, map: Some(&FHIR_MAP) };

static FHIR_WORD: Shape =
    Shape::Choice(&[("r4", "A transaction bundle for the type of the message.")]);

static FHIR_MAP: MapShape = MapShape::new(
    "fhir",
    "FHIR R4 of an HL7 v2 message. What has no map is held; what cannot be mapped is as unmapped_code says.",
    &[
        Field::optional(
            "bundle",
            Shape::Choice(&[
                ("transaction", "A transaction bundle of `PUT Type/id`, with ids that stay."),
                ("upsert", "A transaction bundle of `PUT Type?identifier=…`."),
                ("resources", "The resource itself; of several, a collection."),
            ]),
            "upsert",
            "The form of what is sent. Default transaction.",
        ),
        Field::optional(
            "identifiers",
            Shape::File,
            "tables/systems.csv",
            "The site's table: authorities and coding systems as messages name them, and their URIs.",
        ),
        Field::optional(
            "zone",
            Shape::Text,
            "Asia/Shanghai",
            "The zone of times that carry none: an offset or a place. Default: such times become dates.",
        ),
        Field::optional(
            "namespace",
            Shape::Text,
            "https://hospital.example/ns",
            "Begins the systems of authorities that the table does not know. Default: these have none.",
        ),
        Field::optional(
            "only",
            Shape::OneOrMany(&Shape::Text),
            "[Patient, Encounter]",
            "The types of resources that are sent. Default: all.",
        ),
        Field::optional(
            "provenance",
            Shape::Bool,
            "false",
            "Whether a Provenance names the message everything came from. Default true.",
        ),
        Field::optional(
            "map",
            Shape::File,
            "lib/maps.yaml",
            "The site's own maps, laid over those of the engine.",
        ),
    ],
);

/// `tests:`.
pub static TESTS: Shape = Shape::List(&Shape::Map(&TEST));

static TEST: MapShape = MapShape::new(
    "test",
    "One test: what is sent, and what is expected.",
    &[
        Field::required(
            "name",
            Shape::Text,
            "an admission reaches all three",
            "What it shows, as a sentence.",
        ),
        Field::optional(
            "clock",
            Shape::Choice(&[("virtual", "Time passes as the test says.")]),
            "virtual",
            "Which time holds.",
        ),
        Field::required(
            "send",
            SEND,
            "samples/a01.hl7",
            "A sample, or several, one after the other.",
        ),
        Field::optional(
            "answers",
            Shape::Map(&ANSWERS),
            "{lis: [AR, AA]}",
            "What receivers answer, one attempt after the other. Default: they accept.",
        ),
        Field::required(
            "expect",
            Shape::Map(&EXPECT),
            "{ack: AA, billing: nothing}",
            "The answer, and for each destination what it gets.",
        ),
    ],
);

const SEND: Shape =
    Shape::ByKind { scalar: Some(&Shape::File), items: Some(&SEND_ONE), map: Some(&SAMPLE) };

static SEND_ONE: Shape =
    Shape::ByKind { scalar: Some(&Shape::File), items: None, map: Some(&SAMPLE) };

static SAMPLE: MapShape = MapShape::new(
    "sample",
    "A sample with changes.",
    &[
        Field::required("file", Shape::File, "samples/a01.hl7", "The sample."),
        Field::optional(
            "with",
            Shape::Map(&ASSIGNMENTS),
            "{MSH-9.2: A08}",
            "Values put into it, as written.",
        ),
        Field::optional("without", PATHS, "PID-3", "Fields or segments taken out of it."),
        Field::optional(
            "interaction",
            Shape::Choice(&[
                ("create", "It is the first version of a resource."),
                ("update", "It is a new version."),
                ("patch", "It is a new version made by a patch."),
                ("delete", "The resource is gone."),
            ]),
            "update",
            "How a FHIR client wrote the resource: it is then read with its id and version.",
        ),
        Field::optional(
            "at",
            Shape::Duration,
            "11s",
            "When it is sent, from the start of the test.",
        ),
    ],
);

static ANSWERS: MapShape = MapShape {
    other: Other::Names(&Shape::OneOrMany(&Shape::Text)),
    ..MapShape::new("answers", "For each destination the codes its receiver answers.", &[])
};

static EXPECT: MapShape = MapShape {
    other: Other::Names(&Shape::Any),
    ..MapShape::new(
        "expect",
        "The answer, and for each destination what it gets: paths and values, or one of `nothing`, `sent`, `held`, `rejected`.",
        &[
            Field::optional("ack", Shape::Text, "AA", "The acknowledgement code."),
            Field::optional("error_at", Shape::Path, "PID-3", "The place ERR-2 names."),
        ],
    )
};
