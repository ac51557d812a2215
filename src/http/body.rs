//! Reads the body of a request: within a bound for one, a bound for all of them together, and a deadline. To be called
//! once the headers have been judged: nothing is read for a client that is refused.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::limits;

/// A body that has been read, and its share of the memory of all bodies.
#[derive(Debug)]
pub struct Received {
    /// The bytes.
    pub bytes: Vec<u8>,
    _share: Share,
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

/// What all bodies take, and those of each address.
#[derive(Debug)]
pub struct Bodies {
    most: usize,
    state: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// What one body takes.
#[derive(Debug)]
struct Share {
    bodies: Arc<Bodies>,
    address: IpAddr,
    bytes: usize,
}

impl Bodies {
    /// They may take so many bytes together.
    pub fn new(most: usize) -> Arc<Bodies> {
        Arc::new(Bodies { most, state: Mutex::default() })
    }

    /// Whether there are none.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        let taken = self.state.lock();
        taken.all == 0 && taken.by_address.is_empty()
    }
}

impl Share {
    /// Takes so many bytes more. An address may have no more than it leaves to others.
    fn grow(&mut self, bytes: usize) -> Result<(), BodyError> {
        let mut taken = self.bodies.state.lock();
        let own = taken.by_address.get(&self.address).copied().unwrap_or_default() + bytes;
        let all = taken.all + bytes;
        if own > self.bodies.most.saturating_sub(all) {
            return Err(BodyError::Busy);
        }
        taken.all = all;
        taken.by_address.insert(self.address, own);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.bodies.state.lock();
        taken.all -= self.bytes;
        if let Some(own) = taken.by_address.get_mut(&self.address) {
            *own -= self.bytes;
            if *own == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

/// Reads a body from an address. Its share grows as it arrives, so a client that announces much and sends nothing takes
/// nothing.
pub async fn receive(
    headers: &HeaderMap,
    body: Body,
    bodies: &Arc<Bodies>,
    address: IpAddr,
) -> Result<Received, BodyError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced
        .and_then(|text| text.parse::<u64>().ok())
        .is_some_and(|length| length > limits::HTTP_BODY_BYTES as u64)
    {
        return Err(BodyError::TooLong);
    }
    let share = Share { bodies: bodies.clone(), address, bytes: 0 };
    timeout(limits::HTTP_BODY_TIME, collect(body, share)).await.unwrap_or(Err(BodyError::Slow))
}

async fn collect(mut body: Body, mut share: Share) -> Result<Received, BodyError> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame.map_err(|_| BodyError::Cut)?.into_data() else { continue };
        if bytes.len() + data.len() > limits::HTTP_BODY_BYTES {
            return Err(BodyError::TooLong);
        }
        share.grow(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(Received { bytes, _share: share })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn receive_from(
        bodies: &Arc<Bodies>,
        last: u8,
        body: &str,
    ) -> Result<Received, BodyError> {
        let address = IpAddr::from([192, 0, 2, last]);
        receive(&HeaderMap::new(), Body::from(body.to_owned()), bodies, address).await
    }

    #[tokio::test]
    async fn an_address_leaves_as_much_room_for_bodies_as_it_takes() {
        let bodies = Bodies::new(16);
        let first = receive_from(&bodies, 1, "12345678").await.unwrap();
        assert_eq!(first.bytes, b"12345678");
        assert_eq!(receive_from(&bodies, 1, "1").await.unwrap_err(), BodyError::Busy);
        let second = receive_from(&bodies, 2, "1234").await.unwrap();
        assert_eq!(receive_from(&bodies, 2, "1").await.unwrap_err(), BodyError::Busy);
        drop(first);
        assert!(receive_from(&bodies, 1, "123456").await.is_ok());
        drop(second);
        assert!(bodies.is_empty());
    }

    #[tokio::test]
    async fn an_announced_length_is_judged_before_anything_is_read() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, "17000000".parse().unwrap());
        let (bodies, address) = (Bodies::new(64), IpAddr::from([192, 0, 2, 1]));
        let refused = receive(&headers, Body::from("1"), &bodies, address).await;
        assert_eq!(refused.unwrap_err(), BodyError::TooLong);
    }
}
