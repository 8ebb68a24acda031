import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "expect";
import { choosePairs, type PairOptions } from "./pairs.ts";
import { withPairs } from "./testing/small_distillation.ts";

const choose = (data: string, more: Partial<PairOptions> = {}) =>
  choosePairs({ data, heldOut: [], seed: 3, ...more });

Deno.test("places alternate, the seed decides the order, and a limit takes its beginning", async () => {
  await withPairs(25, async (_, data) => {
    const all = await choose(data);
    expect(all.pairs.map(({ gold }) => gold)).toEqual(
      all.pairs.map((_, index) => index % 2 === 0 ? "A" : "B"),
    );
    const some = await choose(data, { limit: 9 });
    expect([some.pairs, some.beyondLimit]).toEqual([all.pairs.slice(0, 9), 16]);
    const ids = (chosen: typeof all): string[] => chosen.pairs.map(({ record }) => record.id);
    expect(ids(await choose(data))).toEqual(ids(all));
    expect(ids(await choose(data, { seed: 4 }))).not.toEqual(ids(all));
  });
});

Deno.test("held-out prompts are left out and counted once, and the places still alternate", async () => {
  await withPairs(12, async (folder, data) => {
    const files = [join(folder, "one.jsonl"), join(folder, "two.json")];
    await writeFile(files[0]!, '{"prompt":"is 3 a number? say why"}\n{"prompt":"IS 4 A NUMBER? SAY WHY."}\n');
    await writeFile(files[1]!, '[{"question": "Is 4 a number, say why!"}]');
    const { pairs, heldOut, hits, reports, read } = await choose(data, { heldOut: files });
    expect([read, heldOut, pairs.length]).toEqual([12, 2, 10]);
    expect(hits.map(({ id, file }) => [id, file])).toEqual([["p3", files[0]], ["p4", files[0]], [
      "p4",
      files[1],
    ]]);
    expect(reports.map(({ sameText }) => sameText)).toEqual([2, 1]);
    expect(pairs.some(({ record }) => ["p3", "p4"].includes(record.id))).toBe(false);
    expect(pairs.map(({ gold }) => gold).join("")).toBe("ABABABABAB");
  });
});

Deno.test("a file that is missing, no file, malformed or held out whole is refused by name", async () => {
  await withPairs(2, async (folder, data) => {
    await expect(choose(join(folder, "no.jsonl"))).rejects.toThrow("no.jsonl: File not found");
    await mkdir(join(folder, "dir"));
    await expect(choose(join(folder, "dir"))).rejects.toThrow("found a folder");
    await writeFile(
      join(folder, "bad.jsonl"),
      '{"prompt":"Q","chosen":"a","rejected":"b"}\n{"prompt":"Q"}\n',
    );
    await expect(choose(join(folder, "bad.jsonl"))).rejects.toThrow(
      'bad.jsonl:2: Field "chosen": expected string, found nothing',
    );
    await expect(choose(data, { heldOut: [data] })).rejects.toThrow(
      "Expected pairs to distil, found none: 2 are held out",
    );
  });
});
