//! The base images of a session's builds: what they are today, and whether the restored engine
//! has something else under their tags.
//!
//! Builds are planned and registries asked while the volume and the engine come up. So this takes no
//! time of its own, unless a tool or a registry is slower than the engine. Then the session waits for
//! it until a deadline. Nothing here fails a session.

use std::sync::Arc;
use std::time::Duration;

use larder_bases::images::{self, ASK_LIMIT, Resolution};
use larder_bases::{Answers, Asking, Known, Project, Record, Shared};
use larder_builds::{Drafted, Fault, NamedPlan, Request};
use larder_engine::EngineError;
use larder_model::dockerfile::ImageConfigs;
use larder_model::identity::BaseIdentity;
use larder_model::reference::ImageReference;
use larder_registry::RegistryError;
use larder_store::Objects;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::blocking;
use super::events::Events;
use super::tenant::Holder;
use crate::facts::Moved;
use crate::protocol::Event;

/// How long the tools may take to say what is built, where several siblings could be restored.
const CHOICE_LIMIT: Duration = Duration::from_secs(2);

/// The plans of a session's builds.
pub(crate) struct Planning {
    /// What the snapshot that is restored knew.
    before: Vec<Known>,
    drafts: Drafts,
    state: State,
}

enum State {
    /// Registries are being asked, until then at most.
    Asked(JoinHandle<Result<Resolution, Fault>>, Instant),
    /// What the snapshot will keep.
    Done(Option<Record>),
}

/// A job's builds. The tools are asked what they are when somebody first wants to know.
#[derive(Clone)]
pub(crate) struct Drafts {
    request: Arc<Request>,
    drafted: Arc<OnceCell<Drafted>>,
}

impl Drafts {
    pub(crate) fn new(request: Request) -> Self {
        Self {
            request: Arc::new(request),
            drafted: Arc::default(),
        }
    }

    async fn get(&self) -> &Drafted {
        let ask = || async {
            let request = Arc::clone(&self.request);
            blocking(move || request.drafts()).await
        };
        self.drafted.get_or_init(ask).await
    }

    /// The plans without the identities of their images, if the tools have answered.
    fn plans(&self) -> Option<Vec<NamedPlan>> {
        let drafts = self.drafted.get()?.all();
        larder_builds::plans(&drafts, &ImageConfigs::new()).ok()
    }

    /// The same, for a choice that would be made without them; nothing if the tools take long.
    pub(crate) async fn plans_soon(&self) -> Option<Vec<NamedPlan>> {
        if !self.request.builds.is_empty() {
            timeout(CHOICE_LIMIT, self.get()).await.ok()?;
        }
        self.plans()
    }
}

impl Planning {
    /// Begins to ask. `before` is what the snapshot that is restored knew.
    pub(crate) fn begin(
        project: &Project,
        objects: &Objects,
        drafts: Drafts,
        before: Vec<Known>,
    ) -> Self {
        let state = if drafts.request.builds.is_empty() {
            State::Done(None)
        } else {
            let ask = Ask {
                project: project.clone(),
                shared: Shared::new(objects.clone(), project),
                before: before.clone(),
                drafts: drafts.clone(),
            };
            State::Asked(tokio::spawn(ask.run()), Instant::now() + ASK_LIMIT)
        };
        Self {
            before,
            drafts,
            state,
        }
    }

    /// Waits for the answers and has the engine forget tags that have moved. Returns these.
    pub(crate) async fn compare(&mut self, holder: &Holder<'_>, events: &Events) -> Vec<Moved> {
        self.settle(events).await;
        match &self.state {
            State::Done(Some(record)) => compare(holder, &self.before, record, events).await,
            _ => Vec::new(),
        }
    }

    /// What the snapshot keeps.
    pub(crate) async fn record(&mut self, events: &Events) -> Option<serde_json::Value> {
        self.settle(events).await;
        let State::Done(Some(record)) = &self.state else {
            return None;
        };
        match record.to_value() {
            Ok(value) => Some(value),
            Err(why) => {
                warn(events, why.to_string());
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
            let limit = ASK_LIMIT.as_secs();
            warn(
                events,
                format!(
                    "registries did not answer within {limit} s, so the base images are not checked; the \
                     engine uses its own copies"
                ),
            );
            self.state = State::Done(self.unresolved());
            return;
        };
        let drafted = self.drafts.drafted.get();
        for fault in drafted.iter().flat_map(|drafted| &drafted.faults) {
            warn_unplanned(events, fault);
        }
        let record = match answered.expect("asking registries does not panic") {
            Ok(Resolution { plans, answers, .. }) => {
                say_unknown(&answers, events);
                (!plans.is_empty()).then(|| Record::new(plans, answers.known))
            }
            Err(fault) => {
                warn_unplanned(events, &fault);
                self.unresolved()
            }
        };
        self.state = State::Done(record);
    }

    /// The plans without the identities of their images. They still tell the next job what was built.
    fn unresolved(&self) -> Option<Record> {
        Some(Record::new(self.drafts.plans()?, Vec::new()))
    }
}

/// What is asked beside the start of the engine.
struct Ask {
    project: Project,
    shared: Shared,
    before: Vec<Known>,
    drafts: Drafts,
}

impl Ask {
    /// Asks the tools what is built, and registries what the base images are.
    async fn run(self) -> Result<Resolution, Fault> {
        let drafted = self.drafts.get().await;
        let asking = Asking::by_policy(&self.project, &self.shared);
        let mut resolved = images::resolve(&drafted.all(), &asking, &self.before).await?;
        if let Some(news) = resolved.news.take() {
            // Nobody waits for it, and nothing depends on it.
            tokio::spawn(news.publish());
        }
        Ok(resolved)
    }
}

fn warn_unplanned(events: &Events, fault: &Fault) {
    warn(
        events,
        format!("cannot plan a build, so its base images are not checked: {fault}"),
    );
}

/// Warns of what registries did not say.
fn say_unknown(answers: &Answers, events: &Events) {
    for why in &answers.warnings {
        warn(events, why.clone());
    }
    if let Some(first) = answers.unknown.first() {
        warn(
            events,
            format!(
                "no answer for {} of {} base images; the engine uses its own copies: {}: {}",
                answers.unknown.len(),
                answers.unknown.len() + answers.known.len(),
                first.reference.familiar(),
                first.why
            ),
        );
    }
}

/// Compares each image of the plans with what the engine has under its tag. Builders keep what they pull
/// without a tag; so it is also compared with what the last job knew.
async fn compare(
    holder: &Holder<'_>,
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
        match forget(holder, &image.reference, known).await {
            Ok(Some(moved)) => all.push(moved),
            Ok(None) => {
                let former = before.iter().find(|former| former.is_about(image));
                let former = former.filter(|former| former.identity != known.identity);
                let moved = former
                    .map(|former| moved(&tag, former.identity, former.created.clone(), known));
                all.extend(moved);
            }
            Err(why) => warn(
                events,
                format!("cannot compare {tag} with its registry: {why}"),
            ),
        }
        seen.push(tag);
    }
    all
}

/// A registry's trouble is no trouble of the cache: it is a warning, also with `--strict`.
fn warn(events: &Events, why: String) {
    events.emit(&Event::Warning(why));
}

fn moved(tag: &str, old: BaseIdentity, old_created: Option<String>, new: &Known) -> Moved {
    Moved {
        tag: tag.to_owned(),
        old: format!("{old:.12}"),
        old_created,
        new: format!("{:.12}", new.identity),
        new_created: new.created.clone(),
    }
}

/// Why an image was not compared with its registry.
#[derive(Debug, thiserror::Error)]
enum NotCompared {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Configuration(#[from] RegistryError),
}

/// Drops the tag if the engine holds another image under it than the registry.
async fn forget(
    holder: &Holder<'_>,
    name: &ImageReference,
    known: &Known,
) -> Result<Option<Moved>, NotCompared> {
    let Some(held) = holder.held(name).await? else {
        return Ok(None);
    };
    let today = [known.digests.index, known.digests.manifest];
    let mut today = today.iter().flatten().map(ToString::to_string);
    let digests = held
        .digests
        .iter()
        .filter_map(|name| name.split('@').nth(1));
    let digests: Vec<&str> = digests.collect();
    // An image that was only built or loaded here is not the registry's to replace.
    if digests.is_empty() || today.any(|digest| digests.contains(&&*digest)) {
        return Ok(None);
    }
    let tag = name.familiar();
    // Another digest may be the same image: an index also moves when another platform does.
    let old = larder_registry::identity_of(held.configuration.to_string().as_bytes(), &tag)?;
    if old == known.identity {
        return Ok(None);
    }
    holder.forget(name).await?;
    Ok(Some(moved(&tag, old, held.created, known)))
}
