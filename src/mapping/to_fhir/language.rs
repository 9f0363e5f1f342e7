//! One row of a map: what is read, where it goes, as what and when.
//!
//! ```text
//! row       = source { "or" source } "->" target [ "as" NAME [ "(" text { "," text } ")" ] ]
//!             [ ("when" | "unless") condition ]
//! source    = "=" text | PID-5.1 | .4.2 | NK1 | ref(NAME) | refs(NAME) | all(OBX)
//!           | $event | $children | $devices | $place | $container | $facets
//! target    = "." | name { "[]" | "[" label "]" } { "." … }
//! condition = test { "and" test }       test = source { "or" source } [ "is" ["not"] word { "or" word } ]
//! ```
//!
//! `.4.2` is a part of what a type's map is applied to, `.` all of it. `x[]` is a new item of a list each
//! time, `x[a]` the same new item within one application of the map. `$1` is an argument of the map.

/// What a row reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A text of the map itself.
    Literal(Box<str>),
    /// A field or a part of one: of the segment looked at, of its group, of the groups around it.
    Field { segment: [u8; 3], field: usize, parts: Vec<usize> },
    /// A part of the piece looked at.
    Part(Vec<usize>),
    /// The segments of a name of the group looked at.
    Segments([u8; 3]),
    /// The same with those of inner groups.
    AllSegments([u8; 3]),
    /// The resource that was given a name, in this group or the nearest around it.
    Reference(Box<str>),
    /// All resources with that name in this group and those in it; if there is none, around it.
    References(Box<str>),
    /// Type and event of the message.
    Event,
    /// What an OBX of a device message is: `system`, `virtual`, `channel`, `metric`, `facet`.
    DevicePlace,
    /// The device that was made of the nearest container around an OBX.
    Container,
    /// The OBX segments that say more of a metric.
    Facets,
    /// Something, when the message is one of devices: OBX-4 numbers containers and metrics.
    Devices,
    /// The observations of the orders whose parent result (OBR-26) is the OBX looked at.
    Children,
}

/// One step of a place in a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) name: Box<str>,
    pub(super) item: Item,
}

/// Which item of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// It is no list.
    Only,
    /// A new one each time.
    New,
    /// The same new one within one application of the map.
    Labelled(Box<str>),
}

/// What makes the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Convert {
    pub(super) name: Box<str>,
    pub(super) arguments: Vec<Box<str>>,
}

/// A test of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) sources: Vec<Source>,
    /// What it must be; nothing: anything at all.
    pub(super) any: Option<Vec<Box<str>>>,
    pub(super) negated: bool,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) sources: Vec<Source>,
    /// Nothing: into what the map is applied to.
    pub(super) target: Vec<Step>,
    pub(super) convert: Option<Convert>,
    pub(super) when: Vec<Test>,
    /// As written, for the reference.
    pub(super) written: Box<str>,
}

/// Reads a row.
///
/// # Errors
/// What is wrong, as a sentence without a full stop.
pub(super) fn row(text: &str) -> Result<Row, String> {
    let (left, right) = text.split_once(" -> ").ok_or("a row is written `source -> target`")?;
    let (right, when) = match (right.split_once(" when "), right.split_once(" unless ")) {
        (Some((right, when)), _) => (right, condition(when)?),
        (None, Some((right, unless))) => (right, negated(condition(unless)?)?),
        (None, None) => (right, Vec::new()),
    };
    let (target, convert) = match right.split_once(" as ") {
        Some((target, convert)) => (target, Some(call(convert.trim())?)),
        None => (right, None),
    };
    Ok(Row {
        sources: sources(left)?,
        target: steps(target.trim())?,
        convert,
        when,
        written: text.into(),
    })
}

/// Reads a condition: tests that must all hold.
///
/// # Errors
/// What is wrong.
pub(super) fn condition(text: &str) -> Result<Vec<Test>, String> {
    text.split(" and ").map(|text| test(text.trim())).collect()
}

fn negated(tests: Vec<Test>) -> Result<Vec<Test>, String> {
    match <[Test; 1]>::try_from(tests) {
        Ok([test]) => Ok(vec![Test { negated: !test.negated, ..test }]),
        Err(_) => Err("`unless` has one test; write the others with `when … is not …`".to_owned()),
    }
}

fn test(text: &str) -> Result<Test, String> {
    let Some((left, right)) = text.split_once(" is ") else {
        let (text, negated) = match text.strip_prefix("not ") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        return Ok(Test { sources: sources(text)?, any: None, negated });
    };
    let (right, negated) = match right.strip_prefix("not ") {
        Some(rest) => (rest, true),
        None => (right, false),
    };
    let any = right.split(" or ").map(|word| word.trim().into()).collect();
    Ok(Test { sources: sources(left)?, any: Some(any), negated })
}

/// Reads sources of which the first that says something counts.
///
/// # Errors
/// What is wrong.
pub(super) fn sources(text: &str) -> Result<Vec<Source>, String> {
    match text.trim().strip_prefix('=') {
        Some(literal) => Ok(vec![Source::Literal(literal.into())]),
        None => text.split(" or ").map(|text| source(text.trim())).collect(),
    }
}

fn source(text: &str) -> Result<Source, String> {
    let wrong = || format!("`{text}` is no source");
    if let Some(inner) = text.strip_suffix(')') {
        return match inner.split_once('(') {
            Some(("ref", name)) => Ok(Source::Reference(name.into())),
            Some(("refs", name)) => Ok(Source::References(name.into())),
            Some(("all", name)) => Ok(Source::AllSegments(segment(name).ok_or_else(wrong)?)),
            _ => Err(wrong()),
        };
    }
    match text {
        "$event" => return Ok(Source::Event),
        "$place" => return Ok(Source::DevicePlace),
        "$container" => return Ok(Source::Container),
        "$facets" => return Ok(Source::Facets),
        "$devices" => return Ok(Source::Devices),
        "$children" => return Ok(Source::Children),
        _ => {}
    }
    if let Some(parts) = text.strip_prefix('.') {
        let parts = if parts.is_empty() { Some(Vec::new()) } else { numbers(parts) };
        return parts.map(Source::Part).ok_or_else(wrong);
    }
    match text.split_once('-') {
        None => segment(text).map(Source::Segments).ok_or_else(wrong),
        Some((name, rest)) => {
            let segment = segment(name).ok_or_else(wrong)?;
            let mut numbers = numbers(rest).ok_or_else(wrong)?.into_iter();
            let field = numbers.next().ok_or_else(wrong)?;
            Ok(Source::Field { segment, field, parts: numbers.collect() })
        }
    }
}

/// Reads the name of a segment.
pub(super) fn segment(text: &str) -> Option<[u8; 3]> {
    let id = <[u8; 3]>::try_from(text.as_bytes()).ok()?;
    crate::hl7::path::is_segment_id(&id).then_some(id)
}

fn numbers(text: &str) -> Option<Vec<usize>> {
    text.split('.').map(|part| part.parse().ok().filter(|number| *number > 0)).collect()
}

fn call(text: &str) -> Result<Convert, String> {
    let Some((name, rest)) = text.split_once('(') else {
        return Ok(Convert { name: text.into(), arguments: Vec::new() });
    };
    let inside = rest.strip_suffix(')').ok_or("a bracket is not closed")?;
    let arguments = inside.split(',').map(|argument| argument.trim().into()).collect();
    Ok(Convert { name: name.into(), arguments })
}

fn steps(text: &str) -> Result<Vec<Step>, String> {
    if text == "." {
        return Ok(Vec::new());
    }
    text.split('.').map(step).collect()
}

fn step(text: &str) -> Result<Step, String> {
    let (name, item) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        Some((name, "")) => (name, Item::New),
        Some((name, label)) => (name, Item::Labelled(label.into())),
        None => (text, Item::Only),
    };
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(format!("`{text}` is no element of a resource"));
    }
    Ok(Step { name: name.into(), item })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rows() {
        let read = row("PID-3.4 or .2 -> identifier[a].system as system(x, y) when PID-8 is not M or F and ZPI").unwrap();
        assert_eq!(
            read.sources,
            [Source::Field { segment: *b"PID", field: 3, parts: vec![4] }, Source::Part(vec![2])]
        );
        assert_eq!(read.target.len(), 2);
        assert_eq!(read.target[0].item, Item::Labelled("a".into()));
        assert_eq!(read.convert.unwrap().arguments, ["x".into(), "y".into()]);
        assert_eq!(read.when.len(), 2);
        assert!(read.when[0].negated && read.when[0].any.as_ref().unwrap().len() == 2);
        assert_eq!(
            row("=visit number -> type.text").unwrap().sources,
            [Source::Literal("visit number".into())]
        );
        assert_eq!(row("refs(observation) -> result[]").unwrap().target[0].item, Item::New);
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        for wrong in [
            "PID-3 identifier",
            "PID-0 -> x",
            "PIDX-3 -> x",
            "PID-3 -> x..y",
            "PID-3 -> x as f(",
            "foo(x) -> y",
        ] {
            assert!(row(wrong).is_err(), "{wrong}");
        }
    }
}
