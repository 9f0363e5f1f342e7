//! The document against real answers.

use axum::http::StatusCode;
use medway::access::role::Role;
use serde_json::{Value, json};

use crate::access::{Caller, House};
use crate::admin::{adt, message};

/// What is wrong with a value by its schema: members that are not described, and described ones that are
/// missing.
fn faults(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let own = document.pointer(reference.strip_prefix('#').unwrap()).unwrap();
        return faults(document, own, value, at, found);
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[choice].as_array() {
            let fits = choices.iter().any(|choice| {
                let mut wrong = Vec::new();
                faults(document, choice, value, at, &mut wrong);
                wrong.is_empty()
            });
            if !fits {
                found.push(format!("{at}: none of the choices fits"));
            }
            return;
        }
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        Value::Null => return,
        kind => vec![kind.clone()],
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = kinds.iter().any(|known| known == kind || (known == "number" && kind == "integer"));
    if !fits {
        found.push(format!("{at}: {kind} is not {kinds:?}"));
    }
    match value {
        Value::Array(items) => {
            for item in items {
                faults(document, &schema["items"], item, &format!("{at}[]"), found);
            }
        }
        Value::Object(members) => {
            let Some(properties) = schema["properties"].as_object() else { return };
            for (name, member) in members {
                match properties.get(name) {
                    Some(schema) => {
                        faults(document, schema, member, &format!("{at}.{name}"), found);
                    }
                    None => found.push(format!("{at}.{name} is not described")),
                }
            }
            for name in schema["required"].as_array().into_iter().flatten() {
                if !members.contains_key(name.as_str().unwrap()) {
                    found.push(format!("{at}.{name} is missing"));
                }
            }
        }
        _ => {}
    }
}

async fn check(
    house: &House,
    caller: &Caller,
    path: &str,
    real: &str,
    body: &Value,
) -> Vec<String> {
    let document = house.get(caller, "/openapi.json").await;
    let method = if body.is_null() { "get" } else { "post" };
    let answer = house.call(caller, &method.to_uppercase(), real, body).await;
    assert!(answer.status.is_success(), "{real}: {}", answer.body);
    let status = answer.status.as_u16().to_string();
    let described = &document["paths"][path][method]["responses"][&status];
    let schema = &described["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{method} {path} {status} has no schema");
    let mut found = Vec::new();
    faults(&document, schema, &answer.body, real, &mut found);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_answers_is_what_the_document_says() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let all = Role::ALL;
    let caller = house.person("all", &all).await;
    let id = house.receive("adt", &message("1", "M1", "I")).await;
    house.dead(&id, "adt/his", "no visit").await;
    let message = |what: &str| format!("/messages/{id}{what}");
    let none = Value::Null;
    let any = json!({});
    let preview = json!({"destination": "adt/his"});
    let replay = json!({"destinations": ["adt/his"], "reason": "asked for"});
    let job = json!({"act": "replay", "selection": {"state": "dead"}, "reason": "asked for"});
    let user = json!({"name": "li", "password": "three herons wade", "roles": ["viewer"]});
    let token = json!({"name": "monitor", "roles": ["viewer"], "days": 3});
    let calls = [
        ("/session", "/session".to_owned(), &none),
        ("/users", "/users".to_owned(), &user),
        ("/users", "/users".to_owned(), &none),
        ("/tokens", "/tokens".to_owned(), &token),
        ("/tokens", "/tokens".to_owned(), &none),
        ("/audit/search", "/audit/search".to_owned(), &any),
        ("/audit/verify", "/audit/verify".to_owned(), &none),
        ("/status", "/status".to_owned(), &none),
        ("/system", "/system".to_owned(), &none),
        ("/metrics/history", "/metrics/history".to_owned(), &none),
        ("/channels", "/channels".to_owned(), &none),
        ("/channels/{channel}", "/channels/adt".to_owned(), &none),
        ("/channels/{channel}/versions/{version}", "/channels/adt/versions/1".to_owned(), &none),
        ("/destinations", "/destinations".to_owned(), &none),
        ("/messages/search", "/messages/search".to_owned(), &any),
        ("/messages/{id}", message(""), &none),
        ("/messages/{id}/tree", message("/tree"), &none),
        ("/messages/{id}/neighbours", message("/neighbours"), &none),
        ("/messages/{id}/explain", message("/explain"), &none),
        ("/messages/{id}/preview", message("/preview"), &preview),
        ("/messages/{id}/replay", message("/replay"), &replay),
        ("/exceptions/search", "/exceptions/search".to_owned(), &any),
        ("/exceptions/groups", "/exceptions/groups".to_owned(), &any),
        ("/jobs", "/jobs".to_owned(), &job),
        ("/jobs", "/jobs".to_owned(), &none),
        ("/conservation", "/conservation".to_owned(), &none),
        ("/subscriptions", "/subscriptions".to_owned(), &none),
        ("/reload", "/reload".to_owned(), &json!({"reason": "asked for"})),
    ];
    let mut found = Vec::new();
    for (path, real, body) in &calls {
        found.extend(check(&house, &caller, path, real, body).await);
    }
    assert!(found.is_empty(), "{found:#?}");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_of_version_3_1_and_for_those_who_are_known() {
    let house = House::with(&[]).await;
    let viewer = house.person("ward", &[Role::Viewer]).await;
    let document = house.get(&viewer, "/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let replay = &document["paths"]["/messages/{id}/replay"]["post"];
    assert_eq!(replay["x-permission"], "resend");
    let stranger = house.asks(&Caller::default(), "/openapi.json").await;
    assert_eq!(stranger, StatusCode::UNAUTHORIZED);
    house.end().await;
}
