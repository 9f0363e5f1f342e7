//! How the API says no: RFC 9457 problems with stable codes. Texts hold no message content.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::access::role::View;
use crate::store::StoreError;

/// A refused or failed request.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

impl Problem {
    /// 400 with this code.
    #[must_use]
    pub fn bad(code: &'static str, detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, detail: detail.into() }
    }

    /// With this status and code.
    #[must_use]
    pub fn with(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into() }
    }

    /// 401: no token, or a wrong one.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            code: "unauthorized",
            detail:
                "sign in, or send `Authorization: Bearer TOKEN`; the engine's own token stands in \
                     its data directory as admin.token, or where engine.yaml says"
                    .to_owned(),
        }
    }

    /// 401 of a sign-in, with why.
    #[must_use]
    pub fn not_admitted(code: &'static str, detail: &str) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, code, detail: detail.to_owned() }
    }

    /// 403: known, and may not.
    #[must_use]
    pub fn forbidden(permission: &str) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            code: "forbidden",
            detail: format!(
                "this needs the permission `{permission}`, which none of your roles has"
            ),
        }
    }

    /// 403: it needs a higher view level than theirs.
    #[must_use]
    pub fn hidden(has: View, needs: View) -> Self {
        let (has, needs) = (has.name(), needs.name());
        let detail = format!("this needs the view level `{needs}`; yours is `{has}`");
        Self { status: StatusCode::FORBIDDEN, code: "forbidden", detail }
    }

    /// 403: the request does not come from a page of ours.
    #[must_use]
    pub fn forged() -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            code: "forged",
            detail:
                "the request does not carry its session's X-CSRF-Token, or comes from another site"
                    .to_owned(),
        }
    }

    /// 404.
    #[must_use]
    pub fn missing(what: &str) -> Self {
        Self { status: StatusCode::NOT_FOUND, code: "not_found", detail: format!("no such {what}") }
    }

    /// 409: not in a state in which that can be done.
    #[must_use]
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, code, detail: detail.into() }
    }

    /// 412: it is not what its author saw any more.
    #[must_use]
    pub fn changed() -> Self {
        Self {
            status: StatusCode::PRECONDITION_FAILED,
            code: "changed_meanwhile",
            detail: "somebody changed it meanwhile; look at it again and repeat the change"
                .to_owned(),
        }
    }

    /// 422.
    #[must_use]
    pub fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, code, detail: detail.into() }
    }

    /// 503.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code: "unavailable", detail: detail.into() }
    }

    /// 500: a fault of ours.
    #[must_use]
    pub fn fault(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: "fault", detail: detail.into() }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Missing => Self::missing("message in the store (any more)"),
            StoreError::Full
            | StoreError::Overloaded { .. }
            | StoreError::Closed
            | StoreError::Crashed
            | StoreError::Disk(_) => Self::unavailable(error.to_string()),
            StoreError::Unsafe(_) | StoreError::TooBroad { .. } | StoreError::Database(_) => {
                Self::fault(error.to_string())
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": format!("https://medway.example/problems/{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Problem"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/problem+json"),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}
