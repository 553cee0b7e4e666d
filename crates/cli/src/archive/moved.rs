//! Saved images whose base image has moved since: their layers cannot be hit by a build that starts
//! from today's.

use larder_engine::archive::SavedImage;
use larder_store::Objects;

use crate::plan::draft::{self, Draft};
use crate::plan::images;
use crate::plan::record::Record;
use crate::plan::shared::Shared;
use crate::report::Report;
use crate::session::fresh;
use crate::settings::Settings;

/// A base image that is not what it was when images were saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedBase {
    /// Its short name: `ruby:3.3`.
    pub name: String,
    /// The chain id of the layers that it had.
    chain: String,
}

/// What a job's builds depend on today. What cannot be had is a warning.
pub async fn today(
    settings: &Settings,
    objects: &Objects,
    drafts: &[Draft],
    before: Option<&Record>,
    report: &Report,
) -> Option<Record> {
    if drafts.is_empty() {
        return None;
    }
    let shared = Shared::new(objects.clone(), settings);
    let asking = fresh::asking(settings.fresh, &settings.registries, &shared);
    let known = before.map_or(&[][..], |record| &record.images);
    match images::resolve(drafts, &asking, known).await {
        Ok(resolved) => {
            for unknown in &resolved.answers.unknown {
                report.warning(&format!(
                    "{} is not compared with its registry: {}",
                    unknown.reference.familiar(),
                    unknown.why
                ));
            }
            if let Some(news) = resolved.news {
                news.publish().await;
            }
            Some(Record::new(resolved.plans, resolved.answers.known))
        }
        Err(fault) => {
            report.warning(&format!("its base images are not looked at: {fault}"));
            let plans = draft::plans(drafts, &larder_model::dockerfile::ImageConfigs::new());
            plans.ok().map(|plans| Record::new(plans, Vec::new()))
        }
    }
}

/// The base images of both records that are not what they were.
pub fn bases(before: &Record, today: &Record) -> Vec<MovedBase> {
    let moved = today.images.iter().filter_map(|now| {
        let same_name = |then: &&_| same_image(then, now);
        let then = before.images.iter().find(same_name)?;
        let chain = then.digests.chain?.to_string();
        (then.identity != now.identity).then(|| MovedBase {
            name: now.reference.familiar(),
            chain,
        })
    });
    moved.collect()
}

fn same_image(one: &crate::plan::record::Known, other: &crate::plan::record::Known) -> bool {
    one.reference == other.reference && one.platform == other.platform
}

/// Why an image is not worth loading, as part of a sentence.
pub fn unwanted(image: &SavedImage, moved: &[MovedBase]) -> Option<String> {
    if moved.is_empty() {
        return None;
    }
    let chains = image.chain_ids();
    let base = moved.iter().find(|base| chains.contains(&base.chain))?;
    Some(format!("its base image {} moved", base.name))
}
