//! What must stay as it is: files and a directory of the machine, and a process.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result};

/// What is in the file that nobody may read out.
const SECRET: &str = "root:hunter2-of-the-machine:19000:0:99999:7:::";
/// The part of it that must not be printed.
const UNSPEAKABLE: &str = "hunter2";

/// They end with this value.
pub(crate) struct Victims {
    folder: PathBuf,
    bystander: Child,
    before: BTreeMap<PathBuf, String>,
}

impl Victims {
    pub(crate) fn new(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(folder.join("folder/below"))?;
        fs::write(folder.join("secret"), SECRET)?;
        fs::write(folder.join("file"), "kept\n")?;
        fs::write(folder.join("folder/below/kept"), "kept\n")?;
        let bystander = Command::new("sleep")
            .arg("1000000")
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start sleep")?;
        // For a moment of its start a program has no words, and who looks at the machine then does not count it.
        let words = PathBuf::from(format!("/proc/{}/cmdline", bystander.id()));
        while fs::read(&words)?.is_empty() {
            thread::yield_now();
        }
        let mut victims = Self {
            folder,
            bystander,
            before: BTreeMap::new(),
        };
        victims.before = victims.look()?;
        Ok(victims)
    }

    pub(crate) fn secret(&self) -> PathBuf {
        self.folder.join("secret")
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("file")
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.folder.join("folder")
    }

    pub(crate) fn bystander(&self) -> u32 {
        self.bystander.id()
    }

    /// Any of the three.
    pub(crate) fn paths(&self) -> [PathBuf; 3] {
        [self.secret(), self.file(), self.directory()]
    }

    /// What has happened to them.
    pub(crate) fn harm(&mut self) -> Result<Vec<String>> {
        let now = self.look()?;
        let mut harm = Vec::new();
        for (path, what) in &now {
            if self.before.get(path) != Some(what) {
                harm.push(format!("{} is {what}", path.display()));
            }
        }
        let gone = self.before.keys().filter(|path| !now.contains_key(*path));
        harm.extend(gone.map(|path| format!("{} is gone", path.display())));
        // What has happened once is told once.
        self.before = now;
        if self.bystander.try_wait()?.is_some() {
            harm.push("a process that has nothing to do with it was ended".to_owned());
        }
        Ok(harm)
    }

    pub(crate) fn is_told(said: &str) -> bool {
        said.contains(UNSPEAKABLE)
    }

    /// Each file and directory: whose it is, who may use it, and what is in it.
    fn look(&self) -> Result<BTreeMap<PathBuf, String>> {
        let mut found = BTreeMap::new();
        look_below(&self.folder, &mut found)?;
        Ok(found)
    }
}

fn look_below(path: &Path, found: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    let meta = fs::symlink_metadata(path)?;
    let content = if meta.is_file() {
        blake3::hash(&fs::read(path)?).to_hex().to_string()
    } else {
        String::new()
    };
    let what = format!("{:o} of {} {content}", meta.mode(), meta.uid());
    found.insert(path.to_owned(), what);
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            look_below(&entry?.path(), found)?;
        }
    }
    Ok(())
}

impl Drop for Victims {
    fn drop(&mut self) {
        // It may have ended, which has been told.
        let _ = self.bystander.kill();
        let _ = self.bystander.wait();
    }
}
