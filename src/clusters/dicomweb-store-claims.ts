import { untilAborted } from './fan-out.ts'

/** Who claims; `wanted` is set when somebody waits for something it has. */
export interface Claimant {
  wanted: boolean
}

interface Claim {
  readonly by: Claimant
  readonly given: Promise<void>
  readonly give: () => void
}

/**
 * Who is storing which SOP Instance UID in one cluster. Of two contents of one UID on their way at the same time each
 * would look new; so a UID is claimed before the archive is asked for it, until the archive has acknowledged it.
 *
 * Whoever waits for a claim must have none, nor anything else that others wait for.
 */
export class Claims {
  readonly #claims = new Map<string, Claim>()

  /** Whether it is the claimant's from now on, or was before. */
  take(uid: string, by: Claimant): boolean {
    const claim = this.#claims.get(uid)
    if (claim) return claim.by === by
    const { promise: given, resolve: give } = Promise.withResolvers<void>()
    this.#claims.set(uid, { by, given, give })
    return true
  }

  /** Resolves when it has been given up; another may have taken it by then. Throws the signal's reason. */
  async given(uid: string, signal: AbortSignal): Promise<void> {
    const claim = this.#claims.get(uid)
    if (!claim) return
    claim.by.wanted = true
    await untilAborted(claim.given, signal)
  }

  give(uid: string): void {
    this.#claims.get(uid)?.give()
    this.#claims.delete(uid)
  }
}
