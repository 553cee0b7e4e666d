//! The base images of a session's builds: what they are today, and whether the restored engine
//! holds something else.
//!
//! Registries are asked while the volume and the engine come up, so that asking costs the job
//! nothing unless a registry is slower than the engine; then it is waited for until a deadline.
//! Nothing here fails a session.

use std::time::Duration;

use larder_engine::Engine;
use larder_model::dockerfile::ImageConfigs;
use larder_model::identity::BaseIdentity;
use larder_store::Objects;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::events::Events;
use super::facts::{Moved, now_ms};
use super::protocol::Event;
use crate::plan::draft::{self, Draft};
use crate::plan::fault::Fault;
use crate::plan::images::{self, Answers, Asking};
use crate::plan::record::{Known, NamedPlan, Record};
use crate::plan::shared::Shared;
use crate::settings::{Fresh, Registries, Settings};

/// The most time that registries are given, from when they are asked.
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// The most time that the engine is given for one image.
const ENGINE_LIMIT: Duration = Duration::from_secs(5);

/// The plans with what is known of their images, or why there are none.
type Asked = Result<(Vec<NamedPlan>, Answers), Fault>;

/// The plans of a session's builds.
pub struct Planning {
    /// What the snapshot that is restored knew.
    before: Vec<Known>,
    drafts: Vec<Draft>,
    state: State,
}

enum State {
    /// Registries are being asked, until then at most.
    Asked(JoinHandle<Asked>, Instant),
    /// What the snapshot will keep.
    Done(Option<Record>),
}

impl Planning {
    /// Begins to ask. `before` is what the snapshot that is restored knew.
    pub fn begin(settings: &Settings, objects: &Objects, before: Vec<Known>) -> Self {
        let mut planning = Self {
            before,
            drafts: settings.drafts.clone(),
            state: State::Done(None),
        };
        if planning.drafts.is_empty() {
            return planning;
        }
        let (drafts, former) = (planning.drafts.clone(), planning.before.clone());
        let (fresh, registries) = (settings.fresh, settings.registries.clone());
        let shared = Shared::new(objects.clone(), settings);
        let asked = tokio::spawn(async move {
            let asking = asking(fresh, &registries, &shared);
            let resolved = images::resolve(&drafts, &asking, &former).await?;
            if let Some(news) = resolved.news {
                // Nobody waits for it, and nothing depends on it.
                tokio::spawn(news.publish());
            }
            Ok((resolved.plans, resolved.answers))
        });
        planning.state = State::Asked(asked, Instant::now() + ASK_LIMIT);
        planning
    }

    /// Waits for the answers and lets the engine forget what moved: the images that are not what
    /// they were.
    pub async fn compare(&mut self, engine: &Engine, events: &Events) -> Vec<Moved> {
        self.settle(events).await;
        match &self.state {
            State::Done(Some(record)) => compare(engine, &self.before, record, events).await,
            _ => Vec::new(),
        }
    }

    /// What the snapshot keeps.
    pub async fn record(&mut self, events: &Events) -> Option<serde_json::Value> {
        self.settle(events).await;
        let State::Done(Some(record)) = &self.state else {
            return None;
        };
        match record.to_value() {
            Ok(value) => Some(value),
            Err(why) => {
                warn(events, why);
                None
            }
        }
    }

    async fn settle(&mut self, events: &Events) {
        let State::Asked(asked, until) = &mut self.state else {
            return;
        };
        let Ok(answered) = timeout_at(*until, &mut *asked).await else {
            asked.abort();
            let why = format!(
                "registries did not say within {} s what the base images are; the engine's own \
                 copies serve",
                ASK_LIMIT.as_secs()
            );
            warn(events, why);
            self.state = State::Done(self.unresolved());
            return;
        };
        let (plans, answers) = match answered.expect("asking registries does not panic") {
            Ok(resolved) => resolved,
            Err(fault) => {
                warn(
                    events,
                    format!("its base images are not looked at: {fault}"),
                );
                self.state = State::Done(self.unresolved());
                return;
            }
        };
        for why in answers.warnings {
            warn(events, why);
        }
        if let Some(first) = answers.unknown.first() {
            let all = answers.unknown.len() + answers.known.len();
            let why = format!(
                "{} of {all} base images could not be asked for, the engine's own copies serve: {}: {}",
                answers.unknown.len(),
                first.reference.familiar(),
                first.why
            );
            warn(events, why);
        }
        self.state = State::Done(Some(Record::new(plans, answers.known)));
    }

    /// The plans without their images: who compares with them knows the rest.
    fn unresolved(&self) -> Option<Record> {
        let plans = draft::plans(&self.drafts, &ImageConfigs::new()).ok()?;
        Some(Record::new(plans, Vec::new()))
    }
}

/// How registries are asked in a job.
pub fn asking<'a>(fresh: Fresh, registries: &'a Registries, shared: &'a Shared) -> Asking<'a> {
    Asking {
        registries,
        max_age: match fresh {
            Fresh::Always => None,
            Fresh::Within(period) => Some(period),
            Fresh::Never => Some(Duration::MAX),
        },
        offline: fresh == Fresh::Never,
        deadline: ASK_LIMIT,
        now_ms: now_ms(),
        shared: Some(shared),
    }
}

/// Compares each image of the plans with what the engine holds under its tag and, as builders keep
/// what they pull without a tag, with what the last job knew.
async fn compare(
    engine: &Engine,
    before: &[Known],
    record: &Record,
    events: &Events,
) -> Vec<Moved> {
    let mut all = Vec::new();
    let images = record.plans.iter().flat_map(|named| &named.plan.images);
    let mut seen = Vec::new();
    for image in images.filter(|image| image.reached && image.reference.digest().is_none()) {
        let known = record.images.iter().find(|known| known.is_about(image));
        // Under one tag the engine holds one platform's image: the first that is planned.
        let tag = image.reference.familiar();
        let Some(known) = known.filter(|_| !seen.contains(&tag)) else {
            continue;
        };
        match forget(engine, &tag, known).await {
            Ok(Some(moved)) => all.push(moved),
            Ok(None) => {
                let former = before.iter().find(|former| former.is_about(image));
                let former = former.filter(|former| former.identity != known.identity);
                let moved = former
                    .map(|former| moved(&tag, former.identity, former.created.clone(), known));
                all.extend(moved);
            }
            Err(why) => {
                let why = format!("{tag} is not compared with its registry: {why}");
                warn(events, why);
            }
        }
        seen.push(tag);
    }
    all
}

/// A registry's trouble is no trouble of the cache: it is told, and does not count against a
/// session that is strict.
fn warn(events: &Events, why: String) {
    events.emit(&Event::Warning(why));
}

fn moved(tag: &str, old: BaseIdentity, old_created: Option<String>, new: &Known) -> Moved {
    Moved {
        tag: tag.to_owned(),
        old: old.short(),
        old_created,
        new: new.identity.short(),
        new_created: new.created.clone(),
    }
}

/// Drops the tag if the engine holds another image under it than the registry.
async fn forget(engine: &Engine, tag: &str, known: &Known) -> Result<Option<Moved>, String> {
    let held = engine.held(tag, ENGINE_LIMIT).await;
    let Some(held) = held.map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    let today = [&known.digests.index, &known.digests.manifest];
    let same_digest = |digest: &String| {
        today
            .into_iter()
            .flatten()
            .any(|known| known.to_string() == *digest)
    };
    // An image that was only built or loaded here is not the registry's to replace.
    if held.digests.is_empty() || held.digests.iter().any(same_digest) {
        return Ok(None);
    }
    // Another digest may be the same image: an index also moves when another platform does.
    let identity = larder_registry::identity_of(held.config.to_string().as_bytes(), tag);
    let old = identity.map_err(|error| error.to_string())?;
    if old == known.identity {
        return Ok(None);
    }
    let forgotten = engine.forget_tag(tag, ENGINE_LIMIT).await;
    forgotten.map_err(|error| error.to_string())?;
    Ok(Some(moved(tag, old, held.created, known)))
}
