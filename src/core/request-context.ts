import { AsyncLocalStorage } from 'node:async_hooks'

/** What clusters are told of the request they are asked for. */
export interface RequestContext {
  /** Goes to the clusters as `X-Request-Id`. */
  readonly id: string
  /** Ids of the sites it came through, the first one first; empty for what comes from a client itself. */
  readonly hops: readonly string[]
}

const storage = new AsyncLocalStorage<RequestContext>()

/** Runs `work` on behalf of one request: whatever it asks of a cluster carries the id and the hops of that. */
export const withRequest = <T>(request: RequestContext, work: () => T): T => storage.run(request, work)

/** The request being served, or `undefined` outside of any (probes, background jobs). */
export const currentRequest = (): RequestContext | undefined => storage.getStore()
