//! `larder image`: what images are today.

use std::process::ExitCode;
use std::time::Duration;

use indicatif::HumanBytes;
use larder_builds::{host_platform, platform};
use larder_local::people::Voice as _;
use larder_model::oci::Digest;
use larder_model::reference::ImageReference;
use larder_registry::{ImageRequest, Registry, RegistryError, Resolved, Target};
use serde_json::{Value, json};

use crate::args::{EngineKind, Image};
use crate::exit::{Done, Failure};
use crate::report::{Report, table};
use crate::settings::Settings;

/// The most time that registries are given.
const DEADLINE: Duration = Duration::from_secs(60);

/// Shows the images; fails if one of them is not known.
pub(crate) fn run(verb: &Image, report: &Report) -> Done {
    let settings = Settings::for_builds(&verb.which, &verb.reach, &EngineKind::default())?;
    let wanted = match &verb.platform {
        Some(text) => platform(text)?,
        None => host_platform(),
    };
    let requests = verb.references.iter().map(|text| {
        let reference = ImageReference::parse(text).map_err(Failure::input)?;
        let target = Target::of(&reference.or_latest()).map_err(Failure::input)?;
        let platform = wanted.clone();
        Ok(ImageRequest { target, platform })
    });
    let requests = requests.collect::<Done<Vec<_>>>()?;
    let registries = &settings.project().registries;
    let (registry, warnings) = registries.client(DEADLINE, registries.memory());
    for warning in &warnings {
        report.warning(warning);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(Failure::failed)?;
    if verb.digest {
        let digests = runtime.block_on(digests(&registry, &requests));
        answer(verb, report, &requests, digests, digest_json, |digest| {
            digest.to_string()
        })
    } else {
        let resolved = runtime.block_on(registry.resolve_all(&requests));
        answer(
            verb,
            report,
            &requests,
            resolved,
            |image| json!(image),
            text,
        )
    }
}

async fn digests(
    registry: &Registry,
    requests: &[ImageRequest],
) -> Vec<Result<Digest, RegistryError>> {
    let asked = requests
        .iter()
        .map(|request| registry.digest(&request.target));
    futures_util::future::join_all(asked).await
}

fn digest_json(digest: &Digest) -> Value {
    json!({ "digest": digest })
}

fn answer<T>(
    verb: &Image,
    report: &Report,
    requests: &[ImageRequest],
    found: Vec<Result<T, RegistryError>>,
    to_json: impl Fn(&T) -> Value,
    to_text: impl Fn(&T) -> String,
) -> Done {
    let mut images = Vec::new();
    let mut failed = false;
    for (request, found) in requests.iter().zip(found) {
        let reference = request.target.to_string();
        match found {
            Ok(image) if verb.json => {
                let mut value = to_json(&image);
                value["reference"] = reference.into();
                images.push(value);
            }
            Ok(image) => report.answer(&to_text(&image)),
            Err(error) => {
                failed = true;
                report.warning(&format!("{reference}: {error}"));
                images.push(json!({ "reference": reference, "error": error.to_string() }));
            }
        }
    }
    if verb.json {
        report.answer(&format!("{:#}", json!({ "images": images })));
    }
    if failed {
        return Err(Failure::failed("not all images could be resolved"));
    }
    Ok(ExitCode::SUCCESS)
}

fn text(image: &Resolved) -> String {
    let mut table = table::plain();
    let none = || "-".to_owned();
    let optional = |digest: &Option<Digest>| digest.as_ref().map_or_else(none, ToString::to_string);
    let platforms = image.platforms.iter().map(ToString::to_string);
    table.add_row(["identity".to_owned(), image.identity.to_string()]);
    table.add_row(["index".to_owned(), optional(&image.index)]);
    table.add_row(["manifest".to_owned(), image.manifest.to_string()]);
    table.add_row(["config".to_owned(), image.config.to_string()]);
    table.add_row(["chain id".to_owned(), optional(&image.chain)]);
    table.add_row([
        "created".to_owned(),
        image.created.clone().unwrap_or_else(none),
    ]);
    let size = format!("{} in {} layers", HumanBytes(image.size), image.layers);
    table.add_row(["size".to_owned(), size]);
    table.add_row(["platform".to_owned(), image.platform.to_string()]);
    table.add_row([
        "offered".to_owned(),
        platforms.collect::<Vec<_>>().join(" "),
    ]);
    if let Some(limit) = &image.rate_limit {
        let left = format!("{} of {} left", limit.remaining, limit.limit);
        table.add_row(["pulls".to_owned(), left]);
    }
    format!("{}\n{}", image.reference, table::text(&table))
}
