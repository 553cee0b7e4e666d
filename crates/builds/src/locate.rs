//! Where the builds that were asked for are described: in a Dockerfile, or in compose and bake files.

use std::fs;
use std::path::{Path, PathBuf};

use larder_model::dockerfile::ImageConfigs;

use crate::description::Description;
use crate::draft::{self, Draft};
use crate::extras;
use crate::fault::Fault;
use crate::files::{self, DOCKERFILES, STDIN, is_remote};
use crate::options::{DEFAULT_PLATFORM, Options};
use crate::project::Project;
use crate::request::{Build, Request, Surroundings};
use crate::resolved::Json;
use crate::tool::{BAKE, COMPOSE, Question, Tool};

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

/// What a request came to.
#[derive(Debug, Default)]
pub struct Drafted {
    /// The builds that are known.
    pub drafts: Vec<Draft>,
    /// Why others are not.
    pub faults: Vec<Fault>,
}

impl Request {
    /// The builds of the files and folders that were named, or of the current folder if it has a
    /// file that is planned without being named. Nothing is read yet but the folder's list.
    pub fn new(paths: &[PathBuf], around: Surroundings) -> Self {
        let mut builds: Vec<Build> = paths.iter().map(|path| of_path(path, &around)).collect();
        let has_usual_file =
            has_one(&around.folder, &DOCKERFILES) || usual_tool(&around, &around.folder).is_some();
        if paths.is_empty() && has_usual_file {
            builds.push(Build::default());
        }
        Self { builds, around }
    }

    /// The images that the job makes. What cannot be planned is told: the job may build something
    /// else. Tools are asked, and waited for.
    pub fn drafts(&self) -> Drafted {
        let mut all = Drafted::default();
        for build in &self.builds {
            let drafted = build.drafts(&self.around).and_then(|drafts| {
                draft::plans(&drafts, &ImageConfigs::new())?;
                Ok(drafts)
            });
            match drafted {
                Ok(drafts) => all.drafts.extend(drafts),
                Err(fault) => all.faults.push(fault),
            }
        }
        all
    }
}

/// The build of a folder, or of a file with the current folder as its context.
fn of_path(path: &Path, around: &Surroundings) -> Build {
    let mut build = Build::default();
    if around.folder.join(path).is_dir() {
        path.clone_into(&mut build.context);
    } else {
        build.files.push(path.to_owned());
    }
    build
}

impl Build {
    /// The images that it makes. Tools are asked, and waited for.
    pub fn drafts(&self, around: &Surroundings) -> Result<Vec<Draft>, Fault> {
        let typed = Options::typed(self, around)?;
        let mut drafts = Locator {
            build: self,
            around,
            typed,
        }
        .drafts()?;
        if !self.extras.is_empty() {
            let stdin = self.context == Path::new(STDIN);
            let context = if stdin { Path::new("") } else { &self.context };
            let extras = extras::fingerprints(&around.folder.join(context), &self.extras)?;
            for draft in &mut drafts {
                draft.extras.clone_from(&extras);
            }
        }
        Ok(drafts)
    }

    /// The options in use that only one tool has.
    fn options_of_tools(&self) -> impl Iterator<Item = (&'static str, Tool)> {
        let all = [
            (self.profiles.is_empty(), "--profile", COMPOSE),
            (self.env_files.is_empty(), "--env-file", COMPOSE),
            (self.overrides.is_empty(), "--set", BAKE),
        ];
        let used = all.into_iter().filter(|(is_empty, ..)| !is_empty);
        used.map(|(_, option, tool)| (option, tool))
    }

    /// Whether an option is used that only compose or bake files have.
    fn is_described(&self) -> bool {
        !self.only.is_empty() || self.options_of_tools().next().is_some()
    }
}

fn has_one(folder: &Path, names: &[&str]) -> bool {
    names.iter().any(|name| folder.join(name).is_file())
}

/// The tool that would build a folder: bake reads compose files too.
fn usual_tool(around: &Surroundings, folder: &Path) -> Option<Tool> {
    if around.variable(BAKE_FILE).is_some() || has_one(folder, &BAKE_FILES) {
        Some(BAKE)
    } else if around.variable(COMPOSE_FILE).is_some() || has_one(folder, &COMPOSE_FILES) {
        Some(COMPOSE)
    } else {
        // compose reads its own variables there; which of them count is its decision.
        let variables = fs::read_to_string(folder.join(".env")).ok()?;
        variables.contains(COMPOSE_FILE).then_some(COMPOSE)
    }
}

/// What a file that was named is.
enum Kind {
    /// A Dockerfile, or what a tool wrote: its name and text.
    Text(PathBuf, Vec<u8>),
    /// It is read by this tool.
    Of(Tool),
}

fn kind(around: &Surroundings, file: &Path) -> Result<Kind, Fault> {
    if file == Path::new(STDIN) {
        return Err(Fault::option("-f - is standard input, and is named alone"));
    }
    let extension = file.extension().and_then(|extension| extension.to_str());
    match extension {
        Some("hcl") => return Ok(Kind::Of(BAKE)),
        Some("yaml" | "yml") => return Ok(Kind::Of(COMPOSE)),
        _ => {}
    }
    let (file, text) = read(around, file.to_owned())?;
    if extension != Some("json") {
        return Ok(Kind::Text(file, text));
    }
    Ok(match Json::read(&text, around)? {
        Some(Json::Answer(_)) => Kind::Text(file, text),
        Some(Json::File(tool)) => Kind::Of(tool),
        None => Kind::Of(BAKE),
    })
}

/// A file's name as it is spelt there, and its text.
fn read(around: &Surroundings, named: PathBuf) -> Result<(PathBuf, Vec<u8>), Fault> {
    let file = files::dockerfile(&around.folder, named);
    let text = files::read(&around.folder.join(&file), &file)?;
    Ok((file, text))
}

/// One build, and what is around it.
struct Locator<'a> {
    build: &'a Build,
    around: &'a Surroundings,
    typed: Options,
}

impl Locator<'_> {
    fn drafts(&self) -> Result<Vec<Draft>, Fault> {
        let files = &self.build.files;
        if self.build.reads_input() && files.len() <= 1 {
            let input = self.build.input.as_deref();
            return self.of_text(Path::new(STDIN), input.unwrap_or_default());
        }
        if files.is_empty() {
            return self.of_folder();
        }
        let kinds = files.iter().map(|file| kind(self.around, file));
        let kinds = kinds.collect::<Result<Vec<_>, _>>()?;
        if let [Kind::Text(file, text)] = &kinds[..] {
            return self.of_text(file, text);
        }
        // bake reads compose files too.
        let mut tool = COMPOSE;
        for kind in kinds {
            match kind {
                Kind::Of(one) if one == BAKE => tool = BAKE,
                Kind::Of(_) => {}
                Kind::Text(..) => {
                    return Err(Fault::option(
                        "several -f are compose or bake files that are read together; a \
                         Dockerfile, or the output of a tool, is named alone",
                    ));
                }
            }
        }
        self.of_tool(tool, Path::new(""))
    }

    /// The builds of a folder: of its Dockerfile, else of its compose and bake files.
    fn of_folder(&self) -> Result<Vec<Draft>, Fault> {
        let (build, around) = (self.build, self.around);
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
            let (file, text) = read(around, context.join(DOCKERFILES[0]))?;
            return self.of_text(&file, &text);
        }
        let usual = usual_tool(around, &folder).ok_or_else(|| {
            Fault::file(
                &context.join(DOCKERFILES[0]),
                "there is no such file; name the Dockerfile with -f",
            )
        })?;
        let tool = match build.options_of_tools().next() {
            Some((_, tool)) if tool == BAKE || has_one(&folder, &COMPOSE_FILES) => tool,
            _ => usual,
        };
        self.of_tool(tool, context)
    }

    /// The builds of a text: a Dockerfile's, or what a tool wrote.
    fn of_text(&self, file: &Path, text: &[u8]) -> Result<Vec<Draft>, Fault> {
        match Json::read(text, self.around)? {
            Some(Json::Answer(description)) => self.of_answer(file, &description),
            Some(Json::File(_)) => Err(Fault::file(
                file,
                "it is neither a Dockerfile nor the output of `docker compose config --format json` \
                 or `docker buildx bake --print`",
            )),
            None if self.build.is_described() => Err(Fault::option(
                "--only, --profile, --env-file and --set are for compose and bake files; a \
                 Dockerfile is one build",
            )),
            None => {
                // `docker build` takes its platform from the environment too (buildx
                // `commands/build.go`, `platformsDefault`; docker/cli `command/image/build.go`).
                let usual = Options {
                    platforms: Vec::from_iter(self.around.variable(DEFAULT_PLATFORM).cloned()),
                    ..Options::default()
                };
                let options = self.typed.over(&usual, self.around)?;
                Draft::each(None, &file.display().to_string(), text, options)
            }
        }
    }

    /// The builds of what a tool wrote. The options of that tool come too late.
    fn of_answer(&self, file: &Path, description: &Description) -> Result<Vec<Draft>, Fault> {
        let build = self.build;
        if let Some((option, _)) = build.options_of_tools().next() {
            return Err(Fault::option(format!(
                "{option}: the file is what a tool made of others, and takes no options any more; \
                 give them to the tool"
            )));
        }
        if let Some(name) = build.only.iter().find(|name| !description.has(name)) {
            return Err(Fault::option(format!(
                "--only {name:?}: there is no such name"
            )));
        }
        let wanted = description.wanted(&build.only);
        self.described(
            description,
            wanted,
            Path::new(""),
            &file.display().to_string(),
        )
    }

    /// The builds that a tool says are there, asked in a folder.
    fn of_tool(&self, tool: Tool, context: &Path) -> Result<Vec<Draft>, Fault> {
        let mut options = self.build.options_of_tools();
        if let Some((option, other)) = options.find(|(_, own)| *own != tool) {
            return Err(Fault::option(format!(
                "{option} is for {} files, and these are read as {} files",
                other.kind, tool.kind
            )));
        }
        let folder: PathBuf = self.around.folder.join(context).components().collect();
        let question = Question {
            tool,
            build: self.build,
            around: self.around,
            folder: &folder,
        };
        let (description, wanted) = question.ask()?;
        let file = self.build.files.first();
        let shown = file.map_or(tool.kind.to_owned(), |file| file.display().to_string());
        self.described(&description, wanted, context, &shown)
    }

    fn described(
        &self,
        description: &Description,
        wanted: Vec<String>,
        context: &Path,
        shown: &str,
    ) -> Result<Vec<Draft>, Fault> {
        if wanted.is_empty() {
            return Err(Fault::option(format!(
                "{shown}: nothing of it is built by default; name a service or target with --only, \
                 or a Dockerfile with -f"
            )));
        }
        let project = Project {
            description,
            around: self.around,
            typed: &self.typed,
            folder: &self.around.folder.join(context),
            shown,
        };
        project.drafts(wanted)
    }
}
