//! Where the files come from, as SLSA 1.0's statement of provenance has it. It is not signed: whoever
//! publishes a release signs it with what they have.

use std::fs;
use std::process::Command;

use anyhow::Result;
use serde_json::json;

use super::Release;
use xtask_tools::process;

/// Writes it, with all files that are there so far.
pub(super) fn write(release: &Release) -> Result<()> {
    let mut subjects = Vec::new();
    for name in release.files()? {
        let digest = super::sha256(&release.folder.join(&name))?;
        subjects.push(json!({ "name": name, "digest": { "sha256": digest } }));
    }
    let repository = env!("CARGO_PKG_REPOSITORY");
    let compiler = process::read(Command::new("rustc").arg("--version"))?;
    // Changes that no commit has would make another program.
    let dirty = !super::git(&["status", "--porcelain"])?.is_empty();
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": format!("{repository}/blob/main/xtask/src/dist/mod.rs"),
                "externalParameters": { "command": "cargo xtask dist", "arch": release.arch },
                "internalParameters": { "compiler": compiler, "uncommitted_changes": dirty },
                "resolvedDependencies": [{
                    "uri": format!("git+{repository}"),
                    "digest": { "gitCommit": release.commit },
                }],
            },
            "runDetails": { "builder": { "id": format!("{repository}/blob/main/.ci/run") } },
        },
    });
    let name = format!("{}.provenance.json", release.name());
    let text = serde_json::to_string_pretty(&statement)? + "\n";
    Ok(fs::write(release.folder.join(name), text)?)
}
