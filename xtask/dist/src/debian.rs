//! The Debian package. It depends on nothing: the engine may be Debian's or Docker's own packages.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::Release;
use super::pages::SHELLS;
use xtask_tools::process;

/// Where Debian looks for completions, in the order of [`SHELLS`].
const COMPLETIONS: [&str; 3] = [
    "usr/share/bash-completion/completions",
    "usr/share/zsh/vendor-completions",
    "usr/share/fish/vendor_completions.d",
];

/// Makes the package of what is laid out for the archive.
pub(super) fn package(release: &Release, tree: &Path) -> Result<()> {
    let root = release.folder.join("package");
    copy(&tree.join("larder"), &root.join("usr/bin/larder"))?;
    for (folder, (_, file)) in COMPLETIONS.iter().zip(SHELLS) {
        let script = tree.join("completions").join(file);
        copy(&script, &root.join(folder).join(file))?;
    }
    let documents = root.join("usr/share/doc/larder");
    copy(&tree.join("README.md"), &documents.join("README.md"))?;
    copy(&tree.join("CHANGELOG.md"), &documents.join("changelog"))?;
    fs::write(documents.join("copyright"), copyright(tree)?)?;
    process::run(
        Command::new("gzip")
            .args(["-9", "-n"])
            .arg(documents.join("changelog")),
    )?;
    for page in fs::read_dir(tree.join("man"))? {
        let page = page?;
        let to = root.join("usr/share/man/man1").join(page.file_name());
        copy(&page.path(), &to)?;
        process::run(Command::new("gzip").args(["-9", "-n"]).arg(&to))?;
    }
    let size = process::read(
        Command::new("du")
            .args(["-sk", "--apparent-size"])
            .arg(&root),
    )?;
    let kibibytes = size.split_whitespace().next().unwrap_or_default();
    fs::create_dir_all(root.join("DEBIAN"))?;
    fs::write(root.join("DEBIAN/control"), control(release, kibibytes)?)?;
    process::run(
        Command::new("dpkg-deb")
            .env("SOURCE_DATE_EPOCH", &release.epoch_seconds)
            .args(["--root-owner-group", "--build"])
            .arg(&root)
            .arg(release.folder.join(format!("{}.deb", release.name()))),
    )?;
    fs::remove_dir_all(&root)?;
    Ok(())
}

fn control(release: &Release, kibibytes: &str) -> Result<String> {
    let arch = match release.arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("Debian's name for {other} is not known to this task"),
    };
    Ok(format!(
        "Package: larder\n\
         Version: {}\n\
         Architecture: {arch}\n\
         Maintainer: {}\n\
         Installed-Size: {kibibytes}\n\
         Recommends: docker.io | docker-ce, e2fsprogs, iproute2, iptables\n\
         Section: admin\n\
         Priority: optional\n\
         Homepage: {}\n\
         Description: {}\n \
         Larder starts a Docker engine as the last job left it: images, layers, build cache and\n \
         cache mounts. The engine's disk is fetched lazily from an object store.\n",
        release.version,
        "Larder contributors <larder-ci@users.noreply.github.com>",
        env!("CARGO_PKG_REPOSITORY"),
        "Docker engine that remembers, for CI jobs on machines that forget",
    ))
}

fn copyright(tree: &Path) -> Result<String> {
    let mit = fs::read_to_string(tree.join("LICENSE-MIT"))?;
    Ok(format!(
        "Larder is licensed under Apache-2.0 (/usr/share/common-licenses/Apache-2.0) or MIT, at your option.\n\n\
         {mit}"
    ))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().expect("it is below the package's root"))?;
    fs::copy(from, to)?;
    Ok(())
}
