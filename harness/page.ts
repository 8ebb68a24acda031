/**
 * Pages that are whole in themselves.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { type Html, markup, raw } from "rm-r1/report/parts";

/** What a page is made of. */
export interface PageParts {
  readonly title: string;
  /** CSS. */
  readonly style: string;
  /** JavaScript that runs behind the body; it must not hold `</script`. */
  readonly script: string;
  readonly body: Html;
  /** What the page may do beside running its script. Default nothing. */
  readonly allow?: {
    /** Further sources of scripts. */
    readonly scripts: string;
    /** Further directives, each with its semicolon. */
    readonly more: string;
  };
}

/**
 * A page with one script. The policy in its head lets a browser run that script alone, by its hash, and load nothing:
 * should an escape be missing somewhere, what it lets through still cannot run.
 */
export async function pageWithScript({ title, style, script, body, allow }: PageParts): Promise<string> {
  if (/<\/script/i.test(script)) throw new RangeError('The script holds "</script", expected none');
  const hash = createHash("sha256").update(script).digest("base64");
  const policy =
    `default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${hash}' ${allow?.scripts ?? ""}; ${
      allow?.more ?? ""
    } ` +
    "base-uri 'none'; form-action 'none'";
  const page = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${raw(style)}</style>
</head>
<body>
${body}
<script>${raw(script)}</script>
</body>
</html>
`;
  return String(await page);
}
