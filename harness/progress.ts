/**
 * A run's progress as a line of text.
 *
 * @module
 */
import type { Progress } from "./answers.ts";

/** Where {@link progressPrinter} writes, such as `process.stderr`. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** `90` → `1m30s`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (hours > 0) return `${hours}h${String(minutes).padStart(2, "0")}m`;
  return minutes > 0 ? `${minutes}m${String(rest).padStart(2, "0")}s` : `${rest}s`;
}

/** One line: how much is done, how fast, and the time left at that rate. */
export function progressLine({ done, total, reused, failed, tokens, seconds }: Progress): string {
  const fresh = done - reused;
  const rate = seconds > 0 ? fresh / seconds : 0;
  const parts = [`${done}/${total} judged`];
  if (reused > 0) parts.push(`${reused} from the journal`);
  if (failed > 0) parts.push(`${failed} failed`);
  if (fresh > 0) parts.push(`${rate.toPrecision(3)}/s`);
  if (fresh > 0 && tokens > 0) parts.push(`${Math.round(tokens / seconds)} tokens/s`);
  if (fresh > 0 && done < total) parts.push(`${formatSeconds((total - done - failed) / rate)} left`);
  return parts.join(", ");
}

/** Writes progress: on a terminal one line that is redrawn, elsewhere a line now and then. */
export function progressPrinter(stream: ProgressStream): (progress: Progress) => void {
  const terminal = stream.isTTY === true;
  const pause = terminal ? 0.2 : 15;
  let last = -Infinity;
  return (progress) => {
    const ended = progress.done + progress.failed === progress.total;
    if (!ended && progress.seconds - last < pause) return;
    last = progress.seconds;
    const line = progressLine(progress);
    stream.write(terminal ? `\r\x1b[K${line}${ended ? "\n" : ""}` : `${line}\n`);
  };
}
