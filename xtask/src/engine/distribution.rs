//! Which distribution this is, and from which mirror it installs.

use std::fmt;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// Debian releases that this task knows, newest last.
const DEBIAN_SUITES: [&str; 2] = ["bookworm", "trixie"];
const DEBIAN_MIRROR: &str = "http://deb.debian.org/debian";
const DEBIAN_SECURITY_MIRROR: &str = "http://deb.debian.org/debian-security";

/// The machine's distribution.
pub struct Distribution {
    /// What is installed here.
    pub kind: Kind,
    /// The mirror of Debian that this machine uses, or Debian's own.
    pub mirror: String,
    /// The same for security updates.
    pub security_mirror: String,
}

/// The distributions that Larder is developed on.
pub enum Kind {
    /// Debian, with the suite of its package sources.
    Debian(&'static str),
    /// Ubuntu, with its version.
    Ubuntu(String),
}

impl Distribution {
    /// Looks at os-release and at apt's sources.
    pub fn detect() -> Result<Self> {
        let release =
            fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
        let field = |name: &str| {
            let line = release.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim_matches('"').to_owned()
        };
        let sources = Sources::read()?;
        let kind = match field("ID=").as_str() {
            "ubuntu" => Kind::Ubuntu(field("VERSION_ID=")),
            "debian" => Kind::Debian(debian_suite(&sources, &field("VERSION_CODENAME="))?),
            other => bail!(
                "distribution `{other}` is not known to this task; use Debian 12, Debian 13 or Ubuntu"
            ),
        };
        let mirror = |wanted: fn(&str) -> bool, default: &str| {
            sources.mirror(wanted).unwrap_or_else(|| default.to_owned())
        };
        Ok(Self {
            mirror: mirror(|suite| DEBIAN_SUITES.contains(&suite), DEBIAN_MIRROR),
            security_mirror: mirror(
                |suite| {
                    suite
                        .strip_suffix("-security")
                        .is_some_and(|suite| DEBIAN_SUITES.contains(&suite))
                },
                DEBIAN_SECURITY_MIRROR,
            ),
            kind,
        })
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Debian(suite) => write!(f, "Debian {suite}, mirror {}", self.mirror),
            Kind::Ubuntu(version) => write!(f, "Ubuntu {version}"),
        }
    }
}

/// The suite of the package sources rather than of os-release: a few packages of a newer suite
/// (`base-files` among them) do not make a machine of that suite.
fn debian_suite(sources: &Sources, codename: &str) -> Result<&'static str> {
    let known = |name: &str| DEBIAN_SUITES.into_iter().find(|suite| *suite == name);
    let configured = sources.0.iter().find_map(|(_, suite)| known(suite));
    configured.or_else(|| known(codename)).with_context(|| {
        format!(
            "Debian `{codename}` is not known to this task; use Debian 12 (bookworm) or 13 (trixie)"
        )
    })
}

/// The package sources that apt is configured with: address and suite.
struct Sources(Vec<(String, String)>);

impl Sources {
    fn read() -> Result<Self> {
        let text = process::read(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(REPO_URI) $(RELEASE)",
            "Created-By: Packages",
            "Component: main",
        ]))?;
        let pair = |line: &str| {
            let (address, suite) = line.split_once(' ')?;
            Some((address.trim_end_matches('/').to_owned(), suite.to_owned()))
        };
        Ok(Self(text.lines().filter_map(pair).collect()))
    }

    fn mirror(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let found = self.0.iter().find(|(_, suite)| wanted(suite))?;
        Some(found.0.clone())
    }
}
