//! Clients of every kind against a real server on ports of its own.

mod client;
mod greeting;
mod hostile;
mod protocol;
mod quic;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};

use crate::addresses::Addresses;
use crate::limits;
use crate::net::{Doors, listen_tcp, serve_tcp};
use crate::session::testing;
use crate::shutdown::Shutdown;

use client::Client;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with its port open.
struct Site {
    address: SocketAddr,
    doors: Arc<Doors>,
}

impl Site {
    fn open(places: usize, addresses: Arc<Addresses>, change: impl FnOnce(&mut Doors)) -> Site {
        let service = testing::service();
        let users = service.context.users.clone();
        let shutdown = Shutdown::new(Handle::current());
        let mut doors = Doors::with_places(service, users, shutdown, places, addresses);
        change(Arc::get_mut(&mut doors).expect("nobody shares it yet"));
        let listener = listen_tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        doors.shutdown.spawn(serve_tcp(listener, doors.clone()));
        Site { address, doors }
    }

    async fn socket(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A client that is logged in.
    async fn client(&self) -> Client<TcpStream> {
        Client::log_in(self.socket().await).await
    }

    /// The server still answers.
    async fn answers(&self) {
        assert_eq!(self.client().await.ask(r#"[1,[24,[1,1]],{}]"#).await, r#"{"t":1,"r":[2]}"#);
    }
}

/// Runs a test on threads like the server's.
fn on_server<F, T>(test: F)
where
    F: FnOnce(Site) -> T,
    T: Future<Output = ()>,
{
    on_server_with(limits::CONNECTIONS, None, test);
}

/// The same with bounds for all connections and for those of one address.
fn on_server_with<F, T>(places: usize, of_one_address: Option<usize>, test: F)
where
    F: FnOnce(Site) -> T,
    T: Future<Output = ()>,
{
    on_changed_server(places, of_one_address, |_| (), test);
}

/// The same with other changes of what all connections share.
fn on_changed_server<F, T>(
    places: usize,
    of_one_address: Option<usize>,
    change: impl FnOnce(&mut Doors),
    test: F,
) where
    F: FnOnce(Site) -> T,
    T: Future<Output = ()>,
{
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .thread_stack_size(limits::THREAD_STACK_BYTES)
        .build()
        .unwrap();
    runtime.block_on(async {
        let site = Site::open(places, Addresses::new(of_one_address), change);
        tokio::time::timeout(PATIENCE, test(site)).await.expect("the test waits too long");
    });
    runtime.shutdown_background();
}
