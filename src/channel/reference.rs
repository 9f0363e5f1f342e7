//! Names of places in a message, checked when the channel is compiled: HL7 paths against the dictionary,
//! view names against the views, JSON paths by their form.

use std::fmt;
use std::ops::Range;

use crate::channel::build::Fault;
use crate::channel::expr::lex::reads_like_path;
use crate::channel::fhir_path::{FhirPath, is_relative, looks_like};
use crate::channel::json_path::JsonPath;
use crate::fhir::definitions::TypeId;
use crate::hl7::dictionary::check::{Part, PathFault, check};
use crate::hl7::dictionary::{self, Version};
use crate::hl7::path::{Path, is_segment_id};
use crate::message::view::names::FIELDS;
use crate::yaml::nearest::nearest;

/// A place in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `PID-5.1`.
    Hl7(Path),
    /// `$.patient.id`.
    Json(JsonPath),
    /// `Patient.name.family`, `identifier.where(system = 'urn:x').value`.
    Fhir(Box<FhirPath>),
    /// `patient.mrn`: the same whatever the format was.
    View(&'static str),
}

impl Reference {
    /// Compiles the name of a place. A FHIR path without a type is relative to one of `resources`.
    ///
    /// # Errors
    /// When it names none: where and why.
    pub fn parse(text: &str, at: Range<usize>, resources: &[TypeId]) -> Result<Self, Fault> {
        if looks_like(text) {
            return FhirPath::parse(text, at, resources).map(|path| Self::Fhir(Box::new(path)));
        }
        if text.starts_with('$') {
            return JsonPath::parse(text, at).map(Self::Json);
        }
        if !reads_like_path(text) && Self::is_view(text) {
            return view_name(text, at).map(Self::View);
        }
        if !reads_like_path(text) && is_relative(text, resources) {
            return FhirPath::parse(text, at, resources).map(|path| Self::Fhir(Box::new(path)));
        }
        path(text, at).map(Self::Hl7)
    }

    /// Whether a word reads like the name of a view: its first part names one.
    #[must_use]
    pub fn is_view(word: &str) -> bool {
        word.split_once('.').is_some_and(|(head, rest)| {
            !rest.is_empty()
                && Self::view_names()
                    .any(|name| name.split_once('.').is_some_and(|(h, _)| h == head))
        })
    }

    /// Whether a word is a path of a segment that the standard knows, so that hardly a text is meant.
    #[must_use]
    pub fn is_known_path(word: &str) -> bool {
        reads_like_path(word) && word.get(..3).is_some_and(is_segment)
    }

    /// The names of all views' fields.
    pub fn view_names() -> impl Iterator<Item = &'static str> {
        FIELDS.iter().map(|(name, _)| *name)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hl7(path) => path.fmt(f),
            Self::Json(path) => path.fmt(f),
            Self::Fhir(path) => path.fmt(f),
            Self::View(name) => f.write_str(name),
        }
    }
}

fn view_name(text: &str, at: Range<usize>) -> Result<&'static str, Fault> {
    if let Some(name) = Reference::view_names().find(|name| *name == text) {
        return Ok(name);
    }
    let fault = Fault::new("E0303", at, format!("there is no view {text}"));
    Err(match nearest(text, Reference::view_names()) {
        Some(near) => fault.hint(format!("did you mean {near}?")).fix(near),
        None => {
            let head = text.split('.').next().unwrap_or_default();
            let all: Vec<&str> = Reference::view_names().filter(|n| n.starts_with(head)).collect();
            fault.hint(format!("there are: {}", all.join(", ")))
        }
    })
}

/// Compiles an HL7 path and checks it against the dictionary.
///
/// # Errors
/// When it is no path, or names what no version of HL7 has: where and why.
pub fn path(text: &str, at: Range<usize>) -> Result<Path, Fault> {
    let path = Path::parse(text).map_err(|error| {
        let start = at.start + error.at;
        let fault = Fault::new("E0320", start..start + error.len, error.what);
        match error.hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        }
    })?;
    match known(&path) {
        Ok(()) => Ok(path),
        Err(fault) => Err(unknown_place(&path, *fault, &at)),
    }
}

/// A channel's file does not say which version its messages have: a path is right when any version has it.
fn known(path: &Path) -> Result<(), Box<PathFault>> {
    let Err(fault) = check(Version::DEFAULT, path) else { return Ok(()) };
    // A version whose dictionary does not know the parts of the type says nothing for a part.
    let of_type = matches!(fault.part, Part::Component | Part::Subcomponent);
    let elsewhere = Version::all().any(|version| {
        check(version, path).is_ok_and(|described| !of_type || described.data_type.is_some())
    });
    if elsewhere { Ok(()) } else { Err(Box::new(fault)) }
}

fn unknown_place(path: &Path, found: PathFault, at: &Range<usize>) -> Fault {
    let field = path.field().map_or(0, |field| field.number.to_string().len() + 1);
    let size = match found.part {
        Part::Segment => 3,
        Part::Field | Part::Repetition => 3 + path.occurrence().to_string().len() + field,
        Part::Component | Part::Subcomponent => at.len(),
    };
    let mut fault = Fault::new("E0324", at.start..(at.start + size).min(at.end), found.what);
    fault.label = found.here.map(Into::into);
    fault.hint = found.hint.map(Into::into);
    // The replacement is of the marked text alone.
    fault.fix = found.instead.map(|path| match (found.part, path.split_once(['(', '['])) {
        (Part::Segment, _) => path.get(..3).unwrap_or_default().into(),
        (Part::Field | Part::Repetition, Some((place, _))) => place.into(),
        _ => path.into(),
    });
    fault
}

fn is_segment(id: &str) -> bool {
    Version::all().any(|version| dictionary::segment(version, id).is_some())
}

/// The id of a segment, checked against the dictionary.
///
/// # Errors
/// When it is none.
pub fn segment(text: &str, at: Range<usize>) -> Result<[u8; 3], Fault> {
    let id = <[u8; 3]>::try_from(text.as_bytes()).ok().filter(|id| is_segment_id(id));
    match id {
        Some(id) if is_segment(text) || text.starts_with('Z') => Ok(id),
        _ => {
            let fault = Fault::new("E0321", at, format!("there is no segment {text}"));
            Err(match dictionary::nearest_segment(Version::DEFAULT, text) {
                Some(near) => fault.hint(format!("did you mean {}?", near.id)).fix(near.id),
                None => fault.hint("a segment is named by three characters, e.g. OBX"),
            })
        }
    }
}
