//! What documents are signed with, whose are believed, and what stores are sealed with: `--sign-key`, `--trust`,
//! `--max-snapshot-age`, `--encrypt-key`.

use std::fs;
use std::path::Path;

use larder_ci::Environment;
use larder_model::signature::{Trust, Trusted};
use larder_store::{Access, EncryptKey, Keys, Location, SignKey};

use super::{Choices, Settings, fresh, variable as variable_of};
use crate::args::Where;
use crate::exit::{Done, Failure};

/// What a secret begins with that stands in a variable itself.
const SECRETS: [&str; 2] = ["-----BEGIN", "larder-encrypt:"];
/// A variable that holds the key.
const VARIABLE: &str = "env:";
/// No key, where one would be taken over.
const NONE: &str = "none";

/// A key, and how it was named.
struct Secret {
    named: String,
    text: String,
}

/// Where keys are looked for.
#[derive(Clone, Copy)]
pub(super) struct Finder<'a> {
    pub(super) environment: &'a Environment,
    pub(super) folder: &'a Path,
}

impl Finder<'_> {
    /// The key to encrypt with, as an option named it. A variable that was named and is empty is no key: a store would be
    /// filled with what everybody can read.
    pub(super) fn encryption(
        self,
        option: &str,
        named: Option<String>,
    ) -> Done<Option<EncryptKey>> {
        let Some(named) = named.filter(|named| named != NONE) else {
            return Ok(None);
        };
        let variable = "LARDER_ENCRYPT_KEY";
        let Some(Secret { named, text }) = self.secret(option, variable, named.clone())? else {
            let why = "the variable is empty, so nothing would be encrypted; a job without the secret cannot use this \
                       store";
            return Err(Failure::input(format!("{option} {named}: {why}")));
        };
        let key = EncryptKey::from_text(&text);
        key.map(Some)
            .map_err(|error| Failure::input(format!("{option} {named}: {error}")))
    }

    /// The key to sign with. An empty variable is none: CI systems give jobs of strangers no secrets.
    fn signing(self, named: Option<String>) -> Done<Option<SignKey>> {
        let Some(named) = named else {
            return Ok(None);
        };
        let Some(Secret { named, text }) = self.secret("--sign-key", "LARDER_SIGN_KEY", named)?
        else {
            return Ok(None);
        };
        let key = SignKey::from_pem(text);
        key.map(Some)
            .map_err(|error| Failure::input(format!("--sign-key {named}: {error}")))
    }

    fn secret(self, option: &str, variable: &str, named: String) -> Done<Option<Secret>> {
        if SECRETS.iter().any(|begin| named.starts_with(begin)) {
            let (named, text) = (variable.to_owned(), named);
            return Ok(Some(Secret { named, text }));
        }
        if let Some(name) = named.strip_prefix(VARIABLE) {
            let text = variable_of(self.environment, name);
            return Ok(text.map(|text| Secret { named, text }));
        }
        let text = fs::read_to_string(self.folder.join(&named))
            .map_err(|error| Failure::input(format!("{option} {named}: {error}")))?;
        Ok(Some(Secret { named, text }))
    }
}

impl Settings {
    /// A key to encrypt with, as an option named it.
    pub fn encryption(&self, option: &str, named: &str) -> Done<Option<EncryptKey>> {
        let finder = Finder {
            environment: &self.around.environment,
            folder: &self.around.folder,
        };
        finder.encryption(option, Some(named.to_owned()))
    }

    /// A store that was typed, which the same variables open, with a key of its own if one was typed, too.
    pub fn other_store(&self, url: &str, key: Option<&str>) -> Done<Access> {
        let location = match url {
            url if url.contains("://") => Location::parse(url)?,
            path => Location::folder(&self.around.folder.join(path)),
        };
        let other = self.project().store.of(location);
        Ok(match key {
            None => other,
            Some(named) => other.sealed_with(self.encryption("--to-encrypt-key", named)?),
        })
    }
}

impl Choices {
    pub(super) fn keys(&self, which: &Where) -> Done<Keys> {
        let age = self.text(
            &which.max_snapshot_age,
            "LARDER_MAX_SNAPSHOT_AGE",
            &self.file.max_snapshot_age,
        );
        let age = age.map(|text| fresh::period("--max-snapshot-age", &text));
        let finder = Finder {
            environment: &self.environment,
            folder: &self.folder,
        };
        Ok(Keys {
            sign: finder.signing(self.sign_key_name(which))?,
            trust: self.trust(which)?,
            max_age: age.transpose()?,
            encrypt: finder.encryption("--encrypt-key", self.encrypt_key_name(which))?,
        })
    }

    fn sign_key_name(&self, which: &Where) -> Option<String> {
        self.text(&which.sign_key, "LARDER_SIGN_KEY", &self.file.sign_key)
    }

    fn encrypt_key_name(&self, which: &Where) -> Option<String> {
        let typed = &which.encrypt_key;
        self.text(typed, "LARDER_ENCRYPT_KEY", &self.file.encrypt_key)
    }

    /// Whether a variable holds a key, and is nobody else's to see.
    pub(super) fn holds_key(&self, which: &Where, variable: &str) -> bool {
        let named = [self.sign_key_name(which), self.encrypt_key_name(which)];
        let mut named = named.iter().flatten();
        matches!(variable, "LARDER_SIGN_KEY" | "LARDER_ENCRYPT_KEY")
            || named.any(|named| named.strip_prefix(VARIABLE) == Some(variable))
    }

    fn trust(&self, which: &Where) -> Done<Trust> {
        let variable = self.variable("LARDER_TRUST");
        let listed = variable.iter().flat_map(|list| list.split(','));
        let texts: Vec<&str> = if !which.trust.is_empty() {
            which.trust.iter().map(String::as_str).collect()
        } else if variable.is_some() {
            listed.map(str::trim).collect()
        } else {
            self.file
                .trust
                .iter()
                .flatten()
                .map(String::as_str)
                .collect()
        };
        let trusted = texts.into_iter().map(|text| {
            let read: Result<Trusted, _> = text.parse();
            read.map_err(|error| Failure::input(format!("--trust: {error}")))
        });
        Ok(Trust::new(trusted.collect::<Done<_>>()?))
    }
}
