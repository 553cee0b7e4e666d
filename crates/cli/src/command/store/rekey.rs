//! `larder rekey`: which keys open an encrypted store.

use std::process::ExitCode;

use larder_settings::Settings;
use larder_settings::args::Rekey;
use larder_settings::exit::{Done, Failure};
use serde_json::json;

use crate::command::wait_for;
use crate::report::Report;

/// Changes them if that was asked for, and prints their ids.
pub(crate) fn run(verb: &Rekey, report: &Report) -> Done {
    let settings = Settings::decide(&verb.which, None, report)?;
    let objects = settings.project().store.open()?;
    let added = match &verb.add {
        Some(named) => settings.encryption("--add", named)?,
        None => None,
    };
    let keys = wait_for(async {
        let keys = objects.rekey(added.as_ref(), verb.only).await?;
        Ok::<_, Failure>(keys)
    })??;
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    if verb.json {
        report.json(&json!({ "keys": keys }));
    } else {
        for key in &keys {
            report.answer(key);
        }
    }
    Ok(ExitCode::SUCCESS)
}
