import { describe, expect, it } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { type StudyUpdateNotice, writeNotice } from '../../src/link/notice.ts'
import { createReceive } from '../../src/peers/receive.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { madeInstance, madeUid } from '../support/made-instance.ts'
import { MemorySite, noticeOf } from './memory.ts'

const study = madeUid() as Uid
const made = [madeInstance({ study }), madeInstance({ study })]

function setup() {
  const [site, clock, woken] = [new MemorySite(), new FakeClock(), { times: 0 }]
  const receive = createReceive({
    ...{ site: 'north', peers: new Set(['south', 'west']), notices: site.notices, clock, log: site.log },
    versions: { of: site.versionOf },
    wake: () => void woken.times++,
  })
  const take = (notice: StudyUpdateNotice, { key = notice.noticeId, peer = 'south' as string | undefined } = {}) =>
    receive(writeNotice(notice), key, peer)
  return { site, clock, woken, receive, take }
}

const code = (expected: string) => expect.objectContaining({ code: expected })

describe('a notice of another site', () => {
  it('is kept, and what it promises is to be pulled', async () => {
    const { site, woken, take } = setup()
    const notice = noticeOf(study, made)
    const { receipt, isNew } = await take(notice)
    expect(isNew).toBe(true)
    expect(receipt).toMatchObject({ noticeId: notice.noticeId, state: 'ACCEPTED', promised: 2 })
    expect(site.queued).toEqual([`${study} south:pull`])
    expect(woken.times).toBe(1)
  })

  it('is taken only from a site that this one is linked with, and only its own', async () => {
    const { site, take } = setup()
    const notice = noticeOf(study, made)
    await expect(take(notice, { peer: 'east' })).rejects.toEqual(code('forbidden'))
    await expect(take(notice, { peer: 'west' })).rejects.toEqual(code('forbidden'))
    await expect(take(noticeOf(study, made, { origin: 'east', hops: ['east'] }), { peer: undefined })).rejects.toEqual(
      code('forbidden'),
    )
    expect(site.kept.size).toBe(0)
  })

  it('may be of any linked site where there is no authentication', async () => {
    const { receive } = setup()
    const notice = noticeOf(study, made)
    expect(await receive(writeNotice(notice), notice.noticeId, undefined)).toMatchObject({ isNew: true })
  })

  it('is told by nobody who is no peer whether it could be read', async () => {
    const { receive } = setup()
    await expect(receive(Buffer.from('{'), undefined, 'east')).rejects.toEqual(code('forbidden'))
    await expect(receive(Buffer.from('{'), undefined, 'south')).rejects.toEqual(code('bad-request'))
  })

  it('has to be sent under its own id', async () => {
    const { site, take } = setup()
    const [notice, other] = [noticeOf(study, made), noticeOf(study, made)]
    await expect(take(notice, { key: other.noticeId })).rejects.toThrow('Idempotency-Key')
    expect(site.kept.size).toBe(0)
  })

  it('that comes again is answered with what became of it; another one under its id is refused', async () => {
    const { site, woken, take } = setup()
    const notice = noticeOf(study, made)
    await take(notice)
    await site.notices.settle(notice.noticeId, { state: 'COMPLETE', held: 0, pulled: 2, refused: 0 })
    const again = await take(notice)
    expect(again).toMatchObject({ isNew: false, receipt: { state: 'COMPLETE', pulled: 2 } })
    await expect(take({ ...notice, series: [] })).rejects.toEqual(code('unprocessable'))
    await expect(take({ ...notice, origin: 'west', hops: ['west'] }, { peer: 'west' })).rejects.toBeInstanceOf(
      LinkError,
    )
    expect(site.queued).toHaveLength(1)
    expect(woken.times).toBe(1)
  })

  it('that has come through here, or through too many sites, is ignored', async () => {
    const { site, take } = setup()
    for (const path of [{ hops: ['south', 'north'] }, { hops: ['south', 'west', 'east'], maxHops: 2 }]) {
      const { receipt, isNew } = await take(noticeOf(study, made, path))
      expect({ isNew, state: receipt.state }).toEqual({ isNew: false, state: 'IGNORED_LOOP' })
    }
    expect(site.kept.size).toBe(0)
  })

  it('of what is known already is stale, unless it asks to compare', async () => {
    const { site, take } = setup()
    site.versions.set(study, { south: 5, north: 2 })
    for (const version of [{ south: 5 }, { south: 4, north: 2 }, {}]) {
      const { receipt, isNew } = await take(noticeOf(study, made, { version }))
      expect({ isNew, state: receipt.state }).toEqual({ isNew: false, state: 'STALE' })
    }
    expect(site.kept.size).toBe(0)
    expect(await take(noticeOf(study, made, { version: { south: 6 } }))).toMatchObject({ isNew: true })
    const resync = noticeOf(study, made, { version: { south: 5 }, trigger: 'RESYNC' })
    expect(await take(resync)).toMatchObject({ isNew: true, receipt: { state: 'ACCEPTED' } })
  })

  it('lets old ones be forgotten now and then, without waiting for it', async () => {
    const { site, clock, take } = setup()
    const pruned: number[] = []
    site.notices.prune = async (olderThanMs) => {
      pruned.push(olderThanMs)
      throw new Error('the database is away')
    }
    for (const ms of [0, 1000, 3_600_000]) {
      await clock.advance(ms)
      await take(noticeOf(study, made))
    }
    await turn()
    expect(pruned).toEqual([2_592_000_000, 2_592_000_000])
    expect(site.logged.join()).toContain('notices not pruned')
  })
})
