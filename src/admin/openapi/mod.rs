//! The API as an OpenAPI 3.1 document, made from the route table: what is not in the table is not in the
//! document, and a test asserts that nothing of the table lacks its shapes.
//!
//! Schemas come from the types that are read and written (`utoipa`); of answers that are put together by hand
//! from those in `shapes`, which a test holds against real answers.

mod describe;
pub(crate) mod shapes;

use std::collections::BTreeMap;

use axum::Json;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::admin::openapi::describe::{Answer, describe};
use crate::admin::openapi::shapes::ProblemShape;
use crate::admin::route::{Needs, ROUTES, Route};

/// A named schema, and those it refers to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    name: fn() -> std::borrow::Cow<'static, str>,
    own: fn() -> RefOr<Schema>,
    below: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl Shape {
    /// That of a type.
    pub(crate) const fn of<T: ToSchema>() -> Self {
        Self {
            name: <T as ToSchema>::name,
            own: <T as PartialSchema>::schema,
            below: <T as ToSchema>::schemas,
        }
    }

    fn reference(self) -> Value {
        json!({"$ref": format!("#/components/schemas/{}", (self.name)())})
    }

    fn collect(self, into: &mut BTreeMap<String, Value>) {
        let mut all = vec![((self.name)().into_owned(), (self.own)())];
        (self.below)(&mut all);
        for (name, schema) in all {
            into.entry(name).or_insert_with(|| serde_json::to_value(schema).unwrap_or_default());
        }
    }
}

/// The document.
pub(crate) async fn document() -> Json<Value> {
    Json(made())
}

/// Makes the document.
#[must_use]
pub fn made() -> Value {
    let mut schemas = BTreeMap::new();
    Shape::of::<ProblemShape>().collect(&mut schemas);
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES {
        let operation = operation(route, &mut schemas);
        let path = paths.entry(route.path).or_default();
        path.insert(route.method.to_ascii_lowercase(), operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Medway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The engine's API. Searches come by POST, so that no patient data stands in a URL. Refusals are RFC 9457 problems with stable codes.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}, {"session": [], "csrf": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Problem": {
                    "description": "A refusal (RFC 9457).",
                    "content": {"application/problem+json": {"schema": Shape::of::<ProblemShape>().reference()}},
                },
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": crate::admin::sessions::Cookies::Secure.name()},
                "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRF-Token", "description": "For all but GET."},
            },
        },
    })
}

fn operation(route: &Route, schemas: &mut BTreeMap<String, Value>) -> Value {
    let told = describe(route);
    let mut operation = Map::new();
    operation.insert("operationId".to_owned(), json!(operation_id(route)));
    operation.insert("summary".to_owned(), json!(told.summary));
    let tag = route.path.split('/').nth(1).unwrap_or_default();
    operation.insert("tags".to_owned(), json!([tag]));
    match route.needs {
        Needs::Nothing => {
            operation.insert("security".to_owned(), json!([]));
        }
        Needs::Anybody => {}
        Needs::May(permission) => {
            operation.insert("x-permission".to_owned(), json!(permission.name()));
        }
    }
    operation.insert("x-action".to_owned(), json!(route.action));
    let parameters = parameters(route, told.query);
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), Value::Array(parameters));
    }
    if let Some(body) = told.body {
        body.collect(schemas);
        let content = json!({"application/json": {"schema": body.reference()}});
        operation.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
    }
    let (status, description, content) = match told.answer {
        Answer::Json(status, shapes) => {
            shapes.iter().for_each(|shape| shape.collect(schemas));
            let references: Vec<Value> = shapes.iter().map(|shape| shape.reference()).collect();
            let schema = match references.as_slice() {
                [one] => one.clone(),
                several => json!({"oneOf": several}),
            };
            (status, "As asked.", json!({"application/json": {"schema": schema}}))
        }
        Answer::Bytes(media_types) => {
            let bytes = |kind: &&str| ((*kind).to_owned(), json!({}));
            let content: Map<String, Value> = media_types.iter().map(bytes).collect();
            (200, "The bytes.", Value::Object(content))
        }
        Answer::Nothing => (204, "Done.", Value::Null),
        Answer::Elsewhere => (303, "Go there.", Value::Null),
    };
    let mut answer = json!({"description": description});
    if let (Some(answer), false) = (answer.as_object_mut(), content.is_null()) {
        answer.insert("content".to_owned(), content);
    }
    let responses = json!({
        status.to_string(): answer,
        "default": {"$ref": "#/components/responses/Problem"},
    });
    operation.insert("responses".to_owned(), responses);
    Value::Object(operation)
}

/// `message.see` and the method's own parts, so that it is unique: `get_messages_id`.
fn operation_id(route: &Route) -> String {
    let path: String = route
        .path
        .chars()
        .filter(|sign| !matches!(sign, '{' | '}'))
        .map(|sign| if sign.is_ascii_alphanumeric() { sign } else { '_' })
        .collect();
    format!("{}{path}", route.method.to_ascii_lowercase())
}

fn parameters(route: &Route, query: &[(&str, &str)]) -> Vec<Value> {
    let text = json!({"type": "string"});
    let parts = route.path.split('/');
    let names = parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut all: Vec<Value> = names
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": text}))
        .collect();
    all.extend(query.iter().map(|(name, told)| {
        json!({"name": name, "in": "query", "required": false, "description": told, "schema": text})
    }));
    if route.method == "POST" && route.recorded == crate::admin::route::Recorded::Done {
        let told = "The same key with the same body gives the first answer again, for a day.";
        all.push(json!({"name": "Idempotency-Key", "in": "header", "required": false, "description": told, "schema": text}));
    }
    let changes = matches!(route.method, "PUT" | "DELETE") && route.path.contains('{');
    if changes || route.path == "/reload" {
        let told =
            "The tag of what is to be changed, as it was seen; 412 when it has changed since.";
        all.push(json!({"name": "If-Match", "in": "header", "required": false, "description": told, "schema": text}));
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_and_the_table_have_the_same_routes() {
        let document = made();
        let mut documented = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                assert_ne!(operation["summary"], "", "{method} {path} is not described");
                documented.insert((method.to_uppercase(), path.clone()));
            }
        }
        let table: BTreeSet<_> =
            ROUTES.iter().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
        assert_eq!(documented, table);
    }

    #[test]
    fn every_reference_leads_to_a_schema_and_every_operation_has_its_own_name() {
        let document = made();
        let text = document.to_string();
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
        let ids: Vec<_> = text.split("\"operationId\":\"").skip(1).collect();
        let ids: Vec<_> = ids.iter().map(|part| part.split('"').next().unwrap()).collect();
        let unique: BTreeSet<_> = ids.iter().collect();
        assert_eq!((ids.len(), unique.len()), (ROUTES.len(), ROUTES.len()));
    }
}
