//! The two localhosts of a private engine: the host's shows what its containers publish, and its own shows
//! what the host's shows.
//!
//! - **Published ports.** dockerd's proxy, or dockerd in its place, listens in the room on each of them
//!   (moby `libnetwork/portmapper`), and containers on the room's network listen by themselves. For each
//!   of these listeners there is one on the host's loopback, and nowhere else: who is not on the machine
//!   does not get in.
//! - **The host's loopback.** A registry on `localhost:5000` must be that also for the engine, and for
//!   builds and containers with `--network host`. A listener in the room would take a port that a
//!   container may want to publish. So a firewall rule of the room redirects these connections, and only
//!   those to ports that the host listens on and the room does not. Other containers reach the host by the
//!   address that the engine calls `host-gateway`.
//!
//! UDP has no listeners that could be told from who only asks: of it the ports that containers publish are there, as the
//! engine says them, and nothing of the host's.
//!
//! Nothing of this outlives the process: sockets close with it, and the rules are the namespace's.

mod datagrams;
mod diag;
mod listeners;
mod redirect;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use larder_docker::Remote;
use rustix::process::Pid;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use self::diag::Diag;
use self::listeners::{Listening, local, of_proc, published};
use self::redirect::Redirect;
use self::ways::Ways;
use crate::room::InRoom;

/// How often the listeners are looked at. Containers that start or end are heard of at once.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Time for the engine to say what is published.
const ASK_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Carrier {
    Stream,
    Datagram,
}

/// A port of the host.
type Port = (Carrier, SocketAddr);

/// The forwarders of one private engine, until they are dropped.
#[derive(Debug)]
pub struct Forwards {
    looking: JoinHandle<()>,
    /// Connections end when this is dropped.
    _open: watch::Sender<()>,
    warnings: mpsc::UnboundedReceiver<String>,
}

impl Forwards {
    /// Begins to forward, and returns when what listens now is forwarded. `room` is the thread's id,
    /// `address` the room's on the way to the host.
    pub(super) async fn start(
        room: Pid,
        address: Ipv4Addr,
        in_room: InRoom,
        engine: &Remote,
    ) -> Self {
        let (open, closed) = watch::channel(());
        let (warn, warnings) = mpsc::unbounded_channel();
        let ways = Ways::new(in_room, closed);
        let mut watcher = Watcher {
            host: Side::of("self".to_owned(), Diag::open()),
            room: Side::of(
                room.as_raw_nonzero().to_string(),
                ways.run(Diag::open).await,
            ),
            engine: engine.within(ASK_LIMIT),
            datagrams: Listening::new(),
            address,
            ways,
            warn,
            shown: BTreeMap::new(),
            taken: BTreeSet::new(),
            redirect: Redirect::default(),
        };
        watcher.ask().await;
        watcher.look().await;
        Self {
            looking: tokio::spawn(watcher.run(starts_and_ends(engine).await)),
            _open: open,
            warnings,
        }
    }

    /// What could not be forwarded, one sentence each, since the last call.
    pub fn warnings(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.warnings.try_recv().ok()).collect()
    }
}

impl Drop for Forwards {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

/// Something for each container that starts or ends.
async fn starts_and_ends(engine: &Remote) -> BoxStream<'static, ()> {
    match engine.container_events().await {
        Ok(events) => events.map(drop).boxed(),
        Err(error) => {
            tracing::debug!(%error, "the engine's events are not heard");
            stream::empty().boxed()
        }
    }
}

/// One of the two namespaces.
struct Side {
    /// A thread in it, as /proc names it.
    thread: String,
    diag: Option<Diag>,
}

impl Side {
    fn of(thread: String, diag: io::Result<Diag>) -> Self {
        Self {
            thread,
            diag: diag.ok(),
        }
    }

    /// What listens there. Not every kernel has the quick way.
    fn listening(&self) -> io::Result<Listening> {
        let asked = self.diag.as_ref().and_then(|diag| diag.listening().ok());
        asked.map_or_else(|| of_proc(&self.thread), Ok)
    }
}

/// Keeps the forwarders as the listeners are.
struct Watcher {
    host: Side,
    room: Side,
    engine: Remote,
    /// What containers publish of UDP.
    datagrams: Listening,
    address: Ipv4Addr,
    ways: Ways,
    warn: mpsc::UnboundedSender<String>,
    /// Listeners on the host, each with its task.
    shown: BTreeMap<Port, JoinHandle<()>>,
    /// Ports that others have on the host, which was told.
    taken: BTreeSet<(Carrier, u16)>,
    redirect: Redirect,
}

impl Watcher {
    async fn run(mut self, mut news: BoxStream<'static, ()>) {
        loop {
            tokio::select! {
                Some(()) = news.next() => self.ask().await,
                () = sleep(LOOK_INTERVAL) => {}
            }
            self.look().await;
        }
    }

    async fn ask(&mut self) {
        match self.engine.published_datagrams().await {
            Ok(published) => self.datagrams = published,
            Err(error) => tracing::debug!(%error, "the engine does not say what it publishes"),
        }
    }

    async fn look(&mut self) {
        let (host, mut room) = match (self.host.listening(), self.room.listening()) {
            (Ok(host), Ok(room)) => (host, room),
            (host, room) => {
                tracing::debug!(?host, ?room, "listeners cannot be read");
                return;
            }
        };
        room.retain(|address| Some(address.port()) != self.redirect.port());
        self.publish(&room).await;
        let own = self
            .shown
            .keys()
            .filter(|(carrier, _)| *carrier == Carrier::Stream);
        let own = own.map(|(_, on)| *on).collect();
        let places = local(&host, &room, &own);
        if let Err(error) = self.redirect.set(places, &self.ways).await {
            self.tell(format!(
                "the host's localhost is not reached from the private engine: {error}"
            ));
        }
    }

    /// Opens and closes ports on the host.
    async fn publish(&mut self, room: &Listening) {
        let streams = published(room, self.address).into_iter();
        let datagrams = published(&self.datagrams, self.address).into_iter();
        let streams = streams.map(|(on, there)| ((Carrier::Stream, on), there));
        let datagrams = datagrams.map(|(on, there)| ((Carrier::Datagram, on), there));
        let wanted: BTreeMap<Port, SocketAddr> = streams.chain(datagrams).collect();
        self.shown.retain(|on, task| {
            let stays = wanted.contains_key(on);
            if !stays {
                task.abort();
            }
            stays
        });
        self.taken.retain(|(carrier, port)| {
            let mut wanted = wanted.keys();
            wanted.any(|(of, on)| of == carrier && on.port() == *port)
        });
        for ((carrier, on), there) in wanted {
            // IPv4 comes first; who has a port there has the other one as well.
            let is_taken = on.is_ipv6() && self.taken.contains(&(carrier, on.port()));
            if !is_taken && !self.shown.contains_key(&(carrier, on)) {
                self.show((carrier, on), there).await;
            }
        }
    }

    async fn show(&mut self, port: Port, there: SocketAddr) {
        let (carrier, on) = port;
        match self.serve(port, there).await {
            Ok(serving) => {
                self.taken.remove(&(carrier, on.port()));
                self.shown.insert(port, serving);
            }
            Err(error) if on.is_ipv4() && self.taken.insert((carrier, on.port())) => {
                self.tell(not_shown(on, there, &error));
            }
            Err(error) => tracing::trace!(%error, %on, "cannot listen"),
        }
    }

    async fn serve(&self, (carrier, on): Port, there: SocketAddr) -> io::Result<JoinHandle<()>> {
        let ways = self.ways.clone();
        Ok(match carrier {
            Carrier::Stream => {
                let listener = TcpListener::bind(on).await?;
                tokio::spawn(self.ways.clone().serve(listener, move |_| {
                    let ways = ways.clone();
                    async move { ways.connect_in_room(there).await }
                }))
            }
            Carrier::Datagram => {
                let near = UdpSocket::bind(on).await?;
                tokio::spawn(datagrams::serve(ways, near, there))
            }
        })
    }

    fn tell(&self, warning: String) {
        tracing::warn!(%warning, "forwarding");
        // Nobody listens any more only at the end.
        let _ = self.warn.send(warning);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        for task in self.shown.values() {
            task.abort();
        }
    }
}

fn not_shown(on: SocketAddr, there: SocketAddr, error: &io::Error) -> String {
    let cure = if there.ip().is_loopback() {
        "use another port".to_owned()
    } else {
        format!("use {there}, or another port")
    };
    format!(
        "the private engine's port {} is not on the host's localhost: {error}; {cure}",
        on.port()
    )
}
