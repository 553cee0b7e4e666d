//! Platforms, as options and files name them.

use larder_model::dockerfile::Platform;

use super::fault::Fault;

/// Reads platforms; each is built once.
pub fn platforms(texts: &[String]) -> Result<Vec<Platform>, Fault> {
    let host = host_platform();
    let mut platforms = Vec::new();
    for text in texts {
        let platform = platform(text, &host)?;
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Ok(platforms)
}

/// Reads a platform; half of one is completed with this machine's.
pub fn platform(text: &str, host: &Platform) -> Result<Platform, Fault> {
    let parsed = Platform::parse(text, host);
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
