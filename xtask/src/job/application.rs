//! The example application as a folder to build: `examples/app` with a catalogue of generated
//! source files, and the changes that developers make to it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::process;

/// Source files in the catalogue: with the rest, about what a service of some years has.
const PRODUCTS: u32 = 240;
/// The name of the base image in the Dockerfile.
pub(crate) const BASE: &str = "larder-demo/debian:bookworm";
/// The name under which the image is built.
pub(crate) const IMAGE: &str = "larder-demo/app";

/// What the npm registry says of clsx 2.1.1, the dependency that is added.
const CLSX_INTEGRITY: &str = "sha512-eYm0QWBtUrBWZWG0d386OGAw16Z995PiOVo2B7bjWSbHedGl5e0ZWaq65kOGgUSNesEIDkB9ISbTg/JK9dhCZA==";

/// Large steps before a small one, which reads the sources alone. Its `node` answers as the application does.
const SMALL: &str = r#"FROM larder-demo/debian:bookworm
RUN head -c 650M /dev/urandom > /opt/first
RUN head -c 650M /dev/urandom > /opt/second
RUN printf '#!/bin/sh\ncat /app/answer\n' > /usr/local/bin/node && chmod +x /usr/local/bin/node
COPY src /app/src
RUN cd /app && revision=$(sed -n 's/.*, revision \([0-9]*\).*/\1/p' src/catalog/product000.ts) \
    && echo "$(ls src/catalog/product*.ts | wc -l) products, Product 0 from shelf A0, revision $revision" > answer
"#;

/// A build context on disk.
pub(crate) struct Application {
    folder: PathBuf,
}

impl Application {
    /// Copies the application to `folder` and generates its catalogue.
    pub(crate) fn create(folder: PathBuf) -> Result<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/app");
        let excluded = ["--exclude=./node_modules", "--exclude=./dist"];
        fs::create_dir_all(&folder)?;
        // Only what belongs to the application: a developer's own node_modules may stand there.
        process::run(
            Command::new("sh")
                .args(["-c", "tar -C \"$1\" -c $3 $4 . | tar -C \"$2\" -x", "copy"])
                .arg(source)
                .arg(&folder)
                .args(excluded),
        )?;
        let application = Self { folder };
        fs::create_dir_all(application.folder.join("src/catalog"))?;
        for number in 0..PRODUCTS {
            application.write_product(number, 0)?;
        }
        fs::write(application.folder.join("src/catalog/index.ts"), index())?;
        Ok(application)
    }

    /// The build context.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A developer changes one source file.
    pub(crate) fn change_source(&self, revision: u32) -> Result<()> {
        self.write_product(0, revision)
    }

    /// A developer adds a dependency: a small package without dependencies of its own.
    pub(crate) fn add_dependency(&self) -> Result<()> {
        let version = Value::from("2.1.1");
        self.edit_json("package.json", |package| {
            package["dependencies"]["clsx"] = version.clone();
        })?;
        self.edit_json("package-lock.json", |lock| {
            lock["packages"][""]["dependencies"]["clsx"] = version.clone();
            lock["packages"]["node_modules/clsx"] = json!({
                "version": version,
                "integrity": CLSX_INTEGRITY,
                "license": "MIT",
                "engines": { "node": ">=6" },
            });
        })
    }

    /// Makes the Dockerfile one that the classic builder reads: it knows no cache mounts.
    pub(crate) fn make_classic(&self) -> Result<()> {
        let path = self.folder.join("Dockerfile");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let classic = text.replace("RUN --mount=type=cache,target=/root/.npm ", "RUN ");
        ensure!(classic != text, "{} has no cache mount", path.display());
        fs::write(&path, classic).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Replaces the Dockerfile by a small one.
    pub(crate) fn make_small(&self) -> Result<()> {
        let path = self.folder.join("Dockerfile");
        fs::write(&path, SMALL).with_context(|| format!("cannot write {}", path.display()))
    }

    /// What the application prints of itself (`node dist/server.js --check`) at a revision.
    pub(crate) fn expected_check(revision: u32) -> String {
        format!("{PRODUCTS} products, Product 0 from shelf A0, revision {revision}")
    }

    fn edit_json(&self, file: &str, edit: impl FnOnce(&mut Value)) -> Result<()> {
        let path = self.folder.join(file);
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut value = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not JSON", path.display()))?;
        edit(&mut value);
        fs::write(&path, serde_json::to_vec_pretty(&value)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn write_product(&self, number: u32, revision: u32) -> Result<()> {
        let path = self
            .folder
            .join(format!("src/catalog/product{number:03}.ts"));
        fs::write(&path, product(number, revision))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

fn product(number: u32, revision: u32) -> String {
    let cents = number * 37 % 9973 + 100;
    let shelf = number % 20;
    format!(
        r#"import type {{ Product }} from "../product";

export const product{number:03}: Product = {{
  sku: "P-{number:03}",
  name: "Product {number}",
  cents: {cents},
  shelf: "A{shelf}",
  describe() {{
    return `${{this.name}} from shelf ${{this.shelf}}, revision {revision}`;
  }},
}};
"#
    )
}

fn index() -> String {
    let mut text = String::from("import type { Product } from \"../product\";\n");
    for number in 0..PRODUCTS {
        let _ = writeln!(
            text,
            "import {{ product{number:03} }} from \"./product{number:03}\";"
        );
    }
    text.push_str("\nexport const products: Product[] = [\n");
    for number in 0..PRODUCTS {
        let _ = writeln!(text, "  product{number:03},");
    }
    text.push_str("];\n");
    text
}
