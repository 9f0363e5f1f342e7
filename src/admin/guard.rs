//! In front of every route: who asks, may they, and on record with it. Nothing of a body is parsed before
//! the caller is known; an act is on record before it is done, a look before it is shown (P15).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, MatchedPath, RawPathParams, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio_util::task::TaskTracker;
use tracing::error;

use crate::access::door::{Actor, Door};
use crate::access::token;
use crate::admin::auth::Token;
use crate::admin::problem::Problem;
use crate::admin::record::{self as kept, Looks, Quotes, Refusals, Refused};
use crate::admin::repeat::{self, Answers, Asked};
use crate::admin::route::{BODY_BYTES_MAX, Needs, ROUTES, Recorded, Route, find};
use crate::admin::sessions::Cookies;
use crate::store::access::AuditEntry;

/// What a page sends beside its cookie.
const CSRF_HEADER: &str = "x-csrf-token";
/// Acts whose answers hold a secret that is shown once and kept nowhere.
const SECRETS: [&str; 3] = ["token.add", "subscription.secret", "session.second_factor"];
/// What a page sends when nobody asked it to ask: it refreshes what it shows.
const BACKGROUND_HEADER: &str = "x-medway-background";
/// For the body of a request: it is short, and who sends it byte by byte holds a connection.
const BODY_WAIT: Duration = Duration::from_secs(20);

/// What the guard knows.
#[derive(Clone)]
pub struct Guard {
    /// The engine's own token.
    pub token: Token,
    /// Users, sessions, tokens.
    pub door: Arc<Door>,
    /// Which cookie holds a session here. The other name is not looked at: a page without TLS on the
    /// same host could plant it.
    pub cookies: Cookies,
    /// Answers given to calls with an `Idempotency-Key`.
    pub answers: Answers,
    /// Where acts are finished whose callers went away.
    pub tracker: TaskTracker,
    /// Who was refused lately.
    pub(crate) refusals: Arc<Refusals>,
    /// What callers were shown last.
    pub(crate) looks: Arc<Looks>,
}

/// The caller's address, for records.
#[derive(Debug, Clone)]
pub(crate) struct Address(pub(crate) String);

/// The token of the caller's session, for handlers that end or describe it.
#[derive(Debug, Clone)]
pub(crate) struct SessionToken(pub(crate) crate::message::secret::Secret);

pub(crate) async fn check(
    State(guard): State<Guard>,
    matched: MatchedPath,
    params: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    match guarded(guard, &matched, &params, request, next).await {
        Ok(response) => unkept(worded(response).await),
        Err(problem) => unkept(problem.into_response()),
    }
}

/// No answer of the API is kept by a browser or a proxy.
fn unkept(mut response: Response) -> Response {
    let unkept = HeaderValue::from_static("no-store");
    response.headers_mut().entry(CACHE_CONTROL).or_insert(unkept);
    response
}

/// A request that did not even reach its handler is refused in plain words by what reads requests; the
/// caller gets them as a problem like any other.
async fn worded(response: Response) -> Response {
    let plain = response
        .headers()
        .get(CONTENT_TYPE)
        .is_none_or(|value| value.as_bytes().starts_with(b"text/plain"));
    let status = response.status();
    if !status.is_client_error() || !plain {
        return response;
    }
    let said = to_bytes(response.into_body(), BODY_BYTES_MAX).await.unwrap_or_default();
    let detail = unquoted(&String::from_utf8_lossy(&said));
    Problem::with(status, "bad_request", detail).into_response()
}

/// What reads requests quotes the value that it cannot take: a refusal holds no value.
fn unquoted(said: &str) -> String {
    let (Some(first), Some(last)) = (said.find('"'), said.rfind('"')) else {
        return said.to_owned();
    };
    let (before, after) = (said.get(..first), said.get(last..).and_then(|rest| rest.get(1..)));
    format!("{}(a text){}", before.unwrap_or_default(), after.unwrap_or_default())
}

/// The body of a request within its size and its time.
async fn whole(request: Request, bytes_max: usize, wait: Duration) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    let read = tokio::time::timeout(wait, to_bytes(body, bytes_max)).await;
    let body = match read {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return Err(Problem::with(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                format!(
                    "a request has at most {bytes_max} bytes, and this one had more or ended early"
                ),
            ));
        }
        Err(_) => {
            return Err(Problem::with(
                StatusCode::REQUEST_TIMEOUT,
                "too_slow",
                format!("the request was not whole after {} seconds", wait.as_secs()),
            ));
        }
    };
    Ok(Request::from_parts(parts, Body::from(body)))
}

async fn guarded(
    guard: Guard,
    matched: &MatchedPath,
    params: &RawPathParams,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let path = matched.as_str().strip_prefix("/api/v1").unwrap_or_default();
    let route = find(request.method().as_str(), path).ok_or_else(|| unanswered(path))?;
    let address = address(&request);
    request.extensions_mut().insert(Address(address.clone()));
    if route.needs == Needs::Nothing {
        // A browser comes back from the sign-in provider, another site, by GET.
        if !matches!(*request.method(), Method::GET | Method::HEAD)
            && let Err(refused) = same_site(request.headers(), None)
        {
            return Err(guard.refusals.note(&guard.door, route, &address, refused).await);
        }
        return Ok(next.run(whole(request, route.body_bytes_max(), BODY_WAIT).await?).await);
    }
    let actor = match identify(&guard, route, &mut request).await {
        Ok(actor) => actor,
        Err(refused) => {
            return Err(guard.refusals.note(&guard.door, route, &address, refused).await);
        }
    };
    let mut entry = kept::entry(&guard.door, &actor, &address, route);
    entry.object = kept::object(route, params);
    if let Needs::May(permission) = route.needs
        && !actor.may(permission)
    {
        "denied".clone_into(&mut entry.outcome);
        record(&guard.door, entry).await?;
        return Err(Problem::forbidden(permission.name()));
    }
    if actor.view < route.least_view() {
        "denied".clone_into(&mut entry.outcome);
        record(&guard.door, entry).await?;
        return Err(Problem::hidden(actor.view, route.least_view()));
    }
    request.extensions_mut().insert(actor);
    let request = whole(request, route.body_bytes_max(), BODY_WAIT).await?;
    follow(&guard, route, entry, request, next).await
}

/// Runs the route with its record before or behind it.
async fn follow(
    guard: &Guard,
    route: &Route,
    mut entry: AuditEntry,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let door = &guard.door;
    match route.recorded {
        Recorded::Never | Recorded::Itself => Ok(next.run(request).await),
        Recorded::Shown => {
            let request = searched(guard, route, &mut entry, request).await?;
            let response = next.run(request).await;
            outcome_of(&response).clone_into(&mut entry.outcome);
            record(door, entry).await?;
            Ok(response)
        }
        Recorded::Quoted => {
            let refreshes = request.headers().contains_key(BACKGROUND_HEADER);
            let response = next.run(request).await;
            let Some(quotes) = response.extensions().get::<Quotes>().copied() else {
                return Ok(response);
            };
            if !(refreshes && guard.looks.again(&entry, quotes)) {
                record(door, entry.clone()).await?;
                guard.looks.note(&entry, quotes);
            }
            Ok(response)
        }
        Recorded::Done => {
            // An act is finished also when its caller goes away meanwhile: half of it would be done, and
            // its key forgotten, so that asking again would do it twice.
            let (own, route) = (guard.clone(), *route);
            let acting = async move { done(&own, &route, entry, request, next).await };
            let lost = |_| Problem::fault("the act broke off; look at what came of it");
            guard.tracker.spawn(acting).await.map_err(lost)?
        }
    }
}

/// The request, and on its record what it looks for.
async fn searched(
    guard: &Guard,
    route: &Route,
    entry: &mut AuditEntry,
    request: Request,
) -> Result<Request, Problem> {
    let Some(field) = kept::term_field(route.action) else { return Ok(request) };
    let (parts, body) = request.into_parts();
    let body = in_memory(route, body).await?;
    if let Some(term) = kept::term(&guard.door, field, &body).await? {
        entry.object = term;
    }
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// The bytes of a body that is in memory already: see `whole`.
async fn in_memory(route: &Route, body: Body) -> Result<Bytes, Problem> {
    let body = to_bytes(body, route.body_bytes_max()).await;
    body.map_err(|_| Problem::fault("the body of the request was lost"))
}

/// Runs a route that changes something, its record before it.
async fn done(
    guard: &Guard,
    route: &Route,
    mut entry: AuditEntry,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let door = &*guard.door;
    let (parts, body) = request.into_parts();
    let body = in_memory(route, body).await?;
    let mut ticket = None;
    if let (Some(key), &Method::POST) = (repeat::key_of(&parts.headers)?, &parts.method) {
        let call = (entry.actor.as_str(), parts.uri.path(), key);
        match guard.answers.ask(call, &body, entry.at).await? {
            Asked::First(first) => ticket = Some(first),
            Asked::Again(response) => return Ok(response),
        }
    }
    kept::told(&mut entry, &body);
    let request = Request::from_parts(parts, Body::from(body));
    let answered = acted(door, entry, request, next).await;
    match ticket {
        Some(ticket) => ticket.keep(answered, SECRETS.contains(&route.action)).await,
        None => answered,
    }
}

/// An act: on record before it is done, and again when it was not.
async fn acted(
    door: &Door,
    mut entry: AuditEntry,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    record(door, entry.clone()).await?;
    let response = next.run(request).await;
    if !response.status().is_success() {
        outcome_of(&response).clone_into(&mut entry.outcome);
        entry.at = door.now();
        record(door, entry).await?;
    }
    Ok(response)
}

/// What came of a call, as a word of the trail.
fn outcome_of(response: &Response) -> &'static str {
    match response.status() {
        StatusCode::FORBIDDEN => "denied",
        status if status.is_success() => "granted",
        _ => "failed",
    }
}

/// Nothing answers this method at this path.
fn unanswered(path: &str) -> Problem {
    let methods: Vec<&str> =
        ROUTES.iter().filter(|route| route.path == path).map(|route| route.method).collect();
    if methods.is_empty() {
        return Problem::missing("route");
    }
    let detail = format!("this route answers {}", methods.join(" and "));
    Problem::with(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

/// What cannot go on record is refused.
pub(crate) async fn record(door: &Door, entry: AuditEntry) -> Result<(), Problem> {
    door.record(entry).await.map(drop).map_err(|error| {
        error!(%error, "the audit trail cannot be written: what needs a record is refused");
        Problem::unavailable(
            "the audit trail cannot be written, so this is refused; check the disk",
        )
    })
}

async fn identify(guard: &Guard, route: &Route, request: &mut Request) -> Result<Actor, Refused> {
    let headers = request.headers();
    if let Some(value) = headers.get(AUTHORIZATION) {
        let presented = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(Refused::bad_token)?;
        if guard.token.admits(presented) {
            return Ok(Actor::engine());
        }
        return guard.door.by_token(presented).await?.ok_or_else(Refused::bad_token);
    }
    let session = session_of(guard.cookies, headers).ok_or_else(Refused::nobody)?.to_owned();
    let actor = if by_itself(route, headers) {
        guard.door.by_session_unused(&session).await?
    } else {
        guard.door.by_session(&session).await?.map(|(actor, _)| actor)
    };
    let actor = actor.ok_or_else(Refused::nobody)?;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        same_site(headers, Some(&actor))?;
        let given = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
        if !given.is_some_and(|given| token::csrf_fits(&session, given)) {
            return Err(Refused::forged(Some(&actor)));
        }
    }
    let token = SessionToken(crate::message::secret::Secret::new(&session));
    request.extensions_mut().insert(token);
    Ok(actor)
}

/// Whether a page asks by itself. Nobody sits before it then, as far as it knows, so such a call keeps no
/// session alive: a screen that is left alone ends its session (P15). A browser opens live streams again
/// by itself and says nothing of it.
fn by_itself(route: &Route, headers: &HeaderMap) -> bool {
    headers.contains_key(BACKGROUND_HEADER) || route.path == "/live"
}

/// The session's token in the cookies.
pub(crate) fn session_of(cookies: Cookies, headers: &HeaderMap) -> Option<&str> {
    let ours = cookies.name();
    let sent = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = sent.flat_map(|text| text.split(';')).filter_map(|one| one.trim().split_once('='));
    let mut found = pairs.filter(|(name, _)| *name == ours);
    found.next().map(|(_, value)| value)
}

/// A browser says where a request comes from; another site's is refused.
fn same_site(headers: &HeaderMap, actor: Option<&Actor>) -> Result<(), Refused> {
    let text =
        |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let Some(origin) = text(ORIGIN) else { return Ok(()) };
    let host = origin.split_once("://").map(|(_, host)| host);
    if host.is_some() && host == text(HOST) { Ok(()) } else { Err(Refused::forged(actor)) }
}

fn address(request: &Request) -> String {
    let info = request.extensions().get::<ConnectInfo<SocketAddr>>();
    info.map_or_else(String::new, |ConnectInfo(peer)| canonical(peer.ip()))
}

fn canonical(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_quotes_no_value() {
        let said =
            "limit: invalid type: string \"Heron \\\"Ada\\\"\", expected u32 at line 1 column 9";
        let told = "limit: invalid type: string (a text), expected u32 at line 1 column 9";
        assert_eq!(unquoted(said), told);
        assert_eq!(unquoted("EOF while parsing"), "EOF while parsing");
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let refused = whole(Request::new(Body::from_stream(never)), BODY_BYTES_MAX, Duration::ZERO)
            .await
            .unwrap_err();
        assert_eq!(refused.into_response().status(), StatusCode::REQUEST_TIMEOUT);
    }
}
