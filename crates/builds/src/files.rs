//! Reading the files that builds are described in, and naming them.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use crate::fault::Fault;

/// A longer file is no Dockerfile.
pub(crate) const FILE_MAX_BYTES: u64 = 16 << 20;

/// What docker looks for in a build's folder, in order.
pub(crate) const DOCKERFILES: [&str; 2] = ["Dockerfile", "dockerfile"];

/// Reads a file of at most [`FILE_MAX_BYTES`]; `shown` names it in faults.
pub(crate) fn read(path: &Path, shown: &Path) -> Result<Vec<u8>, Fault> {
    let failed = |error: std::io::Error| Fault::file(shown, format!("it cannot be read: {error}"));
    let meta = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Fault::file(shown, "there is no such file"),
        _ => failed(error),
    })?;
    if !meta.is_file() {
        let why = "it is not a file; what a pipe brings is read with `-f -`";
        return Err(Fault::file(shown, why));
    }
    if meta.len() > FILE_MAX_BYTES {
        let text = format!(
            "it has {} bytes; at most {FILE_MAX_BYTES} are read",
            meta.len()
        );
        return Err(Fault::file(shown, text));
    }
    std::fs::read(path).map_err(failed)
}

/// The file that a Dockerfile's name means: where it is called `Dockerfile` and is not there,
/// `dockerfile` will do, whoever asked (buildx `build/opt.go`, `handleLowercaseDockerfile`).
pub(crate) fn dockerfile(folder: &Path, named: PathBuf) -> PathBuf {
    let [usual, lower] = DOCKERFILES;
    if named.file_name() != Some(OsStr::new(usual)) || folder.join(&named).exists() {
        return named;
    }
    let other = named.with_file_name(lower);
    if folder.join(&other).is_file() {
        other
    } else {
        named
    }
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

/// Whether the context of a build is not a folder of this machine
/// (buildx `build/utils.go`, `IsRemoteURL`).
pub(crate) fn is_remote(context: &str) -> bool {
    context.contains("://") || context.starts_with("git@")
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
