//! What `docker compose config --format json` says is built.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::description::{Described, Description};
use crate::fault::Fault;
use crate::options::{DEFAULT_PLATFORM, or_empty};

/// Its answer, as far as it matters here: compose-go `types/project.go`, `types/types.go`.
#[derive(Deserialize)]
pub(crate) struct Project {
    #[serde(default, deserialize_with = "or_empty")]
    name: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub(crate) services: BTreeMap<String, Service>,
}

#[derive(Deserialize)]
pub(crate) struct Service {
    #[serde(default, deserialize_with = "or_empty")]
    image: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub(crate) platform: String,
    build: Option<Described>,
}

impl Project {
    /// Reads the answer. In it every `$` is written twice, because it is a compose file again
    /// (compose `cmd/compose/config.go`, `escapeDollarSign`).
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&text.replace("$$", "$"))
    }

    /// The images that are built. `usual` is the platform of a service that names none.
    pub(crate) fn describe(self, usual: &str) -> Result<Description, Fault> {
        let mut description = Description::default();
        for (name, service) in self.services {
            let Some(mut build) = service.build else {
                // It may be asked for, and nothing is built.
                description.groups.insert(name.clone(), Vec::new());
                let platform = [service.platform.as_str(), usual].into_iter();
                let platform = platform.into_iter().find(|one| !one.is_empty());
                let used = (service.image, platform.unwrap_or_default().to_owned());
                description.used.insert(name, used);
                continue;
            };
            // compose `pkg/api/api.go`, `GetImageNameOrDefault`.
            build.tags.push(match service.image {
                none if none.is_empty() => format!("{}-{name}", self.name),
                image => image,
            });
            let listed = &mut build.options.platforms;
            choose_platform(&name, &service.platform, usual, listed)?;
            description.builds.insert(name, build);
        }
        Ok(description)
    }
}

/// The platforms that `docker compose build` builds for (`cmd/compose/options.go`,
/// `applyPlatforms`), where `listed` are those of the build.
fn choose_platform(
    name: &str,
    own: &str,
    usual: &str,
    listed: &mut Vec<String>,
) -> Result<(), Fault> {
    let mut named = [("`platform`", own), (DEFAULT_PLATFORM, usual)].into_iter();
    let Some((whose, one)) = named.find(|(_, one)| !one.is_empty()) else {
        return Ok(());
    };
    if listed.is_empty() {
        listed.push(one.to_owned());
    }
    if listed.iter().any(|platform| platform == one) {
        return Ok(());
    }
    Err(Fault::option(format!(
        "service {name}: {whose} is {one:?}, which is not among its `build.platforms`; add it there"
    )))
}

#[cfg(test)]
mod tests {
    use larder_model::dockerfile::NamedContext;

    use super::*;
    use crate::options::Options;
    use crate::request::Surroundings;

    fn describe(text: &str, usual: &str) -> Result<Description, Fault> {
        let project = Project::parse(text).expect("compose's JSON");
        project.describe(usual)
    }

    #[test]
    fn the_platform_is_the_one_that_compose_builds_for() {
        let service = |rest: &str| {
            let build = r#"{"name":"p","services":{"a":{"build":{"context":"/a""#;
            format!("{build}{rest}}}}}}}}}")
        };
        let platforms = |rest: &str, usual: &str| {
            let description = describe(&service(rest), usual);
            description.map(|description| description.builds["a"].options.platforms.clone())
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
        let description = describe(text, "").expect("read");
        assert!(description.has("db") && description.wanted(&["db".to_owned()]).is_empty());
        let db = ("postgres".to_owned(), String::new());
        assert_eq!(description.used, [("db".to_owned(), db)].into());
        assert_eq!(description.wanted(&[]), ["web"]);
        let web = &description.builds["web"];
        assert_eq!(web.tags, ["acme/web:1", "shop-web"]);
        assert_eq!(web.dockerfile_inline, "FROM a\nRUN echo $(date) $X");
        assert_eq!(web.dockerfile, "");
        let around = Surroundings {
            environment: [("A".to_owned(), "1".to_owned())].into(),
            ..Surroundings::default()
        };
        let options = Options::default()
            .over(&web.options, &around)
            .expect("read");
        let args = options[0].build_args.iter();
        let args: Vec<_> = args.map(|(a, b)| format!("{a}={b}")).collect();
        assert_eq!(args, ["A=1", "C="]);
        let target = NamedContext::Target("api".to_owned());
        assert_eq!(options[0].contexts["x"], target);
    }
}
