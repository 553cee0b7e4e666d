//! What documents are signed with, and whose are believed: `--sign-key`, `--trust`, `--max-snapshot-age`.

use std::fs;
use std::path::Path;

use larder_model::signature::{Trust, Trusted};
use larder_store::{Keys, SignKey};

use super::{Choices, fresh};
use crate::args::Where;
use crate::exit::{Done, Failure};

/// What a key begins with that stands in a variable itself.
const PEM: &str = "-----BEGIN";
/// A variable that holds the key.
const VARIABLE: &str = "env:";

impl Choices {
    pub(super) fn keys(&self, which: &Where) -> Done<Keys> {
        let age = self.text(
            &which.max_snapshot_age,
            "LARDER_MAX_SNAPSHOT_AGE",
            &self.file.max_snapshot_age,
        );
        let age = age.map(|text| fresh::period("--max-snapshot-age", &text));
        Ok(Keys {
            sign: self.sign_key(which)?,
            trust: self.trust(which)?,
            max_age: age.transpose()?,
        })
    }

    /// The key. An empty variable is none: CI systems give jobs of strangers no secrets.
    fn sign_key(&self, which: &Where) -> Done<Option<SignKey>> {
        let Some(named) = self.sign_key_name(which) else {
            return Ok(None);
        };
        let (shown, pem) = if named.starts_with(PEM) {
            ("LARDER_SIGN_KEY", named.clone())
        } else if let Some(name) = named.strip_prefix(VARIABLE) {
            match self.variable(name) {
                Some(pem) => (&*named, pem),
                None => return Ok(None),
            }
        } else {
            (&*named, read(&self.folder.join(&named))?)
        };
        let key = SignKey::from_pem(pem);
        key.map(Some)
            .map_err(|error| Failure::input(format!("--sign-key {shown}: {error}")))
    }

    fn sign_key_name(&self, which: &Where) -> Option<String> {
        self.text(&which.sign_key, "LARDER_SIGN_KEY", &self.file.sign_key)
    }

    /// Whether a variable holds the key, and is nobody else's to see.
    pub(super) fn holds_sign_key(&self, which: &Where, variable: &str) -> bool {
        let named = self.sign_key_name(which);
        let named = named
            .as_deref()
            .and_then(|named| named.strip_prefix(VARIABLE));
        variable == "LARDER_SIGN_KEY" || named == Some(variable)
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

fn read(path: &Path) -> Done<String> {
    fs::read_to_string(path)
        .map_err(|error| Failure::input(format!("--sign-key {}: {error}", path.display())))
}
