//! Is a path one that the standard knows? If not, what was probably meant?

use crate::hl7::dictionary::{
    Field, Label, Repeats, Version, component, components, field, field_count, fields,
    nearest_segment, segment,
};
use crate::hl7::path::{FieldPath, Path, Which};

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Described {
    /// The name of the segment, field, component or subcomponent; `None` inside Z-segments and where the
    /// type depends on the message.
    pub label: Option<Label>,
    /// Its data type; `None` for a segment and where it is not known.
    pub data_type: Option<&'static str>,
    /// The table its codes come from.
    pub table: Option<u16>,
    /// Whether a field may repeat; false for anything else.
    pub repeats: bool,
}

/// The part of a path that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The segment id.
    Segment,
    /// The field number.
    Field,
    /// `[2]`, `[*]` or `(MR)` behind the field.
    Repetition,
    /// The component number.
    Component,
    /// The subcomponent number.
    Subcomponent,
}

/// Why a path names nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathFault {
    /// Where in the path.
    pub part: Part,
    /// What is wrong, e.g. `PID-33 does not repeat and has no type "MR"`.
    pub what: String,
    /// What the standard says of the place, e.g. `in HL7 2.5.1 this is "Last Update Date/Time" (TS)`.
    pub here: Option<String>,
    /// What was probably meant, e.g. `did you mean PID-3 "Patient Identifier List" (CX, repeats)?`.
    pub hint: Option<String>,
    /// The path that the hint proposes.
    pub instead: Option<String>,
    /// The first later version that knows the path: then messages of such a version may have it.
    pub since: Option<Version>,
}

/// What `path` names in this version.
///
/// Z-segments and what they hold are always fine. `.1` of a value without components is the value itself.
///
/// # Errors
/// When the version has no such segment, field or component, or the field cannot be chosen from so.
pub fn check(version: Version, path: &Path) -> Result<Described, PathFault> {
    describe(version, path).map_err(|fault| PathFault {
        since: Version::all().find(|later| *later > version && describe(*later, path).is_ok()),
        ..*fault
    })
}

fn describe(version: Version, path: &Path) -> Result<Described, Box<PathFault>> {
    let id = path.segment();
    if id.starts_with('Z') {
        return Ok(Described { label: None, data_type: None, table: None, repeats: false });
    }
    let known = segment(version, id).ok_or_else(|| unknown_segment(version, path))?;
    let Some(at) = path.field() else {
        let label = Some(known.name);
        return Ok(Described { label, data_type: None, table: None, repeats: false });
    };
    let number = u16::try_from(at.number.get()).unwrap_or(u16::MAX);
    let found = field(version, id, number).ok_or_else(|| unknown_field(version, id, number))?;
    check_repetition(version, id, at, found)?;
    describe_below(version, id, at, found)
}

fn describe_below(
    version: Version,
    id: &str,
    at: &FieldPath,
    found: Field,
) -> Result<Described, Box<PathFault>> {
    let mut described = Described {
        label: Some(found.label),
        data_type: Some(found.data_type),
        table: found.table,
        repeats: found.repeats.more_than_once(),
    };
    let mut shown = format!("{id}-{}", found.number);
    let levels = [(at.component, Part::Component), (at.subcomponent, Part::Subcomponent)];
    for (number, part) in levels {
        let (Some(number), Some(data_type)) = (number, described.data_type) else { break };
        let number = u16::try_from(number.get()).unwrap_or(u16::MAX);
        if is_open(version, data_type) {
            described = Described { label: None, data_type: None, table: None, repeats: false };
            break;
        }
        match component(version, data_type, number) {
            Some(inner) => {
                described = Described {
                    label: Some(inner.label),
                    data_type: Some(inner.data_type),
                    table: inner.table,
                    repeats: false,
                };
            }
            // A value without parts is its own first part.
            None if number == 1 => described.repeats = false,
            None => return Err(unknown_component(version, &shown, data_type, number, part)),
        }
        shown = format!("{shown}.{number}");
    }
    Ok(described)
}

/// Types whose parts the dictionary does not know.
fn is_open(version: Version, data_type: &str) -> bool {
    matches!(data_type, "varies" | "WD" | "CM" | "QIP" | "RCD")
        || (data_type.starts_with("CM_") && components(version, data_type).next().is_none())
}

fn check_repetition(
    version: Version,
    id: &str,
    at: &FieldPath,
    found: Field,
) -> Result<(), Box<PathFault>> {
    if matches!(found.data_type, "varies" | "WD") {
        return Ok(());
    }
    let place = format!("{id}-{}", found.number);
    let what = match (&at.repetition, found.repeats) {
        (Which::Unsaid, _) | (Which::All | Which::Nth(_), Repeats::Freely) => return Ok(()),
        (Which::All, Repeats::AtMost(_)) => return Ok(()),
        (Which::Nth(nth), Repeats::Once) if nth.get() == 1 => return Ok(()),
        (Which::Nth(nth), Repeats::AtMost(most)) if nth.get() <= u32::from(most) => return Ok(()),
        (Which::Nth(_), Repeats::AtMost(most)) => format!("{place} repeats at most {most} times"),
        (Which::All | Which::Nth(_), Repeats::Once) => format!("{place} does not repeat"),
        (Which::Typed(_), _) if has_identifier_type(version, found.data_type) => return Ok(()),
        (Which::Typed(kind), Repeats::Once) => {
            format!("{place} does not repeat and has no type \"{kind}\"")
        }
        (Which::Typed(kind), _) => {
            format!(
                "{place} repeats, but its type {} has no identifier type \"{kind}\"",
                found.data_type
            )
        }
    };
    let typed = matches!(at.repetition, Which::Typed(_));
    let meant = meant_field(version, id, found.number, typed);
    Err(Box::new(PathFault {
        part: Part::Repetition,
        what,
        here: Some(format!("in HL7 {version} this is {}", shown(found))),
        hint: meant.map(|meant| format!("did you mean {id}-{} {}?", meant.number, shown(meant))),
        instead: meant.map(|meant| rewritten(id, meant.number, at)),
        since: None,
    }))
}

/// A selector such as `(MR)` compares the fifth component, the identifier type code (CX).
fn has_identifier_type(version: Version, data_type: &str) -> bool {
    let fifth = component(version, data_type, 5);
    fifth.is_some_and(|fifth| matches!(fifth.label.en, "Identifier Type Code" | "Type"))
        || matches!(data_type, "CK" | "CM_PAT_ID")
}

/// The field of the same segment that such a selector could have meant: it repeats, has identifier types
/// if one was asked for, and its number looks most like the one written.
fn meant_field(version: Version, id: &str, number: u16, typed: bool) -> Option<Field> {
    let written = number.to_string();
    fields(version, id)
        .filter(|other| other.number != number && other.repeats.more_than_once())
        .filter(|other| !matches!(other.data_type, "WD" | "varies"))
        .filter(|other| !typed || has_identifier_type(version, other.data_type))
        .map(|other| (strsim::jaro_winkler(&written, &other.number.to_string()), other))
        .filter(|(likeness, _)| typed || *likeness >= 0.6)
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, other)| other)
}

fn rewritten(id: &str, number: u16, at: &FieldPath) -> String {
    let mut text = format!("{id}-{number}{}", at.repetition);
    for part in [at.component, at.subcomponent].into_iter().flatten() {
        text = format!("{text}.{part}");
    }
    text
}

/// `"Patient Identifier List" (CX, repeats)`.
fn shown(field: Field) -> String {
    let repeats = if field.repeats.more_than_once() { ", repeats" } else { "" };
    format!("\"{}\" ({}{repeats})", field.label.en, field.data_type)
}

fn unknown_segment(version: Version, path: &Path) -> Box<PathFault> {
    let id = path.segment();
    let near = nearest_segment(version, id);
    let instead = near.map(|near| path.to_string().replacen(id, near.id, 1));
    Box::new(PathFault {
        part: Part::Segment,
        what: format!("HL7 {version} has no segment {id}"),
        here: None,
        hint: near.map(|near| {
            format!(
                "did you mean {} \"{}\"? Segments of your own begin with Z",
                near.id, near.name.en
            )
        }),
        instead,
        since: None,
    })
}

fn unknown_field(version: Version, id: &str, number: u16) -> Box<PathFault> {
    let last = field_count(version, id).unwrap_or(0);
    let last_field = field(version, id, last);
    Box::new(PathFault {
        part: Part::Field,
        what: if number > last {
            format!("{id} has {last} fields in HL7 {version}; there is no {id}-{number}")
        } else {
            format!("HL7 {version} defines no {id}-{number}")
        },
        here: None,
        hint: last_field.map(|field| format!("its last field is {id}-{last} {}", shown(field))),
        instead: None,
        since: None,
    })
}

fn unknown_component(
    version: Version,
    place: &str,
    data_type: &'static str,
    number: u16,
    part: Part,
) -> Box<PathFault> {
    let level = if part == Part::Component { "components" } else { "subcomponents" };
    let last = components(version, data_type).last();
    let what = match last {
        Some(last) => format!(
            "{place} has {} {level} in HL7 {version} (type {data_type}); there is no {place}.{number}",
            last.number
        ),
        None => format!("{place} has no {level} in HL7 {version} (type {data_type})"),
    };
    Box::new(PathFault {
        part,
        what,
        here: None,
        hint: last.map(|last| {
            format!(
                "the last one is {place}.{} \"{}\" ({})",
                last.number, last.label.en, last.data_type
            )
        }),
        instead: last.is_none().then(|| place.to_owned()),
        since: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(version: &str, path: &str) -> Described {
        check(Version::parse(version), &Path::parse(path).unwrap())
            .unwrap_or_else(|fault| panic!("{path}: {}", fault.what))
    }

    fn fault(version: &str, path: &str) -> PathFault {
        check(Version::parse(version), &Path::parse(path).unwrap()).unwrap_err()
    }

    #[test]
    fn a_good_path_is_described() {
        for (path, name, data_type) in [
            ("PID-3", "Patient Identifier List", "CX"),
            ("PID-3(MR).1", "ID Number", "ST"),
            ("PID-3[*].4.2", "Universal ID", "ST"),
            ("PID-18(AN)", "Patient Account Number", "CX"),
            ("PID-5.1", "Family Name", "FN"),
            ("PID-5.1.1", "Surname", "ST"),
            ("PID-8.1", "Administrative Sex", "IS"),
            ("PID-7.1", "Time", "DTM"),
            ("PV1-3.3", "Bed", "IS"),
            ("OBX[2]-3.2", "Text", "ST"),
            ("OBX[*]-5", "Observation Value", "varies"),
            ("MSH-9.2", "Trigger Event", "ID"),
            ("PID-33[1]", "Last Update Date/Time", "TS"),
        ] {
            let described = found("2.5.1", path);
            assert_eq!(described.label.unwrap().en, name, "{path}");
            assert_eq!(described.data_type, Some(data_type), "{path}");
        }
        assert_eq!(found("2.5.1", "PV1").label.unwrap().en, "Patient Visit");
        assert_eq!(found("2.5.1", "PID-8").table, Some(1));
        assert!(found("2.5.1", "PID-3").repeats && !found("2.5.1", "PID-3.1").repeats);
    }

    #[test]
    fn what_the_standard_leaves_open_is_fine() {
        assert_eq!(found("2.5.1", "ZPV-99[7].12.3").label, None);
        assert_eq!(found("2.5.1", "OBX-5[3].7.2").label, None);
        assert!(found("2.3.1", "OBR-15.1.2").label.is_some());
    }

    #[test]
    fn the_example_of_the_language_reads_as_promised() {
        let fault = fault("2.5.1", "PID-33(MR).1");
        assert_eq!(fault.part, Part::Repetition);
        assert_eq!(fault.what, "PID-33 does not repeat and has no type \"MR\"");
        let here = "in HL7 2.5.1 this is \"Last Update Date/Time\" (TS)";
        assert_eq!(fault.here.as_deref(), Some(here));
        let hint = "did you mean PID-3 \"Patient Identifier List\" (CX, repeats)?";
        assert_eq!(fault.hint.as_deref(), Some(hint));
        assert_eq!(fault.instead.as_deref(), Some("PID-3(MR).1"));
        assert_eq!(fault.since, None);
    }

    #[test]
    fn a_wrong_path_says_which_part_and_what_was_meant() {
        for (path, part, what, hint) in [
            ("PIF-3", Part::Segment, "no segment PIF", "PID"),
            ("PID-55", Part::Field, "PID has 39 fields", "PID-39"),
            ("PID-3.11", Part::Component, "PID-3 has 10 components", "PID-3.10"),
            ("PID-3.4.4", Part::Subcomponent, "PID-3.4 has 3 subcomponents", "PID-3.4.3"),
            ("PID-1.2", Part::Component, "PID-1 has no components", ""),
            ("PID-7[2]", Part::Repetition, "PID-7 does not repeat", ""),
            ("PID-5(MR)", Part::Repetition, "has no identifier type", "PID-"),
            ("PID-7.1.2", Part::Subcomponent, "PID-7.1 has no subcomponents", ""),
        ] {
            let fault = fault("2.5.1", path);
            assert_eq!(fault.part, part, "{path}");
            assert!(fault.what.contains(what), "{path}: {}", fault.what);
            let shown = fault.hint.unwrap_or_default();
            assert!(shown.contains(hint), "{path}: {shown}");
        }
        assert_eq!(fault("2.5.1", "PIF-3.1").instead.as_deref(), Some("PID-3.1"));
        assert_eq!(fault("2.5.1", "PID-1.2").instead.as_deref(), Some("PID-1"));
    }

    #[test]
    fn a_path_of_a_later_version_names_that_version() {
        assert_eq!(fault("2.5.1", "PRT-1").since.unwrap().name(), "2.7");
        assert_eq!(fault("2.3.1", "SPM-4").since.unwrap().name(), "2.5");
        assert_eq!(fault("2.5.1", "PID-40").since.unwrap().name(), "2.7");
        assert_eq!(fault("2.5.1", "PIF-40").since, None);
    }
}
