//! E02.. and E03..: the channel language: paths, expressions, tables, steps, tests.

use crate::yaml::codes::Explanation;

pub(super) const CODES: &[Explanation] = &[
    Explanation {
        code: "E0301",
        title: "an expression cannot be read",
        text: "A value is a path (PID-5.1), a view (patient.mrn), a function, or text. Conditions are joined \
               with `and`, `or`, `not` and round brackets. Text with blanks stands in quotes.",
        wrong: "when: PV1-3.1 is Intensive Care",
        right: "when: PV1-3.1 is 'Intensive Care'",
    },
    Explanation {
        code: "E0302",
        title: "an operator is missing or not known",
        text: "Operators are words: is, is not, is empty, is null, contains, starts with, ends with, \
               matches /…/, in tables/x.csv, and < <= > >= for numbers and dates.",
        wrong: "when: MSH-9.2 = A01",
        right: "when: MSH-9.2 is A01",
    },
    Explanation {
        code: "E0303",
        title: "a name is not known",
        text: "A word on the left side must name something of the message: a path, a view such as \
               patient.mrn, or kind, event, now, channel.",
        wrong: "when: patient.mnr is 100234",
        right: "when: patient.mrn is 100234",
    },
    Explanation {
        code: "E0304",
        title: "a function is not known",
        text: "The hint names the nearest function, or all of them.",
        wrong: "gender: lokup(PID-8 tables/sex.csv)",
        right: "gender: lookup(PID-8 tables/sex.csv)",
    },
    Explanation {
        code: "E0305",
        title: "a function has the wrong arguments",
        text: "The hint shows how it is called. human_name, identifiers, address, telecom and codeable take \
               a whole field of the message.",
        wrong: "year: substring(PID-7)",
        right: "year: \"substring(PID-7, 1, 4)\"",
    },
    Explanation {
        code: "E0306",
        title: "the right side of a comparison is not what it looks like",
        text: "Behind `is` and `contains` stands text. To compare with another place of the message, write \
               it in angle brackets; to compare with a text that looks like a path, put it in quotes. \
               By size only numbers and dates are compared.",
        wrong: "when: PID-3.1 is PID-18.1",
        right: "when: PID-3.1 is <PID-18.1>",
    },
    Explanation {
        code: "E0307",
        title: "a pattern cannot be used",
        text: "A regular expression stands between slashes. Back references and look-around are not there, \
               so that matching always takes time proportional to the text.",
        wrong: "when: PID-3.1 matches ^[0-9]+$",
        right: "when: PID-3.1 matches /^[0-9]+$/",
    },
    Explanation {
        code: "E0308",
        title: "a JSON path cannot be read",
        text: "A JSON path starts with $ and names members with dots and items with numbers from 0.",
        wrong: "mrn: $patient/id",
        right: "mrn: $.patient.id",
    },
    Explanation {
        code: "E0315",
        title: "steps or templates are too many or too deep",
        text: "At most 1,000 steps in a list, nested 8 deep; templates of JSON 32 deep. A channel that needs \
               more is two channels.",
        wrong: "change: [{if: a, then: [{if: b, then: [{if: c}]}]}]   # and so on",
        right: "change: [{set: {PV1-2: I}, when: PV1-3.1 is ICU and PV1-2 is empty}]",
    },
    Explanation {
        code: "E0316",
        title: "a step is not known",
        text: "A step has exactly one verb: set, copy, remove, map, lookup, split, join, date, trim, case, \
               default, each or if; and `when` if it is not always done.",
        wrong: "change: [{sett: {MSH-5: LIS}}]",
        right: "change: [{set: {MSH-5: LIS}}]",
    },
    Explanation {
        code: "E0320",
        title: "a path cannot be read",
        text: "PID-5.1: segment, field, component. PID-3[2].4.2: the second repetition, counted from 1. \
               PID-3(MR).1: the repetition whose identifier type is MR. OBX[2]-5: the second OBX. \
               Digits in round brackets are refused: HAPI's Terser counts them from 0.",
        wrong: "mrn: PID-3(1).1",
        right: "mrn: \"PID-3[2].1\"",
    },
    Explanation {
        code: "E0321",
        title: "there is no such segment",
        text: "The three characters name no segment of any HL7 version. Segments of your own begin with Z.",
        wrong: "when: any OXB has OBX-8 is HH",
        right: "when: any OBX has OBX-8 is HH",
    },
    Explanation {
        code: "E0322",
        title: "a field is needed, not a whole segment",
        text: "Only remove takes a whole segment. Everything else reads or writes a field of it.",
        wrong: "change: [{trim: PID}]",
        right: "change: [{trim: PID-8}]",
    },
    Explanation {
        code: "E0323",
        title: "a form of a date cannot be read",
        text: "Dates are described with YYYY MM DD HH mm ss; everything else stands as it is.",
        wrong: "date: {at: PID-7, from: dd/MM/yyyy}",
        right: "date: {at: PID-7, from: DD/MM/YYYY}",
    },
    Explanation {
        code: "E0324",
        title: "no version of HL7 has this place",
        text: "Paths are checked against the tables of all versions: fields, components, and whether a \
               field repeats. Segments that begin with Z are not checked.",
        wrong: "mrn: PID-33(MR).1",
        right: "mrn: PID-3(MR).1",
    },
    Explanation {
        code: "E0325",
        title: "a FHIR path cannot be read",
        text: "FHIR paths are a part of FHIRPath: names joined with dots, [n] counted from 0, \
               where(x = 'y'), first(), exists(), ofType(…), extension('…'). References are not followed.",
        wrong: "mrn: identifier.where(system = 'urn:mrn'.value",
        right: "mrn: identifier.where(system = 'urn:mrn').value",
    },
    Explanation {
        code: "E0326",
        title: "FHIR R4 has no such element",
        text: "Every name of a FHIR path is checked against the definitions of R4, inside where(…) too. A \
               path without a resource type is relative to the types that the channel accepts.",
        wrong: "name: Patient.name.familly",
        right: "name: Patient.name.family",
    },
    Explanation {
        code: "E0327",
        title: "this place can be read, but not written",
        text: "Steps write where names, [n] and one where(x = 'y') lead. What a function finds has no place \
               of its own, and a choice is written with its type.",
        wrong: "change: [{set: {Patient.deceased: true}}]",
        right: "change: [{set: {Patient.deceasedBoolean: true}}]",
    },
    Explanation {
        code: "E0330",
        title: "a message type cannot be read",
        text: "A type and an event: ADT^A01; all events of a type: ADT^* or ADT. The message structure \
               (ADT_A01) is not written here, because senders get it wrong.",
        wrong: "types: [ADT_A01]",
        right: "types: [ADT^A01]",
    },
    Explanation {
        code: "E0331",
        title: "MSH is made anew",
        text: "`produce: {hl7: …}` makes a new header. Change it afterwards with `set`.",
        wrong: "hl7: {type: ADT^A31, segments: [MSH, PID]}",
        right: "hl7: {type: ADT^A31, segments: [PID]}",
    },
    Explanation {
        code: "E0332",
        title: "a charset is not known",
        text: "Names of HL7 table 0211 (UNICODE UTF-8, 8859/1, GB 18030-2000) or the usual ones (UTF-8, \
               ISO-8859-1, GB18030).",
        wrong: "charset: GB1803",
        right: "charset: GB18030",
    },
    Explanation {
        code: "E0340",
        title: "a table cannot be found",
        text: "Tables are CSV files; their paths are relative to the channel's file.",
        wrong: "gender: lookup(PID-8 tables/sexes.csv)",
        right: "gender: lookup(PID-8 tables/sex.csv)",
    },
    Explanation {
        code: "E0341",
        title: "a table is not UTF-8",
        text: "Save it again as UTF-8. In Excel the type is called \"CSV UTF-8\".",
        wrong: "# tables/sex.csv saved as GBK",
        right: "# tables/sex.csv saved as UTF-8",
    },
    Explanation {
        code: "E0342",
        title: "a table is empty",
        text: "The first row names the columns, the first column is the key.",
        wrong: "# an empty file",
        right: "# code,fhir\n# F,female",
    },
    Explanation {
        code: "E0343",
        title: "a row of a table cannot be read",
        text: "Every row has as many values as the header has columns. A value that holds a comma stands in \
               double quotes.",
        wrong: "# code,name\n# K,Potassium, serum",
        right: "# code,name\n# K,\"Potassium, serum\"",
    },
    Explanation {
        code: "E0344",
        title: "a key stands twice in a table",
        text: "Nobody could say which row is meant. Keep one.",
        wrong: "# code,fhir\n# F,female\n# F,woman",
        right: "# code,fhir\n# F,female",
    },
    Explanation {
        code: "E0345",
        title: "a table has too many rows",
        text: "At most 500,000 rows: a table is read into memory.",
        wrong: "# tables/all-of-snomed.csv",
        right: "# tables/snomed-used-here.csv",
    },
    Explanation {
        code: "E0346",
        title: "a table has no such column",
        text: "The second column is taken when none is named.",
        wrong: "unit: \"lookup(OBX-6.1, tables/units.csv, ucun)\"",
        right: "unit: \"lookup(OBX-6.1, tables/units.csv, ucum)\"",
    },
    Explanation {
        code: "E0350",
        title: "a test sends too little or too much",
        text: "A test sends 1 to 1,000 messages.",
        wrong: "send: []",
        right: "send: [samples/a01.hl7]",
    },
    Explanation {
        code: "E0351",
        title: "a sample cannot be used",
        text: "Samples are files beside the channel's file, or the message itself. `with` and `without` change \
               HL7 messages by paths and JSON by paths that start with $.",
        wrong: "send: samples/a10.hl7",
        right: "send: samples/a01.hl7",
    },
    Explanation {
        code: "E0352",
        title: "a test names a destination that the channel does not have",
        text: "Under `expect` stand ack, error_at, and the names under `to`.",
        wrong: "expect: {ack: AA, liss: nothing}",
        right: "expect: {ack: AA, lis: nothing}",
    },
    Explanation {
        code: "E0353",
        title: "a test asks for a place that is never there",
        text: "HL7 is asked by paths, JSON by names joined with dots (identifier.0.value), which the template \
               must have. Besides: url, name, folder, topic, routing_key, body, same, count, attempts, outcome.",
        wrong: "expect: {emr: {gendr: female}}",
        right: "expect: {emr: {gender: female}}",
    },
    Explanation {
        code: "E0360",
        title: "maps to FHIR cannot be used",
        text: "A file of maps has the sections messages, maps, tables, systems and units. A row of a map is \
               written `source -> target as TYPE when condition`; docs/mapping.md shows all of them.",
        wrong: "PID-8 => gender",
        right: "PID-8 -> gender as code(sex)",
    },
    Explanation {
        code: "E0361",
        title: "a system is no absolute URI",
        text: "Identifiers and codes carry a system that is the same for everybody. A URI of your own is as \
               good as an OID; it need not lead anywhere.",
        wrong: "MAIN,main hospital",
        right: "MAIN,https://hospital.example/mrn",
    },
];
