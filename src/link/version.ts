import { badRequest } from '../core/errors.ts'
import { show } from './members.ts'

/** Of a study: how many changes of each site are in it, by site id. A site that is not there has made none. */
export type Version = Readonly<Record<string, number>>

/** Sites in a version at most. */
export const maxSites = 256

/** Changes of one site: far more than it makes, and far below where adding one stops being exact. */
export const maxChanges = 2 ** 48

const counterOf = (version: Version, site: string): number => (Object.hasOwn(version, site) ? (version[site] ?? 0) : 0)

/** Whether every change in `version` is in `other` too; so when the two are equal. */
export const isDominated = (version: Version, other: Version): boolean =>
  Object.keys(version).every((site) => counterOf(version, site) <= counterOf(other, site))

/** All changes that are in either, its sites in their order. */
export function joinVersions(a: Version, b: Version): Version {
  const sites = [...new Set([...Object.keys(a), ...Object.keys(b)])].sort()
  return Object.fromEntries(sites.map((site) => [site, Math.max(counterOf(a, site), counterOf(b, site))]))
}

/** `concurrent`: each has changes that the other has not. */
export function compareVersions(a: Version, b: Version): 'same' | 'older' | 'newer' | 'concurrent' {
  const [older, newer] = [isDominated(a, b), isDominated(b, a)]
  if (older && newer) return 'same'
  return older ? 'older' : newer ? 'newer' : 'concurrent'
}

/** As ids of sites and clusters are in the configuration. */
const sitePattern = /^[a-z0-9][a-z0-9-]{0,31}$/

/** The id of a site in what others wrote; throws `bad-request` that names the member. */
export function siteOf(name: string, value: unknown): string {
  if (typeof value === 'string' && sitePattern.test(value)) return value
  throw badRequest(
    `${name}: ${show(value)} is no id of a site; expected lower-case letters, digits and dashes, at most 32`,
  )
}
