// GitHub's own client against the stand-in: what it saves it restores, by key and by the beginning of one.
import assert from "node:assert";
import { createRequire } from "node:module";
import fs from "node:fs";
import path from "node:path";

const require = createRequire(path.join(process.cwd(), "x.js"));
const cache = require("@actions/cache");

const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 7919) % 251));
fs.mkdirSync("kept", { recursive: true });
for (const [key, size] of [["app-1", 1000], ["app-2", 300_000]]) {
  fs.writeFileSync("kept/file", bytes.subarray(0, size));
  const id = await cache.saveCache(["kept"], key);
  assert(id >= 0, `saved ${key} as ${id}`);
}
assert.equal(await cache.saveCache(["kept"], "app-2"), -1, "an entry is written once");
for (const [key, beginnings, found, size] of [
  ["app-1", [], "app-1", 1000],
  ["app-3", ["app-"], "app-2", 300_000],
  ["other", [], undefined, undefined],
]) {
  fs.rmSync("kept", { recursive: true, force: true });
  assert.equal(await cache.restoreCache(["kept"], key, beginnings), found);
  if (size) {
    assert(fs.readFileSync("kept/file").equals(bytes.subarray(0, size)), key);
  }
}
console.log("saved and restored through the stand-in");
