//! What a destination sends: the message as it came, a new HL7 message, FHIR, JSON, or text.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value as Json};

use crate::channel::build::Build;
use crate::channel::expr::parse::condition;
use crate::channel::expr::{Condition, Value, template};
use crate::channel::fields::Fields;
use crate::channel::from_fhir::FromFhir;
use crate::channel::json;
use crate::channel::new_message::NewMessage;
use crate::channel::reference;
use crate::channel::scope::{Message, Scope};
use crate::channel::to_fhir::ToFhir;
use crate::message::kind::ContentType;
use crate::yaml::finding::Finding;
use crate::yaml::nearest::nearest;
use crate::yaml::node::{Node, Value as Yaml};

/// What a destination sends.
#[derive(Debug, Clone, Default)]
pub enum Produce {
    /// The message, as it came or as the steps left it.
    #[default]
    Same,
    /// A new HL7 message.
    Hl7(Box<NewMessage>),
    /// The application acknowledgement of the message, as a message of its own.
    Acknowledgement,
    /// HL7 made of FHIR, by the maps.
    FromFhir(Box<FromFhir>),
    /// The whole message as JSON.
    WholeJson,
    /// JSON made after a template.
    Json(Shape, ContentType),
    /// Text.
    Text(Value),
    /// FHIR, by the maps.
    Fhir(Box<ToFhir>),
}

/// A template of JSON.
#[derive(Debug, Clone)]
pub enum Shape {
    /// A value; left out when it is empty.
    Value(Value),
    /// Something that is the same each time.
    Fixed(Json),
    /// Could not be compiled; that is on record.
    Broken,
    /// An object; left out when nothing is in it.
    Object(Vec<(Arc<str>, Self)>),
    /// A list; what is empty is left out of it.
    List(Vec<Self>),
    /// One item for each segment of a name.
    Each {
        /// The segment's name.
        segment: [u8; 3],
        /// Only those for which this holds.
        only: Option<Condition>,
        /// The item.
        item: Box<Self>,
    },
}

/// Deepest nesting of a template.
const DEPTH_MAX: usize = 32;

impl Produce {
    /// Compiles `produce:`.
    pub fn compile(node: &Node, build: &mut Build<'_>) -> Self {
        let names = ["hl7", "json", "text", "fhir", "ack"];
        let Some(fields) = Fields::read(node, "produce", &names, build) else {
            return Self::Same;
        };
        let forms = names.map(|form| fields.get(form));
        if forms.iter().flatten().count() > 1 {
            build.error_hint(
                "E0107",
                node,
                "produce makes one thing",
                "for a second one make a second destination",
            );
        }
        match forms {
            [Some(hl7), ..] if hl7.get("from_fhir").is_some() => FromFhir::compile(hl7, build)
                .map_or(Self::Same, |from| Self::FromFhir(Box::new(from))),
            [Some(hl7), ..] => NewMessage::compile(hl7, build)
                .map_or(Self::Same, |message| Self::Hl7(Box::new(message))),
            [_, Some(json), ..] if json.text() == Some("hl7") => Self::WholeJson,
            [_, Some(json), ..] => {
                if json.text().is_some() {
                    build.error_hint(
                        "E0103",
                        json,
                        "json is `hl7` (the whole message) or a mapping",
                        "e.g. json: {mrn: PID-3(MR).1}",
                    );
                    return Self::Same;
                }
                let content_type = match json.get("resourceType") {
                    Some(_) => ContentType::FhirJson,
                    None => ContentType::Json,
                };
                Self::Json(shape(json, build, 0), content_type)
            }
            [_, _, Some(text), ..] => template::text(text, build).map_or(Self::Same, Self::Text),
            [_, _, _, Some(fhir), _] => {
                ToFhir::compile(fhir, build).map_or(Self::Same, |fhir| Self::Fhir(Box::new(fhir)))
            }
            [.., Some(ack)] => {
                if ack.text() != Some("application") {
                    build.error_hint(
                        "E0103",
                        ack,
                        "ack is `application`: that the message was taken",
                        "write ack: application",
                    );
                }
                Self::Acknowledgement
            }
            _ => Self::Same,
        }
    }

    /// How what is made is to be read; nothing: as the message.
    #[must_use]
    pub const fn content_type(&self) -> Option<ContentType> {
        match self {
            Self::Same => None,
            Self::Hl7(_) | Self::FromFhir(_) | Self::Acknowledgement => Some(ContentType::Hl7v2),
            Self::WholeJson => Some(ContentType::Json),
            Self::Json(_, content_type) => Some(*content_type),
            Self::Text(_) => Some(ContentType::Text),
            Self::Fhir(_) => Some(ContentType::FhirJson),
        }
    }

    /// Makes JSON or text; `None` for the forms that make HL7, and for FHIR, which needs to know more.
    #[must_use]
    pub fn make(&self, scope: &Scope<'_>) -> Option<Bytes> {
        match self {
            Self::Same
            | Self::Hl7(_)
            | Self::FromFhir(_)
            | Self::Fhir(_)
            | Self::Acknowledgement => None,
            Self::WholeJson => match scope.message {
                Message::Hl7(message) => {
                    Some(json::whole(message, &scope.facts.event).to_string().into())
                }
                Message::Json(document) => Some(document.to_string().into()),
                Message::Opaque => Some(Bytes::from_static(b"null")),
            },
            Self::Json(shape, _) => {
                let made = shape.make(scope).unwrap_or_else(|| Json::Object(Map::new()));
                Some(made.to_string().into())
            }
            Self::Text(text) => Some(text.fill(scope, &|text| Cow::Borrowed(text)).into()),
        }
    }
}

/// Compiles a template of JSON; what is wrong is noted.
pub(in crate::channel) fn shape(node: &Node, build: &mut Build<'_>, depth: usize) -> Shape {
    if depth > DEPTH_MAX {
        build.error("E0315", node, format!("a template is at most {DEPTH_MAX} deep"));
        return Shape::Broken;
    }
    match &node.value {
        Yaml::Null => Shape::Fixed(Json::Null),
        Yaml::Scalar { text, quoted } => match plain_json(text, *quoted) {
            Some(fixed) => Shape::Fixed(fixed),
            None => template::value(node, build).map_or(Shape::Broken, Shape::Value),
        },
        Yaml::Sequence(items) => {
            Shape::List(items.iter().map(|item| shape(item, build, depth + 1)).collect())
        }
        Yaml::Mapping(_) => match node.get("each") {
            Some(each) => each_shape(node, each, build, depth),
            None => members(node, &[], build, depth),
        },
    }
}

/// The members of an object. A name that is nearly `each` or `where` is a slip, not a name.
fn members(node: &Node, but: &[&str], build: &mut Build<'_>, depth: usize) -> Shape {
    let mut fields = Vec::new();
    for (key, value) in node.entries() {
        let name = key.text.as_str();
        if but.contains(&name) {
            continue;
        }
        let text = value.text().unwrap_or_default();
        let slip = ["each", "where"].into_iter().find(|word| {
            strsim::damerau_levenshtein(name, word) == 1
                && (text.contains(" is ") || (text.len() == 3 && text.to_uppercase() == text))
        });
        if let Some(word) = slip {
            let said = format!("{name} is not `{word}`");
            let finding = Finding::at("E0101", &node.source, key.span, said);
            build.findings.push(finding.hint(format!("did you mean {word}?")).fix(word));
        }
        fields.push((name.into(), shape(value, build, depth + 1)));
    }
    Shape::Object(fields)
}

/// `{each: OBX, where: …, code: …}` is a list of objects; `{each: OBX, as: OBX-5}` a list of values.
fn each_shape(node: &Node, each: &Node, build: &mut Build<'_>, depth: usize) -> Shape {
    let name = each.text().unwrap_or_default();
    let segment = reference::segment(name, 0..name.len());
    let segment = build.noted(each, segment).unwrap_or_default();
    let only = node.get("where").and_then(|node| condition(node, build));
    let item = match node.get("as") {
        Some(item) => {
            Fields::read(node, "each with `as`", &["each", "where", "as"], build);
            shape(item, build, depth + 1)
        }
        None => members(node, &["each", "where"], build, depth),
    };
    Shape::Each { segment, only, item: Box::new(item) }
}

/// Plain `true`, `false` and numbers are JSON's own; in quotes they are text, and `007` is text too.
pub(in crate::channel) fn plain_json(text: &str, quoted: bool) -> Option<Json> {
    let number = text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    if quoted || !(number || matches!(text, "true" | "false" | "null")) {
        return None;
    }
    serde_json::from_str::<Json>(text).ok().filter(|value| !value.is_array())
}

impl Shape {
    pub(in crate::channel) fn make(&self, scope: &Scope<'_>) -> Option<Json> {
        match self {
            Self::Value(value) => value.eval(scope).into_json(),
            Self::Fixed(fixed) => Some(fixed.clone()),
            Self::Broken => None,
            Self::Object(fields) => {
                let mut made = Map::new();
                let mut any = false;
                for (name, field) in fields {
                    if let Some(value) = field.make(scope) {
                        any |= !field.is_fixed();
                        made.insert(name.to_string(), value);
                    }
                }
                let says_something = any || fields.iter().all(|(_, field)| field.is_fixed());
                says_something.then_some(Json::Object(made))
            }
            Self::List(items) => {
                let made: Vec<Json> = items.iter().filter_map(|item| item.make(scope)).collect();
                (!made.is_empty()).then_some(Json::Array(made))
            }
            Self::Each { segment, only, item } => {
                let chosen = scope.each(*segment).into_iter();
                let chosen = chosen.filter(|s| only.as_ref().is_none_or(|only| only.holds(s)));
                let made: Vec<Json> = chosen.filter_map(|scope| item.make(&scope)).collect();
                (!made.is_empty()).then_some(Json::Array(made))
            }
        }
    }

    /// An object of fixed parts alone is always there; one whose values are all empty is left out with
    /// its fixed parts: `{system: mrn, value: PID-3}` without a PID-3 says nothing.
    fn is_fixed(&self) -> bool {
        match self {
            Self::Fixed(_) | Self::Broken => true,
            Self::Value(value) => value.is_fixed(),
            Self::Object(fields) => fields.iter().all(|(_, field)| field.is_fixed()),
            Self::List(items) => items.iter().all(Self::is_fixed),
            Self::Each { .. } => false,
        }
    }
}

impl Shape {
    /// Whether the template can have something at `a.0.b`.
    ///
    /// # Errors
    /// When it cannot: the names there are at the last place that exists, and the path that was probably
    /// meant.
    pub fn find(&self, path: &str) -> Result<(), (String, Option<String>)> {
        let (head, rest) = match path.split_once('.') {
            Some((head, rest)) => (head, Some(rest)),
            None => (path, None),
        };
        let inner = |shape: &Self| rest.map_or(Ok(()), |rest| shape.find(rest));
        let deeper = |(known, near): (String, Option<String>)| {
            (known, near.map(|near| format!("{head}.{near}")))
        };
        match self {
            Self::Object(fields) => match fields.iter().find(|(name, _)| **name == *head) {
                Some((_, field)) => inner(field).map_err(deeper),
                None => {
                    let names = || fields.iter().map(|(name, _)| &**name);
                    let near = nearest(head, names());
                    let near = near
                        .map(|near| rest.map_or(near.to_owned(), |rest| format!("{near}.{rest}")));
                    Err((names().collect::<Vec<_>>().join(", "), near))
                }
            },
            Self::List(_) | Self::Each { .. } if head.parse::<usize>().is_err() => {
                Err(("numbers from 0".to_owned(), Some(format!("0.{path}"))))
            }
            Self::List(items) => {
                let any = items.iter().map(inner).find(Result::is_ok);
                any.unwrap_or_else(|| items.first().map_or(Ok(()), inner)).map_err(deeper)
            }
            Self::Each { item, .. } => inner(item).map_err(deeper),
            Self::Broken => Ok(()),
            Self::Value(Value::Call(function, _)) if function.makes_structure() => Ok(()),
            Self::Value(_) | Self::Fixed(_) => Err(("a single value".to_owned(), None)),
        }
    }

    /// The value that makes what stands at `a.0.b`.
    #[must_use]
    pub fn value_at(&self, path: &str) -> Option<&Value> {
        let (head, rest) = path.split_once('.').unwrap_or((path, ""));
        match self {
            Self::Value(value) => Some(value),
            Self::Object(fields) => {
                let (_, field) = fields.iter().find(|(name, _)| **name == *head)?;
                if rest.is_empty() && !matches!(field, Self::Value(_)) {
                    None
                } else {
                    field.value_at(rest)
                }
            }
            Self::List(items) => items.get(head.parse::<usize>().ok()?)?.value_at(rest),
            Self::Fixed(_) | Self::Broken | Self::Each { .. } => None,
        }
    }
}
