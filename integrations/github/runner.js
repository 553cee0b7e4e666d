// How an action talks with the runner: "Workflow commands for GitHub Actions", "Metadata syntax".
"use strict";

const { spawnSync } = require("node:child_process");
const fs = require("node:fs");

// What ends the step, with a line for people.
class Failure extends Error {
  static ends(work) {
    try {
      work();
    } catch (error) {
      console.log(`::error::${error.message}`);
      process.exitCode = 1;
    }
  }
}

function input(name) {
  return (process.env[`INPUT_${name.toUpperCase()}`] || "").trim();
}

function isSet(name) {
  const value = input(name);
  if (!["", "true", "false"].includes(value)) {
    throw new Failure(`${name}: ${JSON.stringify(value)} is neither true nor false`);
  }
  return value === "true";
}

// Writes to one of the runner's files. Values here have no line breaks.
function tell(file, name, value) {
  fs.appendFileSync(process.env[file], `${name}=${value}\n`);
}

function warn(text) {
  console.log(`::warning::${text}`);
}

// Runs a program to its end: its exit code.
function run(program, words, { quiet = false, environment = {} } = {}) {
  const done = spawnSync(program, words, {
    stdio: ["ignore", quiet ? "ignore" : 1, quiet ? "ignore" : 2],
    env: { ...process.env, ...environment },
  });
  if (done.error && !quiet) {
    console.log(`${program}: ${done.error.message}`);
  }
  return done.status === null ? 127 : done.status;
}

// Mounting needs root, and credentials are in the environment.
function larder(words) {
  if (process.getuid() === 0) {
    return run("larder", words);
  }
  return run("sudo", ["-E", "env", `PATH=${process.env.PATH}`, "larder", ...words]);
}

module.exports = { Failure, input, isSet, larder, run, tell, warn };
