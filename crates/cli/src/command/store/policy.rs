//! `larder policy CLOUD`: what a job's credentials must be allowed to do.

use std::process::ExitCode;

use larder_settings::Settings;
use larder_settings::args::{Cloud, Policy};
use larder_settings::exit::{Done, Failure};
use larder_upkeep::policy::{Grants, Whose, azure, gcs, s3};

use crate::command::wait_for;
use crate::report::Report;

/// Prints a policy. The store is asked which engines the project has.
pub(crate) fn run(verb: &Policy, report: &Report) -> Done {
    let settings = Settings::decide(&verb.which, None, report)?;
    let store = &settings.project().store;
    let scheme = match verb.cloud {
        Cloud::S3 => "s3",
        Cloud::Gcs => "gs",
        Cloud::Azure => "az",
    };
    let place = store.location().as_bucket();
    let Some((_, bucket, prefix)) = place.filter(|(own, ..)| *own == scheme) else {
        return Err(Failure::input(format!(
            "the store {store} is not in that cloud; name one with --store {scheme}://…"
        )));
    };
    let descent = &settings.project().descent;
    let scope = descent.scope.to_string();
    let whose = Whose {
        project: &descent.project,
        untrusted: verb.untrusted.then_some(&*scope),
    };
    let objects = store.open()?;
    let grants = wait_for(Grants::of(&objects, prefix, whose))??;
    if verb.untrusted && grants.is_for_no_engine() {
        return Err(Failure::input(format!(
            "{} has nothing in {store} yet, so its engines are not known; print this after a trusted job has saved",
            descent.project
        )));
    }
    report.json(&match verb.cloud {
        Cloud::S3 => s3(&grants, bucket),
        Cloud::Gcs => gcs(&grants, bucket),
        Cloud::Azure => azure(&grants, bucket),
    });
    Ok(ExitCode::SUCCESS)
}
