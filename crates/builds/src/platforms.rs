//! Platforms, as options, files and the environment name them.

use larder_model::dockerfile::Platform;

use crate::fault::Fault;

/// The builder's own platform (buildx `util/platformutil/parse.go`).
const LOCAL: &str = "local";

/// Reads platforms as buildx does (`util/platformutil/parse.go`): a text may be a list, and an empty
/// one says nothing (`bake/bake.go`, `removeDupesStr`). Each is built once.
pub(crate) fn platforms(texts: &[String]) -> Result<Vec<Platform>, Fault> {
    let mut platforms = Vec::new();
    let listed = texts.iter().filter(|text| !text.is_empty());
    for text in listed.flat_map(|text| text.split(',')) {
        let platform = if text.eq_ignore_ascii_case(LOCAL) {
            host_platform()
        } else {
            platform(text)?
        };
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Ok(platforms)
}

/// Reads a platform; half of one is completed with this machine's.
pub fn platform(text: &str) -> Result<Platform, Fault> {
    let parsed = Platform::parse(text, &host_platform());
    parsed.map_err(|error| Fault::option(format!("--platform: {error}")))
}

/// The platform that this machine's engine builds on.
pub fn host_platform() -> Platform {
    // Go's names for Rust's (`go tool dist list`).
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    };
    Platform::new("linux", architecture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_as_buildx_reads_them() {
        let read = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            let read = platforms(&texts).map_err(|fault| fault.message);
            read.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let host = host_platform().to_string();
        assert_eq!(read(&["Local"]), Ok(vec![host.clone()]));
        assert_eq!(read(&["", ""]), Ok(Vec::new()));
        let both = ["linux/s390x,local", "linux/s390x"];
        assert_eq!(read(&both), Ok(vec!["linux/s390x".to_owned(), host]));
        assert!(read(&["linux/s390x,"]).is_err(), "as for buildx");
    }
}
