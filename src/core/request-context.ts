import { AsyncLocalStorage } from 'node:async_hooks'

const storage = new AsyncLocalStorage<string>()

/** Runs `work` on behalf of one request: whatever it asks of a cluster carries the same `X-Request-Id`. */
export const withRequestId = <T>(id: string, work: () => T): T => storage.run(id, work)

/** The id of the request being served, or `undefined` outside of any (probes, background jobs). */
export const currentRequestId = (): string | undefined => storage.getStore()
