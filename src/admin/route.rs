//! Every route of the API: what it needs and what it is called on record. One table: the router is built
//! from it, the guard asks it, the matrix test walks it. A route that is not in it does not exist.

use crate::access::role::{Permission, View};

/// What a route asks of whoever calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: signing in, setting up.
    Nothing,
    /// To be known.
    Anybody,
    /// This permission.
    May(Permission),
}

/// How a call goes on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// Not at all: states and counts, which say nothing of a patient and change nothing.
    Never,
    /// Before the answer is shown: somebody looked at something.
    Shown,
    /// Before the answer is shown, where it quotes what receivers said: that may quote a message.
    Quoted,
    /// Before it is done, with its reason: somebody changes something.
    Done,
    /// By its handler, which knows who it turned out to be.
    Itself,
}

/// One route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The HTTP method.
    pub method: &'static str,
    /// The path below `/api/v1`.
    pub path: &'static str,
    /// What it needs.
    pub needs: Needs,
    /// What it is called on record.
    pub action: &'static str,
    /// How it goes on record.
    pub recorded: Recorded,
}

const fn route(
    method: &'static str,
    path: &'static str,
    needs: Needs,
    action: &'static str,
    recorded: Recorded,
) -> Route {
    Route { method, path, needs, action, recorded }
}

use Needs::{Anybody, May, Nothing};
use Permission as P;
use Recorded::{Done, Itself, Never, Quoted, Shown};

/// Largest request body: searches and reasons are short.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Largest body that carries an edited message, in base64.
const EDITED_BYTES_MAX: usize = 6 << 20;

impl Route {
    /// Largest body it takes, in bytes.
    #[must_use]
    pub fn body_bytes_max(&self) -> usize {
        let edited = self.path.ends_with("/replay") || self.path.ends_with("/preview");
        if edited { EDITED_BYTES_MAX } else { BODY_BYTES_MAX }
    }

    /// The least view level it answers, whatever a caller may do.
    #[must_use]
    pub fn least_view(&self) -> View {
        match self.action {
            "message.search" | "message.see" | "message.neighbours" => View::Metadata,
            "message.tree" | "message.content" | "message.explain" => View::Masked,
            "message.sent" | "message.preview" => View::Full,
            _ => View::Counts,
        }
    }
}

/// All of them.
pub const ROUTES: &[Route] = &[
    route("GET", "/session", Anybody, "session.see", Never),
    route("POST", "/session", Nothing, "session.begin", Itself),
    route("DELETE", "/session", Anybody, "session.end", Done),
    route("GET", "/session/ways", Nothing, "session.ways", Never),
    route("GET", "/session/oidc", Nothing, "session.begin", Itself),
    route("GET", "/session/oidc/callback", Nothing, "session.begin", Itself),
    route("POST", "/session/password", Anybody, "session.password", Done),
    route("POST", "/session/second-factor", Anybody, "session.second_factor", Done),
    route("POST", "/session/emergency", May(P::BreakGlass), "session.emergency", Done),
    route("POST", "/setup", Nothing, "access.set_up", Itself),
    route("GET", "/users", May(P::ManageAccess), "user.list", Shown),
    route("POST", "/users", May(P::ManageAccess), "user.add", Done),
    route("GET", "/users/{name}", May(P::ManageAccess), "user.see", Shown),
    route("PUT", "/users/{name}", May(P::ManageAccess), "user.change", Done),
    route("GET", "/tokens", May(P::ManageAccess), "token.list", Shown),
    route("POST", "/tokens", May(P::ManageAccess), "token.add", Done),
    route("DELETE", "/tokens/{name}", May(P::ManageAccess), "token.revoke", Done),
    route("POST", "/audit/search", May(P::ReadAudit), "audit.read", Shown),
    route("GET", "/audit/verify", May(P::ReadAudit), "audit.verify", Shown),
    route("GET", "/audit/export", May(P::ReadAudit), "audit.export", Shown),
    route("GET", "/openapi.json", Anybody, "api.describe", Never),
    route("GET", "/status", May(P::SeeState), "status.see", Never),
    route("GET", "/channels", May(P::SeeState), "channel.list", Never),
    route("GET", "/destinations", May(P::SeeState), "destination.list", Never),
    route(
        "GET",
        "/destinations/{channel}/{destination}",
        May(P::SeeState),
        "destination.see",
        Never,
    ),
    route(
        "POST",
        "/destinations/{channel}/{destination}/{act}",
        May(P::SwitchDestinations),
        "destination.switch",
        Done,
    ),
    route("POST", "/messages/search", May(P::SeeMessages), "message.search", Shown),
    route("GET", "/messages/{id}", May(P::SeeMessages), "message.see", Shown),
    route("GET", "/messages/{id}/body", May(P::SeeContent), "message.content", Shown),
    route("GET", "/messages/{id}/tree", May(P::SeeMessages), "message.tree", Shown),
    route("GET", "/messages/{id}/neighbours", May(P::SeeMessages), "message.neighbours", Shown),
    route("GET", "/messages/{id}/explain", May(P::SeeMessages), "message.explain", Shown),
    route(
        "GET",
        "/messages/{id}/sent/{channel}/{destination}",
        May(P::SeeContent),
        "message.sent",
        Shown,
    ),
    route("POST", "/messages/{id}/preview", May(P::SeeContent), "message.preview", Shown),
    route("GET", "/system", May(P::SeeState), "system.see", Never),
    route("POST", "/system/backup", May(P::ManageSystem), "system.backup", Done),
    route("POST", "/system/retention", May(P::ManageSystem), "system.retention", Done),
    route("POST", "/system/certificates", May(P::ManageSystem), "system.certificates", Done),
    route("POST", "/system/log-level", May(P::ManageSystem), "system.log_level", Done),
    route("POST", "/system/stop", May(P::ManageSystem), "system.stop", Done),
    route("GET", "/metrics/history", May(P::SeeState), "metrics.see", Never),
    route("GET", "/live", May(P::SeeState), "live.see", Shown),
    route("GET", "/live/counts", May(P::SeeState), "live.counts", Never),
    route("POST", "/messages/{id}/replay", May(P::Resend), "message.resend", Done),
    route("GET", "/channels/{channel}", May(P::SeeState), "channel.see", Never),
    route(
        "GET",
        "/channels/{channel}/versions/{version}",
        May(P::SeeState),
        "channel.version",
        Never,
    ),
    route("POST", "/channels/{channel}/{act}", May(P::SwitchDestinations), "channel.switch", Done),
    route("GET", "/jobs", May(P::SeeState), "job.list", Never),
    route("POST", "/jobs", May(P::ActOnDeliveries), "job.begin", Done),
    route("GET", "/jobs/{id}", May(P::SeeState), "job.see", Never),
    route("POST", "/jobs/{id}/abort", May(P::ActOnDeliveries), "job.abort", Done),
    route("POST", "/exceptions/groups", May(P::SeeState), "exception.groups", Quoted),
    route("POST", "/exceptions/search", May(P::SeeState), "exception.list", Quoted),
    route(
        "POST",
        "/deliveries/{channel}/{destination}/{id}/{act}",
        May(P::ActOnDeliveries),
        "delivery.act",
        Done,
    ),
    route("GET", "/views", Anybody, "view.list", Never),
    route("POST", "/views", Anybody, "view.add", Done),
    route("PUT", "/views/{id}", Anybody, "view.change", Done),
    route("DELETE", "/views/{id}", Anybody, "view.remove", Done),
    route("POST", "/exceptions/groups/test", May(P::SeeMessages), "exception.test", Shown),
    route("GET", "/conservation", May(P::SeeState), "conservation.see", Never),
    route("GET", "/subscriptions", May(P::SeeState), "subscription.list", Never),
    route("GET", "/subscriptions/{id}", May(P::SeeState), "subscription.see", Never),
    route(
        "POST",
        "/subscriptions/{id}/secret",
        May(P::SwitchDestinations),
        "subscription.secret",
        Done,
    ),
    route("POST", "/subscriptions/{id}/{act}", May(P::ActOnDeliveries), "subscription.act", Done),
    route("POST", "/reload", May(P::ApplyConfig), "config.apply", Done),
];

/// The route of a method and a matched path below `/api/v1`.
#[must_use]
pub fn find(method: &str, path: &str) -> Option<&'static Route> {
    // HEAD is answered by what answers GET, and asks for the same right.
    let method = if method == "HEAD" { "GET" } else { method };
    ROUTES.iter().find(|route| route.method == method && route.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_or_changes_something_of_a_patient_goes_on_record() {
        for route in ROUTES {
            let patient =
                route.path.starts_with("/messages") || route.path.starts_with("/deliveries");
            let silent = route.recorded == Never;
            assert!(!(patient && silent), "{} {}", route.method, route.path);
            let asking = ["/search", "/groups", "/groups/test", "/preview"];
            let asks = asking.iter().any(|end| route.path.ends_with(end));
            let changes = route.method != "GET" && !asks;
            assert!(!(changes && silent), "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn only_signing_in_needs_nothing() {
        let open: Vec<_> =
            ROUTES.iter().filter(|route| route.needs == Nothing).map(|route| route.path).collect();
        let signing_in =
            ["/session", "/session/ways", "/session/oidc", "/session/oidc/callback", "/setup"];
        assert_eq!(open, signing_in);
    }
}
