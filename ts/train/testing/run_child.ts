/**
 * A training process for tests to kill: `run_child.ts RUN_DIRECTORY`. It begins the run, or goes on with it.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { train } from "../train.ts";
import { opener, smallConfig } from "./small_run.ts";

const runDirectory = process.argv[2]!;
const resume = existsSync(join(runDirectory, "config.json"));
await train(smallConfig(), { runDirectory, resume, openEngine: opener() });
