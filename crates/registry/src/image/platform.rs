//! Which entry of an index an engine takes for a platform.
//!
//! The choice is containerd's, because the engine will pull by it: `platforms.Only` and
//! `platformVector` (containerd/platforms `compare.go`) give the acceptable platforms, best first.

use larder_model::dockerfile::Platform;

/// Whether an entry names no platform: attestations are marked `unknown/unknown`.
pub(crate) fn is_unknown(platform: &Platform) -> bool {
    platform.os == "unknown" || platform.architecture == "unknown"
}

/// How well an image for `offered` serves a request for `wanted`: 0 is best, `None` is not at all.
pub(crate) fn rank(wanted: &Platform, offered: &Platform) -> Option<usize> {
    acceptable(wanted).iter().position(|one| one == offered)
}

/// The platforms that serve a request for this one, best first.
fn acceptable(wanted: &Platform) -> Vec<Platform> {
    let mut list = vec![(wanted.architecture.as_str(), wanted.variant.clone())];
    match wanted.architecture.as_str() {
        "amd64" => {
            let levels = (1..version(&wanted.variant)).rev();
            list.extend(levels.map(|level| ("amd64", format!("v{level}"))));
            list.push(("386", String::new()));
        }
        "arm" => {
            list.extend(arm_below(version(&wanted.variant)).map(|variant| ("arm", variant)));
        }
        "arm64" => {
            let lower = arm64_below(&wanted.variant).into_iter();
            list.extend(lower.map(|variant| ("arm64", variant)));
            let thirty_two_bit = match wanted.variant.as_str() {
                "" => "v8",
                v if v.starts_with("v8.") || v.starts_with("v9.") => "v8",
                other => other,
            };
            list.push(("arm", thirty_two_bit.to_owned()));
            list.extend(arm_below(version(thirty_two_bit)).map(|variant| ("arm", variant)));
        }
        _ => {}
    }
    list.iter()
        .map(|(architecture, variant)| Platform::normal(&wanted.os, architecture, variant))
        .collect()
}

/// The number of `v7`; 0 where there is none, which no rule below asks for.
fn version(variant: &str) -> u32 {
    let number = variant.trim_start_matches('v').parse();
    number.ok().filter(|n| *n <= 99).unwrap_or(0)
}

fn arm_below(version: u32) -> impl Iterator<Item = String> {
    (5..version).rev().map(|v| format!("v{v}"))
}

/// The 64-bit ARM variants below this one. Armv9.x holds all of Armv8.(x+5).
fn arm64_below(variant: &str) -> Vec<String> {
    let variant = if variant.is_empty() { "v8" } else { variant };
    let (major, minor) = variant.split_once('.').unwrap_or((variant, "0"));
    // As containerd: a minor number of more than one digit counts as none.
    let minor = if minor.len() == 1 {
        minor.parse().unwrap_or(0)
    } else {
        0
    };
    match version(major) {
        9 => minors_below(9, minor)
            .chain(minors_below(8, minor + 6))
            .collect(),
        major @ 8.. => minors_below(major, minor).collect(),
        _ => Vec::new(),
    }
}

fn minors_below(major: u32, below: u32) -> impl Iterator<Item = String> {
    (0..below).rev().map(move |minor| match minor {
        0 => format!("v{major}"),
        minor => format!("v{major}.{minor}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> String {
        let platform: Platform = text.parse().expect("a platform");
        let names: Vec<String> = acceptable(&platform)
            .iter()
            .map(ToString::to_string)
            .collect();
        names.join(" ").replace("linux/", "")
    }

    /// Each line as `platforms.Only` documents it (`compare.go`).
    #[test]
    fn acceptable_platforms_are_containerds() {
        for (wanted, expected) in [
            ("linux/amd64", "amd64 386"),
            ("linux/amd64/v1", "amd64 386"),
            ("linux/amd64/v3", "amd64/v3 amd64/v2 amd64 386"),
            ("linux/386", "386"),
            ("linux/arm", "arm/v7 arm/v6 arm/v5"),
            ("linux/arm/v6", "arm/v6 arm/v5"),
            ("linux/arm/v5", "arm/v5"),
            ("linux/arm/v8", "arm/v8 arm/v7 arm/v6 arm/v5"),
            ("linux/arm64", "arm64 arm/v8 arm/v7 arm/v6 arm/v5"),
            (
                "linux/arm64/v8.2",
                "arm64/v8.2 arm64/v8.1 arm64 arm/v8 arm/v7 arm/v6 arm/v5",
            ),
            (
                "linux/arm64/v9.1",
                "arm64/v9.1 arm64/v9 arm64/v8.6 arm64/v8.5 arm64/v8.4 arm64/v8.3 arm64/v8.2 \
                 arm64/v8.1 arm64 arm/v8 arm/v7 arm/v6 arm/v5",
            ),
            ("linux/ppc64le", "ppc64le"),
            ("linux/s390x", "s390x"),
            ("linux/riscv64", "riscv64"),
        ] {
            assert_eq!(list(wanted), expected, "{wanted}");
        }
    }

    #[test]
    fn arm64_v9_falls_back_to_arm_v9_as_containerd_does() {
        assert_eq!(
            list("linux/arm64/v9"),
            "arm64/v9 arm64/v8.5 arm64/v8.4 arm64/v8.3 arm64/v8.2 arm64/v8.1 arm64 \
             arm/v9 arm/v8 arm/v7 arm/v6 arm/v5"
        );
    }
}
