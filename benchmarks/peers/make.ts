/**
 * Makes the peers' Python environment unless it is there.
 *
 * @module
 */
import process from "node:process";
import { makePeers, peersFolder } from "./environment.ts";

await makePeers();
process.stderr.write(`The peers' environment is at "${peersFolder()}"\n`);
