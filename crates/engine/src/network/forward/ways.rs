//! How forwarded connections are made. A socket belongs to the network namespace in which it was made,
//! whoever uses it: only the making of one is a job for the room.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::room::{InRoom, run_in};

/// A rest after a connection that could not be accepted, as when too many files are open.
const REST: Duration = Duration::from_millis(50);

/// The two sides, and the end.
#[derive(Clone)]
pub(super) struct Ways {
    in_room: InRoom,
    /// Changes never; its other side is dropped at the end.
    closed: watch::Receiver<()>,
}

impl Ways {
    pub(super) fn new(in_room: InRoom, closed: watch::Receiver<()>) -> Self {
        Self { in_room, closed }
    }

    /// Runs a job in the room, beside the tasks of this thread.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        run_in(&self.in_room, job).await
    }

    /// A listener on the room's loopback, with a free port.
    pub(super) async fn listen_in_room(&self) -> io::Result<TcpListener> {
        let bound = self.run(|| {
            let bound = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            bound.set_nonblocking(true)?;
            Ok(bound)
        });
        TcpListener::from_std(bound.await?)
    }

    /// A connection out of the room.
    pub(super) async fn connect_in_room(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let family = match address.ip() {
            IpAddr::V4(_) => AddressFamily::INET,
            IpAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let made = self.run(move || Ok(socket_with(family, SocketType::STREAM, flags, None)?));
        let socket = TcpSocket::from_std_stream(made.await?.into());
        socket.connect(address).await
    }

    /// Connects who comes to a listener with the other side, which `reach` makes, until the task is ended.
    pub(super) async fn serve<F>(self, listener: TcpListener, reach: impl Fn(&TcpStream) -> F)
    where
        F: Future<Output = io::Result<TcpStream>> + Send + 'static,
    {
        loop {
            let Ok((near, _)) = listener.accept().await else {
                sleep(REST).await;
                continue;
            };
            tokio::spawn(self.clone().join(reach(&near), near));
        }
    }

    /// Passes bytes on between two ends until both have said all, or until the session ends.
    async fn join(
        mut self,
        reached: impl Future<Output = io::Result<TcpStream>>,
        mut near: TcpStream,
    ) {
        let passed = async {
            let mut far = reached.await?;
            copy_bidirectional(&mut near, &mut far).await
        };
        tokio::select! {
            passed = passed => tracing::trace!(?passed, "a forwarded connection"),
            _ = self.closed.changed() => {}
        }
    }
}
