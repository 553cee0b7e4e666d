//! `larder image`: what images are today.

use std::process::ExitCode;

use indicatif::HumanBytes;
use larder_builds::{host_platform, platform};
use larder_local::people::Voice as _;
use larder_model::reference::ImageReference;
use larder_registry::{ImageRequest, Registry, RegistryError, Resolved, Target};
use larder_settings::Settings;
use larder_settings::args::{EngineKind, Image};
use larder_settings::exit::{Done, Failure};
use serde_json::{Value, json};

use crate::report::{Report, table};
use crate::survey::DEADLINE;

/// Shows the images; fails if one of them is not known.
pub(crate) fn run(verb: &Image, report: &Report) -> Done {
    let settings = Settings::for_builds(&verb.which, &verb.reach, &EngineKind::default(), report)?;
    let wanted = match &verb.platform {
        Some(text) => platform(text)?,
        None => host_platform(),
    };
    let requests = verb.references.iter().map(|text| {
        let reference = ImageReference::parse(text).map_err(Failure::input)?;
        let (target, platform) = (Target::of(&reference), wanted.clone());
        Ok(ImageRequest { target, platform })
    });
    let requests = requests.collect::<Done<Vec<_>>>()?;
    let registries = &settings.project().registries;
    let (registry, warnings) = registries.client(DEADLINE, registries.memory());
    for warning in &warnings {
        report.warning(warning);
    }
    let found = super::wait_for(ask(verb, &registry, &requests))?;
    let mut images = Vec::new();
    let mut failed = false;
    for (request, found) in requests.iter().zip(found) {
        let reference = request.target.to_string();
        match found {
            Ok((mut value, _)) if verb.json => {
                value["reference"] = reference.into();
                images.push(value);
            }
            Ok((_, text)) => report.answer(&text),
            Err(error) => {
                failed = true;
                report.warning(&format!("{reference}: {error}"));
                images.push(json!({ "reference": reference, "error": error.to_string() }));
            }
        }
    }
    if verb.json {
        report.json(&json!({ "images": images }));
    }
    if failed {
        return Err(Failure::failed("not all images could be resolved"));
    }
    Ok(ExitCode::SUCCESS)
}

/// What each image is, as JSON and as text.
async fn ask(
    verb: &Image,
    registry: &Registry,
    requests: &[ImageRequest],
) -> Vec<Result<(Value, String), RegistryError>> {
    if verb.digest {
        let asked = requests.iter().map(|it| registry.digest(&it.target));
        let digests = futures_util::future::join_all(asked).await.into_iter();
        let shown = digests.map(|it| it.map(|it| (json!({ "digest": it }), it.to_string())));
        shown.collect()
    } else {
        let images = registry.resolve_all(requests).await.into_iter();
        let shown = images.map(|it| it.map(|image| (json!(image), text(&image))));
        shown.collect()
    }
}

fn text(image: &Resolved) -> String {
    let mut table = table::plain();
    let platforms: Vec<_> = image.platforms.iter().map(ToString::to_string).collect();
    let size = format!("{} in {} layers", HumanBytes(image.size), image.layers);
    table.add_rows([
        ["identity", &image.identity.to_string()],
        ["index", &or_none(image.index.as_ref())],
        ["manifest", &image.manifest.to_string()],
        ["config", &image.config.to_string()],
        ["chain id", &or_none(image.chain.as_ref())],
        ["created", &or_none(image.created.as_ref())],
        ["size", &size],
        ["platform", &image.platform.to_string()],
        ["offered", &platforms.join(" ")],
    ]);
    if let Some(limit) = &image.rate_limit {
        let left = format!("{} of {} left", limit.remaining, limit.limit);
        table.add_row(["pulls", &left]);
    }
    format!("{}\n{}", image.reference, table::text(&table))
}

fn or_none(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}
