/**
 * A benchmark run for tests to kill: `endpoint_child.ts URL DATA DIRECTORY`. It begins, or goes on.
 *
 * @module
 */
import process from "node:process";
import { PREFERENCES } from "../preferences/benchmark.ts";
import { runBenchmark } from "../run.ts";
import { servedJudge } from "./served_judge.ts";

const [url, data, directory] = process.argv.slice(2);
await runBenchmark(PREFERENCES, { data: data!, judge: servedJudge(url!), directory: directory! });
