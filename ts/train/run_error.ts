/**
 * The errors of a training run.
 *
 * @module
 */

/** A run cannot start, go on, be saved, or be read. What it had saved before stays as it was. */
export class RunError extends Error {
  override readonly name = "RunError";
}

/** A run was told to stop. What it had done is saved. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
  readonly runDirectory: string;
  /** Command that goes on with the run. */
  readonly resumeCommand: string;

  constructor(message: string, runDirectory: string, resumeCommand: string, options?: ErrorOptions) {
    super(`${message}; go on with: ${resumeCommand}`, options);
    this.runDirectory = runDirectory;
    this.resumeCommand = resumeCommand;
  }
}
