//! The HTTP face of `medway listen`: takes webhooks and answers as told.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::cli::listen::{Deed, Sink};

const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Serves one connection.
pub(crate) async fn connection(stream: TcpStream, sink: &Sink) -> std::io::Result<()> {
    let service = service_fn(|request| answer(request, sink));
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an HTTP connection of the sink ended");
    }
    Ok(())
}

async fn answer(
    request: Request<Incoming>,
    sink: &Sink,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let id = request
        .headers()
        .get("webhook-id")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let path = request.uri().path().to_owned();
    let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
        return Ok(response(StatusCode::PAYLOAD_TOO_LARGE, ""));
    };
    let (_, deed) = sink.take(&id, &path, &body.to_bytes());
    if sink.faults.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(sink.faults.delay_ms)).await;
    }
    let refusal =
        StatusCode::from_u16(sink.faults.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match deed {
        Deed::Accept | Deed::WrongId | Deed::Twice => Ok(response(StatusCode::OK, "{}")),
        Deed::Refuse => Ok(response(refusal, "refused on request")),
        Deed::Garbage => Ok(response(StatusCode::OK, "this is no JSON")),
        Deed::Close => Err(std::io::Error::other("closed on request")),
        Deed::Silent => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
    }
}

fn response(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response
}
