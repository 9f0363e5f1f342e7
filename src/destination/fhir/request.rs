//! Which request an outbound body becomes. Pure.

use serde_json::Value;

use crate::destination::fhir::options::{Action, Deletes};

/// A request, without its body and who sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: &'static str,
    /// Path segments below the base.
    pub(super) path: Vec<String>,
    /// Query parameters.
    pub(super) query: Vec<(String, String)>,
    /// `If-None-Exist`.
    pub(super) if_none_exist: Option<String>,
    /// What the answer must be.
    pub(super) answer: Expected,
    pub(super) has_body: bool,
}

/// What a success looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Any success.
    Resource,
    /// A Bundle whose entries say how each of them went.
    Entries,
    /// A message whose header says how it went, or nothing.
    Message,
}

/// Why there is no request: the message is no resource, or does not suit the action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unfit(pub(super) &'static str);

/// The request for a body.
pub(super) fn request(
    body: &Value,
    action: Action,
    identifier_system: Option<&str>,
    deletes: Deletes,
) -> Result<Request, Unfit> {
    let Some(kind) = body.get("resourceType").and_then(Value::as_str) else {
        return Err(Unfit("it is no FHIR resource: it has no resourceType"));
    };
    let id = body.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
    if is_delete(body) {
        return match (deletes, id) {
            (Deletes::Send, Some(id)) => {
                Ok(Request { has_body: false, ..plain("DELETE", &[kind, id], Expected::Resource) })
            }
            _ => Err(Unfit("it is the delete of a resource; `deletes: send` would send it")),
        };
    }
    let is_bundle = kind == "Bundle";
    let bundle = body.get("type").and_then(Value::as_str).filter(|_| is_bundle);
    let action = match action {
        Action::Auto => match (bundle, id) {
            (Some("transaction" | "batch"), _) => Action::Transaction,
            (Some("message"), _) => Action::ProcessMessage,
            (_, Some(_)) => Action::Update,
            (_, None) => Action::Create,
        },
        named => named,
    };
    match action {
        Action::Transaction => match bundle {
            Some("transaction" | "batch") => Ok(plain("POST", &[], Expected::Entries)),
            _ => Err(Unfit("it is no Bundle of type transaction or batch")),
        },
        Action::ProcessMessage => match bundle {
            Some("message") => Ok(plain("POST", &["$process-message"], Expected::Message)),
            _ => Err(Unfit("it is no Bundle of type message")),
        },
        Action::Update => match id {
            Some(id) => Ok(plain("PUT", &[kind, id], Expected::Resource)),
            None => Err(Unfit("an update needs the resource's id; it has none")),
        },
        Action::ConditionalUpdate => match identifier(body, identifier_system) {
            Some(found) => Ok(Request {
                query: vec![("identifier".to_owned(), found)],
                ..plain("PUT", &[kind], Expected::Resource)
            }),
            None => Err(Unfit("a conditional update needs an identifier; the resource has none")),
        },
        Action::Create | Action::Auto => Ok(Request {
            // FHIR R4 http.html#ccreate: a repeat after a lost answer creates nothing.
            if_none_exist: identifier(body, identifier_system)
                .map(|found| format!("identifier={}", escaped(&found))),
            ..plain("POST", &[kind], Expected::Resource)
        }),
    }
}

fn plain(method: &'static str, path: &[&str], answer: Expected) -> Request {
    Request {
        method,
        path: path.iter().map(|part| (*part).to_owned()).collect(),
        query: Vec::new(),
        if_none_exist: None,
        answer,
        has_body: true,
    }
}

/// The message of a delete holds type and id alone.
fn is_delete(body: &Value) -> bool {
    body.as_object().is_some_and(|members| {
        members.len() > 1
            && members.keys().all(|name| matches!(name.as_str(), "resourceType" | "id" | "meta"))
    })
}

/// `system|value` of the identifier conditions look for.
fn identifier(body: &Value, system: Option<&str>) -> Option<String> {
    let found = body.get("identifier")?;
    let list = match found {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    list.iter().find_map(|one| {
        let own = one.get("system").and_then(Value::as_str).unwrap_or_default();
        let value = one.get("value").and_then(Value::as_str).filter(|value| !value.is_empty())?;
        let wanted = system.is_none_or(|system| system == own);
        wanted.then(|| format!("{}|{}", searched(own), searched(value)))
    })
}

/// FHIR R4 search.html#escaping: these separate values.
fn searched(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | ',' | '$' | '|') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn escaped(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(body: &Value, action: Action, method: &str, target: &str) {
        let found = request(body, action, None, Deletes::Send).unwrap();
        let query: Vec<String> =
            found.query.iter().map(|(name, value)| format!("?{name}={value}")).collect();
        assert_eq!(
            (found.method, format!("{}{}", found.path.join("/"), query.concat())),
            (method, target.to_owned())
        );
    }

    #[test]
    fn what_it_is_decides_where_it_goes() {
        let patient = json!({"resourceType": "Patient", "id": "1", "active": true,
            "identifier": [{"system": "urn:oid:1.2", "value": "a|b"}]});
        check(&patient, Action::Auto, "PUT", "Patient/1");
        check(&patient, Action::Create, "POST", "Patient");
        check(&patient, Action::ConditionalUpdate, "PUT", "Patient?identifier=urn:oid:1.2|a\\|b");
        check(&json!({"resourceType": "Patient", "active": true}), Action::Auto, "POST", "Patient");
        check(&json!({"resourceType": "Bundle", "type": "transaction"}), Action::Auto, "POST", "");
        let message = json!({"resourceType": "Bundle", "type": "message", "id": "9"});
        check(&message, Action::Auto, "POST", "$process-message");
        check(
            &json!({"resourceType": "Bundle", "type": "document", "id": "9"}),
            Action::Auto,
            "PUT",
            "Bundle/9",
        );
        check(&json!({"resourceType": "Patient", "id": "1"}), Action::Auto, "DELETE", "Patient/1");
    }

    #[test]
    fn a_create_is_repeatable_where_there_is_an_identifier() {
        let body = json!({"resourceType": "Patient", "active": true, "identifier": [
            {"value": "0"}, {"system": "http://h.example/mrn", "value": "12 3"}]});
        let found = request(&body, Action::Create, Some("http://h.example/mrn"), Deletes::Refuse);
        assert_eq!(
            found.unwrap().if_none_exist.as_deref(),
            Some("identifier=http%3A%2F%2Fh.example%2Fmrn%7C12+3")
        );
        let found = request(&body, Action::Create, Some("http://other"), Deletes::Refuse);
        assert_eq!(found.unwrap().if_none_exist, None);
    }

    #[test]
    fn what_does_not_suit_the_action_is_refused() {
        let patient = json!({"resourceType": "Patient", "active": true});
        for action in
            [Action::Update, Action::ConditionalUpdate, Action::Transaction, Action::ProcessMessage]
        {
            assert!(request(&patient, action, None, Deletes::Send).is_err(), "{action:?}");
        }
        assert!(request(&json!({"a": 1}), Action::Auto, None, Deletes::Send).is_err());
        let delete = json!({"resourceType": "Patient", "id": "1"});
        assert!(request(&delete, Action::Auto, None, Deletes::Refuse).is_err());
    }
}
