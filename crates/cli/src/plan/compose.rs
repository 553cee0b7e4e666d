//! Compose files, as far as they say what is built.
//!
//! Follows the Compose Specification, `build.md`. What needs other files to be understood
//! (`extends`, `include`) is left to `docker compose config`, whose output is a compose file too.

use std::path::Path;

use yaml_serde::Value;

use super::fault::Fault;
use super::input::Described;
use super::variables::{self, Values};
use crate::settings::Environment;

const CURE: &str = "write the output of `docker compose config` to a file and name that with -f";

/// The images that a compose file builds, in its order.
pub fn builds(
    file: &Path,
    text: &str,
    folder: &Path,
    environment: &Environment,
) -> Result<Vec<Described>, Fault> {
    let refuse = |error: yaml_serde::Error| {
        let place = error
            .location()
            .map_or((0, 0), |place| (place.line(), place.column()));
        match place {
            (0, _) => Fault::file(file, error.to_string()),
            (line, column) => Fault::file(file, error.to_string()).at(line, column),
        }
    };
    let mut document: Value = yaml_serde::from_str(text).map_err(refuse)?;
    document.apply_merge().map_err(refuse)?;
    let beside = folder.join(file).with_file_name(".env");
    // Without the file there are no values in it.
    let mut values = variables::dotenv(&std::fs::read_to_string(beside).unwrap_or_default());
    values.extend(environment.clone());
    if document.get("include").is_some() {
        return Err(Fault::file(
            file,
            format!("`include` reads other files; {CURE}"),
        ));
    }
    let services = document.get("services").and_then(Value::as_mapping);
    let services = services.ok_or_else(|| {
        Fault::file(
            file,
            "it has no `services`; is it a compose file? Name a Dockerfile with -f",
        )
    })?;
    let mut builds = Vec::new();
    for (name, service) in services {
        let name = name.as_str().unwrap_or_default();
        let reader = Reader {
            file,
            name,
            values: &values,
        };
        builds.extend(reader.service(service)?);
    }
    if builds.is_empty() {
        return Err(Fault::file(file, "no service of it has a `build`"));
    }
    Ok(builds)
}

struct Reader<'a> {
    file: &'a Path,
    name: &'a str,
    values: &'a Values,
}

impl Reader<'_> {
    fn fault(&self, text: &str) -> Fault {
        Fault::file(self.file, format!("service {}: {text}", self.name))
    }

    fn service(&self, service: &Value) -> Result<Option<Described>, Fault> {
        if service.get("extends").is_some() {
            return Err(self.fault(&format!("`extends` reads other services; {CURE}")));
        }
        let Some(build) = service.get("build").filter(|build| !build.is_null()) else {
            return Ok(None);
        };
        let mut one = Described {
            name: self.name.to_owned(),
            context: ".".to_owned(),
            ..Described::default()
        };
        if build.is_string() {
            one.context = self.text("build", build)?;
            return Ok(Some(one));
        }
        let text = |key: &str| {
            build
                .get(key)
                .map(|value| self.text(key, value))
                .transpose()
        };
        if !build.is_mapping() {
            return Err(self.fault("`build` is neither a folder nor a mapping"));
        }
        one.context = text("context")?.unwrap_or(one.context);
        one.dockerfile = text("dockerfile")?;
        one.inline = text("dockerfile_inline")?;
        one.target = text("target")?;
        for (name, value) in self.pairs(build, "args")? {
            // As for docker, an argument without a value comes from the environment.
            if let Some(value) = value.or_else(|| self.values.get(&name).cloned()) {
                one.args.insert(name, value);
            }
        }
        for (name, value) in self.pairs(build, "additional_contexts")? {
            // `service:NAME` is the image that another service builds.
            let value = value.unwrap_or_default();
            let value = value
                .strip_prefix("service:")
                .map(|name| format!("target:{name}"))
                .unwrap_or(value);
            one.contexts.insert(name, value);
        }
        one.platforms = self.platforms(service, build)?;
        Ok(Some(one))
    }

    fn platforms(&self, service: &Value, build: &Value) -> Result<Vec<String>, Fault> {
        if let Some(platform) = service.get("platform") {
            return Ok(vec![self.text("platform", platform)?]);
        }
        let listed = build.get("platforms").and_then(Value::as_sequence);
        let listed = listed.into_iter().flatten();
        listed.map(|value| self.text("platforms", value)).collect()
    }

    /// A mapping, or a list of `NAME=VALUE`.
    fn pairs(&self, build: &Value, key: &str) -> Result<Vec<(String, Option<String>)>, Fault> {
        match build.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Mapping(map)) => map
                .iter()
                .map(|(name, value)| {
                    let filled = Some(value).filter(|value| !value.is_null());
                    let value = filled.map(|value| self.text(key, value)).transpose()?;
                    Ok((self.text(key, name)?, value))
                })
                .collect(),
            Some(Value::Sequence(list)) => list
                .iter()
                .map(|pair| {
                    let pair = self.text(key, pair)?;
                    Ok(match pair.split_once('=') {
                        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                        None => (pair, None),
                    })
                })
                .collect(),
            Some(_) => Err(self.fault(&format!("`{key}` is neither a mapping nor a list"))),
        }
    }

    fn text(&self, key: &str, value: &Value) -> Result<String, Fault> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            _ => return Err(self.fault(&format!("`{key}` is not a text"))),
        };
        variables::expand(&text, self.values).map_err(|why| self.fault(&format!("`{key}`: {why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Described>, Fault> {
        let environment = [("TAG".to_owned(), "3.3".to_owned())].into();
        builds(
            Path::new("compose.yaml"),
            text,
            Path::new("/nowhere"),
            &environment,
        )
    }

    #[test]
    fn services_that_are_built_are_read() {
        let text = "\
x-args: &args
  RUBY: ${TAG}
  BUNDLE: 1
services:
  db: { image: postgres }
  short: { build: ./short }
  web:
    platform: linux/arm64
    build:
      context: web
      dockerfile: ${NONE:-Dockerfile.web}
      target: app
      args: { <<: *args, TAG: }
      additional_contexts: [ \"base=service:short\" ]
";
        let builds = read(text).expect("a compose file");
        assert_eq!(builds.len(), 2);
        assert_eq!(
            (builds[0].name.as_str(), builds[0].context.as_str()),
            ("short", "./short")
        );
        let web = &builds[1];
        assert_eq!(web.dockerfile.as_deref(), Some("Dockerfile.web"));
        assert_eq!(web.target.as_deref(), Some("app"));
        assert_eq!(web.platforms, ["linux/arm64"]);
        assert_eq!(web.contexts["base"], "target:short");
        let args: Vec<_> = web.args.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(args, ["BUNDLE=1", "RUBY=3.3", "TAG=3.3"]);
    }

    #[test]
    fn faults_name_place_and_cure() {
        let fault = read("services:\n  a:\n b: [").expect_err("not YAML");
        assert!(fault.line.is_some(), "{fault}");
        for (text, word) in [
            ("services:\n  a:\n    extends: b\n", "docker compose config"),
            ("include: [x.yaml]\nservices: {}\n", "docker compose config"),
            ("services:\n  a: { image: b }\n", "no service"),
            (
                "services:\n  a: { build: { target: \"${X:?set X}\" } }\n",
                "set X",
            ),
            ("FROM: x\n", "services"),
        ] {
            let fault = read(text).expect_err(text);
            assert!(fault.to_string().contains(word), "{fault}");
        }
    }
}
