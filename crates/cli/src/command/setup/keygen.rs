//! `larder keygen FILE`: a key to sign documents with.

use std::fs;
use std::process::ExitCode;

use larder_local::files;
use larder_settings::args::Keygen;
use larder_settings::exit::{Done, Failure};
use larder_store::SignKey;

use crate::report::Report;

pub(crate) fn run(verb: &Keygen, report: &Report) -> Done {
    let key = if verb.public {
        read(verb)?
    } else {
        made(verb)?
    };
    report.answer(&key.public().to_string());
    Ok(ExitCode::SUCCESS)
}

fn read(verb: &Keygen) -> Done<SignKey> {
    let refused = |why: String| Failure::input(format!("{}: {why}", verb.file.display()));
    let pem = fs::read_to_string(&verb.file).map_err(|error| refused(error.to_string()))?;
    SignKey::from_pem(pem).map_err(|error| refused(error.to_string()))
}

fn made(verb: &Keygen) -> Done<SignKey> {
    let key = SignKey::generate().map_err(Failure::failed)?;
    files::create_private(&verb.file, key.pem().as_bytes()).map_err(|error| {
        Failure::input(format!("{}: {error}; no key was made", verb.file.display()))
    })?;
    Ok(key)
}
