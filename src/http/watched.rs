//! Looks at a connection from both sides of the HTTP library, and tells its [`Place`] what the connection waits for: at the
//! body of a request while it is read, at the body of the answer until all of it was handed over, and at the socket. Knows
//! bytes that come and go; not what they mean.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::places::{Awaits, Place};

/// A socket that tells how much of its answers a client takes.
#[derive(Debug)]
pub struct WatchedStream<S> {
    stream: S,
    place: Arc<Place>,
}

impl<S> WatchedStream<S> {
    /// The socket of the connection that has this place.
    pub fn new(stream: S, place: Arc<Place>) -> Self {
        Self { stream, place }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        self.place.taken(written.as_ref().copied().unwrap_or(0));
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, parts));
        self.place.taken(written.as_ref().copied().unwrap_or(0));
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called once everything that there was to write has been written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(context));
        self.place.flushed();
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The body of a request. While more of it is awaited, the client has to send it.
#[derive(Debug)]
pub struct RequestBody<B> {
    body: B,
    place: Arc<Place>,
}

impl<B> RequestBody<B> {
    /// The body of a request over the connection that has this place.
    pub fn new(body: B, place: Arc<Place>) -> Self {
        Self { body, place }
    }
}

impl<B: HttpBody + Unpin> HttpBody for RequestBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match polled {
            Poll::Pending => self.place.goes_on(Awaits::Server, Awaits::Request),
            Poll::Ready(_) => self.place.goes_on(Awaits::Request, Awaits::Server),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for RequestBody<B> {
    /// The server goes on without the rest.
    fn drop(&mut self) {
        self.place.goes_on(Awaits::Request, Awaits::Server);
    }
}

/// The body of an answer. Once it has ended, all of it is on its way to the socket.
#[derive(Debug)]
pub struct AnswerBody {
    body: Body,
    place: Arc<Place>,
}

impl AnswerBody {
    /// The body of an answer over the connection that has this place: from now on its client has to take it.
    pub fn new(body: Body, place: Arc<Place>) -> Self {
        place.awaits(Awaits::Answer);
        Self { body, place }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.place.goes_on(Awaits::Answer, Awaits::Rest);
    }
}
