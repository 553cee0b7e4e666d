//! Global build arguments: those before the first `FROM`, and the platform arguments that exist by
//! themselves (`BuildKit`'s `dockerfile2llb`: `defaultArgs`, `buildMetaArgs`).

use std::collections::{BTreeMap, BTreeSet};

use super::epoch;
use super::options::BuildOptions;
use crate::dockerfile::error::{DockerfileError, Fault, Span};
use crate::dockerfile::read::{Dockerfile, directive};
use crate::dockerfile::shell::{Env, Options, Value};
use crate::go;

/// The arguments that `FROM` lines see.
#[derive(Debug, Default)]
pub(super) struct Globals {
    /// The build arguments, as stages get them.
    pub(super) given: BTreeMap<String, String>,
    values: BTreeMap<String, String>,
    /// The arguments that the value of an argument was made of.
    parts: BTreeMap<String, Vec<String>>,
}

impl Env for Globals {
    fn get(&self, name: &str) -> Value<'_> {
        self.values
            .get(name)
            .map_or(Value::Unset, |value| Value::Set(value))
    }
}

impl Globals {
    pub(super) fn new(file: &Dockerfile, options: &BuildOptions) -> Result<Self, DockerfileError> {
        let mut globals = Self {
            given: options.build_args.clone(),
            values: automatic(file, options),
            parts: BTreeMap::new(),
        };
        for (args, span) in &file.globals {
            for arg in args {
                let value = match (options.build_args.get(&arg.key), &arg.default) {
                    (Some(given), _) => given.clone(),
                    (None, None) => continue,
                    (None, Some(default)) => {
                        let expansion = Options::new(file.escape)
                            .expand(default, &globals)
                            .map_err(|fault| fault.at(&file.source, *span))?;
                        let parts = globals.parts.entry(arg.key.clone()).or_default();
                        parts.extend(expansion.names);
                        expansion.text
                    }
                };
                globals.values.insert(arg.key.clone(), value);
            }
        }
        globals.settle_epoch(file, options)?;
        Ok(globals)
    }

    /// The time of the build, given or a default before the first `FROM`.
    fn settle_epoch(
        &mut self,
        file: &Dockerfile,
        options: &BuildOptions,
    ) -> Result<(), DockerfileError> {
        let maps = [&self.given, &self.values];
        let Some(value) = maps.iter().find_map(|map| map.get(epoch::NAME)).cloned() else {
            return Ok(());
        };
        let resolved = epoch::resolved(&value, file, options, self)?;
        for map in [&mut self.given, &mut self.values] {
            map.entry(epoch::NAME.to_owned())
                .and_modify(|value| value.clone_from(&resolved));
        }
        Ok(())
    }

    /// The time of the build, if it has one.
    pub(super) fn epoch(&self) -> Option<&String> {
        let value = self
            .given
            .get(epoch::NAME)
            .or_else(|| self.values.get(epoch::NAME));
        value.filter(|value| !value.is_empty())
    }

    /// Adds `name` and every argument that its value was made of to `used`.
    pub(super) fn trace(&self, name: &str, used: &mut BTreeSet<String>) {
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            if used.insert(name.to_owned()) {
                let parts = self.parts.get(name).into_iter().flatten();
                open.extend(parts.map(String::as_str));
            }
        }
    }
}

/// Refuses arguments that the front end itself reads and cannot use (dockerui/config.go `init`,
/// `validateMinCaps`). A check that is given stands in for the file's.
pub(super) fn check(file: &Dockerfile, options: &BuildOptions) -> Result<(), DockerfileError> {
    let given = |name: &str| options.build_args.get(name).map(String::as_str);
    let of_option = |fault: Fault| fault.at(&file.source, Span::default());
    match (given("BUILDKIT_DOCKERFILE_CHECK"), &file.check) {
        (Some(value), _) => directive::validate_check(value).map_err(of_option)?,
        (None, Some((value, span))) => {
            directive::validate_check(value).map_err(|fault| fault.at(&file.source, *span))?;
        }
        (None, None) => {}
    }
    let many = given("BUILDKIT_MULTI_PLATFORM").filter(|value| !value.is_empty());
    if let Some(value) = many.filter(|value| go::parse_bool(value).is_none()) {
        let message = format!("invalid boolean value for multi-platform: {value}");
        return Err(of_option(
            Fault::new(value, message).hint("write true or false"),
        ));
    }
    match given("BUILDKIT_DISABLE_FILEOP").filter(|value| go::parse_bool(value) == Some(true)) {
        None => Ok(()),
        Some(value) => {
            let message = "support for \"BUILDKIT_DISABLE_FILEOP\" build-arg was removed";
            Err(of_option(Fault::new(value, message).hint("leave it out")))
        }
    }
}

/// The arguments that need no `ARG`; a build argument of the same name replaces the value.
fn automatic(file: &Dockerfile, options: &BuildOptions) -> BTreeMap<String, String> {
    let build = &options.build_platform;
    let target = options.platform();
    let last = file
        .stages
        .last()
        .and_then(|stage| stage.from.name.as_ref());
    let wanted = options.target.as_ref().filter(|name| !name.is_empty());
    let stage = wanted.or(last).map_or("default", String::as_str);
    let arguments = [
        ("BUILDPLATFORM", build.short()),
        ("BUILDOS", build.os.clone()),
        ("BUILDOSVERSION", build.os_version.clone()),
        ("BUILDARCH", build.architecture.clone()),
        ("BUILDVARIANT", build.variant.clone()),
        ("TARGETPLATFORM", target.to_string()),
        ("TARGETOS", target.os.clone()),
        ("TARGETOSVERSION", target.os_version.clone()),
        ("TARGETARCH", target.architecture.clone()),
        ("TARGETVARIANT", target.variant.clone()),
        ("TARGETSTAGE", stage.to_owned()),
    ];
    let replaced = arguments.into_iter().map(|(name, value)| {
        let given = options.build_args.get(name).cloned();
        (name.to_owned(), given.unwrap_or(value))
    });
    replaced.collect()
}
