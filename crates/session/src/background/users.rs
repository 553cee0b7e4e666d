//! Who uses a session, and what they say.
//!
//! A command uses it as long as its connection is open, and its death closes that. `up` ends before the job
//! does: it asks, as the last thing that it does, that its use be kept until somebody's `down`. No process
//! stands for a job's steps: what starts them belongs to the CI system, serves many jobs, and may end with
//! each step. So a kept use has no owner, and an `up` that was killed earlier has none to keep.

use std::io;
use std::os::unix::net::UnixStream as Link;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::events::Events;
use crate::lock;
use crate::protocol::{Event, Request};

const REQUEST_MAX_BYTES: u64 = 64 * 1024;

/// What comes from outside.
pub(super) enum Said {
    /// The first request of a connection.
    First(Request, Link),
    /// A further one, on a connection that is a use of the session.
    Further(Request, Link),
    /// Such a connection has closed.
    Gone,
}

/// The users of a session.
pub(super) struct Users {
    held: usize,
    kept: usize,
    listeners: Arc<Events>,
    said: Sender<Said>,
    heard: Receiver<Said>,
}

impl Users {
    /// The one who started the session, by the connection on which that was asked for.
    pub(super) fn first(link: Link) -> Self {
        let (said, heard) = channel(16);
        let mut users = Self {
            held: 0,
            kept: 0,
            listeners: Arc::default(),
            said,
            heard,
        };
        users.hold(link);
        users
    }

    /// Takes connections from others.
    pub(super) fn listen(&self, listener: UnixListener) {
        tokio::spawn(accept(listener, self.said.clone()));
    }

    /// What is said next.
    pub(super) async fn next(&mut self) -> Said {
        let said = self.heard.recv().await;
        said.expect("this side keeps a sender itself")
    }

    /// One more use, as long as its connection is open.
    pub(super) fn hold(&mut self, link: Link) {
        self.held += 1;
        self.listeners.add(&link);
        let said = self.said.clone();
        tokio::spawn(async move {
            let further = match further(link).await {
                Ok((request, link)) => Said::Further(request, link),
                Err(error) => {
                    tracing::warn!(%error, "a command that used this session is gone");
                    Said::Gone
                }
            };
            // The session may be ending already.
            let _ = said.send(further).await;
        });
    }

    /// A use that was held is over.
    pub(super) fn release(&mut self) {
        self.held -= 1;
    }

    /// A use that was held is kept from now on.
    pub(super) fn keep(&mut self) {
        self.held -= 1;
        self.kept += 1;
    }

    /// Somebody who has no use of his own ends one: one that was kept, or the only one that there is. Whether
    /// the session is to end.
    pub(super) fn end_any(&mut self) -> bool {
        match self.kept.checked_sub(1) {
            Some(fewer) => self.kept = fewer,
            None if self.held <= 1 => return true,
            None => {}
        }
        self.are_none()
    }

    pub(super) fn are_none(&self) -> bool {
        self.held + self.kept == 0
    }

    /// The session goes on for so many others.
    pub(super) fn stays_up(&self) -> Event {
        Event::StaysUp {
            others: (self.held + self.kept).saturating_sub(1),
        }
    }

    /// Tells something to all whose connection is open.
    pub(super) fn tell(&self, event: &Event) {
        self.listeners.emit(event);
    }

    /// Those who hear what is told to all.
    pub(super) fn listeners(&self) -> Arc<Events> {
        Arc::clone(&self.listeners)
    }
}

async fn accept(listener: UnixListener, said: Sender<Said>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let said = said.clone();
                tokio::spawn(async move {
                    match request(stream).await {
                        // The session is ending when nobody receives any more.
                        Ok((request, link)) => drop(said.send(Said::First(request, link)).await),
                        Err(error) => tracing::warn!(%error, "a connection was not understood"),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection failed");
                tokio::time::sleep(lock::PAUSE).await;
            }
        }
    }
}

async fn further(link: Link) -> io::Result<(Request, Link)> {
    link.set_nonblocking(true)?;
    request(UnixStream::from_std(link)?).await
}

/// Reads a request; gives back the connection, for the answer.
async fn request(stream: UnixStream) -> io::Result<(Request, Link)> {
    let mut text = String::new();
    let mut reader = BufReader::new(stream.take(REQUEST_MAX_BYTES));
    reader.read_line(&mut text).await?;
    let request = serde_json::from_str(&text)?;
    let link = reader.into_inner().into_inner().into_std()?;
    link.set_nonblocking(false)?;
    Ok((request, link))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::settings::{Tenant, Wanted};

    fn say(link: &mut Link, request: &Request) {
        let text = serde_json::to_string(request).expect("JSON");
        writeln!(link, "{text}").expect("written");
    }

    #[tokio::test]
    async fn a_use_ends_with_its_connection_unless_it_is_kept() {
        let (up, theirs) = Link::pair().expect("a pair");
        let mut users = Users::first(theirs);
        drop(up);
        assert!(matches!(users.next().await, Said::Gone));
        users.release();
        assert!(users.are_none(), "an `up` that was killed has no use");

        let (mut up, theirs) = Link::pair().expect("a pair");
        users.hold(theirs);
        say(&mut up, &Request::Keep);
        drop(up);
        assert!(matches!(
            users.next().await,
            Said::Further(Request::Keep, _)
        ));
        users.keep();
        let (run, theirs) = Link::pair().expect("a pair");
        users.hold(theirs);
        assert!(!users.end_any(), "the run goes on");
        assert!(matches!(users.stays_up(), Event::StaysUp { others: 0 }));
        users.tell(&Event::Broken(
            "containerd was ended by signal 9".to_owned(),
        ));
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(&run), &mut line).expect("told");
        assert!(line.contains("signal 9"), "{line}");
        assert!(
            users.end_any(),
            "whoever asks for the end of the only use gets it"
        );
    }

    #[tokio::test]
    async fn requests_of_others_are_heard() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("control");
        let (_starter, theirs) = Link::pair().expect("a pair");
        let mut users = Users::first(theirs);
        users.listen(UnixListener::bind(&socket).expect("bound"));
        let wanted = Wanted {
            project: "shop".to_owned(),
            job: "default".to_owned(),
            scope: "main".to_owned(),
            store: "file:///s".to_owned(),
            image_store: None,
            tenant: Tenant::Engine,
            builder: false,
        };
        let mut link = Link::connect(&socket).expect("it listens");
        say(&mut link, &Request::Attach(wanted.clone()));
        let Said::First(Request::Attach(heard), _) = users.next().await else {
            panic!("another request")
        };
        assert_eq!(heard, wanted);
    }
}
