//! The command line's way to a running engine: its admin API, with the token from the data directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::cli::exit::Failure;

/// Which engine to ask. Said before or behind what is done with it.
#[derive(Debug, Clone, Args)]
pub struct EngineArguments {
    /// The engine's configuration, for its data directory and admin address.
    #[arg(long, env = "MEDWAY_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// The engine's data directory, where its admin token stands.
    #[arg(long, env = "MEDWAY_DATA", global = true)]
    data: Option<PathBuf>,
    /// The engine's admin address, or its URL (`https://host:port`).
    #[arg(long, env = "MEDWAY_ADMIN", global = true)]
    admin: Option<String>,
    /// The token itself, instead of the file in the data directory.
    #[arg(long, env = "MEDWAY_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
}

/// A connection to a running engine.
#[derive(Debug)]
pub(crate) struct Api {
    base: String,
    token: String,
    client: reqwest::Client,
}

impl Api {
    /// Finds address and token.
    pub(crate) fn new(arguments: &EngineArguments) -> Result<Self, Failure> {
        let engine =
            crate::cli::config::engine(arguments.config.as_deref(), arguments.data.as_deref())?;
        let admin = arguments.admin.clone().unwrap_or_else(|| engine.admin.listen.to_string());
        let token = match &arguments.token {
            Some(token) => token.clone(),
            None => token_of(&engine.data)?,
        };
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()
            .map_err(|error| Failure::fault(&format!("no HTTP client: {error}")))?;
        let scheme = if engine.admin.tls.is_some() { "https" } else { "http" };
        let base = if admin.contains("://") { admin } else { format!("{scheme}://{admin}") };
        Ok(Self { base: format!("{base}/api/v1"), token, client })
    }

    /// GET of `path`, as JSON.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        let text = self.call(Method::GET, path, None).await?;
        parsed(&text)
    }

    /// GET of `path`, as bytes.
    pub(crate) async fn bytes(&self, path: &str) -> Result<Vec<u8>, Failure> {
        self.call(Method::GET, path, None).await
    }

    /// POST of `body` to `path`, as JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let text = self.call(Method::POST, path, Some(body)).await?;
        parsed(&text)
    }

    /// PUT of `body` to `path`, as JSON.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let text = self.call(Method::PUT, path, Some(body)).await?;
        parsed(&text)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Vec<u8>, Failure> {
        let bytes = self.answer(method, path, body, None).await?.bytes().await;
        bytes.map(|bytes| bytes.to_vec()).map_err(|error| {
            Failure::unavailable(&format!("the answer broke off: {}", error.without_url()))
        })
    }

    /// A successful answer, whose body is still to be read; with a wait of its own.
    pub(crate) async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        wait: Option<Duration>,
    ) -> Result<reqwest::Response, Failure> {
        let mut request =
            self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(wait) = wait {
            request = request.timeout(wait);
        }
        if let Some(body) = body {
            request = request
                .header(reqwest::header::CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        let response = request.send().await.map_err(|error| {
            Failure::unavailable(&format!(
                "no engine answers at {}: {}; is `medway serve` running, and is --admin right?",
                self.base,
                error.without_url()
            ))
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = response.bytes().await.map_err(|error| {
            Failure::unavailable(&format!("the answer broke off: {}", error.without_url()))
        })?;
        let detail = serde_json::from_slice::<Value>(&bytes)
            .ok()
            .and_then(|problem| problem.get("detail").and_then(Value::as_str).map(str::to_owned))
            .unwrap_or_else(|| status.to_string());
        Err(if status == StatusCode::SERVICE_UNAVAILABLE {
            Failure::unavailable(&detail)
        } else {
            Failure::negative(&detail)
        })
    }
}

/// A text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn token_of(data: &Path) -> Result<String, Failure> {
    let file = data.join("admin.token");
    fs::read_to_string(&file).map(|text| text.trim().to_owned()).map_err(|error| {
        Failure::usage(&format!(
            "{}: {error}; name the engine's data directory with --data, or give --token",
            file.display()
        ))
    })
}

fn parsed(bytes: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::fault(&format!("the engine's answer is no JSON: {error}")))
}

/// A text field of a JSON object; empty when it has none.
pub(crate) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A number field of a JSON object; 0 when it has none.
pub(crate) fn number(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or_default()
}

/// A list field of a JSON object; empty when it has none.
pub(crate) fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
