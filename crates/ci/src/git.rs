//! What a git checkout says about itself, read from its files: the git program refuses
//! repositories of another user, which is what `sudo` makes of them, and may not be installed.

use std::path::{Path, PathBuf};

/// A checkout.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Repository {
    /// Host and path of the remote `origin`, without credentials.
    pub project: Option<String>,
    /// The branch that is checked out; `None` on a detached head.
    pub branch: Option<String>,
    /// The commit that is checked out.
    pub commit: Option<String>,
    /// The branch that `origin` offers by default, where a clone recorded it.
    pub default_branch: Option<String>,
}

/// The checkout that a folder is in.
pub fn find(folder: &Path) -> Option<Repository> {
    let root = folder
        .ancestors()
        .find(|folder| folder.join(".git").exists())?;
    let git = git_folder(&root.join(".git"))?;
    let common = std::fs::read_to_string(git.join("commondir"));
    let common = common.map_or_else(|_| git.clone(), |path| git.join(path.trim()));
    let remotes = common.join("refs/remotes");
    let branch_here = branch(&git.join("HEAD"), "ref: refs/heads/");
    Some(Repository {
        project: remote(&common.join("config")),
        commit: match &branch_here {
            Some(branch) => commit_of(branch, &common),
            None => commit(&git.join("HEAD")),
        },
        // What a repository with another kind of references shows to those who read files (git
        // `Documentation/technical/reftable.adoc`).
        branch: branch_here.filter(|name| name != ".invalid"),
        default_branch: branch(&remotes.join("origin/HEAD"), "ref: refs/remotes/origin/"),
    })
}

/// The branch that a file names, as git's symbolic references do.
fn branch(file: &Path, prefix: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    Some(text.trim().strip_prefix(prefix)?.to_owned())
}

/// The commit that a file names: 40 or 64 hexadecimal digits.
fn commit(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    Some(text.trim().to_owned()).filter(|text| is_commit(text))
}

fn is_commit(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The commit of a branch: in a file of its own, or in the one of all packed references.
fn commit_of(branch: &str, common: &Path) -> Option<String> {
    let reference = format!("refs/heads/{branch}");
    commit(&common.join(&reference)).or_else(|| {
        let packed = std::fs::read_to_string(common.join("packed-refs")).ok()?;
        let mut lines = packed.lines().filter_map(|line| line.split_once(' '));
        let (id, _) = lines.find(|(id, name)| *name == reference && is_commit(id))?;
        Some(id.to_owned())
    })
}

/// `.git` is a folder, or in a worktree or submodule a file that names one.
fn git_folder(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.to_owned());
    }
    let text = std::fs::read_to_string(path).ok()?;
    let named = text.trim().strip_prefix("gitdir: ")?;
    Some(path.parent()?.join(named))
}

fn remote(config: &Path) -> Option<String> {
    let config = std::fs::read_to_string(config).ok()?;
    let mut lines = config.lines().map(str::trim);
    lines.find(|line| *line == "[remote \"origin\"]")?;
    let section = lines.take_while(|line| !line.starts_with('['));
    let url = section
        .filter_map(|line| line.split_once('='))
        .find(|(key, _)| key.trim() == "url");
    project_of(url?.1.trim())
}

/// `https://user:token@github.com/shop/web.git` and `git@github.com:shop/web.git` are both
/// `github.com/shop/web`. A local path is no name to share.
fn project_of(url: &str) -> Option<String> {
    let (host, path) = match url.split_once("://") {
        Some(("file", _)) => return None,
        Some((_, rest)) => rest.split_once('/')?,
        None => url
            .split_once(':')
            .filter(|(host, _)| !host.contains('/'))?,
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    (!host.is_empty() && !path.is_empty()).then(|| format!("{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_become_names_without_credentials() {
        for url in [
            "https://user:token@github.com/shop/web.git",
            "git@github.com:shop/web.git",
            "ssh://git@github.com/shop/web",
        ] {
            assert_eq!(
                project_of(url).as_deref(),
                Some("github.com/shop/web"),
                "{url}"
            );
        }
        for url in ["/srv/git/web.git", "../web", "file:///srv/web", ""] {
            assert_eq!(project_of(url), None, "{url}");
        }
    }

    #[test]
    fn a_checkout_tells_branch_and_remote() {
        let folder = tempfile::tempdir().expect("a folder");
        let git = folder.path().join(".git");
        std::fs::create_dir_all(git.join("refs/remotes/origin")).expect("folders");
        let write = |name: &str, text: &str| std::fs::write(git.join(name), text).expect("a file");
        write("HEAD", "ref: refs/heads/feature/x\n");
        write(
            "refs/remotes/origin/HEAD",
            "ref: refs/remotes/origin/trunk\n",
        );
        write(
            "config",
            "[core]\n\tbare = false\n[remote \"origin\"]\n\tfetch = x\n\turl = git@h:a/b.git\n",
        );
        let found = find(&folder.path().join(".")).expect("a repository");
        assert_eq!(found.project.as_deref(), Some("h/a/b"));
        assert_eq!(found.branch.as_deref(), Some("feature/x"));
        assert_eq!(found.default_branch.as_deref(), Some("trunk"));
        assert_eq!(found.commit, None);
        let [loose, packed] = ["a", "b"].map(|digit| digit.repeat(40));
        write(
            "packed-refs",
            &format!("# pack-refs\n{packed} refs/heads/feature/x\n"),
        );
        let now = || find(folder.path()).expect("a repository");
        assert_eq!(now().commit, Some(packed));
        std::fs::create_dir_all(git.join("refs/heads/feature")).expect("folders");
        write("refs/heads/feature/x", &format!("{loose}\n"));
        assert_eq!(now().commit.as_ref(), Some(&loose));
        write("HEAD", &format!("{loose}\n"));
        assert_eq!((now().branch, now().commit), (None, Some(loose)));
        write("HEAD", "ref: refs/heads/.invalid\n");
        assert_eq!((now().branch, now().commit), (None, None));
    }
}
