//! The bill of materials: the crates that the program is made of, as `CycloneDX` 1.5 has them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Release;
use xtask_tools::{cargo, process};

/// The schema that `CycloneDX` publishes, where its library for Python has it: below the folder of packages.
const SCHEMA: &str = "cyclonedx/schema/_res/bom-1.5.SNAPSHOT.schema.json";

/// Writes it, and says where.
pub(super) fn write(release: &Release, program: &Path) -> Result<PathBuf> {
    let text = process::read(cargo::command("metadata").args([
        "--format-version=1",
        "--locked",
        "--filter-platform",
        &format!("{}-unknown-linux-gnu", release.arch),
    ]))?;
    let tree = Tree {
        metadata: serde_json::from_str(&text).context("cargo metadata prints no JSON")?,
        checksums: checksums(&fs::read_to_string(super::repository().join("Cargo.lock"))?),
    };
    let bill = tree.bill(release, &super::sha256(program)?)?;
    let file = release.folder.join(format!("{}.cdx.json", release.name()));
    fs::write(&file, serde_json::to_string_pretty(&bill)? + "\n")?;
    Ok(file)
}

/// Checks it against the published schema.
pub(super) fn check(checker: &Path, bill: &Path) -> Result<()> {
    let schema = schema(checker).with_context(|| {
        format!(
            "{} has no {SCHEMA} beside it; remove it and run `cargo xtask engine`",
            checker.display()
        )
    })?;
    let mut command = Command::new(checker);
    process::run(command.arg("--schemafile").arg(schema).arg(bill))
}

/// `lib/python3.11/site-packages` stands beside the folder of an environment's programs.
fn schema(checker: &Path) -> Option<PathBuf> {
    let libraries = checker.parent()?.with_file_name("lib");
    let versions = fs::read_dir(libraries).ok()?.flatten();
    let mut schemas = versions.map(|version| version.path().join("site-packages").join(SCHEMA));
    schemas.find(|schema| schema.exists())
}

/// The checksums of `Cargo.lock`, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let packages = lock.split("[[package]]").filter_map(|package| {
        let [name, version, checksum] = ["name", "version", "checksum"].map(|key| {
            let line = package
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
            line.map(|value| value.trim_matches('"').to_owned())
        });
        Some(((name?, version?), checksum?))
    });
    packages.collect()
}

struct Tree {
    metadata: Value,
    checksums: BTreeMap<(String, String), String>,
}

impl Tree {
    fn bill(&self, release: &Release, digest: &str) -> Result<Value> {
        let packages = self.list("/packages")?;
        let own = packages
            .iter()
            .find(|package| package["name"] == "larder")
            .context("the program is no package of the workspace")?;
        let own = text(&own["id"]);
        let reached = self.reached_from(own)?;
        let of_others = packages.iter().filter(|package| {
            text(&package["id"]) != own && reached.contains_key(text(&package["id"]))
        });
        let dependencies = reached
            .iter()
            .map(|(id, on)| json!({ "ref": id, "dependsOn": on }));
        Ok(json!({
            "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": {
                "timestamp": release.time,
                "component": {
                    "type": "application",
                    "bom-ref": own,
                    "name": "larder",
                    "version": release.version,
                    "licenses": [{ "expression": "Apache-2.0 OR MIT" }],
                    "hashes": [{ "alg": "SHA-256", "content": digest }],
                },
            },
            "components": of_others.map(|package| self.component(package)).collect::<Vec<_>>(),
            "dependencies": dependencies.collect::<Vec<_>>(),
        }))
    }

    fn list(&self, pointer: &str) -> Result<&Vec<Value>> {
        let found = self.metadata.pointer(pointer).and_then(Value::as_array);
        found.with_context(|| format!("cargo metadata has no list {pointer}"))
    }

    /// What a package is made of or built by, and what each of these depends on. Tests are not in it.
    fn reached_from(&self, own: &str) -> Result<BTreeMap<String, BTreeSet<String>>> {
        let nodes = self.list("/resolve/nodes")?;
        let mut waiting = vec![own.to_owned()];
        let mut reached = BTreeMap::new();
        while let Some(id) = waiting.pop() {
            if reached.contains_key(&id) {
                continue;
            }
            let node = nodes.iter().find(|node| node["id"] == id.as_str());
            let on = dependencies(node.context("cargo metadata lacks a package")?);
            waiting.extend(on.iter().cloned());
            reached.insert(id, on);
        }
        Ok(reached)
    }

    fn component(&self, package: &Value) -> Value {
        let (name, version) = (text(&package["name"]), text(&package["version"]));
        let mut component = json!({
            "type": "library",
            "bom-ref": package["id"],
            "name": name,
            "version": version,
        });
        if let Some(licence) = package["license"].as_str() {
            // Old manifests write a slash for "or" (the Cargo book, "The license field").
            let expression = licence.replace('/', " OR ");
            component["licenses"] = json!([{ "expression": expression }]);
        }
        // Ours are in no registry.
        if let Some(checksum) = self.checksums.get(&(name.to_owned(), version.to_owned())) {
            component["purl"] = format!("pkg:cargo/{name}@{version}").into();
            component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
        }
        component
    }
}

/// The packages that a node depends on, but for those of tests.
fn dependencies(node: &Value) -> BTreeSet<String> {
    let all = node["deps"].as_array().into_iter().flatten();
    let needed = all.filter(|one| {
        let mut kinds = one["dep_kinds"].as_array().into_iter().flatten();
        kinds.any(|kind| kind["kind"] != "dev")
    });
    needed.map(|one| text(&one["pkg"]).to_owned()).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
// A test that cannot test anything says so.
#[allow(clippy::print_stderr)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let dependency =
            |name: &str, kind: Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let node = |id: &str, deps: Value| json!({ "id": id, "deps": deps });
        let lock = format!("[[package]]\nname = \"a\"\nversion = \"2\"\nchecksum = \"{DIGEST}\"\n");
        Tree {
            metadata: json!({
                "packages": [
                    { "id": "l", "name": "larder", "version": "1" },
                    { "id": "a", "name": "a", "version": "2", "license": "MIT/Apache-2.0" },
                    { "id": "b", "name": "b", "version": "3" },
                    { "id": "t", "name": "t", "version": "4" },
                ],
                "resolve": { "nodes": [
                    node("l", json!([dependency("a", Value::Null), dependency("t", "dev".into())])),
                    node("a", json!([dependency("b", "build".into())])),
                    node("b", json!([])),
                    node("t", json!([])),
                ]},
            }),
            checksums: checksums(&lock),
        }
    }

    const DIGEST: &str = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";

    fn bill() -> Value {
        let release = Release {
            version: "1".to_owned(),
            arch: "x86_64",
            commit: String::new(),
            epoch_seconds: "0".to_owned(),
            time: "2026-02-03T04:05:06+00:00".to_owned(),
            folder: Path::new("").to_owned(),
        };
        tree().bill(&release, DIGEST).expect("a bill")
    }

    #[test]
    fn what_tests_alone_need_is_no_part() {
        let bill = bill();
        let [a, b] = &bill["components"].as_array().expect("a list")[..] else {
            panic!("{bill}");
        };
        assert_eq!(a["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(a["purl"], "pkg:cargo/a@2");
        assert_eq!((&b["name"], b.get("purl")), (&json!("b"), None));
        assert_eq!(bill["dependencies"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn a_bill_is_what_the_published_schema_accepts() {
        let checker = std::env::var_os("LARDER_TEST_SCHEMAS").map(PathBuf::from);
        let Some(checker) = checker.filter(|checker| schema(checker).is_some()) else {
            eprintln!(
                "skipped: LARDER_TEST_SCHEMAS names no check-jsonschema with CycloneDX's; run `cargo xtask test`"
            );
            return;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("bill.json");
        for (hash, accepted) in [(DIGEST, true), ("no digest", false)] {
            let mut bill = bill();
            bill["components"][0]["hashes"][0]["content"] = hash.into();
            fs::write(&file, bill.to_string()).expect("written");
            assert_eq!(check(&checker, &file).is_ok(), accepted, "{bill}");
        }
    }
}
