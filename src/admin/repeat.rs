//! `Idempotency-Key`: a caller that does not know whether its call arrived sends it again with the same key,
//! and gets the first answer instead of a second act.
//!
//! Answers are kept in `access.db` for a day. That a call is being answered is noted before it is done: after a
//! start nobody knows whether it was, and that is what the caller is told.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use ring::digest::{Context, SHA256};
use tracing::error;

use crate::admin::problem::Problem;
use crate::message::time::Timestamp;
use crate::store::access::AccessStore;
use crate::store::desk::GivenAnswer;

/// The header.
pub(crate) const KEY: &str = "idempotency-key";
/// Says of an answer that it was given before.
const REPEATED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Longest key.
const KEY_BYTES_MAX: usize = 255;
/// How long.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// Largest answer kept, in bytes. Answers of acts are short.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

type Hash = [u8; 32];

/// Answers given to calls with a key.
#[derive(Clone)]
pub struct Answers {
    store: Arc<dyn AccessStore>,
    running: Arc<Mutex<HashSet<Hash>>>,
}

/// What is known of a call with a key.
pub(crate) enum Asked {
    /// It is the first: do it, and keep its answer.
    First(Ticket),
    /// It was answered so.
    Again(Response),
}

/// A call that is being answered.
pub(crate) struct Ticket {
    answers: Answers,
    key: Hash,
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
    /// Those of a store.
    pub(crate) fn new(store: Arc<dyn AccessStore>) -> Self {
        Self { store, running: Arc::default() }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashSet<Hash>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a call: whose it is, where to, its key and its body.
    pub(crate) async fn ask(
        &self,
        (actor, path, key): (&str, &str, &str),
        body: &[u8],
        now: Timestamp,
    ) -> Result<Asked, Problem> {
        let key = hash(&[actor.as_bytes(), path.as_bytes(), key.as_bytes()]);
        let body = hash(&[body]);
        // Known as running before the store says that it has begun.
        if !self.running().insert(key) {
            return Err(Problem::conflict(
                "idempotency_in_progress",
                "the first call with this Idempotency-Key is still being answered; ask again",
            ));
        }
        let ticket = Ticket { answers: self.clone(), key };
        let oldest = Timestamp(now.0.saturating_sub(micros(KEPT_FOR)));
        match self.store.begin_answer(&key, &body, now, oldest).await? {
            None => Ok(Asked::First(ticket)),
            Some(kept) if kept.request != body => Err(Problem::unprocessable(
                "idempotency_key_reused",
                "this Idempotency-Key came with another body before; draw a new key for each act",
            )),
            Some(kept) => match kept.given {
                Some(given) => Ok(Asked::Again(response(given))),
                None => Err(Problem::conflict(
                    "idempotency_unknown",
                    "how the first call with this Idempotency-Key was answered is not known any more: look whether it was done, and use another key",
                )),
            },
        }
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn response(given: GivenAnswer) -> Response {
    let mut response = Response::new(Body::from(given.body));
    *response.status_mut() = StatusCode::from_u16(given.status).unwrap_or_default();
    let headers = response.headers_mut();
    let content_type = given.content_type.and_then(|text| HeaderValue::from_str(&text).ok());
    if let Some(content_type) = content_type {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    headers.insert(REPEATED, HeaderValue::from_static("true"));
    response
}

impl Ticket {
    /// Keeps the answer, or, where it holds a secret or is long, only that there was one. A fault of ours is
    /// not kept: the same call may work later.
    pub(crate) async fn keep(
        self,
        answered: Result<Response, Problem>,
        holds_secret: bool,
    ) -> Result<Response, Problem> {
        let store = &self.answers.store;
        let response = match answered {
            Ok(response) if !response.status().is_server_error() => response,
            other => {
                store.forget_answer(&self.key).await?;
                return other;
            }
        };
        let (parts, body) = response.into_parts();
        let lost = |_| Problem::fault("the answer could not be read");
        // An answer of our own: what was done is answered, however long that is.
        let body: Bytes = to_bytes(body, usize::MAX).await.map_err(lost)?;
        if holds_secret || body.len() > ANSWER_BYTES_MAX {
            return Ok(Response::from_parts(parts, Body::from(body)));
        }
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        let given = GivenAnswer {
            status: parts.status.as_u16(),
            content_type: content_type.and_then(|text| text.to_str().ok()).map(str::to_owned),
            body: body.to_vec(),
        };
        // It was done and is answered so; asked again, nobody will know.
        if let Err(fault) = store.keep_answer(&self.key, &given).await {
            error!(error = %fault, "the answer to a call with an Idempotency-Key could not be kept");
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.answers.running().remove(&self.key);
    }
}
