//! Reading the files that builds are described in, and naming them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use crate::fault::Fault;

/// The name of standard input, as docker has it.
pub(crate) const STDIN: &str = "-";

/// A longer file is no Dockerfile.
const FILE_MAX_BYTES: u64 = 16 << 20;

/// What docker looks for in a build's folder, in order.
pub(crate) const DOCKERFILES: [&str; 2] = ["Dockerfile", "dockerfile"];

/// Reads what comes on standard input, as far as a Dockerfile is long.
pub fn read_input(input: impl Read) -> Result<Vec<u8>, Fault> {
    read_whole(input, Path::new(STDIN))
}

/// Reads a file of at most [`FILE_MAX_BYTES`]; `shown` names it in faults.
pub(crate) fn read(path: &Path, shown: &Path) -> Result<Vec<u8>, Fault> {
    let meta = fs::metadata(path).map_err(|error| unreadable(shown, error))?;
    if !meta.is_file() {
        let why = "it is not a file; what a pipe brings is read with `-f -`";
        return Err(Fault::file(shown, why));
    }
    let file = File::open(path).map_err(|error| unreadable(shown, error))?;
    read_whole(file, shown)
}

fn read_whole(input: impl Read, shown: &Path) -> Result<Vec<u8>, Fault> {
    let mut text = Vec::new();
    let read = input.take(FILE_MAX_BYTES + 1).read_to_end(&mut text);
    read.map_err(|error| unreadable(shown, error))?;
    // Half a Dockerfile is another one.
    if text.len() as u64 > FILE_MAX_BYTES {
        let why = format!("it has more than the {FILE_MAX_BYTES} bytes that are read");
        return Err(Fault::file(shown, why));
    }
    Ok(text)
}

pub(crate) fn unreadable(shown: &Path, error: impl Into<io::Error>) -> Fault {
    match error.into() {
        error if error.kind() == ErrorKind::NotFound => Fault::file(shown, "there is no such file"),
        error => Fault::file(shown, format!("it cannot be read: {error}")),
    }
}

/// The file that a Dockerfile's name means: where it is called `Dockerfile` and is not there,
/// `dockerfile` will do, whoever asked (buildx `build/opt.go`, `handleLowercaseDockerfile`).
pub(crate) fn dockerfile(folder: &Path, named: PathBuf) -> PathBuf {
    let [usual, lower] = DOCKERFILES;
    let other = named.with_file_name(lower);
    let is_usual = named.file_name() == Some(OsStr::new(usual));
    if is_usual && !folder.join(&named).exists() && folder.join(&other).is_file() {
        return other;
    }
    named
}

/// A place in the words of whoever stands in `folder`, without `.`: reports name it, and a plan that
/// was made in another checkout is compared by it.
pub(crate) fn seen_from(folder: &Path, place: &Path) -> PathBuf {
    let place = folder.join(place);
    let parts: Vec<Component<'_>> = place.components().collect();
    let common = folder
        .components()
        .zip(&parts)
        .take_while(|(own, other)| own == *other)
        .count();
    let up = folder.components().skip(common);
    let up = up.map(|_| Component::ParentDir);
    up.chain(parts.into_iter().skip(common)).collect()
}

/// Whether the context of a build is not a folder of this machine: a URL, or a repository as git or docker write it
/// (buildx `build/utils.go`, `IsRemoteURL`; `BuildKit`'s `util/gitutil/git_url.go`). A folder of that name comes first.
pub fn is_remote(context: &str) -> bool {
    context.contains("://") || context.starts_with("github.com/") || is_scp(context)
}

/// `USER@HOST:PATH`.
fn is_scp(context: &str) -> bool {
    let Some((user, place)) = context.split_once('@') else {
        return false;
    };
    let Some((host, path)) = place.split_once(':') else {
        return false;
    };
    is_word(user, "_.-") && is_word(host, ".-") && !path.is_empty()
}

fn is_word(text: &str, more: &str) -> bool {
    let mut chars = text.chars();
    !text.is_empty() && chars.all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_named_from_the_current_folder() {
        let folder = Path::new("/home/me/app");
        for (place, name) in [
            ("web/Dockerfile", "web/Dockerfile"),
            ("./web/./x", "web/x"),
            ("/home/me/app/web/x", "web/x"),
            ("/home/me/other/x", "../other/x"),
            ("/etc/x", "../../../etc/x"),
            ("../x", "../x"),
        ] {
            assert_eq!(seen_from(folder, Path::new(place)), Path::new(name));
        }
    }

    #[test]
    fn a_context_may_be_elsewhere() {
        for remote in [
            "https://example.com/a.tar.gz",
            "github.com/docker/getting-started#main",
            "git@github.com:a/b.git",
            "deploy@git.example.com:team/app.git",
        ] {
            assert!(is_remote(remote), "{remote}");
        }
        for folder in [
            "github.com",
            "a/b@c:d",
            "web",
            "./github.com/a",
            "@x:y",
            "C:web",
        ] {
            assert!(!is_remote(folder), "{folder}");
        }
    }

    #[test]
    fn a_dockerfile_s_name_may_be_lower_case() {
        let folder = tempfile::tempdir().expect("a folder");
        let found = |named: &str| dockerfile(folder.path(), PathBuf::from(named));
        std::fs::write(folder.path().join("dockerfile"), "").expect("written");
        assert_eq!(found("Dockerfile"), Path::new("dockerfile"));
        assert_eq!(found("web/Dockerfile"), Path::new("web/Dockerfile"));
        assert_eq!(found("Other"), Path::new("Other"));
        std::fs::write(folder.path().join("Dockerfile"), "").expect("written");
        assert_eq!(found("Dockerfile"), Path::new("Dockerfile"));
    }
}
