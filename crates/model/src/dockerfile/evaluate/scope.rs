//! What a stage knows at some instruction: its variables, and where it is.

use std::collections::BTreeMap;

use crate::dockerfile::error::Fault;
use crate::dockerfile::shell::{Env, Value};
use crate::identity::InheritedConfig;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// Variables; without a value if it came from something unknown.
    pub(super) variables: BTreeMap<String, Option<String>>,
    /// A base image may define more.
    pub(super) open: bool,
    pub(super) windows: bool,
    /// Unknown if it is the base image's, or starts from there.
    workdir: Option<String>,
}

impl Env for Scope {
    fn get(&self, name: &str) -> Value<'_> {
        match self.variables.get(name) {
            Some(Some(value)) => Value::Set(value),
            Some(None) => Value::Unknown,
            None if self.open && !is_parameter(name) => Value::Unknown,
            None => Value::Unset,
        }
    }
}

/// `$1`, `$@` and the like: no image defines a variable of such a name.
fn is_parameter(name: &str) -> bool {
    name.starts_with(|c: char| c.is_numeric() || "@*#?-$!".contains(c))
}

impl Scope {
    /// The scope of a stage that starts from an image, of which perhaps nothing is known, or from
    /// nothing.
    pub(super) fn of_image(config: Option<&InheritedConfig>, scratch: bool, windows: bool) -> Self {
        let open = !scratch && config.is_none();
        let mut scope = Self {
            open,
            windows,
            workdir: (!open).then(|| "/".to_owned()),
            ..Self::default()
        };
        if let Some(config) = config {
            for (name, value) in &config.env {
                let value = value.clone().unwrap_or_default();
                scope.variables.insert(name.clone(), Some(value));
            }
            scope.enter(Some(&config.workdir));
        }
        if !scope.open && !windows {
            let path = scope.variables.entry("PATH".to_owned());
            path.or_insert_with(|| Some(DEFAULT_PATH.to_owned()));
        }
        scope
    }

    /// `WORKDIR`, if it is known.
    pub(super) fn enter(&mut self, folder: Option<&str>) {
        self.workdir = folder.and_then(|folder| self.resolved(folder));
    }

    /// An absolute path without `.` and `..`; a relative one starts in the working directory, which must
    /// be known.
    pub(super) fn resolved(&self, path: &str) -> Option<String> {
        let whole = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{}/{path}", self.workdir.as_ref()?)
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in whole.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        Some(format!("/{}", parts.join("/")))
    }

    /// `system.CheckSystemDriveAndRemoveDriveLetter`: on Windows a path is on drive C.
    pub(super) fn check_path(&self, path: &str) -> Result<(), Fault> {
        if !self.windows {
            return Ok(());
        }
        let slashed = path.replace('\\', "/");
        let reason = match slashed.split_once(':') {
            Some((_, "")) if path.len() == 2 => "no path is given behind the drive",
            Some((drive, _)) if !drive.eq_ignore_ascii_case("c") => {
                "the specified path is not on the system drive (C:)"
            }
            None if slashed.starts_with("//") => "UNC paths are not supported",
            _ => return Ok(()),
        };
        Err(Fault::new(path, reason))
    }
}
