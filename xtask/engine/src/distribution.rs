//! Which distribution this is, and from which mirror it installs.

use std::fmt;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use xtask_tools::process;

/// Debian releases that this task knows, newest last.
const DEBIAN_SUITES: [&str; 2] = ["bookworm", "trixie"];
/// Where debootstrap's default mirror of Debian may be written.
const DEBOOTSTRAP: [&str; 3] = [
    "/usr/share/debootstrap/scripts/debian-common",
    "/usr/share/debootstrap/scripts/sid",
    "/usr/sbin/debootstrap",
];
/// Names a mirror of Debian on a machine whose apt uses none.
const VARIABLE: &str = "DEBIAN_MIRROR";

/// The machine's distribution.
pub(super) struct Distribution {
    /// What is installed here.
    pub kind: Kind,
    /// The mirror of Debian that apt uses here, if it uses one.
    mirror: Option<String>,
    /// The same for security updates.
    pub security_mirror: Option<String>,
}

/// The distributions that Larder is developed on.
pub(super) enum Kind {
    /// Debian, with the suite of its package sources.
    Debian(&'static str),
    /// Ubuntu, with its version.
    Ubuntu(String),
}

impl Distribution {
    /// Looks at os-release and at apt's sources.
    pub(super) fn detect() -> Result<Self> {
        let release =
            fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
        let sources = Sources::read()?;
        let kind = match field(&release, "ID=") {
            "ubuntu" => Kind::Ubuntu(field(&release, "VERSION_ID=").to_owned()),
            "debian" => Kind::Debian(debian_suite(
                &sources,
                field(&release, "VERSION_CODENAME="),
            )?),
            other => bail!(
                "distribution `{other}` is not known to this task; use Debian 12, Debian 13 or Ubuntu"
            ),
        };
        Ok(Self {
            mirror: sources.mirror(|suite| DEBIAN_SUITES.contains(&suite)),
            security_mirror: sources.mirror(|suite| {
                let suite = suite.strip_suffix("-security");
                suite.is_some_and(|suite| DEBIAN_SUITES.contains(&suite))
            }),
            kind,
        })
    }

    /// The mirror that Debian packages come from: apt's; on Ubuntu the one that `DEBIAN_MIRROR` names, or
    /// that debootstrap holds.
    pub(super) fn mirror(&self) -> Result<String> {
        let named = self.mirror.clone().or_else(|| std::env::var(VARIABLE).ok());
        named.or_else(debootstraps_own).with_context(|| {
            format!("no mirror of Debian is known; set {VARIABLE} to one's address")
        })
    }
}

/// debootstrap's programs are shell scripts that hold default mirrors.
fn debootstraps_own() -> Option<String> {
    let scripts = DEBOOTSTRAP.into_iter().map(fs::read_to_string);
    scripts.flatten().find_map(|text| {
        let words = text.split([' ', '"', '=', '\n']);
        let addresses = words.filter(|word| word.starts_with("http"));
        let mut mirrors = addresses.filter(|word| word.ends_with("/debian"));
        mirrors.next().map(str::to_owned)
    })
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Debian(suite) => write!(f, "Debian {suite}")?,
            Kind::Ubuntu(version) => write!(f, "Ubuntu {version}")?,
        }
        if let Some(mirror) = &self.mirror {
            write!(f, ", mirror {mirror}")?;
        }
        Ok(())
    }
}

/// A value of os-release.
fn field<'a>(release: &'a str, name: &str) -> &'a str {
    let line = release.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_default().trim_matches('"')
}

/// The suite of the package sources rather than of os-release: a few packages of a newer suite
/// (`base-files` among them) do not make a machine of that suite.
fn debian_suite(sources: &Sources, codename: &str) -> Result<&'static str> {
    let configured = sources.0.iter().find_map(|(_, suite)| known(suite));
    configured.or_else(|| known(codename)).with_context(|| {
        format!(
            "Debian `{codename}` is not known to this task; use Debian 12 (bookworm) or 13 (trixie)"
        )
    })
}

fn known(name: &str) -> Option<&'static str> {
    DEBIAN_SUITES.into_iter().find(|suite| *suite == name)
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
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        let owned =
            pairs.map(|(address, suite)| (address.trim_end_matches('/').into(), suite.to_owned()));
        Ok(Self(owned.collect()))
    }

    fn mirror(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let found = self.0.iter().find(|(_, suite)| wanted(suite))?;
        Some(found.0.clone())
    }
}
