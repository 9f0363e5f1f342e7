//! The dashboard's files, which are part of the binary.

use axum::extract::Request;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

/// What `make web` built. Empty when it was not built: then a page says how to.
#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Files;

/// Scripts, styles and calls from here alone; nothing inline, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What is shown when the dashboard is not in this binary.
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Medway</title>\
    <h1>Medway runs</h1><p>This binary was built without the dashboard. <code>make web</code> builds it \
    (it needs Node.js); then build the engine again.</p><p>本程序未包含管理界面。请先运行 <code>make web</code>（需要 Node.js），\
    再重新编译引擎。</p></html>";

/// A file of the dashboard; any other path is a page of it.
pub(crate) async fn page(request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let path = request.uri().path().trim_start_matches('/');
    let packs = request.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let packed = packs.is_some_and(|text| text.contains("gzip"));
    let file = if path.is_empty() { None } else { found(path, packed) };
    if let Some(file) = file {
        // Names under assets/ hold a hash of their content.
        let cache = if path.starts_with("assets/") {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        return answer(path, file, cache);
    }
    if path.contains('.') {
        return StatusCode::NOT_FOUND.into_response();
    }
    match found("index.html", packed) {
        Some(file) => answer("index.html", file, "no-store"),
        None => ([(CONTENT_TYPE, "text/html; charset=utf-8")], NOT_BUILT).into_response(),
    }
}

fn found(path: &str, packed: bool) -> Option<(EmbeddedFile, bool)> {
    let gz = packed.then(|| Files::get(&format!("{path}.gz"))).flatten();
    gz.map(|file| (file, true)).or_else(|| Files::get(path).map(|file| (file, false)))
}

fn answer(path: &str, (file, packed): (EmbeddedFile, bool), cache: &'static str) -> Response {
    let media_type = match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    };
    let headers = [(CONTENT_TYPE, media_type), (CACHE_CONTROL, cache), (VARY, "accept-encoding")];
    let mut response = (headers, file.data.into_owned()).into_response();
    if packed {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Headers of every answer of the admin surface.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let fixed: [(HeaderName, &str); 4] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
