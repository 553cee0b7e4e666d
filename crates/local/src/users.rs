//! Users of this machine, and the numbers that their user namespaces have beside their own.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::child::{Limits, NoAnswer, ask};

/// Where the machine gives users the numbers of more users, and of more groups (subuid(5), subgid(5)).
const SUBORDINATE: [&str; 2] = ["/etc/subuid", "/etc/subgid"];
/// So many of each are usual, and images have no others (`useradd`, `SUB_UID_COUNT`).
const USUAL_COUNT: u32 = 65_536;

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The number of the user's own group.
    pub gid: u32,
    /// As people know the user.
    pub name: String,
    /// The user's directory.
    pub home: PathBuf,
}

/// Numbers one after the other: those that files have, and whose they are on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first that files have.
    pub of_files: u32,
    /// The first here.
    pub here: u32,
    /// How many.
    pub count: u32,
}

/// Whose files are here: users and groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners {
    /// Of users.
    pub users: Vec<Span>,
    /// Of groups.
    pub groups: Vec<Span>,
}

/// Why a user has no user namespace of a usual size.
#[derive(Debug, thiserror::Error)]
pub enum NoNumbers {
    /// The file has too few for the user, or none.
    #[error(
        "{0} gives user {1} fewer than 65536 numbers: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {1}"
    )]
    Few(&'static str, String),
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Io(&'static str, #[source] io::Error),
}

impl User {
    /// The user of this name or number, from wherever the machine knows its users (getent(1)).
    pub fn find(key: &str) -> Result<Option<Self>, NoAnswer> {
        let output = ask(
            Command::new("getent").args(["passwd", "--", key]),
            "",
            Limits::QUICK,
        )?;
        Ok(Self::read(&String::from_utf8_lossy(&output.stdout)))
    }

    /// A line of passwd(5): name, password, number, group, words, directory, shell.
    fn read(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.trim_end().split(':').collect();
        let [name, _, uid, gid, _, home, _] = fields[..] else {
            return None;
        };
        Some(Self {
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            name: name.to_owned(),
            home: home.into(),
        })
    }

    /// Whose files are in the user's own namespace, as rootless containers have it: 0 is the user, and from 1 on come
    /// the subordinate numbers in their order (containers/storage `pkg/idtools/idtools.go`, `createIDMap`).
    pub fn owners(&self) -> Result<Owners, NoNumbers> {
        let [users, groups] = SUBORDINATE.map(|file| self.spans(file));
        Ok(Owners {
            users: own(self.uid, &users?),
            groups: own(self.gid, &groups?),
        })
    }

    fn spans(&self, file: &'static str) -> Result<Vec<Range<u32>>, NoNumbers> {
        let text = match fs::read_to_string(Path::new(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(|error| NoNumbers::Io(file, error))?,
        };
        let spans = self.subordinate(&text);
        let count: u64 = spans
            .iter()
            .map(|span| u64::from(span.end - span.start))
            .sum();
        if count < USUAL_COUNT.into() {
            return Err(NoNumbers::Few(file, self.name.clone()));
        }
        Ok(spans)
    }

    /// Lines of a name or a number, the first number and how many there are.
    fn subordinate(&self, text: &str) -> Vec<Range<u32>> {
        let number = self.uid.to_string();
        let spans = text.lines().filter_map(|line| {
            let fields: Vec<&str> = line.trim().split(':').collect();
            let [whose, first, count] = fields[..] else {
                return None;
            };
            let first: u32 = first.parse().ok()?;
            let end = first.checked_add(count.parse().ok()?)?;
            (whose == self.name || whose == number).then_some(first..end)
        });
        let mut spans: Vec<Range<u32>> = spans.collect();
        spans.sort_by_key(|span| span.start);
        spans
    }
}

fn own(own: u32, more: &[Range<u32>]) -> Vec<Span> {
    let mut spans = vec![Span {
        of_files: 0,
        here: own,
        count: 1,
    }];
    let mut next = 1;
    for span in more {
        let count = span.end - span.start;
        spans.push(Span {
            of_files: next,
            here: span.start,
            count,
        });
        next = next.saturating_add(count);
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ci() -> User {
        User::read("ci:x:1001:1002:,,,:/home/ci:/bin/sh\n").expect("a line")
    }

    #[test]
    fn a_user_is_found_by_name_and_number() {
        let root = User::find("root").expect("an answer").expect("there");
        assert_eq!((root.uid, root.gid, root.home), (0, 0, "/root".into()));
        assert_eq!(
            User::find("0").expect("an answer"),
            User::find("root").expect("an answer")
        );
        assert_eq!(User::find("no-such-user").expect("an answer"), None);
        assert_eq!(User::find("--help").expect("an answer"), None);
        assert_eq!(User::read("too:few:1:2"), None);
    }

    #[test]
    fn a_namespace_begins_with_the_user() {
        let text =
            "ci:231072:65536\nother:1:9\n1001:100000:10\nci:4294967295:9\nci:x:1\n# no line\n";
        let more = ci().subordinate(text);
        assert_eq!(more, [100_000..100_010, 231_072..296_608]);
        let span = |of_files, here, count| Span {
            of_files,
            here,
            count,
        };
        let expected = [
            span(0, 1001, 1),
            span(1, 100_000, 10),
            span(11, 231_072, 65_536),
        ];
        assert_eq!(own(1001, &more), expected);
        assert!(ci().subordinate("").is_empty());
    }
}
