//! A service of a compose file, as far as it is built.

use std::collections::BTreeMap;

use super::described::Described;

/// What a service says of its build; what it does not say may come from the one it extends.
#[derive(Default)]
pub struct Build {
    pub context: Option<String>,
    pub dockerfile: Option<String>,
    pub inline: Option<String>,
    pub target: Option<String>,
    pub args: BTreeMap<String, String>,
    pub platforms: Vec<String>,
    pub contexts: BTreeMap<String, String>,
    /// `platform` of the service, which goes before those of the build.
    pub platform: Option<String>,
    /// Whether there is a build at all.
    pub is_built: bool,
}

impl Build {
    /// This on top of what it extends.
    pub fn over(self, base: Self) -> Self {
        let (mut args, mut contexts) = (base.args, base.contexts);
        args.extend(self.args);
        contexts.extend(self.contexts);
        let mut platforms = base.platforms;
        let more = self.platforms.into_iter();
        let new: Vec<_> = more.filter(|one| !platforms.contains(one)).collect();
        platforms.extend(new);
        Self {
            context: self.context.or(base.context),
            dockerfile: self.dockerfile.or(base.dockerfile),
            inline: self.inline.or(base.inline),
            target: self.target.or(base.target),
            args,
            platforms,
            contexts,
            platform: self.platform.or(base.platform),
            is_built: self.is_built || base.is_built,
        }
    }

    /// As an image to build.
    pub fn described(self, name: String) -> Described {
        Described {
            name,
            context: self.context.unwrap_or_else(|| ".".to_owned()),
            dockerfile: self.dockerfile,
            inline: self.inline,
            target: self.target,
            args: self.args,
            platforms: match self.platform {
                Some(platform) => vec![platform],
                None => self.platforms,
            },
            contexts: self.contexts,
        }
    }
}
