/**
 * A distilling process for tests to kill: `distill_child.ts JSON`, of a `SmallDistillation`. It begins, or goes on.
 *
 * @module
 */
import process from "node:process";
import { runSmall } from "./small_distillation.ts";

await runSmall(JSON.parse(process.argv[2]!));
