//! Where programs are.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Where programs for administrators are. Debian's `PATH` for other users lacks some of these.
pub const USUAL_FOLDERS: [&str; 6] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/bin",
    "/sbin",
];

/// The first program of this name that may be executed: in the folders of `search`, which is a `PATH`,
/// else in the usual ones.
pub fn find(name: &str, search: &[PathBuf]) -> Option<PathBuf> {
    let usual = USUAL_FOLDERS.iter().map(Path::new);
    search
        .iter()
        .map(PathBuf::as_path)
        .chain(usual)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file() && access(path, Access::EXEC_OK).is_ok())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_first_executable_file_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let [plain, runnable] = ["plain", "runnable"].map(|name| folder.path().join(name));
        for path in [&plain, &runnable] {
            fs::create_dir(path).expect("made");
            fs::write(path.join("tool-of-this-test"), "").expect("written");
        }
        let tool = runnable.join("tool-of-this-test");
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("allowed");
        let found = find("tool-of-this-test", &[plain, runnable]);
        assert_eq!(found, Some(tool));
    }

    #[test]
    fn the_usual_folders_need_no_path() {
        assert!(find("sh", &[]).is_some());
        assert_eq!(find("no-such-tool-anywhere", &[]), None);
    }
}
