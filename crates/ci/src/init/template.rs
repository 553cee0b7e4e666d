//! A template with its places filled in.

use super::INSTALLER;
use super::repository::Repository;
use super::store::Store;
use super::system::System;

/// Lines, each with the section that it belongs to.
pub(super) struct Template(Vec<(&'static str, String)>);

impl Template {
    pub(super) fn of(system: System, repository: &Repository, store: &Store) -> Self {
        let credentials = store.credentials(system);
        let mut lines = Vec::new();
        let mut section = "";
        for line in system.template().lines() {
            if line.trim() == "@CREDENTIALS@" {
                let indent = &line[..line.len() - line.trim_start().len()];
                let each = credentials.iter();
                lines.extend(each.map(|text| (section, format!("{indent}{text}"))));
            } else if let Some(name) = line.strip_prefix('@').and_then(|it| it.strip_suffix('@')) {
                section = name;
            } else {
                let filled = line
                    .replace("@STORE@", store.url())
                    .replace("@INSTALLER@", INSTALLER)
                    .replace("@BUILD@", &repository.build())
                    .replace("@API_BUILD@", &repository.build_of_dockerfile());
                lines.push((section, filled));
            }
        }
        Self(lines)
    }

    pub(super) fn whole(&self) -> String {
        text(self.0.iter())
    }

    pub(super) fn section(&self, name: &str) -> String {
        text(self.0.iter().filter(|(section, _)| *section == name))
    }
}

fn text<'a>(lines: impl Iterator<Item = &'a (&'static str, String)>) -> String {
    let each = lines.flat_map(|(_, line)| [line, "\n"]);
    each.collect()
}
