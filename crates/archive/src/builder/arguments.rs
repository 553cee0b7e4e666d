//! The arguments of a `docker build` command, as far as they matter here: docker/cli
//! `cli/command/image/build.go` and buildx `commands/build.go` name the options.

use std::path::{Path, PathBuf};
use std::slice::Iter;

use larder_builds::{Build, RunOptions, is_remote};
use larder_model::go;

use crate::{ArchiveError, Result};

/// Options without a value; every other one takes the next argument, or what follows `=`.
const SWITCHES: [&str; 14] = [
    "--check",
    "--compress",
    "--debug",
    "--disable-content-trust",
    "--force-rm",
    "--help",
    "--load",
    "--no-cache",
    "--pull",
    "--push",
    "--quiet",
    "--rm",
    "--squash",
    "--stream",
];
/// Short options without a value.
const SHORT_SWITCHES: [char; 3] = ['q', 'D', 'h'];
/// The long forms of short options.
const SHORT: [(char, &str); 6] = [
    ('c', "--cpu-shares"),
    ('f', "--file"),
    ('m', "--memory"),
    ('o', "--output"),
    ('q', "--quiet"),
    ('t', "--tag"),
];

/// One option as it was typed, by its long name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Given {
    name: String,
    value: Option<String>,
    /// The arguments that it was typed as.
    typed: Vec<String>,
}

/// A `docker build` command's arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    options: Vec<Given>,
    /// The build's folder, `-` or a URL.
    pub context: Option<String>,
}

impl Arguments {
    /// Reads them. Why they are none, if so.
    pub fn read(typed: &[String]) -> Result<Self> {
        let mut all = Self::default();
        let mut rest = typed.iter();
        while let Some(argument) = rest.next() {
            if argument == "--" {
                for context in rest.by_ref() {
                    all.take_context(context)?;
                }
            } else if argument.starts_with("--") {
                all.options.push(long(argument, &mut rest)?);
            } else if argument.starts_with('-') && argument != "-" {
                all.options.extend(short(argument, &mut rest)?);
            } else {
                all.take_context(argument)?;
            }
        }
        if all.context.is_none() {
            let last = all.options.last();
            return Err(ArchiveError::NoContext(last.and_then(|given| {
                Some((given.name.clone(), given.value.clone()?))
            })));
        }
        Ok(all)
    }

    fn take_context(&mut self, argument: &str) -> Result<()> {
        match self.context.replace(argument.to_owned()) {
            None => Ok(()),
            Some(first) => Err(ArchiveError::TwoContexts(first, argument.to_owned())),
        }
    }

    /// The last value of an option, by its long name.
    pub fn value(&self, name: &'static str) -> Option<&str> {
        self.values(name).last()
    }

    /// All values of an option.
    pub fn values<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a str> {
        let named = self.options.iter().filter(move |given| given.name == name);
        named.filter_map(|given| given.value.as_deref())
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        let last = self.options.iter().rev().find(|given| given.name == name);
        // As pflag reads them.
        last.is_some_and(|given| given.value.as_deref().and_then(go::parse_bool) != Some(false))
    }

    /// The options as they were typed, without some of them.
    pub fn without(&self, names: &[&str]) -> Vec<String> {
        let kept = self
            .options
            .iter()
            .filter(|given| !names.contains(&given.name.as_str()));
        kept.flat_map(|given| given.typed.clone()).collect()
    }

    /// The build, to be planned; `None` if its files are not in a directory of this machine.
    pub fn planned(&self) -> Option<Build> {
        let context = self.context.as_deref()?;
        let file = self.value("--file");
        let is_elsewhere = |place: &str| is_remote(place) && !Path::new(place).exists();
        if is_elsewhere(context)
            || context == "-"
            || file.is_some_and(|it| it == "-" || is_elsewhere(it))
        {
            return None;
        }
        Some(Build {
            context: PathBuf::from(context),
            files: file.map(PathBuf::from).into_iter().collect(),
            target: self.value("--target").map(str::to_owned),
            platforms: self.owned("--platform"),
            build_args: self.owned("--build-arg"),
            build_contexts: self.owned("--build-context"),
            run: RunOptions {
                network: self.value("--network").map(str::to_owned),
                add_hosts: self.hosts(),
                ulimits: self.owned("--ulimit"),
                shm_size: self.value("--shm-size").map(str::to_owned),
                cgroup_parent: self.value("--cgroup-parent").map(str::to_owned),
            },
            ..Build::default()
        })
    }

    /// One option may name several, parted by commas.
    fn hosts(&self) -> Vec<String> {
        let listed = self.values("--add-host").flat_map(|list| list.split(','));
        listed.map(str::to_owned).collect()
    }

    fn owned(&self, name: &'static str) -> Vec<String> {
        self.values(name).map(str::to_owned).collect()
    }

    /// The build arguments that have a value here, as name and value.
    pub fn build_args(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values("--build-arg")
            .filter_map(|argument| argument.split_once('='))
    }
}

/// The argument that comes next is an option's value.
fn next(rest: &mut Iter<'_, String>, option: &str) -> Result<String> {
    let next = rest.next().cloned();
    next.ok_or_else(|| ArchiveError::NoValue(option.to_owned()))
}

fn long(argument: &str, rest: &mut Iter<'_, String>) -> Result<Given> {
    let mut typed = vec![argument.to_owned()];
    let (name, value) = match argument.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None if SWITCHES.contains(&argument) => (argument, None),
        None => {
            typed.push(next(rest, argument)?);
            (argument, typed.last().cloned())
        }
    };
    Ok(Given {
        name: name.to_owned(),
        value,
        typed,
    })
}

/// `-q`, `-q=false`, `-t app`, `-tapp`, `-t=app`, `-qt app`.
fn short(argument: &str, rest: &mut Iter<'_, String>) -> Result<Vec<Given>> {
    let mut all = Vec::new();
    let letters = &argument[1..];
    for (at, letter) in letters.char_indices() {
        let short = format!("-{letter}");
        let long = SHORT.iter().find(|(short, _)| *short == letter);
        let name = long.map_or_else(|| short.clone(), |(_, long)| (*long).to_owned());
        let attached = &letters[at + letter.len_utf8()..];
        let value = attached.strip_prefix('=');
        if SHORT_SWITCHES.contains(&letter) {
            all.push(Given {
                name,
                value: value.map(str::to_owned),
                typed: vec![value.map_or_else(|| short.clone(), |it| format!("{short}={it}"))],
            });
            if value.is_some() {
                break;
            }
            continue;
        }
        let value = match value {
            None if attached.is_empty() => next(rest, &short)?,
            value => value.unwrap_or(attached).to_owned(),
        };
        all.push(Given {
            name,
            typed: vec![short, value.clone()],
            value: Some(value),
        });
        break;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Arguments {
        let typed: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Arguments::read(&typed).expect("a build")
    }

    #[test]
    fn every_way_of_writing_an_option_is_read() {
        let build = read(
            "-qt app:1 -f=ci/Dockerfile --target build --build-arg A=1 --build-arg=B -tapp:2 --pull \
             --network host --add-host=a:1,b:2 --shm-size=1g .",
        );
        assert_eq!(
            build.values("--tag").collect::<Vec<_>>(),
            ["app:1", "app:2"]
        );
        assert_eq!(build.value("--file"), Some("ci/Dockerfile"));
        assert_eq!(build.value("--target"), Some("build"));
        assert!(build.is_on("--quiet") && build.is_on("--pull") && !build.is_on("--push"));
        assert_eq!(build.build_args().collect::<Vec<_>>(), [("A", "1")]);
        let planned = build.planned().expect("a folder");
        assert_eq!(planned.build_args, ["A=1", "B"]);
        assert_eq!(planned.run.network.as_deref(), Some("host"));
        assert_eq!(planned.run.add_hosts, ["a:1", "b:2"]);
        assert_eq!(planned.context, PathBuf::from("."));
    }

    #[test]
    fn options_can_be_left_out() {
        let build = read("-t app --target build --push --build-arg A=1 dir");
        let rest = build.without(&["--tag", "--target", "--push"]);
        assert_eq!(rest, ["--build-arg", "A=1"]);
        assert_eq!(build.context.as_deref(), Some("dir"));
        assert_eq!(
            read("-Dq=false dir").without(&["--tag"]),
            ["-D", "-q=false"]
        );
    }

    #[test]
    fn builds_without_a_folder_have_no_plan() {
        for line in ["-", "https://example.org/repo.git#main", "-f - ."] {
            assert!(read(line).planned().is_none(), "{line}");
        }
        assert!(read(". --no-cache=false").planned().is_some());
        for off in ["--no-cache=false", "--no-cache=0", "--no-cache=F"] {
            assert!(!read(&format!(". {off}")).is_on("--no-cache"), "{off}");
        }
        assert!(read(". --no-cache=1").is_on("--no-cache"));
    }

    #[test]
    fn what_is_no_build_is_refused() {
        for (line, why) in [
            ("-t app", "no context"),
            ("a b", "two contexts"),
            (". --file", "needs a value"),
        ] {
            let typed: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let error = Arguments::read(&typed).expect_err(line);
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
