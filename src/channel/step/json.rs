//! Steps that change JSON and FHIR resources: `set`, `default`, `copy`, `remove` with `$.a.b` or
//! `Patient.name.family`. Each reads the document as the steps before left it.

use serde_json::Value as Json;

use crate::channel::build::Build;
use crate::channel::expr::Value;
use crate::channel::fhir_path::{FhirPath, is_relative, looks_like};
use crate::channel::json_path::JsonPath;
use crate::channel::produce::{Shape, shape};
use crate::channel::reference::Reference;
use crate::channel::scope::{Message, Scope};
use crate::channel::step::{Action, Step};
use crate::message::verdict::RenderProblem;
use crate::yaml::node::Node;

/// A place of a document that may be written.
#[derive(Debug, Clone)]
pub enum Target {
    /// `$.patient.id`.
    Json(JsonPath),
    /// `Patient.name.family`.
    Fhir(Box<FhirPath>),
}

/// What a step does to a document.
#[derive(Debug, Clone)]
pub enum JsonAction {
    /// Writes values, all read before the first is written. An empty value takes the place away.
    Set(Vec<(Target, Shape)>),
    /// Writes values where nothing stands.
    Default(Vec<(Target, Shape)>),
    /// Writes a value with everything below it. What is empty is not copied.
    Copy {
        /// From where.
        from: Value,
        /// To where.
        to: Target,
    },
    /// Takes places away.
    Remove(Vec<Target>),
}

impl Target {
    /// Whether a text names a place of a document rather than one of an HL7 message.
    #[must_use]
    pub fn is_meant(text: &str, build: &Build<'_>) -> bool {
        text.starts_with('$') || looks_like(text) || is_relative(text, &build.resources)
    }

    /// Compiles the name of a place that is to be written; what is wrong is noted.
    pub fn compile(node: &Node, build: &mut Build<'_>) -> Option<Self> {
        let text = node.text().unwrap_or_default();
        let found = Reference::parse(text, 0..text.len(), &build.resources);
        match build.noted(node, found)? {
            Reference::Json(path) => Some(Self::Json(path)),
            Reference::Fhir(path) if path.is_writable() => Some(Self::Fhir(path)),
            _ => {
                build.error_hint(
                    "E0327",
                    node,
                    format!("{text} can be read, but not written"),
                    "write names, [n] and one where(x = 'y'), and a choice with its type: \
                     Patient.deceasedBoolean",
                );
                None
            }
        }
    }

    fn is_empty(&self, document: &Json) -> bool {
        match self {
            Self::Json(path) => path.read(document).iter().all(|value| value.is_null()),
            Self::Fhir(path) => path.read(document).is_empty(),
        }
    }

    pub(in crate::channel) fn write(&self, document: &mut Json, value: Option<Json>) {
        match self {
            Self::Json(path) => path.write(document, value),
            Self::Fhir(path) => path.write(document, value.as_ref()),
        }
    }
}

/// Values for places: `{Patient.active: true, Patient.language: zh}`.
pub(super) fn assignments(node: &Node, build: &mut Build<'_>) -> Option<Vec<(Target, Shape)>> {
    let all: Vec<Option<(Target, Shape)>> = node
        .entries()
        .iter()
        .map(|(key, value)| {
            let place = Node {
                value: crate::yaml::node::Value::Scalar { text: key.text.clone(), quoted: false },
                span: key.span,
                source: std::sync::Arc::clone(&node.source),
            };
            Some((Target::compile(&place, build)?, shape(value, build, 0)))
        })
        .collect();
    all.into_iter().collect()
}

/// Does all steps.
///
/// # Errors
/// When a step is made for HL7 messages.
pub fn run(steps: &[Step], document: Json, scope: &Scope<'_>) -> Result<Json, RenderProblem> {
    let mut document = document;
    for step in steps {
        let now = scope.of(Message::Json(&document));
        if step.when.as_ref().is_some_and(|when| !when.holds(&now)) {
            continue;
        }
        document = match &step.action {
            Action::Json(action) => applied(action, &document, &now),
            Action::If { condition, then, otherwise } => {
                let chosen = if condition.holds(&now) { then } else { otherwise };
                run(chosen, document.clone(), scope)?
            }
            _ => {
                return Err(RenderProblem {
                    cause: "type",
                    text: "a step changes an HL7 message; this is none".to_owned(),
                    detail: String::new(),
                });
            }
        };
    }
    Ok(document)
}

fn applied(action: &JsonAction, document: &Json, scope: &Scope<'_>) -> Json {
    let mut changed = document.clone();
    match action {
        JsonAction::Set(all) => {
            for (place, shape) in all {
                place.write(&mut changed, shape.make(scope));
            }
        }
        JsonAction::Default(all) => {
            for (place, shape) in all.iter().filter(|(place, _)| place.is_empty(document)) {
                if let Some(value) = shape.make(scope) {
                    place.write(&mut changed, Some(value));
                }
            }
        }
        JsonAction::Copy { from, to } => {
            if let Some(value) = from.eval(scope).into_json() {
                to.write(&mut changed, Some(value));
            }
        }
        JsonAction::Remove(places) => {
            for place in places {
                place.write(&mut changed, None);
            }
        }
    }
    changed
}
