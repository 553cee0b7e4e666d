//! What an engine must know of buildx's builders in its containers: their names, and where their states lie on the
//! volume. What becomes of the states is the crate `buildkit`'s part.

use std::ffi::OsStr;

/// What the names of the containers begin with (buildx `driver/manager.go`, `BuilderName`).
pub const PREFIX: &str = "buildx_buildkit_";
/// Where states lie that are in none of the engine's volumes, from the volume's root.
pub const FOLDER: &str = "larder/builders";

const VOLUME_SUFFIX: &str = "_state";

/// The name of a builder's volume.
pub fn volume_name(name: &str) -> String {
    format!("{name}{VOLUME_SUFFIX}")
}

/// Whose state a directory among the engine's volumes holds, if it holds one.
pub fn builder_of(volume: &OsStr) -> Option<String> {
    let name = volume.to_str()?.strip_suffix(VOLUME_SUFFIX)?;
    is_builder(name).then(|| name.to_owned())
}

/// Whether a directory among the engine's volumes holds the state of a builder.
pub(crate) fn is_state_volume(name: &OsStr) -> bool {
    builder_of(name).is_some()
}

/// Whether a container of this name is a builder. The engine allows letters, digits and `_.-` in names (moby
/// `daemon/names`).
pub fn is_builder(name: &str) -> bool {
    name.starts_with(PREFIX)
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_builders_and_their_volumes_are_known() {
        assert!(is_builder("buildx_buildkit_builder-1b2c0"));
        assert!(!is_builder("buildx_buildkit_../x"));
        assert!(!is_builder("postgres"));
        assert!(is_state_volume(OsStr::new("buildx_buildkit_ci0_state")));
        assert!(!is_state_volume(OsStr::new("buildx_buildkit_ci0")));
        assert!(!is_state_volume(OsStr::new("data_state")));
    }
}
