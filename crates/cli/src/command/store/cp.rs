//! `larder cp`: documents and all that they name, to another store.

use std::process::ExitCode;

use larder_local::clock::now_ms;
use larder_local::people::Voice as _;
use larder_settings::Settings;
use larder_settings::args::Cp;
use larder_settings::exit::{Done, Failure};
use larder_upkeep::copy::copy;

use super::gc::amount;
use super::selection;
use crate::command::block_on;
use crate::report::Report;

/// Copies; a document that cannot be copied is a warning, and the exit code is 1.
pub(crate) fn run(verb: &Cp, report: &Report) -> Done {
    let settings = Settings::decide(&verb.which, None, report)?;
    let from = settings.project().store.open()?;
    let key = verb.to_encrypt_key.as_deref();
    let to = settings.other_store(&verb.to, key)?.open()?;
    let copied = block_on(async {
        let documents = larder_upkeep::list(&from).await?;
        let selection = selection(&verb.which, &settings, &verb.ids, verb.all);
        let meant = selection
            .newest(&documents, now_ms())
            .map_err(Failure::input)?;
        Ok::<_, Failure>(copy(&from, &to, &meant, report).await?)
    })??;
    for (document, why) in &copied.left_out {
        report.warning(&format!("{} was not copied: {why}", document.name()));
    }
    if verb.json {
        report.json(&copied);
    } else {
        report.answer(&format!(
            "copied {} documents, {}; {} were there",
            copied.documents.len(),
            amount(&copied.copied),
            amount(&copied.there)
        ));
    }
    Ok(ExitCode::from(u8::from(!copied.left_out.is_empty())))
}
