//! The engine's part of the host's network.
//!
//! An engine in the machine's place works in the host's network namespace; [`HostNetwork`] takes back
//! what it leaves there. The private engine's way out is a veth pair between its network namespace
//! and the host's, and some firewall rules; its localhost and the host's are joined by [`Forwards`].
//!
//! Firewall chains belong to a network namespace, so an engine with its own cannot disturb the
//! machine's (a second dockerd in the same namespace empties the first one's chains; moby
//! `libnetwork/drivers/bridge`, `removeIPChains`). Everything on the host's side carries the engine's
//! id, in the interface's name and in the rules' comments, so that any later process can remove it.
//!
//! ```text
//! room                                   host
//! containers - docker0 - eth0 ======== lr-<id> - MASQUERADE - the host's own way out
//!                        10.213.x.y+2   10.213.x.y+1
//! ```

mod addresses;
mod firewall;
mod forward;
mod host;
mod links;
mod namespace;
mod nftables;
mod resolver;

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

use ipnet::Ipv4Net;
use larder_docker::Remote;
use rustix::process::Pid;

use self::addresses::{Host, RANGES_TEXT, of_host, of_room};
pub use self::forward::Forwards;
pub use self::host::HostNetwork;
use self::namespace::read_forwarding;
pub(crate) use self::namespace::{require_own, write_forwarding};
use crate::error::{EngineError, Result};
use crate::instance::InstanceId;
use crate::room::InRoom;
use crate::tool::IP;

/// What docker gives its bridges, whatever the machine's way out takes (moby `daemon/config`,
/// `DefaultNetworkMtu`). A link to them that takes less drops what a server sends in packets of this size.
const BRIDGE_MTU: u32 = 1500;

/// One private engine's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateNet {
    subnet: Ipv4Net,
    /// Of the host's way out.
    mtu: u32,
    /// The host's networks, told to the room so that its dockerd does not choose one of them for
    /// containers, which could then not reach it.
    taken: Vec<String>,
}

impl PrivateNet {
    /// Looks at the host's network, and removes leftovers of the same id. Nothing is made yet. To be
    /// called in the host's network namespace.
    pub fn plan(id: &InstanceId) -> Result<Self> {
        tear_down(id)?;
        let host = Host::read()?;
        let subnet = host
            .free_subnet(id)
            .ok_or(EngineError::NoFreeNetwork { range: RANGES_TEXT })?;
        Ok(Self {
            subnet,
            mtu: host.mtu(),
            taken: host.networks(),
        })
    }

    /// The host's side: to be called in the host's network namespace. `room` is the thread id of
    /// the room, whose namespace gets the other end. [`tear_down`] removes it, also what a failure left.
    pub fn set_up(&self, id: &InstanceId, room: Pid) -> Result<()> {
        let (interface, mtu) = (interface(id), self.mtu.max(BRIDGE_MTU));
        let room = room.as_raw_nonzero();
        batch(&format!(
            "link add {interface} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {room}\n\
             addr add {}/30 dev {interface}\n\
             link set {interface} up\n",
            of_host(self.subnet)
        ))?;
        let forwards = read_forwarding()?;
        firewall::allow(id, &interface, self.subnet, !forwards)?;
        if !forwards {
            write_forwarding(true)?;
        }
        Ok(())
    }

    /// The room's side: to be called on the room's thread. Answers a warning if host names will
    /// not resolve. `run_dir` holds the room's `resolv.conf` if it needs one.
    pub fn enter(&self, run_dir: &Path) -> Result<Option<String>> {
        require_own("net")?;
        // The link takes what bridges send; what the engine itself sends goes all the way as from the host.
        let out = format!("via {} mtu {}", of_host(self.subnet), self.mtu);
        let mut commands = format!(
            "link set lo up\n\
             addr add {}/30 dev eth0\n\
             link set eth0 up\n\
             route add default {out}\n",
            of_room(self.subnet)
        );
        for network in &self.taken {
            // The second route is never used: dockerd looks for free networks among the routes of
            // link scope only (moby libnetwork `netutils`). Metrics let a bridge that is given one
            // of these networks all the same come first.
            write!(
                commands,
                "route add {network} {out} metric 1000\n\
                 route add {network} dev eth0 scope link metric 2000\n"
            )
            .expect("writing to a string");
        }
        batch(&commands)?;
        resolver::settle(run_dir)
    }

    /// The host's address as seen from the room.
    pub fn host_address(&self) -> Ipv4Addr {
        of_host(self.subnet)
    }

    /// Joins the two localhosts, for an engine that answers. To be called in the host's network namespace;
    /// `room` is the room's thread id.
    pub async fn forward(&self, room: Pid, in_room: InRoom, engine: &Remote) -> Forwards {
        Forwards::start(room, of_room(self.subnet), in_room, engine).await
    }
}

/// Removes what [`PrivateNet::set_up`] made for `id` in this network namespace, also after a crash.
/// Doing it again, or with nothing there, is fine.
pub fn tear_down(id: &InstanceId) -> Result<()> {
    firewall::remove(id)?;
    links::delete(&interface(id))
}

fn interface(id: &InstanceId) -> String {
    format!("lr-{id}")
}

/// Several commands of ip(8) in one process.
fn batch(commands: &str) -> Result<()> {
    IP.run_with(&["-batch", "-"], commands).map(drop)
}
