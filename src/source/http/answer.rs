//! Replies as HTTP responses: 201, problem+json (RFC 9457), 503 with Retry-After.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::message::verdict::{Location, Problem};
use crate::source::intake::Reply;

pub(super) type Answer = Response<Full<Bytes>>;

/// The answer to one message.
pub(super) fn of_reply(reply: &Reply, retry_after: Duration) -> Answer {
    let (status, body) = told(reply);
    let mut answer = respond(status, &body);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        set_retry_after(&mut answer, retry_after);
    }
    answer
}

/// The answer to a batch: the replies in the order of its messages. 503 when one could not be taken
/// now, 422 when one was refused, 201 otherwise.
pub(super) fn of_batch(replies: &[Reply], retry_after: Duration) -> Answer {
    let each: Vec<_> = replies.iter().map(told).collect();
    let any = |status| each.iter().any(|(each, _)| *each == status);
    let status = if any(StatusCode::SERVICE_UNAVAILABLE) {
        StatusCode::SERVICE_UNAVAILABLE
    } else if each.iter().all(|(status, _)| *status == StatusCode::CREATED) {
        StatusCode::CREATED
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    let messages: Vec<_> = each.into_iter().map(|(_, body)| body).collect();
    let mut answer = respond(status, &json!({ "status": status.as_u16(), "messages": messages }));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        set_retry_after(&mut answer, retry_after);
    }
    answer
}

/// A request that never was a message.
pub(super) fn problem(status: StatusCode, detail: &str) -> Answer {
    let mut answer = respond(status, &problem_body(status, detail));
    let headers = answer.headers_mut();
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    answer
}

/// The status of a reply, chosen here and nowhere else, and its body.
fn told(reply: &Reply) -> (StatusCode, Value) {
    match reply {
        Reply::Accepted { id, received_at, .. } => {
            let body = json!({ "id": id.to_string(), "received_at": received_at.to_string() });
            (StatusCode::CREATED, body)
        }
        Reply::Refused(problem) => {
            let status = match problem.code {
                205 => StatusCode::CONFLICT,
                _ if problem.reject => StatusCode::BAD_REQUEST,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            (status, refusal_body(status, problem))
        }
        Reply::Unavailable { reason } => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            (status, problem_body(status, reason))
        }
    }
}

fn refusal_body(status: StatusCode, problem: &Problem) -> Value {
    let mut body = problem_body(status, &problem.text);
    if let Some(members) = body.as_object_mut() {
        members.insert("code".to_owned(), json!(problem.code));
        if let Some(location) = &problem.location {
            members.insert("location".to_owned(), json!(path_of(location)));
        }
    }
    body
}

fn path_of(location: &Location) -> String {
    let Location { segment, sequence, field, repetition, component } = location;
    let mut path = segment.clone();
    if *sequence > 1 {
        path.push_str(&format!("[{sequence}]"));
    }
    if let Some(field) = field {
        path.push_str(&format!("-{field}"));
    }
    if let Some(repetition) = repetition.filter(|number| *number > 1) {
        path.push_str(&format!("[{repetition}]"));
    }
    if let Some(component) = component {
        path.push_str(&format!(".{component}"));
    }
    path
}

fn problem_body(status: StatusCode, detail: &str) -> Value {
    json!({
        "title": status.canonical_reason().unwrap_or("refused"),
        "status": status.as_u16(),
        "detail": detail,
    })
}

fn respond(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = status;
    let media_type =
        if status.is_success() { "application/json" } else { "application/problem+json" };
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

fn set_retry_after(answer: &mut Answer, wait: Duration) {
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
}
