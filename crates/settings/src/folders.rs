//! Which directories live on a volume: `larder mount NAME DIR`, `larder run --dir DIR`.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use larder_engine::Asked;
use larder_local::checkout::Checkout;
use larder_local::people::Voice;
use larder_session::Tenant;

use super::{Choices, Settings};
use crate::args::{How, Mount, Where};
use crate::exit::{Done, Failure};

impl Settings {
    /// Decides all settings of a `mount`, whose name is the job's.
    pub fn for_mount(verb: &Mount, voice: &dyn Voice) -> Done<Self> {
        if verb.which.job.is_some() {
            let why = "--job: the first argument is the job's name here, so leave this option out";
            return Err(Failure::input(why.to_owned()));
        }
        let which = Where {
            job: Some(verb.name.clone()),
            ..verb.which.clone()
        };
        let how = How {
            volume: verb.volume.clone(),
            ..How::default()
        };
        let choices = Choices::look(&which, voice)?;
        choices.of_folders(&which, &how, std::slice::from_ref(&verb.folder))
    }
}

impl Choices {
    /// All settings of a session for directories. What is set for an engine does not count.
    pub(super) fn of_folders(&self, which: &Where, how: &How, typed: &[PathBuf]) -> Done<Settings> {
        let folders = self.folders(typed)?;
        let mut settings = self.settings(which, how)?;
        settings.session.tenant = Tenant::Folders(folders);
        settings.session.person = self.person();
        settings.session.builder = false;
        settings.session.engine = Asked::Private;
        settings.session.image_store = None;
        Ok(settings)
    }

    fn folders(&self, typed: &[PathBuf]) -> Done<Vec<PathBuf>> {
        let mut folders: Vec<PathBuf> = Vec::new();
        for path in typed {
            let folder: PathBuf = self.folder.join(path).components().collect();
            let refuse = |why: &str| Failure::input(format!("{}: {why}", path.display()));
            let Some(name) = folder.file_name() else {
                return Err(refuse("this names no directory; end with its name"));
            };
            if folder.to_str().is_none() {
                return Err(refuse("the path is no UTF-8; rename the directory"));
            }
            if folders.iter().any(|other| other.file_name() == Some(name)) {
                return Err(refuse(
                    "another directory has the same last part, by which they are known on other machines; give \
                     them different names",
                ));
            }
            if leads_out(&folder) {
                return Err(refuse(
                    "a link in the checkout leads out of it; name the directory itself",
                ));
            }
            folders.push(folder);
        }
        Ok(folders)
    }

    /// Who is to use what root makes for a session: who called sudo(8), else whose docker command it is.
    pub(super) fn user(&self) -> Option<(u32, u32)> {
        self.person().or_else(|| {
            let docker = self.docker_folder()?;
            let mut there = docker.ancestors().filter_map(|path| path.metadata().ok());
            let owner = there.next()?;
            (owner.uid() != 0).then(|| (owner.uid(), owner.gid()))
        })
    }

    /// Who called sudo(8), by its variables.
    pub(super) fn person(&self) -> Option<(u32, u32)> {
        let [user, group] = ["SUDO_UID", "SUDO_GID"].map(|name| self.variable(name)?.parse().ok());
        user.zip(group)
    }
}

/// Whether a link that a commit may have brought leads out of its checkout: nobody's commit decides where root mounts.
fn leads_out(folder: &Path) -> bool {
    let Some(checkout) = Checkout::above(folder) else {
        return false;
    };
    let mut there = folder.ancestors();
    let there = there.find(|path| path.symlink_metadata().is_ok());
    there.is_some_and(|path| !checkout.holds(path))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::file::File;

    #[test]
    fn directories_are_told_apart_and_stay_in_the_checkout() {
        let folder = tempfile::tempdir().expect("a folder");
        let repository = folder.path().join("repo");
        fs::create_dir_all(repository.join(".git")).expect("made");
        fs::create_dir_all(repository.join("a")).expect("made");
        symlink(folder.path(), repository.join("out")).expect("linked");
        symlink("/no/such", repository.join("dangling")).expect("linked");
        let choices = Choices {
            environment: [("SUDO_UID", "1000"), ("SUDO_GID", "1001")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            file: File::default(),
            folder: repository.clone(),
        };
        let found = |typed: &[&str]| {
            let typed: Vec<PathBuf> = typed.iter().map(PathBuf::from).collect();
            choices.folders(&typed).map_err(|failure| failure.message)
        };
        let good = found(&["./target", "a/b/cache", "/elsewhere/x"]).expect("good");
        let expected = [
            repository.join("target"),
            repository.join("a/b/cache"),
            "/elsewhere/x".into(),
        ];
        assert_eq!(good, expected);
        for (typed, why) in [
            (&["target", "a/target"][..], "a/target: another directory"),
            (&["/"], "names no directory"),
            (&["out/x"], "leads out"),
            (&["dangling"], "leads out"),
        ] {
            let message = found(typed).expect_err("refused");
            assert!(message.contains(why), "{typed:?}: {message}");
        }
        assert_eq!(choices.person(), Some((1000, 1001)));
    }
}
