import type { IncomingMessage, ServerResponse } from 'node:http'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type FakeArchive, type Seen, startFakeArchive } from '../support/fake-archive.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { multipartDicom, partsIn, type Site, startArchive, startSite } from './site.ts'

/** Three sites, each with an archive of its own, each linked with both others: rings of two and of three. */
const names = ['east', 'north', 'west'] as const
type Name = (typeof names)[number]

const study = madeUid()
const made: Record<Name, MadeInstance> = {
  east: madeInstance({ study, instanceNumber: 1 }),
  north: madeInstance({ study, instanceNumber: 2 }),
  west: madeInstance({ study, instanceNumber: 3 }),
}

let open: AsyncDisposableStack
let sites: Map<Name, Site>
/** What the sites say to each other, by the one that is asked; an archive's `seen` is all that came to it. */
let lines: Map<Name, FakeArchive>
let archives: Map<Name, FakeArchive>

beforeEach(async () => {
  open = new AsyncDisposableStack()
  const arrived = new Map(names.map((name) => [name, Promise.withResolvers<string>()]))
  archives = new Map(
    await Promise.all(names.map(async (name) => [name, open.use(await startArchive(made[name]))] as const)),
  )
  lines = new Map(await Promise.all(names.map(async (name) => [name, open.use(await startFakeArchive())] as const)))
  for (const [name, line] of lines) line.on(/./, relayTo(arrived.get(name)?.promise ?? Promise.reject()))
  sites = new Map(await Promise.all(names.map(async (name) => [name, open.use(await startMember(name))] as const)))
  for (const [name, site] of sites) arrived.get(name)?.resolve(site.address)
})
afterEach(() => open.disposeAsync())

function startMember(name: Name): Promise<Site> {
  const others = names.filter((it) => it !== name)
  const clusters = { own: archives.get(name), ...Object.fromEntries(others.map((it) => [it, lines.get(it)])) }
  return startSite(clusters as Record<string, FakeArchive>, { site: name, peers: others })
}

/** The addresses of the members are known when all of them run, which they need for that. */
const relayTo = (address: Promise<string>) => async (request: IncomingMessage, response: ServerResponse) => {
  const headers = Object.entries(request.headers).filter(([key]) => !['host', 'connection'].includes(key))
  const answer = await fetch(`${await address}${request.url}`, { headers: headers as [string, string][] })
  const body = Buffer.from(await answer.arrayBuffer())
  response.writeHead(answer.status, { 'Content-Type': answer.headers.get('content-type') ?? '' }).end(body)
}

/** Requests that are about a study, not probes. */
const about = (uid: string, archive: FakeArchive | undefined): readonly Seen[] =>
  (archive?.seen ?? []).filter(({ url }) => url.includes(uid))
const countOf = (uid: string) => names.map((name) => about(uid, lines.get(name)).length)
const ask = (name: Name, path: string) => fetch(`${sites.get(name)?.dicomweb}${path}`)

describe('in a ring of sites', () => {
  it.each([
    ['a search for', (uid: string) => `/studies?StudyInstanceUID=${uid}`],
    ['a search below', (uid: string) => `/studies/${uid}/series`],
  ])('%s a study nobody has ends with nothing, after few questions', async (_, path) => {
    const unknown = madeUid()
    const response = await ask('north', path(unknown))
    expect([response.status, await response.json()]).toEqual([200, []])
    expect(response.headers.get('warning')).toBeNull()
    const [east = 0, north, west = 0] = countOf(unknown)
    expect(north).toBe(0)
    expect(Math.max(east, west)).toBeLessThanOrEqual(2)
    expect(Math.min(east, west)).toBeGreaterThanOrEqual(1)
  })

  it.each([
    '',
    '/metadata',
    '/rendered',
    `/series/${madeUid()}/instances/${madeUid()}`,
    `/series/${madeUid()}/instances/${madeUid()}/frames/1`,
  ])('the retrieval of a study nobody has, %s, ends with not found, after few questions', async (path) => {
    const unknown = madeUid()
    expect((await ask('north', `/studies/${unknown}${path}`)).status).toBe(404)
    const [east = 0, north, west = 0] = countOf(unknown)
    expect(north).toBe(0)
    expect(Math.max(east, west)).toBeLessThanOrEqual(2)
    expect(Math.min(east, west)).toBeGreaterThanOrEqual(1)
  })

  it('a study that each has a part of is one row, and is retrieved whole from any of them', async () => {
    for (const name of names) {
      const rows = (await (await ask(name, `/studies?StudyInstanceUID=${study}`)).json()) as object[]
      expect(rows).toHaveLength(1)
      const headers = { Accept: `${multipartDicom.replace('; boundary=b', '')}; transfer-syntax=*` }
      const whole = await fetch(`${sites.get(name)?.dicomweb}/studies/${study}`, { headers })
      expect(whole.status).toBe(200)
      const parts = partsIn(whole.headers.get('content-type') ?? '', Buffer.from(await whole.arrayBuffer()))
      const sizes = names.map((it) => made[it].bytes.length).toSorted()
      expect(parts.map(({ length }) => length).toSorted()).toEqual(sizes)
    }
  })

  it('every site that is asked by another is told so, and archives are told nothing', async () => {
    await (await ask('north', `/studies/${study}/metadata`)).arrayBuffer()
    for (const name of ['east', 'west'] as const) {
      const told = about(study, lines.get(name)).map(({ headers }) => headers)
      expect(told.length).toBeGreaterThan(0)
      for (const headers of told) {
        expect(headers).toMatchObject({ 'dicomweb-link-scope': 'home', 'dicomweb-link-hops': 'north' })
      }
    }
    for (const archive of archives.values()) {
      const headers = archive.seen.flatMap(({ headers }) => Object.keys(headers))
      expect(headers.filter((it) => it.startsWith('dicomweb-link'))).toEqual([])
    }
  })
})
