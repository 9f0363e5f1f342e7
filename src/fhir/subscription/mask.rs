//! A Subscription as it is shown: values that are secrets are hidden, and come back when the client
//! writes what it was shown.

use serde_json::Value;

use crate::fhir::subscription::header::is_secret;

/// What stands in place of a secret.
pub const HIDDEN: &str = "********";

/// The resource with its secrets hidden: `channel.header` by name, and extensions that hold secrets.
#[must_use]
pub fn masked(resource: &Value) -> Value {
    let mut shown = resource.clone();
    for header in headers(&mut shown) {
        let Some(text) = header.as_str() else { continue };
        let Some((name, _)) = text.split_once(':').filter(|(name, _)| is_secret(name)) else {
            continue;
        };
        *header = Value::String(format!("{name}: {HIDDEN}"));
    }
    for extension in extensions(&mut shown) {
        let secret = extension
            .get("url")
            .and_then(Value::as_str)
            .and_then(|url| url.rsplit('/').next())
            .is_some_and(|name| name.contains("secret"));
        if secret && let Some(value) = extension.get_mut("valueString") {
            *value = Value::String(HIDDEN.to_owned());
        }
    }
    shown
}

/// What a client submits, with the secrets that it was shown hidden put back from the stored version.
#[must_use]
pub fn restored(submitted: &Value, stored: &Value) -> Value {
    let mut whole = submitted.clone();
    let known: Vec<String> = {
        let mut stored = stored.clone();
        headers(&mut stored).iter().filter_map(|h| h.as_str().map(str::to_owned)).collect()
    };
    for header in headers(&mut whole) {
        let Some((name, value)) = header.as_str().and_then(|text| text.split_once(':')) else {
            continue;
        };
        if value.trim() != HIDDEN {
            continue;
        }
        let same = |text: &&String| {
            text.split_once(':')
                .is_some_and(|(known, _)| known.trim().eq_ignore_ascii_case(name.trim()))
        };
        if let Some(text) = known.iter().find(same) {
            *header = Value::String(text.clone());
        }
    }
    let secrets: Vec<(Value, Value)> = {
        let mut stored = stored.clone();
        extensions(&mut stored)
            .iter()
            .filter_map(|one| Some((one.get("url")?.clone(), one.get("valueString")?.clone())))
            .collect()
    };
    for extension in extensions(&mut whole) {
        let hidden = extension.get("valueString").and_then(Value::as_str) == Some(HIDDEN);
        let url = extension.get("url").cloned();
        if hidden
            && let Some((_, value)) = secrets.iter().find(|(known, _)| Some(known) == url.as_ref())
            && let Some(member) = extension.get_mut("valueString")
        {
            *member = value.clone();
        }
    }
    whole
}

fn headers(resource: &mut Value) -> &mut [Value] {
    match resource.pointer_mut("/channel/header") {
        Some(Value::Array(headers)) => headers,
        _ => &mut [],
    }
}

fn extensions(resource: &mut Value) -> Vec<&mut Value> {
    let Value::Object(members) = resource else { return Vec::new() };
    let mut found = Vec::new();
    for (name, member) in members.iter_mut() {
        match (name.as_str(), member) {
            ("extension", Value::Array(items)) => found.extend(items.iter_mut()),
            ("channel", Value::Object(channel)) => {
                if let Some(Value::Array(items)) = channel.get_mut("extension") {
                    found.extend(items.iter_mut());
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_hidden_and_come_back() {
        let stored = json!({
            "resourceType": "Subscription",
            "extension": [{"url": "https://x.example/subscription-secret", "valueString": "s3cret"}],
            "channel": {"header": ["Authorization: Bearer abc:def", "X-Ward: 3"]},
        });
        let shown = masked(&stored);
        let text = shown.to_string();
        assert!(!text.contains("abc:def") && !text.contains("s3cret"), "{text}");
        assert_eq!(shown["channel"]["header"][1], "X-Ward: 3");
        assert_eq!(restored(&shown, &stored), stored);
    }

    #[test]
    fn a_new_secret_replaces_the_old_one() {
        let stored = json!({"channel": {"header": ["Authorization: Bearer old"]}});
        let submitted = json!({"channel": {"header": ["authorization: Bearer new"]}});
        assert_eq!(restored(&submitted, &stored), submitted);
    }
}
