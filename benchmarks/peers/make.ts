/**
 * Makes the peers' Python environments unless they are there.
 *
 * @module
 */
import process from "node:process";
import { makePeers, makeRewardBench, peersFolder } from "./environment.ts";

await makePeers();
await makeRewardBench();
process.stderr.write(`The peers' environments are in "${peersFolder()}"\n`);
