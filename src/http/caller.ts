import type { Context } from 'hono'
import { type Config, idPattern } from '../config/schema.ts'
import type { Caller } from '../core/audience.ts'
import { badRequest, LinkError } from '../core/errors.ts'
import type { Requester } from '../retrieve/service.ts'
import type { Env, Exchange } from './context.ts'
import type { Principal } from './principal.ts'

const scopeHeader = 'DICOMweb-Link-Scope'
const hopsHeader = 'DICOMweb-Link-Hops'
/** More than any chain of sites is long; what is relayed grows by one with each. */
const maxHops = 16

/**
 * For whom a query or retrieval asks, and which sites it came through: what a peer proxy says of it in
 * `DICOMweb-Link-Scope` and `DICOMweb-Link-Hops`, and the role of whoever sent it.
 *
 * Throws `bad-request` when it says so wrongly, `loop` when it has been at this site before, and `forbidden` when
 * asking for home alone would show an external caller what its role does not.
 */
export function readCaller(
  headers: Pick<Headers, 'get'>,
  { name, role }: Principal,
  config: Pick<Config, 'site' | 'clusters'>,
): Required<Pick<Exchange, 'caller' | 'hops'>> {
  const hops = hopsIn(headers.get(hopsHeader))
  if (hops.includes(config.site)) {
    throw new LinkError(
      'loop',
      `${hopsHeader}: the request has come through site "${config.site}" before; two sites have the same id, ` +
        'or a proxy on the way asks others for more than their own content',
    )
  }
  const isRelayed = asksForHome(headers.get(scopeHeader))
  if (isRelayed) requireOpenHome({ role }, config)
  return { caller: { name, audience: isRelayed ? 'home' : role }, hops }
}

function hopsIn(header: string | null): readonly string[] {
  if (header === null) return []
  const hops = header.split(',', maxHops + 1).map((hop) => hop.trim())
  if (hops.length > maxHops) throw badRequest(`${hopsHeader}: more than ${maxHops} sites`)
  if (!hops.every((hop) => idPattern.test(hop))) {
    throw badRequest(`${hopsHeader}: expected ids of sites, separated by commas, such as "north, south"`)
  }
  return hops
}

function asksForHome(header: string | null): boolean {
  if (header === null || header === 'home') return header !== null
  throw badRequest(`${scopeHeader}: expected "home"`)
}

/** Who asks for what home has, as a peer does, gets to see no more by that than without. Throws `forbidden`. */
export function requireOpenHome({ role }: Pick<Principal, 'role'>, { clusters }: Pick<Config, 'clusters'>): void {
  const home = clusters.find((it) => it.role === 'home')
  if (role === 'internal' || home?.queries.external !== false) return
  throw new LinkError('forbidden', 'the home cluster of this site does not answer external queries')
}

/** For whom the request of a route asks that asks about studies. */
export function callerOf(c: Context<Env>): Caller {
  const { caller, route } = c.env.exchange
  if (!caller) throw new Error(`${route}: only routes that ask about studies have a caller`)
  return caller
}

/** The same in the words of the retrieve service. */
export const requesterOf = (c: Context<Env>): Requester => ({
  audience: callerOf(c).audience,
  signal: c.env.exchange.signal,
})
