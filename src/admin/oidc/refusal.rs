//! Why a sign-in by the provider did not come about, as a page: a browser that comes from elsewhere shows
//! what it is answered. Says what the person can do; nothing of other people, of tokens or of the provider.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No provider is configured.
    Unset,
    /// The provider does not answer.
    Away,
    /// This browser did not begin it, or too long ago, or it counted already.
    Strange,
    /// The provider did not let them in.
    Declined,
    /// What the provider said could not be believed.
    Unaccepted,
    /// The provider gives no name for the person.
    Nameless,
    /// No value of the person's claim is mapped to a role.
    Roleless,
    /// Nobody added the person here.
    Unadded,
    /// The name belongs to somebody who signs in by password, or to another person at the provider.
    Taken,
    /// The name cannot be one here.
    Unfit,
    /// The account is disabled or locked.
    Disabled,
    /// The store cannot be asked.
    Fault,
}

impl Refusal {
    /// The word on record and on the page.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Unset => "no_provider",
            Self::Away => "provider_unavailable",
            Self::Strange => "not_begun_here",
            Self::Declined => "declined",
            Self::Unaccepted => "not_accepted",
            Self::Nameless => "no_name",
            Self::Roleless => "no_role",
            Self::Unadded => "not_added",
            Self::Taken => "name_taken",
            Self::Unfit => "bad_name",
            Self::Disabled => "disabled",
            Self::Fault => "unavailable",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Unset => StatusCode::NOT_FOUND,
            Self::Away | Self::Fault => StatusCode::SERVICE_UNAVAILABLE,
            Self::Strange | Self::Declined | Self::Unaccepted => StatusCode::UNAUTHORIZED,
            Self::Nameless
            | Self::Roleless
            | Self::Unadded
            | Self::Taken
            | Self::Unfit
            | Self::Disabled => StatusCode::FORBIDDEN,
        }
    }

    /// In English and in Chinese.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Unset => (
                "This engine has no sign-in provider. Sign in by password.",
                "本引擎未配置统一登录。请用密码登录。",
            ),
            Self::Away => (
                "The sign-in provider does not answer. Try again in a minute, or sign in by password.",
                "统一登录服务没有响应。请稍后重试，或用密码登录。",
            ),
            Self::Strange => (
                "This sign-in was not begun in this browser, took more than ten minutes, or was used already. Begin again.",
                "此次登录不是从本浏览器发起、已超过十分钟或已使用过。请重新开始。",
            ),
            Self::Declined => (
                "The sign-in provider did not let you in, or you left its page. Begin again.",
                "统一登录服务未予放行，或您已离开其页面。请重新开始。",
            ),
            Self::Unaccepted => (
                "The sign-in provider's answer was not accepted. Begin again; if it stays so, tell your administrator: the engine's log says why.",
                "统一登录服务的应答未被接受。请重新开始；若仍如此，请告知管理员：引擎日志中有原因。",
            ),
            Self::Nameless => (
                "The sign-in provider does not tell this engine your user name. Tell your administrator.",
                "统一登录服务未提供您的用户名。请告知管理员。",
            ),
            Self::Roleless => (
                "You are known, but no group of yours has a role here. Ask your administrator for one.",
                "已确认您的身份，但您所属的组在此没有角色。请向管理员申请。",
            ),
            Self::Unadded => (
                "You are known, but nobody added you here. Ask your administrator to.",
                "已确认您的身份，但您尚未被添加为用户。请联系管理员。",
            ),
            Self::Taken => (
                "Your user name belongs to another account here. Ask your administrator.",
                "您的用户名在此属于另一个账户。请联系管理员。",
            ),
            Self::Unfit => (
                "Your user name has signs that cannot be used here. Ask your administrator.",
                "您的用户名含有此处不能使用的字符。请联系管理员。",
            ),
            Self::Disabled => (
                "Your account here is disabled. Ask your administrator.",
                "您在此处的账户已停用。请联系管理员。",
            ),
            Self::Fault => (
                "The engine cannot sign anybody in now: its disk or its access store cannot be used. Tell your administrator.",
                "引擎目前无法登录：磁盘或用户存储不可用。请告知管理员。",
            ),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (english, chinese) = self.words();
        let page = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Medway: not signed in</title><main><h1>Not signed in · 未登录</h1><p>{english}</p><p lang=\"zh\">{chinese}</p><p><code>{}</code></p><p><a href=\"/\">Medway</a></p></main></html>",
            self.code()
        );
        let mut response = (self.status(), page).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
