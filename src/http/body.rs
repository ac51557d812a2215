//! Reads the body of a request: within a bound for one, a bound for all of them together, and a deadline. To be called
//! once the headers have been judged: nothing is read for a client that is refused.

use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::limits;

/// A body that has been read, and its share of the memory of all bodies.
#[derive(Debug)]
pub struct Received<'a> {
    /// The bytes.
    pub bytes: Vec<u8>,
    _share: Option<SemaphorePermit<'a>>,
}

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is, or says that it is, longer than one may be.
    #[error("The body is longer than {} bytes.", limits::HTTP_BODY_BYTES)]
    TooLong,
    /// All bodies together would take too much.
    #[error("The server is reading as many requests as it has memory for. Try again.")]
    Busy,
    /// It did not arrive in time.
    #[error("The body took longer than {} s to arrive.", limits::HTTP_BODY_TIME.as_secs())]
    Slow,
    /// The connection failed.
    #[error("The body ended early.")]
    Cut,
}

impl BodyError {
    /// The status that tells of it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Cut => StatusCode::BAD_REQUEST,
        }
    }
}

/// The bytes that all bodies may take together.
pub fn budget() -> Semaphore {
    Semaphore::new(limits::HTTP_BODIES_BYTES)
}

/// Reads a body. Its share of the budget grows as it arrives, so a client that announces much and sends nothing takes
/// nothing.
pub async fn receive<'a>(
    headers: &HeaderMap,
    body: Body,
    budget: &'a Semaphore,
) -> Result<Received<'a>, BodyError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced
        .and_then(|text| text.parse::<u64>().ok())
        .is_some_and(|length| length > limits::HTTP_BODY_BYTES as u64)
    {
        return Err(BodyError::TooLong);
    }
    timeout(limits::HTTP_BODY_TIME, collect(body, budget)).await.unwrap_or(Err(BodyError::Slow))
}

async fn collect(mut body: Body, budget: &Semaphore) -> Result<Received<'_>, BodyError> {
    let mut bytes = Vec::new();
    let mut share: Option<SemaphorePermit<'_>> = None;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame.map_err(|_| BodyError::Cut)?.into_data() else { continue };
        if bytes.len() + data.len() > limits::HTTP_BODY_BYTES {
            return Err(BodyError::TooLong);
        }
        let length = u32::try_from(data.len()).map_err(|_| BodyError::TooLong)?;
        let more = budget.try_acquire_many(length).map_err(|_| BodyError::Busy)?;
        match &mut share {
            Some(share) => share.merge(more),
            None => share = Some(more),
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Received { bytes, _share: share })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bodies_share_a_budget_and_give_it_back() {
        let budget = Semaphore::new(10);
        let headers = HeaderMap::new();
        let first = receive(&headers, Body::from("123456"), &budget).await.unwrap();
        assert_eq!(first.bytes, b"123456");
        let second = receive(&headers, Body::from("12345"), &budget).await;
        assert_eq!(second.unwrap_err(), BodyError::Busy);
        drop(first);
        assert!(receive(&headers, Body::from("12345"), &budget).await.is_ok());
        assert_eq!(budget.available_permits(), 10);
    }

    #[tokio::test]
    async fn an_announced_length_is_judged_before_anything_is_read() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, "17000000".parse().unwrap());
        let budget = budget();
        let refused = receive(&headers, Body::from("1"), &budget).await;
        assert_eq!(refused.unwrap_err(), BodyError::TooLong);
    }
}
