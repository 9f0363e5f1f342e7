//! `Idempotency-Key`: a caller that does not know whether its call arrived sends it again with the same key,
//! and gets the first answer instead of a second act.
//!
//! Answers are kept in memory for a day, at most so many; a restart forgets them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use ring::digest::{Context, SHA256};

use crate::admin::problem::Problem;
use crate::message::time::Timestamp;

/// The header.
pub(crate) const KEY: &str = "idempotency-key";
/// Says of an answer that it was given before.
const REPEATED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Longest key.
const KEY_BYTES_MAX: usize = 255;
/// Answers kept.
const KEPT_MAX: usize = 10_000;
/// How long.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// Largest answer kept, in bytes. Answers of acts are short.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

type Hash = [u8; 32];

/// An answer given before.
#[derive(Clone)]
struct Given {
    status: StatusCode,
    content_type: Option<HeaderValue>,
    body: Bytes,
}

struct Kept {
    body: Hash,
    at: Timestamp,
    /// `None` while the first call is still being answered.
    given: Option<Given>,
}

#[derive(Default)]
struct Inner {
    kept: HashMap<Hash, Kept>,
    order: VecDeque<(Timestamp, Hash)>,
}

/// Answers given to calls with a key.
#[derive(Clone, Default)]
pub struct Answers(Arc<Mutex<Inner>>);

/// What is known of a call with a key.
pub(crate) enum Asked {
    /// It is the first: do it, and keep its answer.
    First(Ticket),
    /// It was answered so.
    Again(Response),
}

/// A call that is being answered. Dropped unanswered, it is as if it had not come.
pub(crate) struct Ticket {
    answers: Answers,
    key: Hash,
    answered: bool,
}

/// The key of a call, when it has one.
pub(crate) fn key_of(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(KEY) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()));
    key.map(Some).ok_or_else(|| {
        let told = format!("an Idempotency-Key has 1 to {KEY_BYTES_MAX} visible ASCII characters");
        Problem::bad("bad_idempotency_key", told)
    })
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

impl Answers {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a call: whose it is, where to, its key and its body.
    pub(crate) fn ask(
        &self,
        (actor, path, key): (&str, &str, &str),
        body: &[u8],
        now: Timestamp,
    ) -> Result<Asked, Problem> {
        let key = hash(&[actor.as_bytes(), path.as_bytes(), key.as_bytes()]);
        let body = hash(&[body]);
        let mut inner = self.inner();
        inner.forget(now);
        match inner.kept.get(&key) {
            Some(kept) if kept.body != body => Err(Problem::unprocessable(
                "idempotency_key_reused",
                "this Idempotency-Key came with another body before; draw a new key for each act",
            )),
            Some(Kept { given: Some(given), .. }) => Ok(Asked::Again(given.response())),
            Some(_) => Err(Problem::conflict(
                "idempotency_in_progress",
                "the first call with this Idempotency-Key is still being answered; ask again",
            )),
            None => {
                inner.kept.insert(key, Kept { body, at: now, given: None });
                inner.order.push_back((now, key));
                Ok(Asked::First(Ticket { answers: self.clone(), key, answered: false }))
            }
        }
    }
}

impl Inner {
    fn forget(&mut self, now: Timestamp) {
        while let Some((at, key)) = self.order.front().copied() {
            if self.order.len() < KEPT_MAX && now.since(at) < KEPT_FOR {
                return;
            }
            self.order.pop_front();
            // The same key may have come again since.
            if self.kept.get(&key).is_some_and(|kept| kept.at == at) {
                self.kept.remove(&key);
            }
        }
    }
}

impl Given {
    fn response(&self) -> Response {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(content_type) = &self.content_type {
            headers.insert(header::CONTENT_TYPE, content_type.clone());
        }
        headers.insert(REPEATED, HeaderValue::from_static("true"));
        response
    }
}

impl Ticket {
    /// Keeps the answer. A fault of ours is not kept: the same call may work later.
    pub(crate) async fn keep(mut self, response: Response) -> Result<Response, Problem> {
        if response.status().is_server_error() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let lost = |_| Problem::fault("the answer could not be read");
        let body = to_bytes(body, ANSWER_BYTES_MAX).await.map_err(lost)?;
        let content_type = parts.headers.get(header::CONTENT_TYPE).cloned();
        let given = Given { status: parts.status, content_type, body: body.clone() };
        if let Some(kept) = self.answers.inner().kept.get_mut(&self.key) {
            kept.given = Some(given);
        }
        self.answered = true;
        Ok(Response::from_parts(parts, Body::from(body)))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.answered {
            self.answers.inner().kept.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(answers: &Answers, key: &str, now: i64) -> Option<Ticket> {
        match answers.ask(("user:li", "/jobs", key), b"{}", Timestamp(now)) {
            Ok(Asked::First(ticket)) => Some(ticket),
            _ => None,
        }
    }

    #[tokio::test]
    async fn an_answer_is_given_again_for_a_day() {
        let answers = Answers::default();
        let ticket = first(&answers, "a", 0).unwrap();
        assert!(first(&answers, "a", 1).is_none(), "still being answered");
        ticket.keep(Response::new(Body::from("done"))).await.unwrap();
        let again = answers.ask(("user:li", "/jobs", "a"), b"{}", Timestamp(2));
        let Ok(Asked::Again(again)) = again else { panic!("it was answered") };
        assert_eq!(again.headers()["idempotency-replayed"], "true");
        let body = to_bytes(again.into_body(), 100).await.unwrap();
        assert_eq!(&body[..], b"done");
        assert!(answers.ask(("user:li", "/jobs", "a"), b"[]", Timestamp(2)).is_err());
        assert!(first(&answers, "a", 24 * 3600 * 1_000_000).is_some(), "a day later it is new");
    }

    #[tokio::test]
    async fn what_failed_or_was_given_up_may_be_tried_again() {
        let answers = Answers::default();
        drop(first(&answers, "a", 0).unwrap());
        let ticket = first(&answers, "a", 1).unwrap();
        let mut fault = Response::new(Body::empty());
        *fault.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        ticket.keep(fault).await.unwrap();
        assert!(first(&answers, "a", 2).is_some());
    }
}
