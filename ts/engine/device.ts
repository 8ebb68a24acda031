/**
 * Where a native engine computes, and how.
 *
 * @module
 */

/**
 * `cpu`; `cuda:N`, an NVIDIA device by its number, and an error where there is none; or `auto`, the first such device
 * or else the CPU, which then says why ({@link ModelInfo.backend}).
 */
export type Device = "auto" | "cpu" | `cuda:${number}`;

/**
 * How a CUDA device multiplies. `exact`: with sums in one order whatever the batch, so that the sampler's
 * log-probabilities are the trainer's bit for bit; `fast`: by the vendor's library, which chooses by shape, so that the
 * trainer computes old log-probabilities itself. The CPU is always exact.
 */
export type Arithmetic = "exact" | "fast";

/** Every {@link Arithmetic}. */
export const ARITHMETICS: readonly Arithmetic[] = ["exact", "fast"];

/** What a {@link Device} is written as, for messages. */
export const DEVICES = '"auto", "cpu" or "cuda:N"';

/** Whether a text names a {@link Device}. */
export function isDevice(text: string): text is Device {
  return /^(auto|cpu|cuda:\d{1,3})$/.test(text);
}
