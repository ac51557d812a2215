//! The one loop that serves a client, whatever carries its bytes.
//!
//! Everything that has arrived is evaluated in a row, and the answers leave in one write: on the way of a light query
//! there is no other task, no channel and no allocation of the loop's own. While a client has unread answers beyond a
//! bound, it is not read from either; when all clients together have too many, those that take nothing are closed. A client
//! that has always more to say gives the thread to others after a while. Knows frames and sessions, not what queries say.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use photondb_protocol::frame::{FrameCodec, Received, write_response};
use photondb_protocol::handshake::{Client, Handshake, HandshakeError, NONCE_SIZE, Progress};
use photondb_protocol::numbers::{ErrorType, ResponseType};
use photondb_protocol::response::{write_error, write_query_too_large};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::codec::Decoder;
use tokio_util::io::poll_read_buf;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::debug;

use crate::limits;
use crate::metrics::{Closed, Transport};
use crate::session::{Client as Asker, Session, whose};
use crate::shutdown::{Step, Watch};
use crate::unread::{Share, Unread};

use super::arriving::{Evicted, Place, Sender};
use super::doors::Doors;

/// Why a connection ended, other than by the client's wish or the server's end.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The transport failed.
    #[error("transport: {0}")]
    Transport(#[from] io::Error),
    /// The client was not let in.
    #[error("handshake: {0}")]
    Handshake(#[from] HandshakeError),
    /// It took too long to say who it is.
    #[error("the handshake took longer than {} s", limits::HANDSHAKE_SECONDS)]
    Slow,
    /// The server failed to find out whether the password is right.
    #[error("the password could not be checked")]
    NotChecked,
    /// No random bytes for the handshake.
    #[error("the system gives no random bytes")]
    NoRandom,
}

/// Serves one client until it leaves, fails or the server stops. Says when it is known who it is.
pub async fn run<S>(
    mut stream: S,
    doors: &Arc<Doors>,
    transport: Transport,
    peer: SocketAddr,
    logged_in: impl FnOnce(),
) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let _counted = doors.service.metrics.connected(transport);
    let mut input = BytesMut::with_capacity(limits::READ_BYTES);
    let client = tokio::select! {
        client = timeout(doors.login_time, shake_hands(&mut stream, &mut input, doors)) => {
            client.map_err(|_| ConnectionError::Slow)?
        }
        () = doors.shutdown.begun() => return Ok(()),
    };
    let client = match client {
        Ok(Some(client)) => client,
        Ok(None) => return Ok(()),
        Err(error) => {
            linger(stream).await;
            return Err(error);
        }
    };
    logged_in();
    let asker = Asker { address: peer, user: Arc::from(client.user.as_str()) };
    debug!(user = client.user, version = ?client.version, ?transport, "client connected");
    let mut connection = Connection {
        stream,
        input,
        codec: FrameCodec::default(),
        output: Vec::new(),
        sent: 0,
        unread: doors.service.unread.clone(),
        share: None,
        frames: doors.frames.of(whose(&asker)),
        place: None,
        session: Session::new(doors.service.clone(), client.version, asker),
        shutdown: doors.shutdown.watch(),
        state: State::Serving,
        turn: Turn::default(),
        is_cut: false,
        closed: None,
    };
    let served = connection.serve().await;
    if let Some(why) = connection.closed {
        doors.tell_of_closed(peer, why);
    }
    served?;
    let Connection { stream, state, output, sent, session, .. } = connection;
    // What it holds is not to wait for its client.
    drop(session);
    match state {
        State::Serving | State::Stopping | State::Gone => {}
        State::Closing => linger(stream).await,
        State::Lost => say_and_linger(stream, output.get(sent..).unwrap_or_default()).await,
    }
    Ok(())
}

/// Plays the handshake, each message in a write of its own; none when the client left before its end.
async fn shake_hands<S>(
    stream: &mut S,
    input: &mut BytesMut,
    doors: &Arc<Doors>,
) -> Result<Option<Client>, ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let nonce = doors.nonce().ok_or(ConnectionError::NoRandom)?;
    let mut handshake = Handshake::new(doors.server_version.as_str(), nonce);
    let mut output = Vec::new();
    loop {
        let progress = if handshake.is_costly(input, doors.users.as_ref()) {
            feed_apart(&mut handshake, input, doors, &mut output).await?
        } else {
            handshake.feed(input, doors.users.as_ref(), &mut output)
        };
        if !output.is_empty() {
            stream.write_all(&output).await?;
            stream.flush().await?;
            output.clear();
        }
        match progress {
            Progress::NeedMore => {
                if stream.read_buf(input).await? == 0 {
                    return Ok(None);
                }
            }
            Progress::Answered => {}
            Progress::Ready(client) => return Ok(Some(client)),
            Progress::Refused(error) => return Err(error.into()),
        }
    }
}

/// Feeds a handshake on a thread where nobody else waits. A bounded number of them is fed so at a time.
async fn feed_apart(
    handshake: &mut Handshake,
    input: &mut BytesMut,
    doors: &Arc<Doors>,
    output: &mut Vec<u8>,
) -> Result<Progress, ConnectionError> {
    let check = doors.password_checks.clone().acquire_owned().await;
    let check = check.map_err(|_| ConnectionError::NotChecked)?;
    let (nothing, users) = (Handshake::new("", [0; NONCE_SIZE]), doors.users.clone());
    let mut fed = (std::mem::replace(handshake, nothing), std::mem::take(input), Vec::new());
    let feeding = tokio::task::spawn_blocking(move || {
        // The client may be gone before this has ended; its share of the threads is not.
        let _check = check;
        let (handshake, input, output) = &mut fed;
        let progress = handshake.feed(input, users.as_ref(), output);
        (progress, fed)
    });
    let (progress, (fed, left, said)) = feeding.await.map_err(|_| ConnectionError::NotChecked)?;
    (*handshake, *input) = (fed, left);
    output.extend_from_slice(&said);
    Ok(progress)
}

/// Closes our direction and reads on for a while: a socket that is closed with input unread resets the connection,
/// and the client would not get to read why.
pub(super) async fn linger<S>(mut stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let drain = async {
        stream.shutdown().await?;
        let mut left = limits::LINGER_BYTES;
        let mut thrown_away = BytesMut::with_capacity(limits::READ_BYTES);
        while left > 0 {
            let read = stream.read_buf(&mut thrown_away).await?;
            if read == 0 {
                break;
            }
            thrown_away.clear();
            left = left.saturating_sub(read);
        }
        io::Result::Ok(())
    };
    let drained = timeout(Duration::from_secs(limits::LINGER_SECONDS), drain).await;
    if !matches!(drained, Ok(Ok(()))) {
        debug!("a client that was refused did not leave by itself");
    }
}

/// Says the last that there is to say, if the client takes it soon.
async fn say_and_linger<S>(mut stream: S, said: &[u8])
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let say = async {
        stream.write_all(said).await?;
        stream.flush().await
    };
    let most = Duration::from_secs(limits::LINGER_SECONDS);
    if matches!(timeout(most, say).await, Ok(Ok(()))) {
        linger(stream).await;
    }
}

struct Connection<S> {
    stream: S,
    input: BytesMut,
    codec: FrameCodec,
    output: Vec<u8>,
    /// How much of the output has been written.
    sent: usize,
    /// What waits for all clients.
    unread: Arc<Unread>,
    /// What waits for this one, while the transport does not take it.
    share: Option<Waiting>,
    /// What arrives from it, among what does from all clients.
    frames: Sender,
    /// That of the frame under way, when it is a large one.
    place: Option<Place>,
    session: Session,
    shutdown: Watch,
    state: State,
    /// How long the thread has been busy with this client.
    turn: Turn,
    /// The turn ended with frames left.
    is_cut: bool,
    /// Why the server ends it by itself, if it does.
    closed: Option<Closed>,
}

/// What was done for one client since it last waited for something. The clock is looked at now and then: a client that asks
/// one query after another costs nothing.
#[derive(Default)]
struct Turn {
    steps: u32,
    since: Option<Instant>,
}

impl Turn {
    /// Whether it is over, after another frame or round.
    fn is_over(&mut self) -> bool {
        self.steps += 1;
        if !self.steps.is_multiple_of(limits::CONNECTION_TURN_STEPS) {
            return false;
        }
        self.since.get_or_insert_with(Instant::now).elapsed() >= limits::CONNECTION_TURN
    }
}

/// A share of what waits for all clients, and whether this client has to go for it.
struct Waiting {
    share: Share,
    evicted: Pin<Box<WaitForCancellationFutureOwned>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Frames are read and answered.
    Serving,
    /// What is under way is answered, nothing more is read.
    Stopping,
    /// After an error that ends the connection: the output is sent, nothing else.
    Closing,
    /// As that, of one that held what others need: nothing of it is kept until its client has taken the output.
    Lost,
    /// The client is gone.
    Gone,
}

impl State {
    /// Whether answers are still collected.
    fn answers(self) -> bool {
        matches!(self, State::Serving | State::Stopping)
    }
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    async fn serve(&mut self) -> io::Result<()> {
        loop {
            self.evaluate();
            let is_cut = self.is_cut || self.turn.is_over();
            poll_fn(|context| {
                let progress = self.poll_progress(context);
                if progress.is_pending() && is_cut {
                    return Poll::Ready(Ok(()));
                }
                if progress.is_pending() {
                    self.turn = Turn::default();
                }
                progress
            })
            .await?;
            if self.is_over() {
                return Ok(());
            }
            if is_cut {
                self.turn = Turn::default();
                tokio::task::yield_now().await;
            }
        }
    }

    /// Evaluates the frames that have arrived, as long as the client reads its answers and has its turn.
    fn evaluate(&mut self) {
        self.is_cut = false;
        while self.takes_frames() {
            if self.turn.is_over() {
                self.is_cut = true;
                break;
            }
            match self.codec.decode(&mut self.input) {
                Ok(Some(Received::Query { token, body })) => {
                    if body.len() <= limits::INLINE_BODY_BYTES {
                        self.session.receive(token, &body, &mut self.output);
                        drop(body);
                        drop(self.leave_place());
                    } else {
                        let place = self.leave_place();
                        if let Some(place) = &place {
                            self.frames.has_arrived(place);
                        }
                        let place = Box::new(place);
                        self.session.receive_long(token, body, place, &mut self.output);
                    }
                }
                Ok(Some(Received::TooLarge { token, size })) => {
                    write_response(&mut self.output, token, |output| {
                        write_query_too_large(output, size);
                    });
                    self.state = State::Closing;
                }
                Ok(None) => break,
                Err(error) => {
                    debug!(%error, "a client sent no frames");
                    self.state = State::Closing;
                }
            }
        }
        self.session.flush_counts();
    }

    /// A large frame has arrived, or will not be read. Its place is kept as long as its memory is.
    fn leave_place(&mut self) -> Option<Place> {
        let place = self.place.take()?;
        // What follows it has its own memory from now on: otherwise it would keep that of the frame.
        self.input = BytesMut::from(&*self.input);
        Some(place)
    }

    /// Whether more of the frame under way may be read. A large one waits until all of it has a place; one that had to go
    /// while others waited is given up, and its client told.
    fn poll_place(&mut self, context: &Context<'_>) -> Poll<()> {
        let Some((token, bytes)) = self.codec.arriving(&self.input) else { return Poll::Ready(()) };
        if bytes <= limits::LARGE_FRAME_BYTES {
            return Poll::Ready(());
        }
        let place = self.place.get_or_insert_with(|| self.frames.enter(token, bytes));
        match place.poll(context, self.input.len()) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => self.input.reserve(bytes.saturating_sub(self.input.len())),
            Poll::Ready(Err(Evicted)) => {
                self.lose(token, State::Closing);
            }
        }
        Poll::Ready(())
    }

    /// Ends the connection, since a frame of it has lost its place.
    fn lose(&mut self, token: u64, state: State) {
        (self.closed, self.state) = (Some(Closed::Stalled), state);
        self.input.clear();
        drop(self.leave_place());
        let message = "The query took too long to arrive while others needed the memory.";
        let error_type = Some(ErrorType::ResourceLimit);
        write_response(&mut self.output, token, |output| {
            write_error(output, ResponseType::RuntimeError, error_type, message, &[]);
        });
    }

    fn is_over(&self) -> bool {
        match self.state {
            State::Serving => false,
            State::Stopping => self.session.is_idle() && self.unsent() == 0,
            State::Closing => self.unsent() == 0,
            State::Lost | State::Gone => true,
        }
    }

    fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    fn takes_frames(&self) -> bool {
        self.state == State::Serving && self.may_answer() && self.session.has_room()
    }

    /// Backpressure: while the client has too many unread answers, or any while others have so many that memory is short,
    /// nothing more is evaluated for it.
    fn may_answer(&self) -> bool {
        match self.unsent() {
            0 => true,
            unsent => unsent < limits::UNSENT_BYTES && !self.unread.is_crowded(),
        }
    }

    /// Writes, reads and collects answers as far as possible. Ready when there is something to evaluate, or nothing
    /// left to do.
    fn poll_progress(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let was_held = !self.takes_frames();
        let progressed = self.poll_write(context)?;
        self.charge_unread(context, progressed);
        if self.state.answers()
            && let Poll::Ready(token) = self.frames.poll_lost(context)
        {
            self.lose(token, State::Lost);
        }
        let mut progress = self.is_over();
        if self.session.expects_answers() && self.state.answers() {
            let may_begin = self.may_answer();
            let polled = self.session.poll_answers(context, may_begin, &mut self.output);
            progress |= polled.is_ready();
        }
        // Frames that were held back may be taken now.
        progress |= was_held && self.takes_frames() && !self.input.is_empty();
        if !progress {
            progress = self.poll_read(context)?;
        }
        if !progress && let Poll::Ready(step) = self.shutdown.poll(context) {
            match step {
                Step::Begun if self.state == State::Serving => self.state = State::Stopping,
                Step::Begun => {}
                Step::Hurried => self.session.cancel_all(),
            }
            progress = true;
        }
        if progress { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Charges what the transport did not take, for as long as it waits; whoever holds up the server for it is gone.
    fn charge_unread(&mut self, context: &mut Context<'_>, progressed: bool) {
        if self.unsent() == 0 {
            self.share = None;
            return;
        }
        let bytes = self.output.capacity();
        let waiting = self.share.get_or_insert_with(|| {
            let token = CancellationToken::new();
            let evicted = Box::pin(token.clone().cancelled_owned());
            let share = self.unread.enter(bytes, Box::new(move || token.cancel()));
            Waiting { share, evicted }
        });
        waiting.share.update(bytes, progressed);
        if waiting.evicted.as_mut().poll(context).is_ready() {
            self.closed = Some(Closed::Unread);
            self.state = State::Gone;
        }
    }

    /// Writes what there is; gives whether any of it was taken.
    fn poll_write(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let before = self.sent;
        while let Some(unsent) = self.output.get(self.sent..).filter(|unsent| !unsent.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(context, unsent) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => self.sent += written,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(self.sent > before),
            }
        }
        let progressed = self.sent > before;
        if self.sent > 0 {
            self.sent = 0;
            self.output.clear();
            self.output.shrink_to(limits::KEPT_OUTPUT_BYTES);
        }
        Ok(progressed)
    }

    /// Reads what has arrived, once; gives whether there was anything. While frames are held back it only looks
    /// whether the client is still there.
    fn poll_read(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let may_read = match self.state {
            State::Serving => {
                let takes_frames = self.takes_frames() && !self.is_cut;
                takes_frames || self.input.len() < limits::HELD_INPUT_BYTES
            }
            State::Stopping | State::Closing | State::Lost | State::Gone => false,
        };
        // One that is not read from may lose the place of its frame all the same.
        let is_placed = self.place.is_some() && self.state == State::Serving;
        if (may_read || is_placed) && self.poll_place(context).is_pending() {
            return Ok(false);
        }
        if self.state == State::Closing && (may_read || is_placed) {
            return Ok(true);
        }
        if !may_read {
            return Ok(false);
        }
        if self.place.is_none() {
            self.input.reserve(limits::READ_BYTES);
        }
        match poll_read_buf(Pin::new(&mut self.stream), context, &mut self.input) {
            Poll::Ready(Ok(0)) => {
                self.state = State::Gone;
                Ok(true)
            }
            Poll::Ready(Ok(_)) => Ok(self.takes_frames()),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(false),
        }
    }
}
