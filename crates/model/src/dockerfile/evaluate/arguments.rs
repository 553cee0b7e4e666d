//! Global build arguments: those before the first `FROM`, and the platform arguments that exist by
//! themselves (`BuildKit`'s `dockerfile2llb`: `defaultArgs`, `buildMetaArgs`).

use std::collections::{BTreeMap, BTreeSet};

use super::options::BuildOptions;
use crate::dockerfile::error::DockerfileError;
use crate::dockerfile::read::Dockerfile;
use crate::dockerfile::shell::{Env, Options, Value};

/// The arguments that `FROM` lines see.
#[derive(Debug, Default)]
pub(super) struct Globals {
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
        Ok(globals)
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
