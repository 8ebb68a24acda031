/**
 * Why a server gave no answer.
 *
 * @module
 */

/**
 * What to do about it: `retry`: it may pass; `limited`: it may pass, and calls are too many at once; `refused`: this
 * call will not be answered, others may be; `stop`: no call will be.
 */
export type EndpointErrorKind = "retry" | "limited" | "refused" | "stop";

/** No further call has a chance. */
export class EndpointLostError extends Error {
  override readonly name = "EndpointLostError";
}

/** A call without an answer. The message never holds the API key. */
export class EndpointError extends Error {
  /** For messages. */
  override readonly name = "EndpointError";
  /** What to do about it. */
  readonly kind: EndpointErrorKind;
  /** Milliseconds for which the server wants no calls; null where it does not say. */
  readonly retryAfter: number | null;
  /** Whether tokens may have been written and charged for. */
  readonly charged: boolean;

  /** Made where servers are called; callers only read it. */
  constructor(
    kind: EndpointErrorKind,
    message: string,
    { retryAfter = null, charged, ...options }: ErrorOptions & {
      readonly retryAfter?: number | null;
      readonly charged: boolean;
    },
  ) {
    super(message, options);
    this.kind = kind;
    this.retryAfter = retryAfter;
    this.charged = charged;
  }
}
