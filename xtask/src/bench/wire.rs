//! A wire with a delay: relays a port of loopback to another one, whose answers seem far away.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// What takes a round trip.
#[derive(Clone, Copy)]
pub(super) struct Delays {
    /// From what is sent until its answer can come.
    pub exchange: Duration,
    /// Making a connection.
    pub connection: Duration,
}

/// Relays to port `to`, as long as this process runs; the port to use instead.
pub(super) fn to(to: u16, delays: Delays) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            // A connection that fails is one that the measured program sees fail.
            thread::spawn(move || relay(near, to, delays));
        }
    });
    Ok(port)
}

fn relay(near: TcpStream, to: u16, delays: Delays) -> std::io::Result<()> {
    thread::sleep(delays.connection);
    let far = TcpStream::connect(("127.0.0.1", to))?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (requests, answers) = ((near.try_clone()?, far.try_clone()?), (far, near));
    let there = thread::spawn(move || carry(requests.0, requests.1, delays.exchange));
    carry(answers.0, answers.1, Duration::ZERO)?;
    there.join().unwrap_or(Ok(()))
}

/// Carries bytes, in order, each as late as the wire is long, however much is on the way.
fn carry(mut from: TcpStream, mut to: TcpStream, late: Duration) -> std::io::Result<()> {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    let writer = thread::spawn(move || {
        for (due, bytes) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            to.write_all(&bytes)?;
        }
        to.shutdown(Shutdown::Write)
    });
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0
            || sender
                .send((Instant::now() + late, buffer[..read].to_vec()))
                .is_err()
        {
            break;
        }
    }
    drop(sender);
    writer.join().unwrap_or(Ok(()))
}
