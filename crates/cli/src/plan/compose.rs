//! Compose files, as far as they say what is built.
//!
//! Follows the Compose Specification: `05-services.md` (`extends`), `14-include.md`, `build.md`. Paths
//! are relative to the file that they stand in; variables come from the environment, then from the
//! `.env` beside the file.

use std::path::{Path, PathBuf};

use yaml_serde::Value;

use super::described::Described;
use super::fault::Fault;
use super::files;
use super::service::Build;
use super::variables::{self, Values};
use crate::settings::Environment;

/// Files and services that lead from one to the next. Real ones have two or three; more are a circle.
const DEPTH_MAX: usize = 16;

/// The images that compose files build, in their order; at least one.
pub fn builds(
    files: &[(PathBuf, String)],
    folder: &Path,
    environment: &Environment,
) -> Result<Vec<Described>, Fault> {
    let found = services(files, folder, environment)?;
    match files {
        [(file, _), ..] if found.is_empty() => {
            Err(Fault::file(file, "no service of it has a `build`"))
        }
        _ => Ok(found),
    }
}

/// The images that compose files of one folder build, in their order. What a later file says of a
/// service stands on top of what the files before it say (`13-merge.md`).
pub fn services(
    files: &[(PathBuf, String)],
    folder: &Path,
    environment: &Environment,
) -> Result<Vec<Described>, Fault> {
    let Some((first, _)) = files.first() else {
        return Ok(Vec::new());
    };
    let main = folder.join(first);
    let main = main.parent().unwrap_or(folder);
    let shown = first.parent().unwrap_or(Path::new(""));
    let project = Project {
        main,
        shown,
        environment,
    };
    let mut all: Vec<(String, Build)> = Vec::new();
    for (path, text) in files {
        let file = project.parse(path.clone(), PathBuf::new(), text)?;
        let has = |key: &str| file.document.get(key).is_some();
        if path == first && !has("services") && !has("include") {
            return Err(Fault::file(
                path,
                "it has no `services`; is it a compose file? Name a Dockerfile with -f",
            ));
        }
        let mut found = Vec::new();
        project.services(&file, 0, &mut found)?;
        for (name, build) in found {
            match all.iter_mut().find(|(other, _)| *other == name) {
                Some((_, base)) => *base = build.over(std::mem::take(base)),
                None => all.push((name, build)),
            }
        }
    }
    let built = all.into_iter().filter(|(_, build)| build.is_built);
    Ok(built.map(|(name, build)| build.described(name)).collect())
}

/// The files of one project.
struct Project<'a> {
    /// The folder of the file that was named, as it is and as it is shown.
    main: &'a Path,
    shown: &'a Path,
    environment: &'a Environment,
}

/// One of them.
struct File {
    shown: PathBuf,
    /// Its folder, relative to that of the file that was named.
    folder: PathBuf,
    document: Value,
    values: Values,
}

impl Project<'_> {
    fn parse(&self, shown: PathBuf, folder: PathBuf, text: &str) -> Result<File, Fault> {
        let refuse = |error: yaml_serde::Error| {
            let fault = Fault::file(&shown, error.to_string());
            match error.location() {
                Some(place) if place.line() > 0 => fault.at(place.line(), place.column()),
                _ => fault,
            }
        };
        let mut document: Value = yaml_serde::from_str(text).map_err(refuse)?;
        document.apply_merge().map_err(refuse)?;
        let beside = self.main.join(&folder).join(".env");
        // Without the file there are no values in it.
        let beside = std::fs::read_to_string(beside).unwrap_or_default();
        let values = variables::dotenv(&beside, self.environment);
        Ok(File {
            shown,
            folder,
            document,
            values,
        })
    }

    /// Another file, named in `from`.
    fn read(&self, from: &File, path: &str) -> Result<File, Fault> {
        if path.contains("://") || path.starts_with("git@") {
            let text = format!("{path:?} is not on this machine; clone it and name the clone");
            return Err(Fault::file(&from.shown, text));
        }
        let path = from.folder.join(path);
        let shown = files::tidy(&self.shown.join(&path));
        let bytes = files::read(&self.main.join(&path), &shown)?;
        let text = String::from_utf8(bytes);
        let text = text.map_err(|_| Fault::file(&shown, "it is not UTF-8 text"))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        self.parse(shown, folder, &text)
    }

    /// The services of a file and of the files that it includes.
    fn services(
        &self,
        file: &File,
        depth: usize,
        found: &mut Vec<(String, Build)>,
    ) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault::file(&file.shown, "its `include` leads in a circle"));
        }
        let included = file.document.get("include").and_then(Value::as_sequence);
        for entry in included.into_iter().flatten() {
            let (path, own) = match entry.get("path") {
                Some(path) => (
                    path,
                    entry.get("project_directory").or(entry.get("env_file")),
                ),
                None => (entry, None),
            };
            let reader = file.reader("include");
            if path.is_sequence() || own.is_some() {
                return Err(reader.fault(
                    "several files, `project_directory` and `env_file` are not read; write the \
                     output of `docker compose config` to a file and name that with -f",
                ));
            }
            let path = reader.text("path", path)?;
            self.services(&self.read(file, &path)?, depth + 1, found)?;
        }
        let services = file.document.get("services").and_then(Value::as_mapping);
        for (name, _) in services.into_iter().flatten() {
            let name = name.as_str().ok_or_else(|| {
                let name = yaml_serde::to_string(name).unwrap_or_default();
                let why = format!("the name {} is not a text; put it in quotes", name.trim());
                Fault::file(&file.shown, format!("services: {why}"))
            })?;
            let build = self.service(file, name, 0)?;
            found.retain(|(other, _)| other != name);
            found.push((name.to_owned(), build));
        }
        Ok(())
    }

    /// A service on top of the one that it extends.
    fn service(&self, file: &File, name: &str, depth: usize) -> Result<Build, Fault> {
        let reader = file.reader(name);
        if depth > DEPTH_MAX {
            return Err(reader.fault("its `extends` leads in a circle"));
        }
        let services = file.document.get("services");
        let service = services.and_then(|services| services.get(name));
        let service = service.ok_or_else(|| reader.fault("there is no such service"))?;
        let own = reader.service(service)?;
        let Some(extends) = service.get("extends") else {
            return Ok(own);
        };
        let base = match extends.get("service") {
            Some(base) => reader.text("extends", base)?,
            None => reader.text("extends", extends)?,
        };
        let base = match extends.get("file") {
            Some(path) => {
                let other = self.read(file, &reader.text("extends", path)?)?;
                self.service(&other, &base, depth + 1)?
            }
            None => self.service(file, &base, depth + 1)?,
        };
        Ok(own.over(base))
    }
}

impl File {
    fn reader<'a>(&'a self, name: &'a str) -> Reader<'a> {
        Reader { file: self, name }
    }
}

/// Reads one service.
struct Reader<'a> {
    file: &'a File,
    name: &'a str,
}

impl Reader<'_> {
    fn fault(&self, text: &str) -> Fault {
        Fault::file(&self.file.shown, format!("service {}: {text}", self.name))
    }

    fn service(&self, service: &Value) -> Result<Build, Fault> {
        let mut one = Build::default();
        if let Some(platform) = service.get("platform") {
            one.platform = Some(self.text("platform", platform)?);
        }
        let Some(build) = service.get("build").filter(|build| !build.is_null()) else {
            return Ok(one);
        };
        one.is_built = true;
        if build.is_string() {
            one.context = Some(self.place(self.text("build", build)?));
            return Ok(one);
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
        one.context = text("context")?.map(|context| self.place(context));
        one.dockerfile = text("dockerfile")?;
        one.inline = text("dockerfile_inline")?;
        one.target = text("target")?;
        for (name, value) in self.pairs(build, "args")? {
            // As for docker, an argument without a value comes from the environment.
            if let Some(value) = value.or_else(|| self.file.values.get(&name).cloned()) {
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
        let listed = build.get("platforms").and_then(Value::as_sequence);
        let listed = listed.into_iter().flatten();
        let platforms = listed.map(|value| self.text("platforms", value));
        one.platforms = platforms.collect::<Result<_, _>>()?;
        Ok(one)
    }

    /// A folder named in this file, as seen from the file that was named.
    fn place(&self, context: String) -> String {
        if self.file.folder.as_os_str().is_empty() || context.contains("://") {
            return context;
        }
        let place = files::tidy(&self.file.folder.join(context));
        place.to_string_lossy().into_owned()
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
        variables::expand(&text, &self.file.values)
            .map_err(|why| self.fault(&format!("`{key}`: {why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Described>, Fault> {
        let environment = [("TAG".to_owned(), "3.3".to_owned())].into();
        let file = (PathBuf::from("compose.yaml"), text.to_owned());
        builds(&[file], Path::new("/nowhere"), &environment)
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
            ("services:\n  a:\n    extends: b\n", "no such service"),
            (
                "services:\n  a: { extends: b }\n  b: { extends: a }\n",
                "circle",
            ),
            ("include: [x.yaml]\nservices: {}\n", "x.yaml"),
            (
                "include: [{ path: [x.yaml, y.yaml] }]\n",
                "docker compose config",
            ),
            ("services:\n  a: { image: b }\n", "no service"),
            (
                "services:\n  a: { build: { target: \"${X:?set X}\" } }\n",
                "set X",
            ),
            ("FROM: x\n", "services"),
            ("services: { 1: { build: . } }\n", "1 is not a text"),
        ] {
            let fault = read(text).expect_err(text);
            assert!(fault.to_string().contains(word), "{fault}");
        }
    }

    #[test]
    fn services_of_other_files_are_built_where_they_stand() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        };
        write("common/.env", "RUBY=3.4\n");
        write(
            "common/base.yaml",
            "services:\n  ruby:\n    platform: linux/arm64\n    build:\n      context: ./ruby\n      \
             target: base\n      args: [\"RUBY=${RUBY}\", A=1]\n  unbuilt: { image: x }\n",
        );
        write(
            "db/compose.yaml",
            "include: [../common/base.yaml]\nservices:\n  db: { build: . }\n",
        );
        let text = "\
include:
  - path: db/compose.yaml
services:
  app:
    extends: { file: common/base.yaml, service: ruby }
    build: { target: app, args: { A: 2 } }
  worker: { extends: app }
  cache: { image: redis }
";
        let none = Environment::new();
        let file = (PathBuf::from("compose.yaml"), text.to_owned());
        let found = builds(&[file], folder.path(), &none);
        let found = found.expect("compose files");
        let shown: Vec<String> = found
            .iter()
            .map(|one| {
                let args = one
                    .args
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"));
                let target = one.target.as_deref().unwrap_or("-");
                let args: Vec<String> = args.collect();
                format!("{} {} {target} {}", one.name, one.context, args.join(","))
            })
            .collect();
        assert_eq!(
            shown,
            [
                "ruby db/../common/ruby base A=1,RUBY=3.4",
                "db db - ",
                "app common/ruby app A=2,RUBY=3.4",
                "worker common/ruby app A=2,RUBY=3.4",
            ]
        );
        assert_eq!(found[2].platforms, ["linux/arm64"]);
    }
}
