import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Database } from '../../src/db/connect.ts'
import {
  type ClaimedJob,
  claimConverge,
  completeConverge,
  failConverge,
  postponeConverge,
  releaseAbandoned,
  releaseConverge,
  renewLease,
  requestConverge,
} from '../../src/db/converge-jobs.ts'
import { queueDepth } from '../../src/db/outbox.ts'
import { convergeJob, pausedCluster, refusedInstance, studyLocation } from '../../src/db/schema.ts'
import { forgetHolder, holdersOf, rememberHolders } from '../../src/db/study-location.ts'
import { parseUid, type Uid } from '../../src/dicom/uid.ts'
import { letTimePass } from '../support/database.ts'
import { linkSnapshotContract } from './link-snapshot.ts'
import { linkStoreContract } from './link-store.ts'
import { noticesContract } from './notices.ts'
import { outboxContract } from './outbox.ts'
import { peerMemoryContract } from './peer-memory.ts'
import { studyVersionContract } from './study-version.ts'
import { sweepsContract } from './sweeps.ts'

const uid = (n: number): Uid => parseUid(`1.2.3.${n}`, 'test')
const minute = 60_000
const later = { retryInMs: minute, giveUpAfterMs: 60 * minute }

/** What the repositories promise, on whatever database: `open` gives two handles on the same fresh one. */
export function databaseContract(
  name: string,
  open: () => Promise<{ db: Database; other: Database; close(): Promise<void> }>,
): void {
  describe(`${name}: repositories`, () => {
    let opened: Awaited<ReturnType<typeof open>>
    const db = () => opened.db
    beforeAll(async () => {
      opened = await open()
    })
    afterAll(() => opened?.close())
    beforeEach(async () => {
      await db().delete(convergeJob)
      await db().delete(pausedCluster)
      await db().delete(refusedInstance)
      await db().delete(studyLocation)
    })

    locationContract(db)
    convergeContract(db, () => opened.other)
    leaseContract(db, () => opened.other)
    outboxContract(db, () => opened.other)
    linkStoreContract(db, () => opened.other)
    linkSnapshotContract(db, () => opened.other)
    studyVersionContract(db, () => opened.other)
    sweepsContract(db, () => opened.other)
    noticesContract(db, () => opened.other)
    peerMemoryContract(db, () => opened.other)
  })
}

function locationContract(db: () => Database): void {
  it('a study is known at every cluster where it was seen, with the count last told', async () => {
    await rememberHolders(db(), [
      { study: uid(1), cluster: 'north', instances: 3 },
      { study: uid(1), cluster: 'south' },
      { study: uid(2), cluster: 'south', instances: 9 },
    ])
    await rememberHolders(db(), [{ study: uid(1), cluster: 'north', instances: 5 }])
    await rememberHolders(db(), [{ study: uid(1), cluster: 'north' }])
    const holders = await holdersOf(db(), uid(1))
    expect(holders.map((it) => [it.cluster, it.instances])).toEqual([
      ['north', 5],
      ['south', null],
    ])
    expect(holders[0]?.seenAt).toBeInstanceOf(Date)
  })

  it('a batch may name a pair twice and be larger than one statement', async () => {
    const many = Array.from({ length: 2500 }, (_, n) => ({ study: uid(n % 1250), cluster: 'north', instances: n }))
    await rememberHolders(db(), many)
    expect(await holdersOf(db(), uid(0))).toMatchObject([{ cluster: 'north', instances: 1250 }])
    await rememberHolders(db(), [])
  })

  it('a forgotten holder is gone, the others stay, until it is seen again', async () => {
    const both = [
      { study: uid(2001), cluster: 'north' },
      { study: uid(2001), cluster: 'south' },
    ]
    const clusters = async () => (await holdersOf(db(), uid(2001))).map((it) => it.cluster)
    await rememberHolders(db(), both)
    await forgetHolder(db(), uid(2001), 'north')
    expect(await clusters()).toEqual(['south'])
    await rememberHolders(db(), both)
    expect(await clusters()).toEqual(['north', 'south'])
    expect(await holdersOf(db(), uid(2099))).toEqual([])
  })

  it('what was written a moment ago is not written again, changes are', async () => {
    const seen = { study: uid(2002), cluster: 'north' }
    await rememberHolders(db(), [{ ...seen, instances: 3 }])
    await db().delete(studyLocation)
    await rememberHolders(db(), [seen, { ...seen, instances: 3 }])
    expect(await holdersOf(db(), uid(2002))).toEqual([])
    await rememberHolders(db(), [{ ...seen, instances: 4 }])
    expect(await holdersOf(db(), uid(2002))).toMatchObject([{ cluster: 'north', instances: 4 }])
  })

  it('what was written at the same time as something else is not written again', async () => {
    const [one, other] = [2004, 2005].map((number) => ({ study: uid(number), cluster: 'north' }))
    if (!one || !other) throw new Error('two are made')
    await Promise.all([rememberHolders(db(), [one]), rememberHolders(db(), [other])])
    await db().delete(studyLocation)
    await rememberHolders(db(), [one, other])
    expect(await holdersOf(db(), uid(2004))).toEqual([])
    expect(await holdersOf(db(), uid(2005))).toEqual([])
  })

  it('a holder seen while it is being forgotten is written when it is seen again', async () => {
    const seen = { study: uid(2003), cluster: 'north' }
    await Promise.all([rememberHolders(db(), [seen]), forgetHolder(db(), uid(2003), 'north')])
    await rememberHolders(db(), [seen])
    expect(await holdersOf(db(), uid(2003))).toMatchObject([{ cluster: 'north' }])
  })
}

const claim = (db: Database, limit = 10, clusters = ['north', 'south'], owner = 'test') =>
  claimConverge(db, { owner, clusters, limit, leaseMs: minute })

async function claimOne(db: Database): Promise<ClaimedJob> {
  const [job] = await claim(db, 1)
  if (!job) throw new Error('nothing to claim')
  return job
}

function convergeContract(db: () => Database, other: () => Database): void {
  it('a request is claimed once, completed, and then gone', async () => {
    await requestConverge(db(), uid(1), ['south', 'south'])
    const job = await claimOne(db())
    expect(job).toMatchObject({ study: uid(1), cluster: 'south', generation: 1, attempts: 0 })
    expect(await claim(db())).toEqual([])
    expect(await completeConverge(db(), job)).toBe('done')
    expect(await db().select().from(convergeJob)).toEqual([])
  })

  it('only jobs of the clusters named are claimed, at most as many as asked for', async () => {
    await requestConverge(db(), uid(1), ['north', 'south'])
    await requestConverge(db(), uid(2), ['north', 'south'])
    await requestConverge(db(), uid(3), [])
    expect(await claim(db(), 10, [])).toEqual([])
    expect(await claim(db(), 0)).toEqual([])
    expect(await claim(db(), 1, ['north'])).toHaveLength(1)
    expect((await claim(db(), 10, ['north'])).map((it) => it.cluster)).toEqual(['north'])
    expect(await claim(db(), 10)).toHaveLength(2)
  })

  it('two claimers at the same time never get the same job, and together they get all', async () => {
    for (let n = 0; n < 40; n++) await requestConverge(db(), uid(n), ['north'])
    const claims = Array.from({ length: 20 }, (_, n) => claim(n % 2 === 0 ? db() : other(), 3))
    const jobs = (await Promise.all(claims)).flat()
    // A claimer passes by rows that are being claimed, so a last round takes what all of them passed by.
    jobs.push(...(await claim(db(), 100)))
    expect(jobs).toHaveLength(40)
    expect(new Set(jobs.map((it) => it.study)).size).toBe(40)
  })

  it('a request during a run makes it run again', async () => {
    await requestConverge(db(), uid(1), ['south'])
    const first = await claimOne(db())
    await requestConverge(db(), uid(1), ['south'])
    expect(await claim(db())).toEqual([])
    expect(await completeConverge(db(), first)).toBe('again')
    const second = await claimOne(db())
    expect(second.generation).toBe(2)
    expect(await completeConverge(db(), second)).toBe('done')
  })

  it('a job keeps its place in the line however often it is requested, and goes to its end when it is worked on', async () => {
    for (const n of [1, 2, 3, 1, 2]) await requestConverge(db(), uid(n), ['south'])
    const first = await claimOne(db())
    expect(first.study).toBe(uid(1))
    await requestConverge(db(), uid(1), ['south'])
    expect(await completeConverge(db(), first)).toBe('again')
    const order = [await claimOne(db()), await claimOne(db()), await claimOne(db())]
    expect(order.map((job) => job.study)).toEqual([uid(2), uid(3), uid(1)])
  })

  it('a failed job waits for its time and counts its attempts; a new request makes it due at once', async () => {
    await requestConverge(db(), uid(1), ['south'])
    expect(await failConverge(db(), await claimOne(db()), 'south did not answer', later)).toBe('waiting')
    expect(await claim(db())).toEqual([])
    await letTimePass(db(), minute)
    const again = await claimOne(db())
    expect(again.attempts).toBe(1)
    await failConverge(db(), again, 'south did not answer', later)
    await requestConverge(db(), uid(1), ['south'])
    expect(await claimOne(db())).toMatchObject({ attempts: 0, generation: 2 })
  })

  it('a run that fails after a new request is due at once, as if it had never failed', async () => {
    await requestConverge(db(), uid(1), ['south'])
    const job = await claimOne(db())
    await requestConverge(db(), uid(1), ['south'])
    expect(await failConverge(db(), job, 'south did not answer', later)).toBe('waiting')
    expect(await claimOne(db())).toMatchObject({ attempts: 0, generation: 2 })
  })

  it('a postponed job waits for its time, and is due at once when it was or is requested', async () => {
    await requestConverge(db(), uid(1), ['south'])
    await postponeConverge(db(), await claimOne(db()), minute)
    expect(await claim(db())).toEqual([])
    await letTimePass(db(), minute)
    const job = await claimOne(db())
    await requestConverge(db(), uid(1), ['south'])
    await postponeConverge(db(), job, minute)
    await postponeConverge(db(), await claimOne(db()), minute)
    expect(await claim(db())).toEqual([])
    await requestConverge(db(), uid(1), ['south'])
    expect(await claimOne(db())).toMatchObject({ attempts: 0 })
  })

  it('requests of several studies are made together or not at all', async () => {
    const undone = db().transaction(async (tx) => {
      await requestConverge(tx, uid(1), ['south'])
      throw new Error('changed my mind')
    })
    await expect(undone).rejects.toThrow('changed my mind')
    expect(await queueDepth(db())).toEqual([])
  })
}

function leaseContract(db: () => Database, other: () => Database): void {
  it('a lapsed lease is claimed by another, and nothing the first owner says changes the job any more', async () => {
    await requestConverge(db(), uid(1), ['south'])
    const first = await claimOne(db())
    await letTimePass(db(), minute)
    const second = await claimOne(other())
    expect(second.lease).not.toBe(first.lease)
    const before = await db().select().from(convergeJob)
    expect(await completeConverge(db(), first)).toBe('lost')
    expect(await failConverge(db(), first, 'too late', later)).toBe('lost')
    expect(await renewLease(db(), first, minute)).toBe(false)
    await releaseConverge(db(), first)
    await postponeConverge(db(), first, minute)
    expect(await db().select().from(convergeJob)).toEqual(before)
    expect(await completeConverge(other(), second)).toBe('done')
  })

  it('a renewed lease outlives its first term', async () => {
    await requestConverge(db(), uid(1), ['south'])
    const job = await claimOne(db())
    expect(await renewLease(db(), job, 3 * minute)).toBe(true)
    await letTimePass(db(), 2 * minute)
    expect(await claim(other())).toEqual([])
    await letTimePass(db(), 2 * minute)
    expect(await claim(other())).toHaveLength(1)
  })

  it('jobs whose owners are gone are due at once when all claims are given back', async () => {
    await requestConverge(db(), uid(1), ['south'])
    const abandoned = await claimOne(db())
    await releaseAbandoned(db())
    expect(await claimOne(other())).toMatchObject({ study: uid(1), attempts: 0 })
    expect(await completeConverge(db(), abandoned)).toBe('lost')
  })

  it('a released job is due at once and has not failed', async () => {
    await requestConverge(db(), uid(1), ['south'])
    await releaseConverge(db(), await claimOne(db()))
    expect(await claimOne(other())).toMatchObject({ attempts: 0, generation: 1 })
  })

  it('the depth of the queue tells waiting from running and since when the oldest request stands', async () => {
    await requestConverge(db(), uid(1), ['north', 'south'])
    await letTimePass(db(), minute)
    await requestConverge(db(), uid(2), ['south'])
    await claim(db(), 1, ['south'])
    const depth = await queueDepth(db())
    expect(depth).toMatchObject([
      { cluster: 'north', waiting: 1, running: 0 },
      { cluster: 'south', waiting: 1, running: 1 },
    ])
    const [row] = await db().select().from(convergeJob).orderBy(convergeJob.requestedAt).limit(1)
    expect(depth[1]?.oldestRequestedAt).toEqual(row?.requestedAt)
  })
}
