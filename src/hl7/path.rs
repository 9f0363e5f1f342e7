//! Paths into a message: `PID-5.1`, `PID-3[2].4.2`, `PID-3(MR).1`, `OBX[2]-5`, `ZPV`. Everything counts from 1.
//!
//! A path without a component speaks of the whole field (or repetition); without a repetition, a path
//! with a component speaks of the first one.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use thiserror::Error;

/// The largest number a path may hold: no real segment comes near it.
const NUMBER_MAX: u32 = 1_000_000;

/// Which of several equal things.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Which {
    /// Not said: the first, or the whole field where there is no component.
    Unsaid,
    /// `[2]`.
    Nth(NonZeroU32),
    /// `[*]`.
    All,
    /// `(MR)`: the one whose fifth component (CX.5, identifier type) is this. Repetitions only.
    Typed(Box<str>),
}

/// The part of a path below its segment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldPath {
    /// The field.
    pub number: NonZeroU32,
    /// Its repetition.
    pub repetition: Which,
    /// The component.
    pub component: Option<NonZeroU32>,
    /// The subcomponent; only with a component.
    pub subcomponent: Option<NonZeroU32>,
}

/// A compiled path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path {
    segment: [u8; 3],
    occurrence: Which,
    field: Option<FieldPath>,
}

/// Why a text is no path, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what}")]
pub struct PathError {
    /// Byte offset of the fault.
    pub at: usize,
    /// Its length in bytes; 0 when something is missing there.
    pub len: usize,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Path {
    /// Compiles a path.
    ///
    /// # Errors
    /// When the text is no path: where, why and what to write instead.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let mut reader = Reader { text, at: 0 };
        let segment = reader.segment()?;
        let occurrence = reader.which(Place::Segment)?;
        if reader.peek().is_none() {
            return Ok(Self { segment, occurrence, field: None });
        }
        let at = reader.at;
        if !reader.take(b'-') && !reader.take(b'.') {
            return Err(reader.unexpected("`-` and a field, as in `PID-5`"));
        }
        let number = reader.number("a field number", at)?;
        let repetition = reader.which(Place::Field)?;
        let mut component = None;
        let mut subcomponent = None;
        if reader.take(b'.') {
            component = Some(reader.number("a component number", reader.at)?);
            if reader.take(b'.') {
                subcomponent = Some(reader.number("a subcomponent number", reader.at)?);
            }
        }
        if reader.peek().is_some() {
            return Err(reader.unexpected("the end of the path"));
        }
        let field = FieldPath { number, repetition, component, subcomponent };
        Ok(Self { segment, occurrence, field: Some(field) })
    }

    /// The path to the whole of a field of the first such segment; `None` for an impossible id or field 0.
    #[must_use]
    pub fn of_field(segment: &str, field: u32) -> Option<Self> {
        let mut reader = Reader { text: segment, at: 0 };
        let segment = reader.segment().ok().filter(|_| reader.peek().is_none())?;
        let field = FieldPath {
            number: NonZeroU32::new(field)?,
            repetition: Which::Unsaid,
            component: None,
            subcomponent: None,
        };
        Some(Self { segment, occurrence: Which::Unsaid, field: Some(field) })
    }

    /// The segment id.
    #[must_use]
    pub fn segment(&self) -> &str {
        std::str::from_utf8(&self.segment).unwrap_or_default()
    }

    /// The segment id as bytes.
    #[must_use]
    pub const fn segment_bytes(&self) -> &[u8] {
        &self.segment
    }

    /// Which of the segments with this id; never `Typed`.
    #[must_use]
    pub const fn occurrence(&self) -> &Which {
        &self.occurrence
    }

    /// Whether it names a segment of the site's own (`Z..`) without saying which: where there is none, writing
    /// into it adds one.
    #[must_use]
    pub fn adds_own_segment(&self) -> bool {
        self.segment.starts_with(b"Z") && self.occurrence == Which::Unsaid
    }

    /// The part below the segment; `None` when the path is a whole segment.
    #[must_use]
    pub const fn field(&self) -> Option<&FieldPath> {
        self.field.as_ref()
    }

    /// Whether the path may name several values (`[*]`).
    #[must_use]
    pub fn is_plural(&self) -> bool {
        self.occurrence == Which::All
            || self.field.as_ref().is_some_and(|field| field.repetition == Which::All)
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsaid => Ok(()),
            Self::Nth(number) => write!(f, "[{number}]"),
            Self::All => f.write_str("[*]"),
            Self::Typed(kind) => write!(f, "({kind})"),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.segment(), self.occurrence)?;
        let Some(field) = &self.field else { return Ok(()) };
        write!(f, "-{}{}", field.number, field.repetition)?;
        for number in [field.component, field.subcomponent].into_iter().flatten() {
            write!(f, ".{number}")?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Segment,
    Field,
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at = self.at.saturating_add(usize::from(taken));
        taken
    }

    /// The characters from here up to one that `ends`.
    fn until(&self, ends: impl Fn(char) -> bool) -> &str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        rest.split(ends).next().unwrap_or_default()
    }

    fn segment(&mut self) -> Result<[u8; 3], PathError> {
        let word = self.until(|c| !c.is_alphanumeric());
        let fault = |hint: String| PathError {
            at: 0,
            len: word.len(),
            what: "a path starts with a segment id: a capital and two capitals or digits".into(),
            hint: Some(hint),
        };
        let upper = word.to_ascii_uppercase();
        let well_formed = |id: &str| is_segment_id(id.as_bytes());
        if !well_formed(word) {
            let hint = if well_formed(&upper) {
                format!("write `{upper}`")
            } else {
                "write for instance `PID-5.1`".into()
            };
            return Err(fault(hint));
        }
        let id = <[u8; 3]>::try_from(word.as_bytes()).map_err(|_| fault(String::new()))?;
        self.at = 3;
        Ok(id)
    }

    fn which(&mut self, place: Place) -> Result<Which, PathError> {
        let start = self.at;
        if self.take(b'[') {
            let which = if self.take(b'*') {
                Which::All
            } else {
                Which::Nth(self.number("a number from 1, or `*`", self.at)?)
            };
            if !self.take(b']') {
                return Err(self.unexpected("`]`"));
            }
            return Ok(which);
        }
        if !self.take(b'(') {
            return Ok(Which::Unsaid);
        }
        let word = self.until(|c| c == ')').to_owned();
        let len = word.len().saturating_add(2);
        let fault = |what: &str, hint: &str| PathError {
            at: start,
            len,
            what: what.into(),
            hint: Some(hint.into()),
        };
        self.at = self.at.saturating_add(word.len());
        if !self.take(b')') {
            return Err(self.unexpected("`)`"));
        }
        if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = word.parse::<u32>().ok().and_then(|n| n.checked_add(1));
            let hint = number.map_or_else(String::new, |n| format!("; write `[{n}]`"));
            let hint =
                format!("HAPI's Terser counts `({word})` from 0, here `[1]` is the first{hint}");
            return Err(fault("digits in round brackets do not say what they count from", &hint));
        }
        if place == Place::Segment {
            return Err(fault(
                "a segment is chosen by its number",
                "write for instance `OBX[2]-5`",
            ));
        }
        if word.is_empty() || word.contains(|c: char| c.is_control()) {
            return Err(fault("an identifier type is missing", "write for instance `PID-3(MR).1`"));
        }
        Ok(Which::Typed(word.into()))
    }

    fn number(&mut self, wanted: &str, from: usize) -> Result<NonZeroU32, PathError> {
        let start = self.at;
        let digits = self.until(|c| !c.is_ascii_digit());
        let len = digits.len();
        let fault = |what: String, hint: Option<String>| PathError { at: start, len, what, hint };
        if len == 0 {
            let len = self.text.len().saturating_sub(from).min(1);
            let what = format!("{wanted} is missing");
            return Err(PathError {
                at: from,
                len,
                what,
                hint: Some("as in `PID-3[2].4.2`".into()),
            });
        }
        let number = digits.parse::<u32>().ok().filter(|number| *number <= NUMBER_MAX);
        let number = number.ok_or_else(|| fault(format!("{wanted} is too large"), None))?;
        let number = NonZeroU32::new(number).ok_or_else(|| {
            fault(format!("{wanted} counts from 1"), Some("the first is 1".into()))
        })?;
        self.at = start.saturating_add(len);
        Ok(number)
    }

    fn unexpected(&self, wanted: &str) -> PathError {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let hint = match rest.chars().next() {
            Some('-' | ' ' | '/') => Some("components are written with dots: `PID-5.1`".into()),
            Some('[' | '(') => Some("a repetition stands behind the field: `PID-3[2].1`".into()),
            _ => None,
        };
        let what = format!("expected {wanted}");
        PathError { at: self.at, len: rest.len(), what, hint }
    }
}

/// Whether `id` is a segment id: a capital and two capitals or digits.
#[must_use]
pub fn is_segment_id(id: &[u8]) -> bool {
    match id {
        [first, rest @ ..] => {
            rest.len() == 2
                && first.is_ascii_uppercase()
                && rest.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, canonical: &str) {
        assert_eq!(Path::parse(text).unwrap().to_string(), canonical);
        assert_eq!(Path::parse(canonical).unwrap(), Path::parse(text).unwrap());
    }

    #[test]
    fn reads_both_spellings_and_shows_one() {
        check("PID-5.1", "PID-5.1");
        check("PID.5.1", "PID-5.1");
        check("PID-3[2].4.2", "PID-3[2].4.2");
        check("PID-3[*]", "PID-3[*]");
        check("PID-3(MR).1", "PID-3(MR).1");
        check("PID-3(urn:oid).1", "PID-3(urn:oid).1");
        check("OBX[2]-5", "OBX[2]-5");
        check("OBX[*].5", "OBX[*]-5");
        check("ZPV", "ZPV");
        check("PV1[1]", "PV1[1]");
        check("PID-03", "PID-3");
    }

    fn refuse(text: &str, at: usize, len: usize, hint: &str) {
        let error = Path::parse(text).unwrap_err();
        assert_eq!((error.at, error.len), (at, len), "{text}: {error}");
        let shown = error.hint.unwrap_or_default();
        assert!(shown.contains(hint), "{text}: {shown}");
    }

    #[test]
    fn says_where_and_why_a_path_is_none() {
        refuse("", 0, 0, "PID-5.1");
        refuse("pid-5", 0, 3, "`PID`");
        refuse("PIDX-5", 0, 4, "PID-5.1");
        refuse("病人-5", 0, 6, "PID-5.1");
        refuse("PID-", 3, 1, "PID-3");
        refuse("PID-0", 4, 1, "first is 1");
        refuse("PID-3(1).1", 5, 3, "Terser");
        refuse("PID-3(1).1", 5, 3, "`[2]`");
        refuse("OBX(0)-5", 3, 3, "Terser");
        refuse("OBX(MR)-5", 3, 4, "OBX[2]");
        refuse("PID-3().1", 5, 2, "PID-3(MR)");
        refuse("PID-3[0]", 6, 1, "first is 1");
        refuse("PID-3[2", 7, 0, "");
        refuse("PID-3(MR", 8, 0, "");
        refuse("PID-5-1", 5, 2, "dots");
        refuse("PID-5.1 xyz", 7, 4, "dots");
        refuse("PID-5.1[2]", 7, 3, "behind the field");
        refuse("PID-5.", 6, 0, "PID-3");
        refuse("PID-99999999999999999999", 4, 20, "");
        refuse("PID-5.1.2.3", 9, 2, "");
    }
}
