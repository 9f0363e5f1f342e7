//! What each route takes and answers.

use crate::admin::channels::{LANGUAGE, VersionText};
use crate::admin::content::{Explanation, Hl7Tree, Neighbours, OtherTree};
use crate::admin::deliveries::{Reason, Search as ExceptionSearch};
use crate::admin::jobs::{Begun, Grouping, Groups, JobList, NewJob};
use crate::admin::maintain::{Certificates, LevelSet, NewLevel, Pruned, Stopping};
use crate::admin::messages::Search as MessageSearch;
use crate::admin::oidc::SignInWays;
use crate::admin::openapi::Shape;
use crate::admin::openapi::shapes as s;
use crate::admin::page::QUERY;
use crate::admin::people::{ChangeUser, NewToken, NewUser};
use crate::admin::resend::{Preview, PreviewOf, Replay, Resent};
use crate::admin::route::Route;
use crate::admin::status::Why;
use crate::admin::subscriptions::{Asked, NewSecret};
use crate::admin::system::Points;
use crate::admin::trail::Search as AuditSearch;
use crate::admin::trial::{Trial, TrialOf};
use crate::admin::views::{NewView, View, Views};
use crate::engine::backup::BackupView;
use crate::engine::detail::ChannelDetail;
use crate::engine::jobs::Job;
use crate::engine::system::SystemView;

/// What a route answers when it does as asked.
pub(super) enum Answer {
    /// JSON of one of these shapes, with this status.
    Json(u16, Vec<Shape>),
    /// Bytes of one of these media types.
    Bytes(&'static [&'static str]),
    /// 204.
    Nothing,
    /// 303.
    Elsewhere,
}

/// A route in words and shapes.
pub(super) struct Told {
    pub(super) summary: &'static str,
    pub(super) query: &'static [(&'static str, &'static str)],
    pub(super) body: Option<Shape>,
    pub(super) answer: Answer,
}

fn get<T: utoipa::ToSchema>(summary: &'static str) -> Told {
    Told { summary, query: &[], body: None, answer: Answer::Json(200, vec![Shape::of::<T>()]) }
}

fn call<B: utoipa::ToSchema, T: utoipa::ToSchema>(summary: &'static str) -> Told {
    Told { body: Some(Shape::of::<B>()), ..get::<T>(summary) }
}

impl Told {
    fn status(self, status: u16) -> Self {
        let answer = match self.answer {
            Answer::Json(_, shapes) => Answer::Json(status, shapes),
            other => other,
        };
        Self { answer, ..self }
    }

    fn query(self, query: &'static [(&'static str, &'static str)]) -> Self {
        Self { query, ..self }
    }

    fn nothing(self) -> Self {
        Self { answer: Answer::Nothing, ..self }
    }

    fn bytes(self, media_types: &'static [&'static str]) -> Self {
        Self { answer: Answer::Bytes(media_types), ..self }
    }
}

/// A message's bytes may be of these.
const BODIES: &[&str] = &[
    "x-application/hl7-v2+er7",
    "application/fhir+json",
    "application/json",
    "text/plain",
    "application/octet-stream",
];
const EXPORTED: &[(&str, &str)] = &[
    ("from", "number of the first record; `Medway-Next` of the part before"),
    ("format", "csv or fhir"),
    ("actor", "only of this actor"),
    ("action", "only this action, or this family when it ends in a dot"),
    ("object", "only on this object"),
    ("since", "RFC 3339"),
    ("until", "RFC 3339"),
];
const DESTINATION: &[(&str, &str)] =
    &[("destination", "channel/destination: what that one is sent; without it, what was received")];
const WATCHED: &[(&str, &str)] = &[
    ("channel", "only this channel"),
    ("kind", "only messages of this kind"),
    ("event", "only messages of this type and event"),
];

/// A route in words and shapes; an empty summary for one that is not described, which a test finds.
pub(super) fn describe(route: &Route) -> Told {
    let path = route.path;
    if path.starts_with("/messages") {
        return messages(route);
    }
    let people = ["/session", "/setup", "/users", "/tokens", "/audit"];
    if people.iter().any(|own| path.starts_with(own)) {
        return people_of(route);
    }
    if path.starts_with("/system") {
        return machine(route);
    }
    engine_of(route)
}

fn messages(route: &Route) -> Told {
    match (route.method, route.path) {
        ("POST", "/messages/search") => call::<MessageSearch, s::Messages>(
            "Finds messages by key, channel and time; newest first",
        ),
        ("GET", "/messages/{id}") => get::<s::Message>("A message with what became of it"),
        ("GET", "/messages/{id}/body") => {
            get::<s::Empty>("The bytes as received; masked text to a masked view").bytes(BODIES)
        }
        ("GET", "/messages/{id}/tree") => {
            let told = get::<Hl7Tree>("A message, or what a destination is sent of it, as a tree");
            let shapes = vec![Shape::of::<Hl7Tree>(), Shape::of::<OtherTree>()];
            Told { answer: Answer::Json(200, shapes), ..told.query(DESTINATION) }
        }
        ("GET", "/messages/{id}/neighbours") => {
            get::<Neighbours>("The messages before and after, by each search key")
        }
        ("GET", "/messages/{id}/explain") => {
            get::<Explanation>("Why each destination was chosen or not")
        }
        ("GET", "/messages/{id}/sent/{channel}/{destination}") => {
            get::<s::Empty>("The bytes one destination is sent").bytes(BODIES)
        }
        ("POST", "/messages/{id}/preview") => {
            call::<PreviewOf, Preview>("What a destination would be sent now")
        }
        ("POST", "/messages/{id}/replay") => {
            call::<Replay, Resent>("Sends a message again, as a new one linked to it")
        }
        _ => get::<s::Empty>(""),
    }
}

fn people_of(route: &Route) -> Told {
    match (route.method, route.path) {
        ("GET", "/session") => get::<s::Session>("Who is signed in, and what they may"),
        ("POST", "/session") => call::<s::SignIn, s::Session>("Signs in"),
        ("GET", "/session/ways") => get::<SignInWays>("How people may sign in here"),
        ("GET", "/session/oidc") => Told {
            answer: Answer::Elsewhere,
            ..get::<s::Empty>("Sends the browser to the hospital's sign-in provider")
        },
        ("GET", "/session/oidc/callback") => Told {
            answer: Answer::Elsewhere,
            query: &[("code", "from the provider"), ("state", "as it was sent there")],
            ..get::<s::Empty>("Takes the browser back from the provider, signed in")
        },
        ("DELETE", "/session") => get::<s::Empty>("Signs out").nothing(),
        ("POST", "/session/password") => {
            call::<s::NewPassword, s::Done>("Another password").nothing()
        }
        ("POST", "/session/second-factor") => {
            call::<s::Factor, s::FactorAnswer>("Draws a second factor, or enrols the one drawn")
        }
        ("POST", "/session/emergency") => {
            call::<s::Emergency, s::EmergencyAnswer>("Takes emergency access")
        }
        ("POST", "/setup") => call::<s::SetUp, s::Session>("Makes the first administrator"),
        ("GET", "/users") => get::<s::Users>("Everybody").query(QUERY),
        ("POST", "/users") => call::<NewUser, s::User>("Adds a user").status(201),
        ("GET", "/users/{name}") => get::<s::User>("One user"),
        ("PUT", "/users/{name}") => {
            call::<ChangeUser, s::User>("Changes a user; their sessions end")
        }
        ("GET", "/tokens") => get::<s::Tokens>("All API tokens").query(QUERY),
        ("POST", "/tokens") => {
            call::<NewToken, s::DrawnToken>("Makes an API token; it is shown this once").status(201)
        }
        ("DELETE", "/tokens/{name}") => get::<s::Empty>("Takes an API token back").nothing(),
        ("POST", "/audit/search") => {
            call::<AuditSearch, s::AuditRecords>("Records of the audit trail, newest first")
        }
        ("GET", "/audit/verify") => {
            get::<s::Verified>("Whether every record is there and as it was written")
        }
        ("GET", "/audit/export") => get::<s::Empty>("The trail as a file")
            .query(EXPORTED)
            .bytes(&["text/csv", "application/fhir+json"]),
        _ => get::<s::Empty>(""),
    }
}

fn machine(route: &Route) -> Told {
    match (route.method, route.path) {
        ("GET", "/system") => get::<SystemView>("The engine as a machine"),
        ("POST", "/system/backup") => {
            call::<Reason, BackupView>("Begins a backup in the data directory").status(202)
        }
        ("POST", "/system/retention") => {
            call::<Reason, Pruned>("Takes away now what is older than it may be")
        }
        ("POST", "/system/certificates") => {
            call::<Reason, Certificates>("Reads the files of all TLS profiles again")
        }
        ("POST", "/system/log-level") => {
            call::<NewLevel, LevelSet>("Another level of the engine's own log lines, for a while")
        }
        ("POST", "/system/stop") => {
            call::<Reason, Stopping>("Ends the engine as SIGTERM does").status(202)
        }
        _ => get::<s::Empty>(""),
    }
}

fn engine_of(route: &Route) -> Told {
    match (route.method, route.path) {
        ("GET", "/openapi.json") => get::<s::Empty>("This document"),
        ("GET", "/status") => get::<s::Status>("The engine as a whole"),
        ("GET", "/metrics/history") => get::<Points>("Counts for each minute, the oldest first")
            .query(&[("minutes", "how far back, 1 to 1440; 60 when not said")]),
        ("GET", "/live") => {
            get::<s::Empty>("What happens now: events `state`, `message`, `skipped`")
                .query(WATCHED)
                .bytes(&["text/event-stream"])
        }
        ("GET", "/live/counts") => {
            get::<s::Empty>("Counts as they change: events `state`").bytes(&["text/event-stream"])
        }
        ("GET", "/channels") => get::<s::Channels>("Every channel in force").query(QUERY),
        ("GET", "/channels/{channel}") => {
            get::<ChannelDetail>("One channel in force").query(LANGUAGE)
        }
        ("GET", "/channels/{channel}/versions/{version}") => {
            get::<VersionText>("The file of a version")
        }
        ("POST", "/channels/{channel}/{act}") => {
            call::<Reason, s::Done>("`stop` closes a channel's source, `start` opens it")
        }
        ("GET", "/destinations") => get::<s::Destinations>("Every destination").query(QUERY),
        ("GET", "/destinations/{channel}/{destination}") => {
            get::<s::DestinationDetail>("One destination with its endpoints and blocked lanes")
        }
        ("POST", "/destinations/{channel}/{destination}/{act}") => {
            call::<Reason, s::Done>("`pause` or `resume`")
        }
        ("POST", "/exceptions/search") => {
            call::<ExceptionSearch, s::Exceptions>("Deliveries that left the straight path")
        }
        ("POST", "/exceptions/groups") => {
            call::<Grouping, Groups>("Dead letters and holds by their cause")
        }
        ("POST", "/deliveries/{channel}/{destination}/{id}/{act}") => {
            call::<Reason, s::Done>("`retry`, `release`, `skip`, `dead-letter` or `cancel`")
        }
        ("GET", "/jobs") => get::<JobList>("The jobs, the newest first"),
        ("POST", "/jobs") => call::<NewJob, Begun>("Begins bulk work").status(202),
        ("GET", "/jobs/{id}") => get::<Job>("One job"),
        ("POST", "/jobs/{id}/abort") => {
            call::<Reason, s::Done>("Stops a job after the act it is at")
        }
        ("GET", "/views") => get::<Views>("One's own saved views and the shared ones"),
        ("POST", "/views") => call::<NewView, View>("Saves a view").status(201),
        ("PUT", "/views/{id}") => call::<NewView, View>("Replaces a view of one's own"),
        ("DELETE", "/views/{id}") => get::<s::Empty>("Takes a view away").nothing(),
        ("POST", "/exceptions/groups/test") => {
            call::<TrialOf, Trial>("What the version in force would make of a group's messages")
        }
        ("GET", "/conservation") => get::<s::ConservationSums>("The sums of every destination"),
        ("GET", "/subscriptions") => get::<s::Subscriptions>(
            "All subscriptions that are not off, and those that the engine turned off in the last 30 days",
        ),
        ("GET", "/subscriptions/{id}") => get::<s::Subscription>("One subscription"),
        ("POST", "/subscriptions/{id}/secret") => {
            call::<NewSecret, s::RotatedSecret>("Another secret signs from now on")
        }
        ("POST", "/subscriptions/{id}/{act}") => {
            call::<Asked, s::Anything>("`pause`, `resume`, `skip`, `recover`, `test` or `resend`")
        }
        ("POST", "/reload") => {
            call::<Why, s::Reloaded>("Puts the channel files of one's groups in force")
        }
        _ => get::<s::Empty>(""),
    }
}
