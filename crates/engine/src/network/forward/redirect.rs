//! The rules of a room that lead its loopback to the host's.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};

use ipnet::Ipv4Net;
use rustix::net::sockopt::ip_original_dst;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ways::Ways;
use crate::error::EngineError;
use crate::network::{firewall, nftables};
use crate::tool::IPTABLES_RESTORE;

/// The room's own chain.
const CHAIN: &str = "LARDER-LOCALHOST";
/// dockerd changes the same table when it starts, so a first failure is none.
const FAILURES_MAX: u8 = 3;

/// What is redirected: parts of the loopback, and a port.
pub(super) type Places = BTreeSet<(Ipv4Net, u16)>;

/// One listener in the room that all redirected connections come to. It is made when it is first needed.
#[derive(Default)]
pub(super) struct Redirect {
    listener: Option<(u16, JoinHandle<()>)>,
    places: watch::Sender<Places>,
    /// Whether a rule leads to the chain.
    leads: bool,
    failures: u8,
}

impl Redirect {
    /// The port of the listener.
    pub(super) fn port(&self) -> Option<u16> {
        Some(self.listener.as_ref()?.0)
    }

    /// Redirects these places and no others. The last of some failures is told.
    pub(super) async fn set(&mut self, places: Places, ways: &Ways) -> io::Result<()> {
        if *self.places.borrow() == places || self.failures == FAILURES_MAX {
            return Ok(());
        }
        let Err(error) = self.try_to_set(places, ways).await else {
            return Ok(());
        };
        self.failures += 1;
        tracing::debug!(%error, "the room's loopback");
        match self.failures {
            FAILURES_MAX => Err(error),
            _ => Ok(()),
        }
    }

    async fn try_to_set(&mut self, places: Places, ways: &Ways) -> io::Result<()> {
        let port = match self.port() {
            Some(port) => port,
            None => self.listen(ways).await?,
        };
        let rules = rules(&places, port, !self.leads);
        let table = table(&places, port);
        let restored = ways.run(move || {
            let restored = firewall::restore(IPTABLES_RESTORE, &rules);
            let restored = restored.or_else(|error| match error {
                EngineError::ProgramMissing { .. } => nftables::load(&table),
                error => Err(error),
            });
            restored.map_err(io::Error::other)
        });
        restored.await?;
        self.leads = true;
        self.places.send_replace(places);
        Ok(())
    }

    async fn listen(&mut self, ways: &Ways) -> io::Result<u16> {
        let listener = ways.listen_in_room().await?;
        let port = listener.local_addr()?.port();
        let places = self.places.subscribe();
        let serving = ways.clone().serve(listener, move |near| {
            let there = destination(near, &places.borrow());
            async move { TcpStream::connect(there?).await }
        });
        self.listener = Some((port, tokio::spawn(serving)));
        Ok(port)
    }
}

impl Drop for Redirect {
    fn drop(&mut self) {
        if let Some((_, serving)) = &self.listener {
            serving.abort();
        }
    }
}

/// Where a redirected connection was to go. One that came by itself goes nowhere.
fn destination(near: &TcpStream, places: &Places) -> io::Result<SocketAddr> {
    let asked: SocketAddrV4 = ip_original_dst(near)?;
    let mut places = places.iter();
    if places.any(|(part, port)| part.contains(asked.ip()) && *port == asked.port()) {
        return Ok(asked.into());
    }
    Err(io::Error::other(format!("{asked} is not redirected")))
}

/// The input of iptables-restore. With `--noflush` a chain that is named is emptied all the same
/// (iptables-restore(8)); the way to it is made once.
fn rules(places: &Places, port: u16, is_first: bool) -> String {
    let mut rules = format!("*nat\n:{CHAIN} - [0:0]\n");
    if is_first {
        writeln!(rules, "-A OUTPUT -o lo -p tcp -j {CHAIN}").expect("writing to a string");
    }
    for (part, to) in places {
        writeln!(
            rules,
            "-A {CHAIN} -d {part} -p tcp --dport {to} -j REDIRECT --to-ports {port}"
        )
        .expect("writing to a string");
    }
    rules + "COMMIT\n"
}

/// The same as a table of nft(8), in place of the one before.
fn table(places: &Places, port: u16) -> String {
    let table = "larder_localhost";
    let mut rules = format!(
        "add table ip {table}\ndelete table ip {table}\nadd table ip {table}\n\
         add chain ip {table} output {{ type nat hook output priority dstnat; }}\n"
    );
    for (part, to) in places {
        writeln!(
            rules,
            "add rule ip {table} output oifname \"lo\" ip daddr {part} tcp dport {to} redirect to :{port}"
        )
        .expect("writing to a string");
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_replaced_and_the_way_to_it_made_once() {
        let all: Ipv4Net = "127.0.0.0/8".parse().expect("a network");
        let places = [(all, 5000)].into();
        let expected = "*nat\n:LARDER-LOCALHOST - [0:0]\n-A OUTPUT -o lo -p tcp -j LARDER-LOCALHOST\n\
            -A LARDER-LOCALHOST -d 127.0.0.0/8 -p tcp --dport 5000 -j REDIRECT --to-ports 40000\nCOMMIT\n";
        assert_eq!(rules(&places, 40000, true), expected);
        let later = rules(&Places::new(), 40000, false);
        assert_eq!(later, "*nat\n:LARDER-LOCALHOST - [0:0]\nCOMMIT\n");
    }
}
