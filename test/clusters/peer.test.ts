import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkCluster } from '../../src/clusters/check.ts'
import type { PooledCluster } from '../../src/clusters/dicomweb.ts'
import { systemClock } from '../../src/core/clock.ts'
import { withRequest } from '../../src/core/request-context.ts'
import {
  bytes,
  type FakeArchive,
  json,
  multipart,
  multipartType,
  startFakeArchive,
  status,
} from '../support/fake-archive.ts'
import { madeInstance } from '../support/made-instance.ts'
import { clusterAt, clusterConfig, failureOf, forever, readAll, uid, uploadsOf } from './setup.ts'

const study = { kind: 'instances', target: { study: uid('1.2') }, transferSyntax: '*' } as const
const anyStudy = { level: 'study', constraints: [], includeFields: [], limit: 1 } as const

let archive: FakeArchive
let cluster: PooledCluster | undefined
beforeEach(async () => {
  archive = await startFakeArchive()
})
afterEach(async () => {
  await cluster?.close()
  await archive.close()
})

const peer = { role: 'linked', link: 'http://peer.invalid/link/v1' }
/** What was said of the request's way, in each request. */
const told = () => archive.seen.map(({ headers }) => [headers['dicomweb-link-scope'], headers['dicomweb-link-hops']])

/** One call of each kind; what comes of it is of no interest. */
async function askEverything(it: PooledCluster): Promise<void> {
  archive
    .on('/studies', json([]))
    .on('/studies/1.2', bytes(multipartType, multipart(['one'])))
    .on('/metadata', json([]))
  await it.probe(forever())
  await it.search(anyStudy, forever())
  await readAll(await it.retrieve(study, forever()))
  await Array.fromAsync(it.metadata({ study: uid('1.2') }, forever()))
  await it.store(uploadsOf(madeInstance()), forever()).catch(() => undefined)
  expect(archive.seen.some(({ method }) => method === 'POST')).toBe(true)
}

describe('a peer proxy', () => {
  beforeEach(() => {
    cluster = clusterAt(archive.dicomweb, { cluster: peer })
  })

  it('is asked for its own content in everything, by this site when nobody else asks for it', async () => {
    await askEverything(cluster as PooledCluster)
    expect(new Set(told().map(String))).toEqual(new Set(['home,test']))
  })

  it('is told the sites that the request came through before this one', async () => {
    const request = { id: 'r1', hops: ['east', 'west'] }
    await withRequest(request, () => askEverything(cluster as PooledCluster))
    expect(new Set(told().map(String))).toEqual(new Set(['home,east, west, test']))
  })

  it('is asked in the same way by the check', async () => {
    const { cluster: config, limits } = clusterConfig(archive.dicomweb, peer)
    await askEverything(cluster as PooledCluster)
    const before = archive.seen.length
    await checkCluster(config, { site: 'east', limits, clock: systemClock, index: 0, signal: forever() })
    const inCheck = told().slice(before)
    expect(inCheck.length).toBeGreaterThan(3)
    expect(new Set(inCheck.map(String))).toEqual(new Set(['home,east']))
  })

  it('that refuses a loop is not ill: the hops were made by whoever sent them', async () => {
    archive.on('/studies', status(508))
    const failure = await failureOf((cluster as PooledCluster).search(anyStudy, forever()))
    expect(failure).toMatchObject({ reason: 'rejected', status: 508 })
  })
})

describe('an archive that is no peer', () => {
  it('is not told who is linked with whom', async () => {
    cluster = clusterAt(archive.dicomweb)
    await withRequest({ id: 'r1', hops: ['east'] }, () => askEverything(cluster as PooledCluster))
    expect(new Set(told().map(String))).toEqual(new Set([',']))
  })
})
