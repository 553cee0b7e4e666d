//! Where the builds that were asked for are described: in a Dockerfile, or in compose and bake files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::describe::{Description, Drafter};
use crate::draft::Draft;
use crate::fault::Fault;
use crate::files::{self, DOCKERFILES, is_remote};
use crate::options::Options;
use crate::request::{Build, STDIN, Surroundings};
use crate::resolved::Json;
use crate::tool::{Question, Tool};

/// What `docker compose` looks for in a folder (compose-go `cli/options.go`, `DefaultFileNames`).
const COMPOSE_FILES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];
/// What `docker buildx bake` looks for beside those (buildx `bake/bake.go`, `defaultFilenames`).
const BAKE_FILES: [&str; 4] = [
    "docker-bake.json",
    "docker-bake.hcl",
    "docker-bake.override.json",
    "docker-bake.override.hcl",
];
/// The variables by which the tools are told their files (compose-go `consts/consts.go`, buildx
/// `commands/bake.go`).
const COMPOSE_FILE: &str = "COMPOSE_FILE";
const BAKE_FILE: &str = "BUILDX_BAKE_FILE";

/// The images that a build makes.
pub(crate) fn drafts(build: &Build, around: &Surroundings) -> Result<Vec<Draft>, Fault> {
    if build.reads_input() && build.files.len() <= 1 {
        return of_text(build, around, STDIN, build.input.as_deref().unwrap_or(&[]));
    }
    if build.files.is_empty() {
        return of_folder(build, around);
    }
    let kinds = build.files.iter().map(|file| kind(around, file));
    let kinds = kinds.collect::<Result<Vec<_>, _>>()?;
    match &kinds[..] {
        [Kind::Text(file, text)] => of_text(build, around, &file.display().to_string(), text),
        _ if kinds.iter().any(|kind| matches!(kind, Kind::Text(..))) => Err(Fault::option(
            "several -f are compose or bake files that are read together; a Dockerfile, or the \
             output of a tool, is named alone",
        )),
        _ => {
            let tool = tool(build, kinds.iter().any(|kind| matches!(kind, Kind::Bake)))?;
            of_tool(build, around, tool, Path::new(""))
        }
    }
}

/// Whether a folder has a file that is planned without being named.
pub(crate) fn has_usual_file(around: &Surroundings, folder: &Path) -> bool {
    let folder = around.folder.join(folder);
    has_one(&folder, &DOCKERFILES) || usual_tool(around, &folder).is_some()
}

fn has_one(folder: &Path, names: &[&str]) -> bool {
    names.iter().any(|name| folder.join(name).is_file())
}

/// The tool that would build a folder: bake reads compose files too.
fn usual_tool(around: &Surroundings, folder: &Path) -> Option<Tool> {
    let is_set = |name: &str| {
        around
            .environment
            .get(name)
            .is_some_and(|it| !it.is_empty())
    };
    if is_set(BAKE_FILE) || has_one(folder, &BAKE_FILES) {
        Some(Tool::Bake)
    } else if is_set(COMPOSE_FILE) || has_one(folder, &COMPOSE_FILES) {
        Some(Tool::Compose)
    } else {
        // compose reads its own variables there; which of them count is its decision.
        let variables = fs::read_to_string(folder.join(".env")).ok()?;
        variables.contains(COMPOSE_FILE).then_some(Tool::Compose)
    }
}

/// The tool that files are for, if the options are for it too.
fn tool(build: &Build, is_bake: bool) -> Result<Tool, Fault> {
    let refuse = |option: &str, what: &str| {
        Err(Fault::option(format!(
            "{option} is for {what}; these builds have none"
        )))
    };
    match is_bake {
        true if !build.profiles.is_empty() => refuse("--profile", "compose files alone"),
        true if !build.env_files.is_empty() => refuse("--env-file", "compose files alone"),
        false if !build.overrides.is_empty() => refuse("--set", "bake files"),
        true => Ok(Tool::Bake),
        false => Ok(Tool::Compose),
    }
}

/// What a file that was named is.
enum Kind {
    /// A Dockerfile, or what a tool wrote: its name and text.
    Text(PathBuf, Vec<u8>),
    Compose,
    Bake,
}

fn kind(around: &Surroundings, file: &Path) -> Result<Kind, Fault> {
    if file == Path::new(STDIN) {
        return Err(Fault::option("-f - is standard input, and is named alone"));
    }
    let extension = file.extension().and_then(|extension| extension.to_str());
    if extension == Some("hcl") {
        return Ok(Kind::Bake);
    }
    if matches!(extension, Some("yaml" | "yml")) {
        return Ok(Kind::Compose);
    }
    let file = files::dockerfile(&around.folder, file.to_owned());
    let text = files::read(&around.folder.join(&file), &file)?;
    if extension != Some("json") {
        return Ok(Kind::Text(file, text));
    }
    Ok(match Json::read(&text) {
        Some(Json::Compose(Some(_)) | Json::Bake(Some(_))) => Kind::Text(file, text),
        Some(Json::Compose(None)) => Kind::Compose,
        Some(Json::Bake(None)) | None => Kind::Bake,
    })
}

/// The builds of a text: a Dockerfile's, or what a tool wrote.
fn of_text(
    build: &Build,
    around: &Surroundings,
    file: &str,
    text: &[u8],
) -> Result<Vec<Draft>, Fault> {
    let options = Options::read(build, around)?;
    let Some(json) = Json::read(text) else {
        if build.is_described() {
            return Err(Fault::option(
                "--only, --profile, --env-file and --set are for compose and bake files; a \
                 Dockerfile is one build",
            ));
        }
        return options.alone(around)?.drafts(None, file.to_owned(), text);
    };
    let description = json.describe(build, around).ok_or_else(|| {
        Fault::file(
            Path::new(file),
            "it is neither a Dockerfile nor the output of `docker compose config --format json` or \
             `docker buildx bake --print`",
        )
    })??;
    drafted(&description, &options, around, Path::new(""), file)
}

/// The builds of a folder: of its Dockerfile, else of its compose and bake files.
fn of_folder(build: &Build, around: &Surroundings) -> Result<Vec<Draft>, Fault> {
    let context = &build.context;
    let text = context.to_string_lossy();
    if is_remote(&text) {
        return Err(Fault::option(format!(
            "{text:?} is not a folder on this machine; clone it first and name the clone"
        )));
    }
    let folder = around.folder.join(context);
    if folder.is_file() {
        return Err(Fault::option(format!(
            "{text:?} is a file, not a build's folder; name it with -f"
        )));
    }
    if !build.is_described() && has_one(&folder, &DOCKERFILES) {
        let context = context.strip_prefix(".").unwrap_or(context);
        let file = files::dockerfile(&around.folder, context.join(DOCKERFILES[0]));
        let text = files::read(&around.folder.join(&file), &file)?;
        return of_text(build, around, &file.display().to_string(), &text);
    }
    let usual = usual_tool(around, &folder).ok_or_else(|| {
        Fault::file(
            &context.join(DOCKERFILES[0]),
            "there is no such file; name the Dockerfile with -f",
        )
    })?;
    let is_for_compose = !(build.profiles.is_empty() && build.env_files.is_empty());
    let is_bake = usual == Tool::Bake && !(is_for_compose && has_one(&folder, &COMPOSE_FILES));
    of_tool(
        build,
        around,
        tool(build, is_bake || !build.overrides.is_empty())?,
        context,
    )
}

/// The builds that a tool says are there, asked in a folder.
fn of_tool(
    build: &Build,
    around: &Surroundings,
    tool: Tool,
    context: &Path,
) -> Result<Vec<Draft>, Fault> {
    let folder: PathBuf = around.folder.join(context).components().collect();
    let options = Options::read(build, around)?;
    let question = Question {
        tool,
        build,
        around,
        folder: &folder,
    };
    let description = question.ask()?;
    let files = build.files.first().map(|file| file.display().to_string());
    let shown = files.unwrap_or_else(|| match tool {
        Tool::Compose => "compose".to_owned(),
        Tool::Bake => "bake".to_owned(),
    });
    drafted(&description, &options, around, context, &shown)
}

fn drafted(
    description: &Description,
    options: &Options,
    around: &Surroundings,
    context: &Path,
    shown: &str,
) -> Result<Vec<Draft>, Fault> {
    if description.wanted.is_empty() {
        let why = "nothing of it is built by default; name a service or target with --only, or a \
                   Dockerfile with -f";
        return Err(Fault::option(format!("{shown}: {why}")));
    }
    let drafter = Drafter {
        around,
        options,
        folder: &around.folder.join(context),
        shown,
    };
    drafter.drafts(description)
}
