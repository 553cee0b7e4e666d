//! The arguments of a `docker build` command, as far as they matter here: docker/cli
//! `cli/command/image/build.go` and buildx `commands/build.go` name the options.

use std::path::PathBuf;

use larder_builds::Build;

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

/// Arguments that are no build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentsError {
    /// There is nothing to build from.
    #[error("the build has no context{}; give a directory, as for `docker build`", was_taken(.taken.as_ref()))]
    NoContext {
        /// The last option, which took the last argument as its value.
        taken: Option<(String, String)>,
    },
    /// There is too much to build from.
    #[error("the build has two contexts, {0:?} and {1:?}; `docker build` takes one")]
    TwoContexts(String, String),
    /// An option came last that wants a value.
    #[error("{0} needs a value")]
    NoValue(String),
}

fn was_taken(taken: Option<&(String, String)>) -> String {
    taken.map_or_else(String::new, |(name, value)| {
        format!(" ({value:?} is the value of {name})")
    })
}

/// A `docker build` command's arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    options: Vec<Given>,
    /// The build's folder, `-` or a URL.
    pub context: Option<String>,
}

impl Arguments {
    /// Reads them, or says why they are no build's.
    pub fn read(typed: &[String]) -> Result<Self, ArgumentsError> {
        let mut all = Self::default();
        let mut rest = typed.iter();
        while let Some(argument) = rest.next() {
            if argument == "--" {
                for context in rest.by_ref() {
                    all.take_context(context)?;
                }
            } else if argument.starts_with("--") {
                let given = long(argument, || rest.next().cloned())?;
                all.options.push(given);
            } else if argument.starts_with('-') && argument != "-" {
                all.options
                    .extend(short(argument, || rest.next().cloned())?);
            } else {
                all.take_context(argument)?;
            }
        }
        if all.context.is_none() {
            let last = all.options.last();
            return Err(ArgumentsError::NoContext {
                taken: last.and_then(|given| Some((given.name.clone(), given.value.clone()?))),
            });
        }
        Ok(all)
    }

    fn take_context(&mut self, argument: &str) -> Result<(), ArgumentsError> {
        match &self.context {
            None => self.context = Some(argument.to_owned()),
            Some(first) => {
                return Err(ArgumentsError::TwoContexts(
                    first.clone(),
                    argument.to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// The last value of an option, by its long name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).last()
    }

    /// All values of an option.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let named = self.options.iter().filter(move |given| given.name == name);
        named
            .filter_map(|given| given.value.as_deref())
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        let last = self.options.iter().rev().find(|given| given.name == name);
        // As pflag reads them: Go's `strconv.ParseBool`.
        let off = ["0", "f", "F", "false", "False", "FALSE"];
        last.is_some_and(|given| given.value.as_ref().is_none_or(|it| !off.contains(&&**it)))
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
        let context = self.context.as_deref().filter(|context| {
            let remote = context.contains("://") || context.starts_with("git@");
            *context != "-" && !remote
        })?;
        let file = self.value("--file").filter(|file| *file != "-");
        if self.value("--file") == Some("-") {
            return None;
        }
        let owned = |name: &str| self.values(name).map(str::to_owned).collect();
        Some(Build {
            context: PathBuf::from(context),
            files: file.map(PathBuf::from).into_iter().collect(),
            target: self.value("--target").map(str::to_owned),
            platforms: owned("--platform"),
            build_args: owned("--build-arg"),
            build_contexts: owned("--build-context"),
            ..Build::default()
        })
    }

    /// The build arguments that have a value here, as name and value.
    pub fn build_args(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values("--build-arg")
            .filter_map(|argument| argument.split_once('='))
    }
}

fn long(argument: &str, next: impl FnOnce() -> Option<String>) -> Result<Given, ArgumentsError> {
    if let Some((name, value)) = argument.split_once('=') {
        return Ok(Given {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            typed: vec![argument.to_owned()],
        });
    }
    if SWITCHES.contains(&argument) {
        return Ok(Given {
            name: argument.to_owned(),
            value: None,
            typed: vec![argument.to_owned()],
        });
    }
    let value = next().ok_or_else(|| ArgumentsError::NoValue(argument.to_owned()))?;
    Ok(Given {
        name: argument.to_owned(),
        typed: vec![argument.to_owned(), value.clone()],
        value: Some(value),
    })
}

/// `-q`, `-q=false`, `-t app`, `-tapp`, `-t=app`, `-qt app`.
fn short(
    argument: &str,
    next: impl FnOnce() -> Option<String>,
) -> Result<Vec<Given>, ArgumentsError> {
    let mut all = Vec::new();
    let letters = &argument[1..];
    for (at, letter) in letters.char_indices() {
        let long = SHORT.iter().find(|(short, _)| *short == letter);
        let name = long.map_or_else(|| format!("-{letter}"), |(_, long)| (*long).to_owned());
        let attached = &letters[at + letter.len_utf8()..];
        if SHORT_SWITCHES.contains(&letter) {
            let value = attached.strip_prefix('=');
            all.push(Given {
                name,
                value: value.map(str::to_owned),
                typed: vec![
                    value.map_or_else(|| format!("-{letter}"), |it| format!("-{letter}={it}")),
                ],
            });
            if value.is_some() {
                break;
            }
            continue;
        }
        let value = if attached.is_empty() {
            next().ok_or_else(|| ArgumentsError::NoValue(format!("-{letter}")))?
        } else {
            attached.strip_prefix('=').unwrap_or(attached).to_owned()
        };
        all.push(Given {
            name,
            typed: vec![format!("-{letter}"), value.clone()],
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
            "-qt app:1 -f=ci/Dockerfile --target build --build-arg A=1 --build-arg=B -tapp:2 --pull .",
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
