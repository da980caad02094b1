import type { FailureReason } from './outcome.ts'

/** What answers to retrievals are kept of. */
export type CachedResource = 'frames' | 'metadata' | 'bulkdata' | 'rendered'

/**
 * How a retrieval was met: by what is kept, by a fetch of its own, by that of somebody else which was under way, or by
 * one of its own that is not kept because the answer is known to be too large.
 */
export type CacheResult = 'hit' | 'miss' | 'coalesced' | 'too-large'

/** What the features tell of themselves to whoever operates the proxy; `http/metrics.ts` turns it into Prometheus. */
export interface Telemetry {
  /** One call to a cluster ended: with success, with a reason, or because the caller left. */
  clusterCall(call: {
    readonly cluster: string
    readonly operation: 'search' | 'metadata' | 'retrieve' | 'store' | 'probe'
    readonly result: 'ok' | 'cancelled' | FailureReason
    readonly durationMs: number
  }): void
  /** Bytes moved between the proxy and a cluster. */
  clusterBytes(cluster: string, direction: 'received' | 'sent', bytes: number): void
  /** One converge run ended. */
  convergeRun(cluster: string, result: 'ok' | 'failed', instancesSent: number): void
  /** Something was retrieved that answers are kept of. */
  cacheAsked(resource: CachedResource, result: CacheResult): void
  /** Bytes of all answers that are kept now. */
  cacheHeld(bytes: number): void
}

/** For tests and commands that nobody scrapes. */
export const noTelemetry: Telemetry = {
  clusterCall: () => undefined,
  clusterBytes: () => undefined,
  convergeRun: () => undefined,
  cacheAsked: () => undefined,
  cacheHeld: () => undefined,
}

/** The logger the features use: an event name and fields, never names or ids of patients. */
export interface Log {
  debug(fields: object, event: string): void
  info(fields: object, event: string): void
  warn(fields: object, event: string): void
  error(fields: object, event: string): void
}

export const noLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}
