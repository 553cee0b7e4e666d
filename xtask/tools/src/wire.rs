//! A far line: relays a port of loopback to another one, which then seems far away.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::str::FromStr;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail};

/// What a line is like.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// From what is sent until its answer can come.
    pub exchange: Duration,
    /// Making a connection.
    pub connection: Duration,
    /// Bytes a second in each direction, of all connections together; any number if there is no limit.
    pub rate: Option<f64>,
}

impl FromStr for Line {
    type Err = Error;

    /// Reads `20ms,100MB/s`.
    fn from_str(text: &str) -> Result<Self> {
        let (exchange, rate) = text
            .split_once(',')
            .and_then(|(trip, rate)| Some((trip.strip_suffix("ms")?, rate.strip_suffix("MB/s")?)))
            .with_context(|| format!("{text:?} is no line; write for example 20ms,100MB/s"))?;
        let rate: f64 = rate.parse()?;
        if rate <= 0.0 {
            bail!("{text:?} carries nothing");
        }
        let exchange = Duration::from_millis(exchange.parse()?);
        Ok(Self {
            exchange,
            connection: exchange,
            rate: Some(rate * 1e6),
        })
    }
}

/// One direction of a line: when it can take more.
struct Direction {
    rate: Option<f64>,
    free: Mutex<Instant>,
}

impl Direction {
    fn new(rate: Option<f64>) -> Arc<Self> {
        Arc::new(Self {
            rate,
            free: Mutex::new(Instant::now()),
        })
    }

    /// When so many bytes, sent now, are through.
    #[allow(clippy::cast_precision_loss)] // of 53 bits, which a double has
    fn through(&self, bytes: usize) -> Instant {
        let now = Instant::now();
        let Some(rate) = self.rate else { return now };
        let mut free = self.free.lock().expect("nobody panics while holding it");
        // A read is 64 KiB at most.
        let takes = Duration::from_secs_f64(bytes as f64 / rate);
        *free = now.max(*free) + takes;
        *free
    }
}

/// Relays to port `to`, as long as this process runs; the port to use instead.
pub fn to(to: u16, line: Line) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let (there, back) = (Direction::new(line.rate), Direction::new(line.rate));
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let (there, back) = (Arc::clone(&there), Arc::clone(&back));
            // A connection that fails is one that the measured program sees fail.
            thread::spawn(move || relay(near, to, line, &there, back));
        }
    });
    Ok(port)
}

fn relay(
    near: TcpStream,
    to: u16,
    line: Line,
    there: &Arc<Direction>,
    back: Arc<Direction>,
) -> std::io::Result<()> {
    thread::sleep(line.connection);
    let far = TcpStream::connect(("127.0.0.1", to))?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let answers = (far.try_clone()?, near.try_clone()?);
    let backward = thread::spawn(move || carry(answers.0, answers.1, &back, Duration::ZERO));
    carry(near, far, there, line.exchange)?;
    backward.join().unwrap_or(Ok(()))
}

/// Carries bytes, in order, each as late as the line is long, however much is on the way.
fn carry(
    mut from: TcpStream,
    mut to: TcpStream,
    direction: &Direction,
    late: Duration,
) -> std::io::Result<()> {
    // What is on the way is bounded, as by the windows of real connections.
    let (sender, receiver) = mpsc::sync_channel::<(Instant, Vec<u8>)>(256);
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
        // A server that waits for that with the rest of its answer (Nagle's algorithm) would seem 40 ms farther away.
        rustix::net::sockopt::set_tcp_quickack(&from, true)?;
        if read == 0 {
            break;
        }
        let due = direction.through(read) + late;
        if sender.send((due, buffer[..read].to_vec())).is_err() {
            break;
        }
    }
    drop(sender);
    writer.join().unwrap_or(Ok(()))
}
