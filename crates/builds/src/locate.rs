//! Where the builds that were asked for are described: in a Dockerfile, or in compose and bake files.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use larder_local::checkout::Checkout;
use larder_model::dockerfile::{FrontEnd, ImageConfigs};

use crate::description::Description;
use crate::draft::{self, Draft};
use crate::extras;
use crate::fault::Fault;
use crate::files::{self, DOCKERFILES, STDIN, is_remote};
use crate::options::{Asked, DEFAULT_PLATFORM, Options};
use crate::project::{self, Project};
use crate::request::{Build, Request, Surroundings};
use crate::resolved::Json;
use crate::tool::{BAKE, COMPOSE, COMPOSE_FILE, Question, Tool};

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
/// The variable by which bake is told its files (buildx `commands/bake.go`).
const BAKE_FILE: &str = "BUILDX_BAKE_FILE";

/// What a request came to.
#[derive(Debug, Default)]
pub struct Drafted {
    /// The builds that are known.
    pub drafts: Vec<Draft>,
    /// Images that the job runs as they are, as far as a file that was read names them.
    pub used: Vec<Draft>,
    /// What of others, or of these, is not known.
    pub faults: Vec<Fault>,
}

impl Drafted {
    /// The builds, and the images that are run as they are.
    pub fn all(&self) -> Vec<Draft> {
        self.drafts.iter().chain(&self.used).cloned().collect()
    }
}

impl Request {
    /// The builds of the files and folders that were named, or of the current folder if it has a
    /// file that is planned without being named. Nothing is read yet but the folder's list.
    pub fn new(paths: &[PathBuf], around: Surroundings) -> Self {
        let folder = &around.folder;
        let builds = match paths {
            [] if has_one(folder, &DOCKERFILES) || usual_tool(&around, folder).is_some() => {
                vec![Build::default()]
            }
            paths => paths.iter().map(|path| of_path(path, folder)).collect(),
        };
        Self { builds, around }
    }

    /// The images that the job makes. What cannot be planned is told: the job may build something
    /// else. Tools are asked, and waited for.
    pub fn drafts(&self) -> Drafted {
        let mut all = Drafted::default();
        for build in &self.builds {
            match build.found(&self.around) {
                Ok(found) => {
                    all.faults.extend(found.iter().filter_map(Draft::unread));
                    let (used, drafts): (Vec<_>, _) =
                        found.into_iter().partition(|one| one.is_used_only);
                    all.drafts.extend::<Vec<_>>(drafts);
                    all.used.extend(used);
                }
                Err(fault) => all.faults.push(fault),
            }
        }
        all
    }
}

/// The build of a folder, or of a file with the current folder as its context.
fn of_path(path: &Path, folder: &Path) -> Build {
    let mut build = Build::default();
    if folder.join(path).is_dir() {
        path.clone_into(&mut build.context);
    } else {
        build.files.push(path.to_owned());
    }
    build
}

impl Build {
    /// The images that it makes. Tools are asked, and waited for.
    pub fn drafts(&self, around: &Surroundings) -> Result<Vec<Draft>, Fault> {
        let mut found = self.found(around)?;
        let shown = found.first().map(|draft| draft.file.clone());
        found.retain(|draft| !draft.is_used_only);
        match shown {
            Some(shown) if found.is_empty() => Err(project::nothing_built(&shown)),
            _ => Ok(found),
        }
    }

    /// The same, and the images that are run as they are.
    fn found(&self, around: &Surroundings) -> Result<Vec<Draft>, Fault> {
        let context = match self.context.to_str() {
            Some(STDIN) => around.folder.clone(),
            _ => around.folder.join(&self.context),
        };
        let folder = if self.files.is_empty() {
            &context
        } else {
            &around.folder
        };
        let asked = Asked {
            build: self,
            around,
            typed: Options::typed(self, around)?,
            folder: folder.components().collect(),
        };
        let drafts = asked.drafts().and_then(|drafts| {
            draft::plans(&drafts, &ImageConfigs::new())?;
            Ok(drafts)
        });
        let mut drafts = drafts.map_err(|fault| asked.discreet(fault, &context))?;
        if !self.extras.is_empty() {
            let extras = extras::fingerprints(&context, &self.extras)?;
            for draft in &mut drafts {
                draft.extras.clone_from(&extras);
            }
        }
        Ok(drafts)
    }

    /// The options in use that only one tool has.
    fn options_of_tools(&self) -> impl Iterator<Item = (&'static str, Tool)> {
        let all = [
            (!self.profiles.is_empty()).then_some(("--profile", COMPOSE)),
            (!self.env_files.is_empty()).then_some(("--env-file", COMPOSE)),
            (!self.overrides.is_empty()).then_some(("--set", BAKE)),
        ];
        all.into_iter().flatten()
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
        let path = folder.join(".env");
        let variables = files::read(&path, &path).ok()?;
        let variables = String::from_utf8_lossy(&variables);
        variables.contains(COMPOSE_FILE).then_some(COMPOSE)
    }
}

impl Asked<'_> {
    /// Takes the text out of a fault of a file that is neither in the checkout nor in the build's folder. A link in
    /// a commit, or a path in one of its files, may lead to any file of the machine, and root reads all of them.
    fn discreet(&self, fault: Fault, context: &Path) -> Fault {
        let Some(file) = &fault.file else {
            return fault;
        };
        let path = self.around.folder.join(file);
        let seen = [self.checkout(), Checkout::around(context)];
        if !path.exists() || seen.iter().any(|folder| folder.holds(&path)) {
            return fault;
        }
        fault.without_text()
    }

    pub(crate) fn checkout(&self) -> Checkout {
        Checkout::around(&self.around.folder)
    }

    fn drafts(&self) -> Result<Vec<Draft>, Fault> {
        let files = &self.build.files;
        if self.build.reads_input() && files.len() <= 1 {
            let input = self.build.input.as_deref();
            return self.of_text(STDIN, input.unwrap_or_default());
        }
        if files.is_empty() {
            return self.of_folder();
        }
        let tools = files.iter().map(|file| self.tool_of(file));
        match &tools.collect::<Result<Vec<_>, _>>()?[..] {
            [None] => self.of_file(&files[0]),
            tools if tools.contains(&None) => Err(Fault::option(
                "several -f are compose or bake files that are read together; a Dockerfile, the \
                 output of a tool, or standard input is named alone",
            )),
            // bake reads compose files too.
            tools if tools.contains(&Some(BAKE)) => self.of_tool(BAKE),
            _ => self.of_tool(COMPOSE),
        }
    }

    /// The tool that reads a file; none reads a Dockerfile, and what a tool wrote.
    fn tool_of(&self, file: &Path) -> Result<Option<Tool>, Fault> {
        Ok(match file.extension().and_then(OsStr::to_str) {
            Some("hcl") => Some(BAKE),
            Some("yaml" | "yml") => (!self.names_front_end(file)).then_some(COMPOSE),
            Some("json") if self.names_front_end(file) => None,
            Some("json") => match Json::read(&self.read(file)?.1, self.around)? {
                Some(Json::Answer(_)) => None,
                Some(Json::File(tool)) => Some(tool),
                None => Some(BAKE),
            },
            _ => None,
        })
    }

    /// Whether a file asks for a front end: `docker build` reads it, whatever it is called. What cannot be
    /// read is told later.
    fn names_front_end(&self, file: &Path) -> bool {
        let text = self.read(file).map(|(_, text)| text);
        text.is_ok_and(|text| FrontEnd::of(&text, &BTreeMap::new()).image().is_some())
    }

    /// A file's name as it is spelt there, and its text.
    fn read(&self, named: &Path) -> Result<(String, Vec<u8>), Fault> {
        let folder = &self.around.folder;
        let file = files::dockerfile(folder, named.to_owned());
        let text = files::read(&folder.join(&file), &file)?;
        Ok((file.display().to_string(), text))
    }

    fn of_file(&self, named: &Path) -> Result<Vec<Draft>, Fault> {
        let (file, text) = self.read(named)?;
        self.of_text(&file, &text)
    }

    /// The builds of a folder: of its Dockerfile, else of its compose and bake files.
    fn of_folder(&self) -> Result<Vec<Draft>, Fault> {
        let (build, folder) = (self.build, &self.folder);
        let context = &build.context;
        let text = context.to_string_lossy();
        if is_remote(&text) {
            return Err(Fault::option(format!(
                "{text:?} is not a folder on this machine; clone it first and name the clone"
            )));
        }
        if folder.is_file() {
            return Err(Fault::option(format!(
                "{text:?} is a file, not a build's folder; name it with -f"
            )));
        }
        if !build.is_described() && has_one(folder, &DOCKERFILES) {
            let context = context.strip_prefix(".").unwrap_or(context);
            return self.of_file(&context.join(DOCKERFILES[0]));
        }
        let usual = usual_tool(self.around, folder).ok_or_else(|| {
            Fault::file(
                &context.join(DOCKERFILES[0]),
                "there is no such file; name the Dockerfile with -f",
            )
        })?;
        let tool = match build.options_of_tools().next() {
            Some((_, tool)) if tool == BAKE || has_one(folder, &COMPOSE_FILES) => tool,
            _ => usual,
        };
        self.of_tool(tool)
    }

    /// The builds of a text: a Dockerfile's, or what a tool wrote.
    fn of_text(&self, file: &str, text: &[u8]) -> Result<Vec<Draft>, Fault> {
        let names_front_end = FrontEnd::of(text, &BTreeMap::new()).image().is_some();
        let json = if names_front_end {
            None
        } else {
            Json::read(text, self.around)?
        };
        match json {
            Some(Json::Answer(description)) => self.of_answer(file, &description),
            Some(Json::File(_)) => Err(Fault::file(
                Path::new(file),
                "it is neither a Dockerfile nor the output of `docker compose config --format json` \
                 or `docker buildx bake --print`",
            )),
            None if !self.build.only.is_empty() => Err(Fault::option(
                "--only is for compose and bake files; a Dockerfile is one build",
            )),
            None => {
                self.refuse_options_but_of(None)?;
                // `docker build` takes its platform from the environment too (buildx
                // `commands/build.go`, `platformsDefault`; docker/cli `command/image/build.go`).
                let usual = Options {
                    platforms: Vec::from_iter(self.around.variable(DEFAULT_PLATFORM).cloned()),
                    ..Options::default()
                };
                let options = self.typed.over(&usual, self.around)?;
                Draft::each(None, file, text, options)
            }
        }
    }

    /// The builds of what a tool wrote.
    fn of_answer(&self, file: &str, description: &Description) -> Result<Vec<Draft>, Fault> {
        self.refuse_options_but_of(None)?;
        let only = &self.build.only;
        if let Some(name) = only.iter().find(|name| !description.has(name)) {
            return Err(Fault::option(format!(
                "--only {name:?}: there is no such name"
            )));
        }
        self.described(description, file)
            .drafts(description.wanted(only))
    }

    /// The builds that a tool says are there, asked in a folder.
    fn of_tool(&self, tool: Tool) -> Result<Vec<Draft>, Fault> {
        self.refuse_options_but_of(Some(tool))?;
        let (description, wanted) = Question { tool, asked: self }.ask()?;
        let file = self.build.files.first();
        let shown = file.map_or(tool.kind.to_owned(), |file| file.display().to_string());
        self.described(&description, &shown).drafts(wanted)
    }

    /// Refuses options that would be given to a tool that is not asked.
    fn refuse_options_but_of(&self, asked: Option<Tool>) -> Result<(), Fault> {
        let mut options = self.build.options_of_tools();
        match options.find(|(_, tool)| Some(*tool) != asked) {
            None => Ok(()),
            Some((option, tool)) => Err(Fault::option(format!(
                "{option} is an option of `{}`, which is not asked about these files; leave it \
                 out, or give it where that runs",
                tool.command
            ))),
        }
    }

    fn described<'a>(&'a self, description: &'a Description, shown: &'a str) -> Project<'a> {
        Project {
            asked: self,
            description,
            shown,
        }
    }
}
