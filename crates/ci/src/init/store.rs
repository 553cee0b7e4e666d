//! The store as a configuration has it, and where its credentials come from.

use std::fmt;

use super::system::System;

/// What stands for a store that nobody has chosen.
const EXAMPLE: &str = "s3://my-bucket/larder";

/// A store's URL.
pub(super) struct Store {
    url: String,
    is_chosen: bool,
}

impl Store {
    pub(super) fn of(chosen: Option<&str>) -> Self {
        Self {
            url: chosen.unwrap_or(EXAMPLE).to_owned(),
            is_chosen: chosen.is_some(),
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The variables that its client reads, secrets first.
    fn variables(&self) -> &'static [&'static str] {
        match self.url.split_once("://").map(|(scheme, _)| scheme) {
            Some("s3") => &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"],
            Some("gs") => &["GOOGLE_SERVICE_ACCOUNT_KEY"],
            Some("az") => &["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"],
            _ => &[],
        }
    }

    /// The lines by which a configuration hands them on, or says where they are to be put.
    pub(super) fn credentials(&self, system: System) -> Vec<String> {
        let names = self.variables();
        if names.is_empty() {
            return Vec::new();
        }
        let all = list(names);
        match system {
            System::Github => handed_on(names, "# Secrets of the repository.", |name| {
                format!("{name}: ${{{{ secrets.{name} }}}}")
            }),
            System::Azure => handed_on(names, "# Variables of the pipeline.", |name| {
                format!("{name}: $({name})")
            }),
            System::Jenkins => handed_on(
                names,
                "// Credentials of Jenkins, of the kind \"Secret text\".",
                |name| format!("{name} = credentials('{name}')"),
            ),
            System::Gitlab => vec![format!("# CI/CD variables of the project: {all}.")],
            System::Circleci => vec![format!("# Environment variables of the project: {all}.")],
            System::Bitbucket => vec![format!("# Repository variables: {all}.")],
            System::Buildkite => vec![format!(
                "# From the agent's environment hook or a secret: {all}."
            )],
            System::Shell => vec![format!("# From the CI system's secrets: {all}.")],
        }
    }
}

fn handed_on(names: &[&str], note: &str, line: impl Fn(&str) -> String) -> Vec<String> {
    let lines = names.iter().map(|name| line(name));
    [note.to_owned()].into_iter().chain(lines).collect()
}

/// `a, b and c`.
fn list(names: &[&str]) -> String {
    match names {
        [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => names.join(""),
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.url;
        match (self.is_chosen, self.variables()) {
            (true, []) => write!(f, "{url}, as chosen; it needs no credentials"),
            (true, names) => write!(f, "{url}, as chosen; it reads {}", list(names)),
            (false, names) => write!(
                f,
                "{url} stands for one that you choose (--store): a bucket near the machines; it reads {}",
                list(names)
            ),
        }
    }
}
