//! `larder save`: images for the next job.

use std::process::ExitCode;

use larder_builds::Draft;

use super::builds;
use crate::archive::door::Door;
use crate::archive::note::JobNote;
use crate::archive::save::{self, Saved, What};
use crate::archive::{find, leaks, moved};
use crate::args::Save;
use crate::exit::{Done, Failure};
use crate::report::Report;
use crate::settings::Settings;

/// Saves; trouble with the store is a warning.
pub fn run(verb: &Save, report: &Report) -> Done {
    super::check_folder("--json", verb.manner.json.as_deref())?;
    let how = verb.planned.how(&verb.manner);
    let settings = Settings::decide(&verb.which, Some(&how))?;
    super::block_on(async {
        let door = Door::open(&settings).await?;
        let note = door.note.read(&door.engine.about().id);
        // A job that restored knows what it builds, and with which arguments.
        let drafts = match &note.plan {
            Some(_) => Vec::new(),
            None => builds::drafts(&settings.plan_paths, report),
        };
        let mut what = match (&verb.images[..], &note.built) {
            ([], Some(built)) => What::named(&door, &built.images).await?,
            ([], None) if verb.cache.is_none() => {
                What::everything(&door, &bases(&drafts, &note)).await?
            }
            ([], None) => What::default(),
            (names, _) => What::named(&door, names).await?,
        };
        what.use_cache(verb.cache.as_deref());
        let plan = if let Some(plan) = &note.plan {
            Some(plan.clone())
        } else {
            let today = moved::today(&settings, &door.objects, &drafts, None, report).await;
            today.and_then(|today| today.to_value().ok())
        };
        let found = leaks::of_images(&door.engine, &what).await?;
        leaks::tell(&found, verb.deny_secrets, report)?;
        let saved = publish(&door, &settings, &what, &note, plan, report).await?;
        if let Some(file) = &verb.manner.json {
            report.write_json(file, &saved)?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Saves, and says what; why not is a warning.
pub(super) async fn publish(
    door: &Door,
    settings: &Settings,
    what: &What,
    note: &JobNote,
    plan: Option<serde_json::Value>,
    report: &Report,
) -> Done<Option<Saved>> {
    let saved = match find::parent(door, settings, note.archive, report).await {
        _ if door.trouble.is_some() => Err(door.trouble.clone().unwrap_or_default()),
        Ok(parent) => save::save(door, parent, what, note, plan, report).await,
        Err(error) => Err(format!("the store cannot be read: {error}")),
    };
    match saved {
        Ok(saved) => {
            report.archive_saved(&saved, &door.lineage);
            door.note.remove();
            Ok(Some(saved))
        }
        Err(why) if settings.strict => {
            Err(Failure::failed(format!("nothing saved: {why} (--strict)")))
        }
        Err(why) => {
            report.warning(&format!("nothing saved: {why}"));
            Ok(None)
        }
    }
}

/// The names of the builds' base images: whoever needs them gets them from their registry.
fn bases(drafts: &[Draft], note: &JobNote) -> Vec<String> {
    let planned = larder_builds::plans(drafts, &larder_model::dockerfile::ImageConfigs::new());
    let noted = note
        .plan
        .as_ref()
        .and_then(crate::plan::record::Record::from_value);
    let plans = noted.map_or_else(|| planned.unwrap_or_default(), |record| record.plans);
    let images = plans.iter().flat_map(|named| &named.plan.images);
    images.map(|image| image.reference.to_string()).collect()
}
