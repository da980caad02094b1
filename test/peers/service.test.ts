import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { tag } from '../../src/dicom/tags.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { createPeersService } from '../../src/peers/service.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { madeInstance, madeUid } from '../support/made-instance.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'
import { MemorySite, noticeOf } from './memory.ts'

const { signal } = new AbortController()
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

function setup() {
  const [home, site] = [new MemoryCluster('north', { role: 'home' }), new MemorySite()]
  const changes: { study: Uid; changedAt: Date }[] = []
  const service = createPeersService({
    ...{ site: 'north', home, peers: new Set(['south', 'west']), notices: site.notices, log: site.log },
    ...{ clock: new FakeClock(), wake: () => undefined, travels: (sopClass) => sopClass !== 'stays' },
    versions: { of: site.versionOf },
    versionsOf: async (studies) =>
      new Map(studies.flatMap((it) => (site.versions.has(it) ? [[it, site.versions.get(it) ?? {}] as const] : []))),
    changed: async ({ since, after, limit }) =>
      changes
        .filter(
          ({ changedAt, study }) =>
            !after || changedAt > after[0] || (changedAt.getTime() === after[0].getTime() && study > after[1]),
        )
        .filter(({ changedAt }) => !since || changedAt >= since)
        .slice(0, limit),
    tombstones: { bury: async () => undefined, exhume: async () => false, tombstones: async () => [] },
  })
  return { home, site, changes, service }
}

describe('the receipt of a notice', () => {
  it('is shown to who sent the notice, and to nobody else', async () => {
    const { site, service } = setup()
    const notice = noticeOf(madeUid() as Uid, [])
    await site.notices.accept(notice, { bodyDigest: '', queue: '' })
    expect(await service.receipt(notice.noticeId, 'south')).toMatchObject({ state: 'ACCEPTED' })
    expect(await service.receipt(notice.noticeId, undefined)).toMatchObject({ state: 'ACCEPTED' })
    for (const [id, peer] of [
      [notice.noticeId, 'west'],
      ['unknown', 'south'],
    ] as const) {
      await expect(service.receipt(id, peer)).rejects.toMatchObject({ code: 'not-found' })
    }
  })
})

describe('digests', () => {
  it('tell what home holds and tells others, and of which version it is', async () => {
    const { home, site, service } = setup()
    const study = madeUid() as Uid
    const made = [madeInstance({ study }), madeInstance({ study })]
    for (const it of made) home.add(it)
    home.add(madeInstance({ study }), { [tag.SOPClassUID]: ['stays'] })
    site.raise(study, 'north')
    const unknown = madeUid() as Uid
    const digest = sha256(
      made
        .map(({ instance }) => instance)
        .toSorted()
        .join('\n'),
    )
    expect(await service.digestsOf([study, unknown, study], 'south', signal)).toEqual([
      { study, instances: 2, digest, version: { north: 1 } },
    ])
  })

  it('are walked in the order of changes, each study once, to the end', async () => {
    const { changes, service } = setup()
    const at = (ms: number) => new Date(Date.UTC(2026, 0, 1) + ms)
    for (const ms of [0, 5, 5, 5, 9]) changes.push({ study: `1.2.${changes.length}` as Uid, changedAt: at(ms) })
    const walked: Uid[] = []
    let cursor: string | undefined
    do {
      const page = await service.digests({ cursor, limit: 2 }, 'south', signal)
      expect(page.studies.length).toBeLessThanOrEqual(2)
      walked.push(...page.studies.map(({ study }) => study))
      cursor = page.next
    } while (cursor !== undefined)
    expect(walked).toEqual(changes.map(({ study }) => study))
    const late = await service.digests({ since: at(6), limit: 10 }, 'south', signal)
    expect(late.studies).toEqual([{ study: '1.2.4', instances: 0, digest: sha256(''), version: {} }])
  })

  it('are for sites that this one is linked with', async () => {
    const { service } = setup()
    await expect(service.digests({ limit: 1 }, 'east', signal)).rejects.toMatchObject({ code: 'forbidden' })
    await expect(service.digestsOf([], 'east', signal)).rejects.toMatchObject({ code: 'forbidden' })
  })

  it('refuse a cursor of somebody else, and say so when home does not answer', async () => {
    const { home, changes, service } = setup()
    await expect(service.digests({ cursor: '../x', limit: 1 }, 'south', signal)).rejects.toMatchObject({
      code: 'bad-request',
    })
    changes.push({ study: '1.2.3' as Uid, changedAt: new Date() })
    home.faults.down = 'unreachable'
    await expect(service.digests({ limit: 1 }, 'south', signal)).rejects.toMatchObject({ cluster: 'north' })
  })
})
