//! Saved images whose base image has moved since. A build that starts from today's base image cannot use
//! their layers.

use larder_bases::{Asking, Project, Record, Shared, images};
use larder_builds::Draft;
use larder_docker::streams::SavedImage;
use larder_local::people::Voice;
use larder_model::dockerfile::ImageConfigs;
use larder_store::Objects;

/// A base image that is not what it was when images were saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MovedBase {
    /// Its short name: `ruby:3.3`.
    pub(crate) name: String,
    /// The chain id of the layers that it had.
    chain: String,
}

/// What a job's builds depend on today. What cannot be found out is a warning.
pub(crate) async fn today(
    project: &Project,
    objects: &Objects,
    drafts: &[Draft],
    before: Option<&Record>,
    voice: &dyn Voice,
) -> Option<Record> {
    if drafts.is_empty() {
        return None;
    }
    let shared = Shared::new(objects.clone(), project);
    let asking = Asking::by_policy(project, &shared);
    let known = before.map_or(&[][..], |record| &record.images);
    match images::resolve(drafts, &asking, known).await {
        Ok(resolved) => {
            for unknown in &resolved.answers.unknown {
                voice.warning(&format!(
                    "cannot compare {} with its registry: {}",
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
            voice.warning(&format!(
                "cannot plan the job's builds, so their base images are not checked: {fault}"
            ));
            let plans = larder_builds::plans(drafts, &ImageConfigs::new()).ok()?;
            Some(Record::new(plans, Vec::new()))
        }
    }
}

/// The base images of both records that are not what they were.
pub(crate) fn bases(before: &Record, today: &Record) -> Vec<MovedBase> {
    let moved = today.images.iter().filter_map(|now| {
        let mut known = before.images.iter();
        let then = known.find(|it| it.reference == now.reference && it.platform == now.platform)?;
        let chain = then.digests.chain?.to_string();
        (then.identity != now.identity).then(|| MovedBase {
            name: now.reference.familiar(),
            chain,
        })
    });
    moved.collect()
}

/// Why an image is not worth loading, as part of a sentence.
pub(crate) fn unwanted(image: &SavedImage, moved: &[MovedBase]) -> Option<String> {
    let chains = image.chain_ids();
    let base = moved.iter().find(|base| chains.contains(&base.chain))?;
    Some(format!("its base image {} has moved", base.name))
}
