//! Datagrams between a port of the host's loopback and one of a room. There are no connections: whoever sends gets a
//! socket of its own in the room, by which answers find back, until none has come for a while.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ways::Ways;

/// As long as dockerd's proxy keeps a way (moby `cmd/docker-proxy/udp_proxy_linux.go`, `UDPConnTrackTimeout`).
const IDLE_LIMIT: Duration = Duration::from_secs(90);
/// More than any datagram holds.
const DATAGRAM_BYTES: usize = 64 << 10;

/// Passes datagrams on until the task is ended.
pub(super) async fn serve(ways: Ways, near: UdpSocket, there: SocketAddr) {
    let near = Arc::new(near);
    let mut senders: HashMap<SocketAddr, Weak<UdpSocket>> = HashMap::new();
    let mut answering = JoinSet::new();
    let mut datagram = vec![0; DATAGRAM_BYTES];
    loop {
        // What an earlier answer met on its way comes as an error here.
        let Ok((length, sender)) = near.recv_from(&mut datagram).await else {
            continue;
        };
        let way = match senders.get(&sender).and_then(Weak::upgrade) {
            Some(way) => Ok(way),
            None => ways.run(move || connected(there)).await.and_then(|way| {
                let way = Arc::new(UdpSocket::from_std(way)?);
                senders.retain(|_, way| way.strong_count() > 0);
                senders.insert(sender, Arc::downgrade(&way));
                answering.spawn(answer(Arc::clone(&way), Arc::clone(&near), sender));
                Ok(way)
            }),
        };
        let sent = match way {
            Ok(way) => way.send(&datagram[..length]).await,
            Err(error) => Err(error),
        };
        tracing::trace!(?sent, "a datagram");
        while answering.try_join_next().is_some() {}
    }
}

fn connected(there: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let any: SocketAddr = match there {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let way = std::net::UdpSocket::bind(any)?;
    way.connect(there)?;
    way.set_nonblocking(true)?;
    Ok(way)
}

/// Passes answers back. What nobody listened to comes as an error, and somebody may listen a moment later.
async fn answer(way: Arc<UdpSocket>, near: Arc<UdpSocket>, sender: SocketAddr) {
    let mut datagram = vec![0; DATAGRAM_BYTES];
    while let Ok(received) = timeout(IDLE_LIMIT, way.recv(&mut datagram)).await {
        if let Ok(length) = received {
            let sent = near.send_to(&datagram[..length], sender).await;
            tracing::trace!(?sent, "an answer");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    #[tokio::test]
    async fn each_sender_gets_its_own_answers() {
        let local = (Ipv4Addr::LOCALHOST, 0);
        let there = UdpSocket::bind(local).await.expect("bound");
        let near = UdpSocket::bind(local).await.expect("bound");
        let (to, port) = (
            there.local_addr().expect("bound"),
            near.local_addr().expect("bound"),
        );
        let (_open, closed) = watch::channel(());
        // This machine is the room.
        let ways = Ways::new(Arc::new(|job| job()), closed);
        let serving = tokio::spawn(serve(ways, near, to));
        let echo = tokio::spawn(async move {
            let mut datagram = [0; 100];
            loop {
                let (length, from) = there.recv_from(&mut datagram).await.expect("heard");
                there
                    .send_to(&datagram[..length], from)
                    .await
                    .expect("sent");
            }
        });
        let mut senders = Vec::new();
        for said in ["one", "two"] {
            let sender = UdpSocket::bind(local).await.expect("bound");
            sender.connect(port).await.expect("connected");
            sender.send(said.as_bytes()).await.expect("sent");
            senders.push((said, sender));
        }
        for (said, sender) in senders {
            let mut datagram = [0; 100];
            let length = timeout(Duration::from_secs(60), sender.recv(&mut datagram)).await;
            let length = length.expect("in time").expect("an answer");
            assert_eq!(&datagram[..length], said.as_bytes());
        }
        serving.abort();
        echo.abort();
    }
}
