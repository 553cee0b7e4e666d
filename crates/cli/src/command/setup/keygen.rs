//! `larder keygen FILE`: a key to sign documents with, or to encrypt a store with.

use std::fs;
use std::process::ExitCode;

use larder_local::files;
use larder_settings::args::Keygen;
use larder_settings::exit::{Done, Failure};
use larder_store::{EncryptKey, KeyError, SignKey};

use crate::report::Report;

/// What a key is kept as, and what of it everybody may know.
struct Key {
    secret: String,
    shown: String,
}

impl From<SignKey> for Key {
    fn from(key: SignKey) -> Self {
        let (secret, shown) = (key.pem().to_owned(), key.public().to_string());
        Self { secret, shown }
    }
}

impl From<EncryptKey> for Key {
    fn from(key: EncryptKey) -> Self {
        let (secret, shown) = (key.text(), key.id().to_string());
        Self { secret, shown }
    }
}

pub(crate) fn run(verb: &Keygen, report: &Report) -> Done {
    let key = if verb.public {
        read(verb)?
    } else {
        made(verb)?
    };
    report.answer(&key.shown);
    Ok(ExitCode::SUCCESS)
}

fn read(verb: &Keygen) -> Done<Key> {
    let refused = |why: String| Failure::input(format!("{}: {why}", verb.file.display()));
    let text = fs::read_to_string(&verb.file).map_err(|error| refused(error.to_string()))?;
    let key = match EncryptKey::from_text(&text) {
        Ok(key) => Ok(key.into()),
        Err(error) if verb.encrypt => Err(error),
        Err(_) => SignKey::from_pem(text).map(Key::from),
    };
    key.map_err(|error| refused(error.to_string()))
}

fn made(verb: &Keygen) -> Done<Key> {
    let key: Result<Key, KeyError> = if verb.encrypt {
        EncryptKey::generate().map(Key::from)
    } else {
        SignKey::generate().map(Key::from)
    };
    let key = key.map_err(Failure::failed)?;
    files::create_private(&verb.file, key.secret.as_bytes()).map_err(|error| {
        Failure::input(format!("{}: {error}; no key was made", verb.file.display()))
    })?;
    Ok(key)
}
