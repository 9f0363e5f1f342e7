//! `medway call`: every act of the engine's API by its name on record. Made from the route table and the API's own
//! description, so that the command line lacks nothing that the dashboard does.

use std::collections::VecDeque;
use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::admin::openapi;
use crate::admin::route::{Needs, ROUTES, Route};
use crate::cli::api::{Api, EngineArguments, segment, text};
use crate::cli::exit::Failure;
use crate::cli::terminal::Terminal;

/// A live stream is followed for this long.
const FOLLOWED: Duration = Duration::from_hours(24);
/// What only a browser's session has.
const OF_SESSIONS: [&str; 4] =
    ["session.end", "session.password", "session.second_factor", "session.emergency"];

/// Options of `call`.
#[derive(Debug, Args)]
pub struct CallArguments {
    #[command(flatten)]
    engine: EngineArguments,
    /// The act, e.g. `token.add`, `message.tree`, `channel.switch`; without it all are listed.
    act: Option<String>,
    /// What its path names, in that order: a message's id, CHANNEL/DESTINATION, `stop`.
    values: Vec<String>,
    /// A part of the request. `selection.state=dead` is a part of a part; a list takes several; `@FILE` as the value
    /// is what stands in the file, `@-` what comes on stdin: secrets and search terms stand in no list of processes.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// A file's bytes as a part of the request, e.g. `payload=edited.hl7`.
    #[arg(long = "bytes", value_name = "NAME=FILE")]
    bytes: Vec<String>,
    /// Goes on to the last page.
    #[arg(long)]
    all: bool,
}

/// The routes that programs may call.
fn routes() -> impl Iterator<Item = &'static Route> {
    ROUTES
        .iter()
        .filter(|route| route.needs != Needs::Nothing && !OF_SESSIONS.contains(&route.action))
}

/// A call that can be made.
#[derive(Debug, Clone, PartialEq)]
struct Call {
    method: &'static str,
    path: String,
    query: Vec<(String, String)>,
    /// What the query may have.
    known: Vec<String>,
    body: Value,
}

impl Call {
    /// The path with its query.
    fn target(&self) -> String {
        let pairs = self.query.iter().map(|(name, value)| format!("{name}={}", segment(value)));
        let query = pairs.collect::<Vec<_>>().join("&");
        if query.is_empty() { self.path.clone() } else { format!("{}?{query}", self.path) }
    }

    fn sent(&self) -> Option<&Value> {
        (self.method != "GET").then_some(&self.body)
    }

    /// Asks for the next page instead.
    fn turn(&mut self, cursor: &str, next: &Value) {
        if let Some(body) = self.body.as_object_mut().filter(|_| self.method != "GET") {
            body.insert(cursor.to_owned(), next.clone());
            return;
        }
        self.query.retain(|(name, _)| name != cursor);
        let next = next.as_str().map_or_else(|| next.to_string(), str::to_owned);
        self.query.push((cursor.to_owned(), next));
    }
}

fn described<'d>(document: &'d Value, route: &Route) -> Option<&'d Value> {
    document.get("paths")?.get(route.path)?.get(route.method.to_ascii_lowercase())
}

/// A schema where it is written, not where it is referred to; of several the one that is not `null`.
fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let own = document.pointer(reference.trim_start_matches('#'));
        return own.map_or(schema, |own| resolved(document, own));
    }
    let several = ["oneOf", "anyOf", "allOf"].iter().find_map(|kind| schema.get(kind)?.as_array());
    let mut several = several.into_iter().flatten();
    match several.find(|one| one.get("type").and_then(Value::as_str) != Some("null")) {
        Some(one) => resolved(document, one),
        None => schema,
    }
}

fn is_of(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(own)) => own == kind,
        Some(Value::Array(several)) => several.iter().any(|own| own == kind),
        _ => false,
    }
}

/// A value of this name as its schema has it. A refusal holds no value: who sees it may not be who typed it.
fn typed(document: &Value, schema: &Value, name: &str, text: &str) -> Result<Value, Failure> {
    let schema = resolved(document, schema);
    let whole = ["array", "object", "integer", "number", "boolean"];
    if !whole.iter().any(|kind| is_of(schema, kind)) || is_of(schema, "string") {
        return Ok(json!(text));
    }
    serde_json::from_str(text)
        .map_err(|error| Failure::usage(&format!("`{name}` is not what is wanted: {error}")))
}

/// Puts a value where its name says.
fn put(
    document: &Value,
    schema: &Value,
    into: &mut Value,
    name: &str,
    given: &str,
) -> Result<(), Failure> {
    let schema = resolved(document, schema);
    let (first, rest) = name.split_once('.').map_or((name, None), |(one, rest)| (one, Some(rest)));
    let parts = schema.get("properties").and_then(Value::as_object);
    let part = parts.and_then(|parts| parts.get(first));
    let Some(part) = part.or_else(|| (first == "reason").then_some(&Value::Null)) else {
        let names = parts.map(|parts| parts.keys().cloned().collect::<Vec<_>>().join(", "));
        let told = format!("there is no part `{first}`; there are: {}", names.unwrap_or_default());
        return Err(Failure::usage(&told));
    };
    if !into.is_object() {
        *into = json!({});
    }
    let Some(object) = into.as_object_mut() else { return Ok(()) };
    if let Some(rest) = rest {
        let below = object.entry(first).or_insert_with(|| json!({}));
        return put(document, part, below, rest, given);
    }
    let part = resolved(document, part);
    let is_list = is_of(part, "array") && !given.starts_with('[');
    if let Some(items) = part.get("items").filter(|_| is_list) {
        let item = typed(document, items, first, given)?;
        let list = object.entry(first).or_insert_with(|| json!([]));
        list.as_array_mut().into_iter().for_each(|list| list.push(item.clone()));
    } else {
        object.insert(first.to_owned(), typed(document, part, first, given)?);
    }
    Ok(())
}

/// The path with what it names.
fn filled(route: &Route, values: &[String]) -> Result<String, Failure> {
    let mut values: VecDeque<String> = values.iter().cloned().collect();
    let mut path = String::new();
    for part in route.path.split('/').skip(1) {
        path.push('/');
        let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            path.push_str(part);
            continue;
        };
        let missing = || Failure::usage(&format!("{} needs: {}", route.action, route.path));
        let mut value = values.pop_front().ok_or_else(missing)?;
        if name == "channel"
            && route.path.contains("{destination}")
            && let Some((channel, destination)) = value.clone().split_once('/')
        {
            values.push_front(destination.to_owned());
            channel.clone_into(&mut value);
        }
        path.push_str(&segment(&value));
    }
    if values.is_empty() {
        return Ok(path);
    }
    Err(Failure::usage(&format!("{} names no more than: {}", route.action, route.path)))
}

/// The call of a route with what is given for it.
fn call(
    document: &Value,
    route: &Route,
    values: &[String],
    set: &[(String, String)],
) -> Result<Call, Failure> {
    let described = described(document, route).unwrap_or(&Value::Null);
    let parameters = described.get("parameters").and_then(Value::as_array).into_iter().flatten();
    let query = parameters.filter(|one| text(one, "in") == "query");
    let known: Vec<String> = query.map(|one| text(one, "name").to_owned()).collect();
    let path = filled(route, values)?;
    let (method, body, query) = (route.method, Value::Object(Map::new()), Vec::new());
    let mut call = Call { method, path, query, known, body };
    let schema = described.pointer("/requestBody/content/application~1json/schema");
    let schema = schema.cloned().unwrap_or(Value::Null);
    for (name, value) in set {
        if call.known.contains(name) {
            call.query.push((name.clone(), value.clone()));
        } else if route.method == "GET" {
            let told = format!("there is no part `{name}`; there are: {}", call.known.join(", "));
            return Err(Failure::usage(&told));
        } else {
            put(document, &schema, &mut call.body, name, value)?;
        }
    }
    Ok(call)
}

/// What is given, with what stands in files and on stdin.
fn given(arguments: &CallArguments) -> Result<Vec<(String, String)>, Failure> {
    let pair = |one: &str| {
        let pair = one.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        pair.ok_or_else(|| Failure::usage(&format!("`{one}` is no NAME=VALUE")))
    };
    let mut all = Vec::new();
    for one in &arguments.set {
        let (name, value) = pair(one)?;
        let value = match value.strip_prefix('@') {
            None => value,
            Some("-") => {
                let mut text = String::new();
                std::io::stdin().lock().read_to_string(&mut text)?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
            Some(file) => std::fs::read_to_string(file)?.trim_end_matches(['\r', '\n']).to_owned(),
        };
        all.push((name, value));
    }
    for one in &arguments.bytes {
        let (name, file) = pair(one)?;
        all.push((name, STANDARD.encode(std::fs::read(file)?)));
    }
    Ok(all)
}

pub(crate) async fn run(arguments: CallArguments, terminal: &Terminal) -> Result<(), Failure> {
    let document = openapi::made();
    let Some(act) = &arguments.act else {
        for route in routes() {
            let told = described(&document, route).map_or("", |one| text(one, "summary"));
            let what = format!("{} {}", route.method, route.path);
            terminal.line(&format!("{:<20} {what:<56} {told}", route.action));
        }
        return Ok(());
    };
    let route = routes().find(|route| route.action == act).ok_or_else(|| {
        Failure::usage(&format!("there is no act {act}; `medway call` lists all"))
    })?;
    let mut call = call(&document, route, &arguments.values, &given(&arguments)?)?;
    let api = Api::new(&arguments.engine)?;
    let mut first = true;
    loop {
        let method = Method::from_bytes(call.method.as_bytes())
            .map_err(|error| Failure::fault(&error.to_string()))?;
        let wait = route.path.starts_with("/live").then_some(FOLLOWED);
        let mut answer = api.answer(method, &call.target(), call.sent(), wait).await?;
        let header = |name: &str| {
            answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let (kind, more) = (header("content-type").to_owned(), header("medway-next").to_owned());
        let broken = |error: reqwest::Error| {
            Failure::unavailable(&format!("the answer broke off: {}", error.without_url()))
        };
        if kind.starts_with("text/event-stream") {
            while let Some(piece) = answer.chunk().await.map_err(broken)? {
                terminal.bytes(&piece)?;
            }
            return Ok(());
        }
        let bytes = answer.bytes().await.map_err(broken)?;
        let next = shown(&bytes, &kind, first, terminal)?;
        first = false;
        let more = if more.is_empty() { next } else { json!(more) };
        let cursor = match route.action {
            "audit.export" => "from",
            "message.search" | "audit.read" => "before",
            _ => "after",
        };
        if !arguments.all || more.is_null() {
            return Ok(());
        }
        call.turn(cursor, &more);
    }
}

/// Shows an answer; answers where the next page begins.
fn shown(bytes: &[u8], kind: &str, first: bool, terminal: &Terminal) -> Result<Value, Failure> {
    if kind.starts_with("text/csv") && !first {
        // Its head is there already.
        let head =
            bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1));
        terminal.bytes(bytes.get(head..).unwrap_or_default())?;
        return Ok(Value::Null);
    }
    let value = serde_json::from_slice::<Value>(bytes).ok();
    let Some(value) = value.filter(|_| kind.starts_with("application/json")) else {
        terminal.bytes(bytes)?;
        return Ok(Value::Null);
    };
    if terminal.json() {
        terminal.value(&value);
    } else {
        terminal.line(&format!("{value:#}"));
    }
    Ok(value.get("next").cloned().unwrap_or(Value::Null))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn made(act: &str, values: &[&str], set: &[(&str, &str)]) -> Result<Call, String> {
        let route = routes().find(|route| route.action == act).unwrap();
        let values: Vec<String> = values.iter().map(|one| (*one).to_owned()).collect();
        let set: Vec<(String, String)> =
            set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        call(&openapi::made(), route, &values, &set).map_err(|failure| failure.to_string())
    }

    #[test]
    fn every_route_of_the_table_can_be_called_by_a_name_of_its_own() {
        let names: BTreeSet<&str> = routes().map(|route| route.action).collect();
        assert_eq!(names.len(), routes().count());
        for route in routes() {
            let count = route.path.matches('{').count();
            let made = made(route.action, &vec!["x"; count], &[]).unwrap();
            assert!(!made.path.contains('{'), "{}", made.path);
            assert!(super::call(&openapi::made(), route, &[], &[]).is_err() == (count > 0));
        }
        // What is left out is signing in and what only a session has.
        assert_eq!(ROUTES.len() - routes().count(), 9);
    }

    #[test]
    fn parts_are_of_the_kind_that_the_description_says() {
        let token = made(
            "token.add",
            &[],
            &[("name", "export"), ("roles", "viewer"), ("roles", "auditor"), ("days", "30")],
        );
        assert_eq!(
            token.unwrap().body,
            json!({"name": "export", "roles": ["viewer", "auditor"], "days": 30})
        );
        let job = made(
            "job.begin",
            &[],
            &[
                ("act", "retry"),
                ("selection.state", "dead"),
                ("selection.ids", "1"),
                ("reason", "x"),
                ("rate_per_second", "5"),
            ],
        );
        let body = json!({"act": "retry", "selection": {"state": "dead", "ids": ["1"]}, "reason": "x", "rate_per_second": 5});
        assert_eq!(job.unwrap().body, body);
        let user = made("user.change", &["li"], &[("disabled", "true")]).unwrap();
        assert_eq!((user.body, &*user.path), (json!({"disabled": true}), "/users/li"));
        let sent = made("message.sent", &["7", "adt/lis"], &[]).unwrap();
        assert_eq!(sent.path, "/messages/7/sent/adt/lis");
        let tree = made("message.tree", &["7"], &[("destination", "adt/lis")]).unwrap();
        assert_eq!(tree.target(), "/messages/7/tree?destination=adt%2Flis");
        let revoked = made("token.revoke", &["a b"], &[("reason", "left")]).unwrap();
        assert_eq!((&*revoked.path, &revoked.body), ("/tokens/a%20b", &json!({"reason": "left"})));
        for wrong in [
            made("token.add", &[], &[("days", "many")]),
            made("token.add", &[], &[("nmae", "x")]),
            made("channel.list", &[], &[("nmae", "x")]),
            made("message.tree", &["1", "2"], &[]),
        ] {
            assert!(wrong.is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn pages_are_turned_where_their_cursor_stands() {
        let mut list = made("user.list", &[], &[("limit", "2")]).unwrap();
        list.turn("after", &json!("li"));
        list.turn("after", &json!("wang"));
        assert_eq!(list.target(), "/users?limit=2&after=wang");
        let mut search = made("message.search", &[], &[("limit", "2")]).unwrap();
        search.turn("before", &json!(7));
        assert_eq!(search.body, json!({"limit": 2, "before": 7}));
    }
}
