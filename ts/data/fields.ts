/**
 * Schemas of fields that several files of records have.
 *
 * @module
 */
import * as z from "zod";
import type { Message } from "../engine/engine.ts";

/** A text. A lone surrogate has no UTF-8 form: it would be replaced on the way to a tokenizer. */
export const textField: z.ZodType<string> = z.string().refine(
  (value) => value.isWellFormed(),
  "expected well-formed Unicode",
);

/** Messages, the last one the user's. */
export const conversationField: z.ZodType<Message[]> = z
  .array(z.object({ role: z.enum(["system", "user", "assistant"]), content: textField }))
  .refine(
    (messages) => messages.at(-1)?.role === "user",
    "expected a conversation that ends with a user message",
  );

/** A record's id; a number becomes text. */
export const idField: z.ZodType<string> = z.union([
  z.string().min(1).refine((value) => value.isWellFormed(), "expected well-formed Unicode"),
  z.int().transform(String),
]);
