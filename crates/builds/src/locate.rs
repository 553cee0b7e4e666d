//! Where the builds that were asked for are described: in a Dockerfile, or in compose and bake files.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use larder_local::checkout::Checkout;
use larder_model::dockerfile::{FrontEnd, ImageConfigs};

use crate::description::Description;
use crate::draft::{self, Draft, Drafted};
use crate::extras;
use crate::fault::Fault;
use crate::files::{self, DOCKERFILES, STDIN, is_remote};
use crate::kind::{is_archive, is_dockerfile, tool_of_text};
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
/// What podman and buildah look for, before docker's name: where docker has something to build, that is meant.
const CONTAINERFILE: &str = "Containerfile";
/// The variable by which bake is told its files (buildx `commands/bake.go`).
const BAKE_FILE: &str = "BUILDX_BAKE_FILE";

impl Request {
    /// The builds of the files and folders that were named, or of the current folder if it has a
    /// file that is planned without being named. Nothing is read yet but the folder's list.
    pub fn new(paths: &[PathBuf], around: Surroundings) -> Self {
        let folder = &around.folder;
        let builds = match paths {
            [] if usual_file(folder).is_some() || usual_tool(&around, folder).is_some() => {
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
                    all.faults.extend(found.faults);
                    all.faults
                        .extend(found.drafts.iter().filter_map(Draft::unread));
                    all.drafts.extend(found.drafts);
                    all.used.extend(found.used);
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
        let found = self.found(around)?;
        if let Some(fault) = found.faults.into_iter().next() {
            return Err(fault);
        }
        match found.used.first() {
            Some(used) if found.drafts.is_empty() => Err(project::nothing_built(&used.file)),
            _ => Ok(found.drafts),
        }
    }

    /// The same, as far as they can be planned, and the images that are run as they are.
    fn found(&self, around: &Surroundings) -> Result<Drafted, Fault> {
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
        let discreet = |fault| asked.discreet(fault, &context);
        let mut all = asked.drafts().map_err(discreet)?;
        all.faults = all.faults.into_iter().map(discreet).collect();
        if !self.extras.is_empty() {
            let extras = extras::fingerprints(&context, &self.extras)?;
            for draft in &mut all.drafts {
                draft.extras.clone_from(&extras);
            }
        }
        Ok(all)
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

    fn has_options_of(&self, tool: Tool) -> bool {
        self.options_of_tools().any(|(_, own)| own == tool)
    }

    /// Whether an option is used that only compose or bake files have.
    fn is_described(&self) -> bool {
        !self.only.is_empty() || self.options_of_tools().next().is_some()
    }
}

/// What is not a file or folder of this machine.
fn not_here(elsewhere: &str) -> Fault {
    Fault::option(format!(
        "{elsewhere:?} is not on this machine; fetch it first, and name what was fetched"
    ))
}

fn has_one(folder: &Path, names: &[&str]) -> bool {
    names.iter().any(|name| folder.join(name).is_file())
}

/// The file that a folder is built from without a tool.
fn usual_file(folder: &Path) -> Option<&'static str> {
    let is_docker = has_one(folder, &DOCKERFILES);
    let named = is_docker.then_some(DOCKERFILES[0]);
    named.or_else(|| has_one(folder, &[CONTAINERFILE]).then_some(CONTAINERFILE))
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

    fn drafts(&self) -> Result<Drafted, Fault> {
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
            tools if tools.contains(&Some(BAKE)) || self.build.has_options_of(BAKE) => {
                self.of_tool(BAKE)
            }
            _ => self.of_tool(COMPOSE),
        }
    }

    /// The tool that reads a file; none reads a Dockerfile, and what a tool wrote if that is all there is.
    fn tool_of(&self, file: &Path) -> Result<Option<Tool>, Fault> {
        if file == Path::new(STDIN) {
            return Ok(None);
        }
        let (_, text) = self.read(file)?;
        // `docker build` reads it, whatever it is called.
        if FrontEnd::of(&text, &BTreeMap::new()).image().is_some() {
            return Ok(None);
        }
        let extension = file.extension().and_then(OsStr::to_str);
        let extension = extension.map(str::to_lowercase);
        let build = self.build;
        let is_all = build.files.len() == 1 && build.options_of_tools().next().is_none();
        Ok(match extension.as_deref() {
            Some("hcl") => Some(BAKE),
            Some("yaml" | "yml") if !is_dockerfile(&text) => Some(COMPOSE),
            Some("json") => match Json::read(&text, self.around)? {
                Some(Json::Answer(..)) if is_all => None,
                Some(Json::Answer(tool, _) | Json::File(tool)) => Some(tool),
                None => Some(BAKE),
            },
            _ => tool_of_text(&text),
        })
    }

    /// A file's name as it is spelt there, and its text.
    fn read(&self, named: &Path) -> Result<(String, Vec<u8>), Fault> {
        let folder = &self.around.folder;
        let file = files::dockerfile(folder, named.to_owned());
        let text = files::read(&folder.join(&file), &file);
        let text = text.map_err(|fault| match named.to_str() {
            Some(elsewhere) if is_remote(elsewhere) => not_here(elsewhere),
            _ => fault,
        })?;
        Ok((file.display().to_string(), text))
    }

    fn of_file(&self, named: &Path) -> Result<Drafted, Fault> {
        let (file, text) = self.read(named)?;
        self.of_text(&file, &text)
    }

    /// The builds of a folder: of its Dockerfile, else of its compose and bake files.
    fn of_folder(&self) -> Result<Drafted, Fault> {
        let (build, folder) = (self.build, &self.folder);
        let context = &build.context;
        let text = context.to_string_lossy();
        if is_remote(&text) && !folder.is_dir() {
            return Err(not_here(&text));
        }
        if folder.is_file() {
            return Err(Fault::option(format!(
                "{text:?} is a file, not a build's folder; name it with -f"
            )));
        }
        let tool = usual_tool(self.around, folder);
        let file = usual_file(folder).filter(|file| tool.is_none() || *file != CONTAINERFILE);
        if let Some(file) = file.filter(|_| !build.is_described()) {
            let context = context.strip_prefix(".").unwrap_or(context);
            return self.of_file(&context.join(file));
        }
        let usual = tool.ok_or_else(|| {
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
    fn of_text(&self, file: &str, text: &[u8]) -> Result<Drafted, Fault> {
        let names_front_end = FrontEnd::of(text, &BTreeMap::new()).image().is_some();
        let json = if names_front_end {
            None
        } else {
            Json::read(text, self.around)?
        };
        match json {
            Some(Json::Answer(_, description)) => self.of_answer(file, &description),
            Some(Json::File(_)) => Err(Fault::file(
                Path::new(file),
                "it is neither a Dockerfile nor the output of `docker compose config --format json` \
                 or `docker buildx bake --print`",
            )),
            None if names_front_end => self.of_dockerfile(file, text),
            None if is_archive(text) => Err(Fault::file(
                Path::new(file),
                "it is an archive of a build's folder; unpack it and name the folder",
            )),
            // A named one is read by the tool.
            None if tool_of_text(text).is_some() => Err(Fault::file(
                Path::new(file),
                "it is a compose or bake file: those are read by their tools; write it to a file and name that with -f",
            )),
            None => self.of_dockerfile(file, text),
        }
    }

    fn of_dockerfile(&self, file: &str, text: &[u8]) -> Result<Drafted, Fault> {
        if !self.build.only.is_empty() {
            return Err(Fault::option(
                "--only is for compose and bake files; a Dockerfile is one build",
            ));
        }
        self.refuse_options_but_of(None)?;
        // `docker build` takes its platform from the environment too (buildx
        // `commands/build.go`, `platformsDefault`; docker/cli `command/image/build.go`).
        let usual = Options {
            platforms: Vec::from_iter(self.around.variable(DEFAULT_PLATFORM).cloned()),
            ..Options::default()
        };
        let options = self.typed.over(&usual, self.around)?;
        let drafts = Draft::each(None, file, text, options)?;
        draft::plans(&drafts, &ImageConfigs::new())?;
        Ok(Drafted {
            drafts,
            ..Drafted::default()
        })
    }

    /// The builds of what a tool wrote.
    fn of_answer(&self, file: &str, description: &Description) -> Result<Drafted, Fault> {
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
    fn of_tool(&self, tool: Tool) -> Result<Drafted, Fault> {
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
