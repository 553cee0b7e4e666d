//! What stands beside the program in the archive: licences, manual pages, completions.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Release;
use xtask_tools::process;

/// Shells, and what their completions' files are called.
pub(super) const SHELLS: [(&str, &str); 3] = [
    ("bash", "larder"),
    ("zsh", "_larder"),
    ("fish", "larder.fish"),
];

/// Lays out the archive's tree.
pub(super) fn lay_out(release: &Release, program: &Path) -> Result<PathBuf> {
    let tree = release.folder.join("tree");
    let (pages, scripts) = (tree.join("man"), tree.join("completions"));
    fs::create_dir_all(&pages)?;
    fs::create_dir_all(&scripts)?;
    fs::copy(program, tree.join("larder"))?;
    fs::set_permissions(tree.join("larder"), fs::Permissions::from_mode(0o755))?;
    for name in ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "CHANGELOG.md"] {
        fs::copy(super::repository().join(name), tree.join(name))
            .with_context(|| format!("cannot copy {name}"))?;
    }
    let overview = said(program, &["man"])?;
    let commands = commands(&overview);
    ensure!(!commands.is_empty(), "the manual page names no commands");
    fs::write(pages.join("larder.1"), &overview)?;
    for command in commands {
        let page = said(program, &["man", &command])?;
        fs::write(pages.join(format!("larder-{command}.1")), page)?;
    }
    for (shell, file) in SHELLS {
        let script = said(program, &["completions", shell])?;
        fs::write(scripts.join(file), script)?;
    }
    Ok(tree)
}

fn said(program: &Path, arguments: &[&str]) -> Result<String> {
    let text = process::read(Command::new(program).args(arguments))?;
    Ok(text + "\n")
}

/// The commands whose pages an overview refers to: `larder\-run(1)`.
fn commands(overview: &str) -> Vec<String> {
    let names = overview.lines().filter_map(|line| {
        let name = line.strip_prefix("larder\\-")?.strip_suffix("(1)")?;
        Some(name.replace("\\-", "-"))
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_overview_names_commands() {
        let page = ".TP\nlarder\\-run(1)\nRun it\n.TP\nlarder\\-a\\-b(1)\nmore\n";
        assert_eq!(super::commands(page), ["run", "a-b"]);
    }
}
