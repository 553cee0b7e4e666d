//! What `docker compose config --format json` says is built.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::describe::{Described, Description, or_empty};
use crate::fault::Fault;
use crate::options::DEFAULT_PLATFORM;
use crate::request::Surroundings;

/// Its answer, as far as it matters here: compose-go `types/project.go`, `types/types.go`.
#[derive(Debug, Deserialize)]
pub(crate) struct Project {
    #[serde(default, deserialize_with = "or_empty")]
    name: String,
    #[serde(default, deserialize_with = "or_empty")]
    services: BTreeMap<String, Service>,
}

#[derive(Debug, Deserialize)]
struct Service {
    image: Option<String>,
    platform: Option<String>,
    build: Option<Build>,
}

#[derive(Debug, Deserialize)]
struct Build {
    context: Option<String>,
    dockerfile: Option<String>,
    dockerfile_inline: Option<String>,
    target: Option<String>,
    #[serde(default, deserialize_with = "or_empty")]
    args: BTreeMap<String, Option<String>>,
    #[serde(default, deserialize_with = "or_empty")]
    additional_contexts: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_empty")]
    platforms: Vec<String>,
    #[serde(default, deserialize_with = "or_empty")]
    tags: Vec<String>,
}

impl Project {
    /// Reads the answer. In it every `$` is written twice, because it is a compose file again
    /// (compose `cmd/compose/config.go`, `escapeDollarSign`).
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&text.replace("$$", "$"))
    }

    /// Whether a service is among them.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.services.contains_key(name)
    }

    /// The platform of a service.
    pub(crate) fn platform(&self, name: &str) -> Option<&str> {
        self.services.get(name)?.platform.as_deref()
    }

    /// The images that are built: of these services, or of all. `usual` is the platform of a service
    /// that names none.
    pub(crate) fn describe(
        self,
        only: &[String],
        usual: Option<&str>,
        around: &Surroundings,
    ) -> Result<Description, Fault> {
        let mut builds = Vec::new();
        for (name, service) in self.services {
            if let Some(build) = service.build {
                let own_name = format!("{}-{name}", self.name);
                let image = service.image.filter(|image| !image.is_empty());
                let platforms = platforms(&name, service.platform, build.platforms, usual)?;
                builds.push(Described {
                    platforms,
                    // compose `pkg/api/api.go`, `GetImageNameOrDefault`.
                    images: build
                        .tags
                        .into_iter()
                        .chain([image.unwrap_or(own_name)])
                        .collect(),
                    args: given(build.args, around),
                    contexts: build
                        .additional_contexts
                        .into_iter()
                        .map(|(name, value)| (name, context(value)))
                        .collect(),
                    context: build.context.unwrap_or_else(|| ".".to_owned()),
                    dockerfile: build.dockerfile.filter(|name| !name.is_empty()),
                    inline: build.dockerfile_inline.filter(|text| !text.is_empty()),
                    target: build.target.filter(|stage| !stage.is_empty()),
                    name,
                });
            }
        }
        let wanted = builds.iter().map(|one| one.name.clone());
        let wanted = wanted.filter(|name| only.is_empty() || only.contains(name));
        Ok(Description {
            wanted: wanted.collect(),
            builds,
        })
    }
}

/// An argument without a value comes from the environment, or is not given.
fn given(
    args: BTreeMap<String, Option<String>>,
    around: &Surroundings,
) -> BTreeMap<String, String> {
    args.into_iter()
        .filter_map(|(name, value)| {
            let value = value.or_else(|| around.environment.get(&name).cloned())?;
            Some((name, value))
        })
        .collect()
}

/// `service:NAME` is the image that another service builds, as `target:NAME` is for bake.
fn context(value: String) -> String {
    match value.strip_prefix("service:") {
        Some(name) => format!("target:{name}"),
        None => value,
    }
}

/// The platforms that `docker compose build` builds for (`cmd/compose/options.go`,
/// `applyPlatforms`).
fn platforms(
    name: &str,
    platform: Option<String>,
    platforms: Vec<String>,
    usual: Option<&str>,
) -> Result<Vec<String>, Fault> {
    let own = platform.filter(|platform| !platform.is_empty());
    let is_usual = own.is_none();
    let usual = usual.filter(|usual| !usual.is_empty());
    let Some(one) = own.or_else(|| usual.map(str::to_owned)) else {
        return Ok(platforms);
    };
    if platforms.is_empty() {
        return Ok(vec![one]);
    }
    if platforms.contains(&one) {
        return Ok(platforms);
    }
    let whose = if is_usual {
        DEFAULT_PLATFORM
    } else {
        "`platform`"
    };
    Err(Fault::option(format!(
        "service {name}: {whose} is {one:?}, which is not among its `build.platforms`; add it there"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(text: &str, environment: &[(&str, &str)]) -> Result<Description, Fault> {
        let environment = environment.iter();
        let around = Surroundings {
            environment: environment
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Surroundings::default()
        };
        let project = Project::parse(text).expect("compose's JSON");
        let usual = around.environment.get(DEFAULT_PLATFORM);
        project.describe(&[], usual.map(String::as_str), &around)
    }

    #[test]
    fn the_platform_is_the_one_that_compose_builds_for() {
        let service = |rest: &str| {
            let build = r#"{"name":"p","services":{"a":{"build":{"context":"/a""#;
            format!("{build}{rest}}}}}}}}}")
        };
        let platforms = |rest: &str, usual: &str| {
            let description = describe(&service(rest), &[(DEFAULT_PLATFORM, usual)]);
            description.map(|description| description.builds[0].platforms.clone())
        };
        let two = r#","platforms":["linux/amd64","linux/arm64"]"#;
        assert_eq!(platforms("", "").expect("read"), Vec::<String>::new());
        assert_eq!(platforms("", "linux/arm64").expect("read"), ["linux/arm64"]);
        assert_eq!(platforms(two, "linux/arm64").expect("read").len(), 2);
        let fault = platforms(two, "linux/s390x").expect_err("another");
        assert!(fault.message.contains(DEFAULT_PLATFORM), "{fault}");
        let own = format!(r#"{two}}},"platform":"linux/s390x","x":{{"y":1"#);
        let fault = platforms(&own, "").expect_err("another");
        assert!(fault.message.contains("`platform`"), "{fault}");
        let own = r#"},"platform":"linux/s390x","x":{"y":1"#;
        assert_eq!(
            platforms(own, "linux/arm64").expect("read"),
            ["linux/s390x"]
        );
    }

    #[test]
    fn images_arguments_and_contexts_are_read() {
        let text = r#"{"name":"shop","services":{
            "db":{"image":"postgres"},
            "web":{"image":"","build":{"context":"/w","dockerfile":"","tags":["acme/web:1"],
                "dockerfile_inline":"FROM a\nRUN echo $$(date) $$X",
                "args":{"A":null,"B":null,"C":""},
                "additional_contexts":{"x":"service:api","y":"/y"}}}}}"#;
        let description = describe(text, &[("A", "1")]).expect("read");
        let [web] = &description.builds[..] else {
            panic!("{description:?}");
        };
        assert_eq!(web.images, ["acme/web:1", "shop-web"]);
        assert_eq!(web.inline.as_deref(), Some("FROM a\nRUN echo $(date) $X"));
        assert_eq!(web.dockerfile, None);
        let args: Vec<_> = web.args.iter().map(|(a, b)| format!("{a}={b}")).collect();
        assert_eq!(args, ["A=1", "C="]);
        assert_eq!(web.contexts["x"], "target:api");
    }
}
