//! `/health/live`, `/health/ready`, `/_metrics`: for those who watch over the server. They tell nothing of the data and
//! ask for no password.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tracing::error;

use super::HttpState;

/// The process answers.
pub async fn live() -> &'static str {
    "live\n"
}

/// It takes queries: from the time its ports are open until it is told to stop, or the storage engine
/// writes no more.
pub async fn ready(State(state): State<HttpState>) -> (StatusCode, &'static str) {
    if state.shutdown.has_begun() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    if state.service.has_stopped_writing() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the storage engine stopped writing\n");
    }
    // A full disk passes, and reads go on meanwhile: whoever sends clients elsewhere at the sight of a failure would take
    // from them what they still have.
    if state.service.is_disk_full() {
        return (StatusCode::OK, "ready for reads; writes are refused: the disk is full\n");
    }
    (StatusCode::OK, "ready\n")
}

/// All numbers, in Prometheus' text form.
pub async fn metrics(State(state): State<HttpState>) -> Response {
    match state.service.metrics.recent_text() {
        Ok(text) => {
            let kind = HeaderValue::from_static("text/plain; version=0.0.4");
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
