//! What the tests share: a project in a folder, running the program in it, a registry.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::distribution::Distribution;

/// A folder with files, and a home, cache and store that nobody else uses.
pub(crate) struct Project {
    folder: TempDir,
}

/// What the program said.
pub(crate) struct Said {
    pub code: i32,
    pub out: String,
    pub error: String,
}

impl Project {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let project = Self { folder };
        for name in ["app", "home"] {
            fs::create_dir(project.folder.path().join(name)).expect("a folder");
        }
        for (name, text) in files {
            project.write(name, text);
        }
        project
    }

    /// The build's folder.
    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("app")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// The program in the build's folder, with an environment of its own.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
        let home = self.folder.path().join("home");
        command
            .current_dir(self.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &home)
            .env("LARDER_STORE", home.join("store"));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let output = self.command().args(arguments).output();
        Said::of(&output.expect("larder starts"))
    }

    /// Runs with a text on standard input.
    pub(crate) fn feed(&self, arguments: &[&str], text: &str) -> Said {
        let mut command = self.command();
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("larder starts");
        let mut input = child.stdin.take().expect("it is piped");
        input.write_all(text.as_bytes()).expect("read");
        drop(input);
        Said::of(&child.wait_with_output().expect("it ends"))
    }

    /// The key of the build, offline.
    pub(crate) fn key(&self, arguments: &[&str]) -> String {
        let mut all = vec!["key", "--offline"];
        all.extend_from_slice(arguments);
        self.run(&all).done()
    }

    /// The plan of the build as JSON.
    pub(crate) fn plan(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["plan", "--json"];
        all.extend_from_slice(arguments);
        serde_json::from_str(&self.run(&all).done()).expect("JSON")
    }
}

impl Said {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().expect("it ended by itself"),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            error: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Its standard output, if all went well.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.error);
        self.out
    }
}

/// A registry, with a way to fill it.
pub(crate) struct Registry {
    pub host: String,
    process: Distribution,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let process = Distribution::start(|_, _| {});
        Self {
            host: process.host.clone(),
            process,
        }
    }

    /// The requests for images since `since`, the number of those seen before: method and path.
    pub(crate) fn requests(&self, since: usize) -> Vec<String> {
        let log = fs::read_to_string(self.process.folder().join("log")).expect("a log");
        let requests = log.lines().filter_map(|line| {
            let (_, request) = line.split_once('"')?;
            let (request, _) = request.split_once(" HTTP/")?;
            (request.contains("/manifests/") || request.contains("/blobs/sha256"))
                .then(|| request.to_owned())
        });
        requests.skip(since).collect()
    }

    /// Pushes `app` without layers whose environment and time of making are these.
    pub(crate) fn push(&self, tag: &str, env: &str, created: &str) {
        self.push_image("app", tag, &json!({ "Env": [env] }), created);
    }

    /// Pushes an image without layers with this configuration and time of making.
    pub(crate) fn push_image(&self, repository: &str, tag: &str, config: &Value, created: &str) {
        let config = json!({
            "architecture": "amd64", "os": "linux", "created": created,
            "config": config, "rootfs": { "type": "layers", "diff_ids": [] },
        })
        .to_string();
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, config.as_bytes());
        let hash = hash.as_ref().iter().map(|byte| format!("{byte:02x}"));
        let digest = format!("sha256:{}", hash.collect::<String>());
        let uploads = format!("/v2/{repository}/blobs/uploads/");
        let begun = self.ask("POST", &uploads, "", "");
        let place = header(&begun, "location").expect("a place to upload to");
        let place = place.split_once("/v2/").map(|(_, path)| path.to_owned());
        let place = format!("/v2/{}&digest={digest}", place.expect("a path"));
        let put = self.ask("PUT", &place, "application/octet-stream", &config);
        assert!(put.starts_with("HTTP/1.1 201"), "{put}");
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": kind, "layers": [],
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest, "size": config.len(),
            },
        });
        let path = format!("/v2/{repository}/manifests/{tag}");
        let put = self.ask("PUT", &path, kind, &manifest.to_string());
        assert!(put.starts_with("HTTP/1.1 201"), "{put}");
    }

    fn ask(&self, method: &str, path: &str, kind: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.host).expect("it listens");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.host,
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("sent");
        stream.write_all(body.as_bytes()).expect("sent");
        std::io::read_to_string(stream).expect("answered")
    }
}

fn header(answer: &str, name: &str) -> Option<String> {
    let mut lines = answer.lines().take_while(|line| !line.is_empty());
    lines.find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}
