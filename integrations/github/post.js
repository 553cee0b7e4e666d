// Saves what the job changed, also after it failed or was cancelled, and ends the engine.
"use strict";

const { Failure, larder } = require("./runner.js");

Failure.ends(() => {
  const { STATE_down: down, STATE_path: search, STATE_leg: leg } = process.env;
  // Nothing was started.
  if (!down) {
    return;
  }
  process.env.PATH = search;
  process.env.LARDER_LEG = JSON.parse(leg);
  const code = larder(["down", ...JSON.parse(down)]);
  if (code !== 0) {
    throw new Failure(`larder down ended with ${code}`);
  }
});
