//! `--retry-empty`: whether a command is run again when the engine's disk has failed.
//!
//! A build that is repeated makes the same images again, and pushes them under the same names: what a build that
//! failed half-way would do when its job is started again. Anything else may have done something that must not
//! happen twice. So only what is known to be a build is one; a shell script is not looked into.

use std::ffi::OsString;

/// Whether a command is run again on an empty volume when the engine's disk has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryEmpty {
    /// If it is a build.
    Auto,
    /// Whatever it is.
    Always,
    /// Whatever it is, it is not.
    Never,
}

impl RetryEmpty {
    /// Whether this command is run again.
    pub fn applies_to(self, command: &[OsString]) -> bool {
        let words = command.iter().map(|word| word.to_string_lossy());
        match self {
            Self::Auto => is_build(&words.collect::<Vec<_>>()),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Whether a command is a build, and nothing that it reads is used up.
fn is_build(command: &[impl AsRef<str>]) -> bool {
    let mut words = command.iter().map(AsRef::as_ref).peekable();
    while words.next_if(|word| is_before_a_command(word)).is_some() {}
    let program = words.next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default();
    let words: Vec<&str> = words.collect();
    // Standard input cannot be read again.
    let reads_input = words
        .iter()
        .any(|word| matches!(*word, "-" | "-f-" | "--file=-"));
    !reads_input && is_build_of(program, &words)
}

fn is_build_of(program: &str, words: &[&str]) -> bool {
    let Some((verb, rest)) = split(words) else {
        return false;
    };
    let next = split(rest).map_or("", |(next, _)| next);
    match (program, verb) {
        ("docker" | "docker-compose" | "podman" | "buildah", "build") | ("buildah", "bud") => true,
        ("podman", "image") | ("docker", "builder" | "image" | "compose") => next == "build",
        ("docker", "buildx") => builds(next),
        ("docker-buildx" | "buildx", verb) => builds(verb),
        _ => false,
    }
}

/// The verbs of buildx that build, and their short forms.
fn builds(verb: &str) -> bool {
    matches!(verb, "build" | "b" | "bake" | "f")
}

/// What stands before a command without changing what it is.
fn is_before_a_command(word: &str) -> bool {
    matches!(word, "env" | "sudo" | "time" | "nice" | "exec" | "command")
        || word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
}

/// The first word that is no option and no value of one, and what follows. The options are those of docker,
/// `docker compose` and `docker buildx` that stand before a verb and take a value.
fn split<'a, 'b>(words: &'b [&'a str]) -> Option<(&'a str, &'b [&'a str])> {
    const WITH_VALUE: [&str; 19] = [
        "--config",
        "-c",
        "--context",
        "-H",
        "--host",
        "-l",
        "--log-level",
        "--tlscacert",
        "--tlscert",
        "--tlskey",
        "-f",
        "--file",
        "-p",
        "--project-name",
        "--profile",
        "--env-file",
        "--progress",
        "--project-directory",
        "--builder",
    ];
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if !word.starts_with('-') {
            return Some((word, &words[at + 1..]));
        }
        at += if WITH_VALUE.contains(word) { 2 } else { 1 };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &str) -> Vec<&str> {
        command.split(' ').collect()
    }

    #[test]
    fn builds() {
        for command in [
            "docker build .",
            "/usr/bin/docker build -t app --push .",
            "docker --context larder -l debug build .",
            "docker --host=unix:///x image build .",
            "docker builder build .",
            "docker buildx build --push .",
            "docker buildx --builder b bake app",
            "docker buildx bake",
            "docker compose build",
            "docker compose -f a.yml -p x --profile y build app",
            "docker-compose --env-file e build",
            "docker-buildx bake",
            "sudo env DOCKER_BUILDKIT=1 docker build .",
            "DOCKER_BUILDKIT=1 docker build .",
            "podman build -t app .",
            "podman image build .",
            "buildah bud --layers .",
        ] {
            assert!(is_build(&words(command)), "{command}");
        }
    }

    #[test]
    fn what_is_no_build_or_cannot_be_repeated() {
        for command in [
            "",
            "docker",
            "docker push app",
            "docker run build",
            "docker compose up --build",
            "docker compose run app build",
            "docker compose -f build up",
            "docker buildx imagetools create x",
            "docker buildx prune",
            "docker build -",
            "docker build -f - .",
            "docker buildx bake -f-",
            "docker compose --file=- build",
            "sh -c docker build .",
            "make build",
            "npm run build",
            "=x docker build .",
        ] {
            assert!(!is_build(&words(command)), "{command}");
        }
    }
}
