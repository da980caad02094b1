import { describe, expect, it } from 'vitest'
import type { Audience } from '../../src/core/audience.ts'
import type { Dataset } from '../../src/dicom/dataset.ts'
import { tag } from '../../src/dicom/tags.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { createRetrieveService, type RetrieveService } from '../../src/retrieve/service.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { madeInstance, madeUid } from '../support/made-instance.ts'
import { collect, MemoryCluster } from '../support/memory-cluster.ts'
import { noRenderer } from '../support/no-renderer.ts'

const study = madeUid() as Uid
const series = madeUid() as Uid
const [atHome, atSouth] = [1, 2].map((instanceNumber) => madeInstance({ study, series, instanceNumber }))
const on = { internal: true, external: true }

const as = (audience: Audience) => ({ audience, signal: new AbortController().signal })
const internal = as('internal')

/** A home cluster and a linked one, which hold an instance of one study each, and what the index knows of it. */
function site(south = { internal: true, external: false }, known: readonly string[] = []) {
  const home = new MemoryCluster('north', { role: 'home' })
  const linked = new MemoryCluster('south', { priority: 9 })
  if (atHome) home.add(atHome)
  if (atSouth) linked.add(atSouth)
  const forgotten: string[] = []
  const retrieve = createRetrieveService({
    clusters: [home, linked],
    queries: new Map([
      ['north', on],
      ['south', south],
    ]),
    status: () => [],
    index: {
      holdersOf: async () => known,
      remember: () => undefined,
      forget: (_, cluster) => void forgotten.push(cluster),
    },
    clock: new FakeClock(),
    bulkdataKey: Buffer.from('key'),
    maxBufferedPartBytes: 1024 * 1024,
    renderer: noRenderer,
    maxRenderedBytes: 1024 * 1024,
  })
  return { home, linked, retrieve, forgotten }
}

const whole = { target: { study }, transferSyntax: '*' }
const there = { target: { study, series, instance: atSouth?.instance as Uid }, transferSyntax: '*' }
const pixels = { ...there, frames: [1], mediaType: 'application/octet-stream' }
const picture = { kind: 'rendered', target: there.target, mediaTypes: ['image/jpeg'], parameters: {} } as const
const thumbnail = { ...picture, kind: 'thumbnail' } as const

const uidsFor = async (retrieve: RetrieveService, audience: Audience) => [
  ...(await collect((await retrieve.instances(whole, as(audience))).body)).keys(),
]
const searchesAt = ({ searches, retrieves }: MemoryCluster) => searches.length + retrieves.length

/** Every way to get at the instance that only the linked cluster holds. */
const ways: [string, (retrieve: RetrieveService, requester: ReturnType<typeof as>) => Promise<unknown>][] = [
  ['the instance', (retrieve, it) => retrieve.instances(there, it)],
  ['its frames', (retrieve, it) => retrieve.frames(pixels, it)],
  ['its metadata', (retrieve, it) => retrieve.metadata(there.target, 'http://proxy', it)],
  ['its picture', (retrieve, it) => retrieve.rendered(picture, it)],
  ['its thumbnail', (retrieve, it) => retrieve.rendered(thumbnail, it)],
]

describe.each(['external', 'home'] as const)('for the audience %s, a cluster that it may not query', (audience) => {
  it.each(ways)('does not give %s, whatever the index says', async (_, ask) => {
    const { retrieve, linked, forgotten } = site(undefined, ['south'])
    await expect(ask(retrieve, as(audience))).rejects.toMatchObject({ code: 'not-found' })
    expect(searchesAt(linked)).toBe(0)
    expect(forgotten).toEqual([])
  })

  it.each(ways)('does not give %s after it was located for somebody else', async (_, ask) => {
    const { retrieve, linked } = site()
    await ask(retrieve, internal)
    const before = searchesAt(linked)
    await expect(ask(retrieve, as(audience))).rejects.toMatchObject({ code: 'not-found' })
    expect(searchesAt(linked)).toBe(before)
  })

  it('adds nothing to a study, and is not missed when it is silent', async () => {
    const { retrieve, linked } = site()
    linked.faults.down = 'unreachable'
    const { status, warnings, body } = await retrieve.instances(whole, as(audience))
    expect([status, warnings]).toEqual([200, []])
    expect([...(await collect(body)).keys()]).toEqual([atHome?.instance])
  })

  it('does not give bulk data by an address that was written for somebody else', async () => {
    const { retrieve, linked } = site()
    const url = await bulkdataUrl(retrieve, linked)
    const token = url.slice(url.lastIndexOf('/') + 1)
    const before = searchesAt(linked)
    await expect(retrieve.bulkdata(there.target, token, as(audience))).rejects.toMatchObject({ code: 'not-found' })
    expect(searchesAt(linked)).toBe(before)
    await retrieve.bulkdata(there.target, token, internal).catch(() => undefined)
    expect(searchesAt(linked)).toBeGreaterThan(before)
  })
})

/** What metadata for our own people says of pixel data at the linked cluster. */
async function bulkdataUrl(retrieve: RetrieveService, linked: MemoryCluster): Promise<string> {
  const held = linked.held.get(there.target.instance)
  if (!held) throw new Error('the linked cluster holds nothing')
  const path = `studies/${study}/series/${series}/instances/${there.target.instance}/bulk/1`
  const row: Dataset = { ...held.row, [tag.PixelData]: { vr: 'OW', BulkDataURI: path } }
  linked.held.set(there.target.instance, { ...held, row })
  const { body } = await retrieve.metadata(there.target, 'http://proxy', internal)
  const [dataset] = await Array.fromAsync(body)
  return dataset?.[tag.PixelData]?.BulkDataURI ?? ''
}

describe('a study', () => {
  it('is for each audience what the clusters hold that it may query, whoever asked first', async () => {
    const { retrieve } = site()
    const both = [atHome?.instance, atSouth?.instance].toSorted()
    expect((await uidsFor(retrieve, 'external')).toSorted()).toEqual([atHome?.instance])
    expect((await uidsFor(retrieve, 'internal')).toSorted()).toEqual(both)
    expect((await uidsFor(retrieve, 'home')).toSorted()).toEqual([atHome?.instance])
    expect((await uidsFor(retrieve, 'internal')).toSorted()).toEqual(both)
  })

  it('is located once for audiences that may query the same clusters', async () => {
    const { retrieve, linked } = site(on)
    await uidsFor(retrieve, 'internal')
    const located = () => linked.searches.filter(({ level }) => level === 'series').length
    expect(located()).toBe(1)
    await uidsFor(retrieve, 'external')
    expect(located()).toBe(1)
  })

  it('that changed is located anew for every audience', async () => {
    const { retrieve, home } = site()
    for (const audience of ['internal', 'external', 'home'] as const) await uidsFor(retrieve, audience)
    const added = madeInstance({ study, series: madeUid() })
    home.add(added)
    retrieve.forget(study)
    const request = { ...whole, target: { study, series: added.series as Uid } }
    for (const audience of ['internal', 'external', 'home'] as const) {
      const { body } = await retrieve.instances(request, as(audience))
      expect([...(await collect(body)).keys()]).toEqual([added.instance])
    }
  })

  it('is not there for an audience that may query nothing', async () => {
    const { retrieve, home, linked } = site({ internal: false, external: false })
    home.held.clear()
    await expect(retrieve.instances(whole, internal)).rejects.toMatchObject({ code: 'not-found' })
    expect(searchesAt(linked)).toBe(0)
  })
})
