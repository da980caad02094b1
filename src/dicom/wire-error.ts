import { LinkError } from '../core/errors.ts'

/**
 * What is wrong with bytes that came over the wire: they end too early, are not what they should be, or pass a
 * limit. Whoever reads them for a cluster turns it into a `ClusterError` of the same reason.
 */
export type WireFault = 'truncated' | 'malformed' | 'too-large'

/** A body is not readable; its `code` is what to answer when a client sent it. */
export class WireError extends LinkError {
  override readonly name = 'WireError'
  readonly kind: WireFault

  constructor(kind: WireFault, message: string, options: { cause?: unknown } = {}) {
    super(kind === 'too-large' ? 'too-large' : 'bad-request', message, options)
    this.kind = kind
  }
}
