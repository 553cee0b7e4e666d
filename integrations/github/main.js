// Installs larder where it is missing, and starts the engine.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { Failure, input, isSet, larder, run, tell, warn } = require("./runner.js");

// The options of `larder up` that take one value, several, and none.
const VALUES = [
  "store", "near", "near-size", "state", "config", "project", "job", "scope", "fallback", "sign-key", "trust",
  "max-snapshot-age", "encrypt-key", "engine", "podman-user", "image-store", "size", "keep", "prefetch", "prefetch-budget",
  "background-upload", "fresh",
];
const LISTS = ["plan", "insecure-registry", "registry-mirror"];
const FLAGS = ["single", "builder", "keep-volumes", "strict"];
// Those by which `larder down` finds the session.
const OF_DOWN = ["store", "state", "config", "project", "job", "scope", "fallback"];
// The exit code that says that the machine lacks something.
const MACHINE_LACKS = 3;

function options(names) {
  return names.filter(input).map((name) => `--${name}=${input(name)}`);
}

function install() {
  if (run("larder", ["version"], { quiet: true }) === 0) {
    return;
  }
  const folder = path.join(process.env.RUNNER_TEMP, "larder");
  const script = path.join(__dirname, "..", "..", "install.sh");
  const from = input("url") ? { LARDER_URL: input("url") } : {};
  if (run("sh", [script, "--to", folder], { environment: from }) !== 0) {
    throw new Failure("larder cannot be installed");
  }
  fs.appendFileSync(process.env.GITHUB_PATH, `${folder}\n`);
  process.env.PATH = `${folder}:${process.env.PATH}`;
}

function up() {
  // Of the runner's variables none tells the legs of a matrix apart.
  process.env.LARDER_LEG = input("leg");
  const report = path.join(process.env.RUNNER_TEMP, "larder-up.json");
  const lists = LISTS.flatMap((name) =>
    input(name).split("\n").map((line) => line.trim()).filter(Boolean).map((line) => `--${name}=${line}`));
  const flags = FLAGS.filter(isSet).map((name) => `--${name}`);
  const code = larder([
    "up", "--no-context", `--env-file=${process.env.GITHUB_ENV}`, `--json=${report}`,
    ...options(VALUES), ...lists, ...flags,
  ]);
  if (code === MACHINE_LACKS && isSet("optional")) {
    warn("the job goes on with the machine's own engine");
    return;
  }
  if (code !== 0) {
    throw new Failure(`larder up ended with ${code}`);
  }
  const job = JSON.parse(fs.readFileSync(report, "utf8"));
  tell("GITHUB_OUTPUT", "restored", job.restored ? job.restored.snapshot : "");
  const down = isSet("save") ? options(OF_DOWN) : [...options(OF_DOWN), "--discard"];
  tell("GITHUB_STATE", "down", JSON.stringify(isSet("strict") ? [...down, "--strict"] : down));
  tell("GITHUB_STATE", "path", process.env.PATH);
  tell("GITHUB_STATE", "leg", JSON.stringify(input("leg")));
}

Failure.ends(() => {
  install();
  up();
});
