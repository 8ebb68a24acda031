/**
 * `config schema` and `config check`: what a training configuration may hold.
 *
 * @module
 */
import { configJsonSchema, readConfig } from "../train/mod.ts";
import { anyText, type Command, defineCommand, type JsonObject, positional } from "./parser.ts";

/** Prints the JSON Schema. */
export const configSchema: Command = defineCommand({
  name: "config schema",
  brief: "Print the JSON Schema of a training configuration",
  options: {},
  run(_, { out }) {
    const schema = configJsonSchema() as JsonObject;
    out(`${JSON.stringify(schema, null, 2)}\n`);
    return Promise.resolve(schema);
  },
});

/** Checks a file. */
export const configCheck: Command = defineCommand({
  name: "config check",
  brief: "Check a training configuration and print it with its defaults filled in",
  options: { file: positional(anyText("FILE"), "The configuration") },
  async run({ file }, { out }) {
    const config = await readConfig(file);
    out(`${JSON.stringify(config, null, 2)}\n`);
    return { file, config: config as unknown as JsonObject };
  },
});
