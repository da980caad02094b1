import { expect, it } from 'vitest'
import type { Database } from '../../src/db/connect.ts'
import {
  type ClaimedJob,
  claimConverge,
  completeConverge,
  failConverge,
  requestConverge,
} from '../../src/db/converge-jobs.ts'
import {
  countRefusals,
  deadLetters,
  pauseCluster,
  pausedClusters,
  queueDepth,
  refusals,
  refusedOf,
  rememberRefusals,
  resumeCluster,
  retryConverge,
} from '../../src/db/outbox.ts'
import { studyUpdates } from '../../src/db/study-updates.ts'
import { raiseVersion } from '../../src/db/study-version.ts'
import { parseUid, type Uid } from '../../src/dicom/uid.ts'
import { letTimePass } from '../support/database.ts'

const uid = (n: number): Uid => parseUid(`1.2.3.${n}`, 'test')
const minute = 60_000
const patience = { retryInMs: minute, giveUpAfterMs: 10 * minute }

const claim = (db: Database, limit = 10) =>
  claimConverge(db, { owner: 'test', clusters: ['north', 'south'], limit, leaseMs: minute })

async function claimOne(db: Database): Promise<ClaimedJob> {
  const [job] = await claim(db, 1)
  if (!job) throw new Error('nothing to claim')
  return job
}

const fail = async (db: Database, error = 'cluster south: no') => failConverge(db, await claimOne(db), error, patience)

/** Makes dead letters of these, the only jobs there are. */
async function giveUp(db: Database, ...pairs: (readonly [study: Uid, cluster: string])[]): Promise<void> {
  for (const [study, cluster] of pairs) await requestConverge(db, study, [cluster])
  for (const _ of pairs) expect(await fail(db)).toBe('waiting')
  await letTimePass(db, patience.giveUpAfterMs)
  for (const _ of pairs) expect(await fail(db)).toBe('dead')
}

/** What whoever operates the queue may rely on; `db` and `other` are handles on the same database. */
export function outboxContract(db: () => Database, other: () => Database): void {
  it('a job that has been failing for too long is a dead letter, and is not claimed any more', async () => {
    await requestConverge(db(), uid(1), ['south'])
    expect(await fail(db(), 'first')).toBe('waiting')
    await letTimePass(db(), patience.giveUpAfterMs - minute)
    expect(await fail(db(), 'second')).toBe('waiting')
    await letTimePass(db(), minute)
    expect(await fail(db(), 'third')).toBe('dead')
    await letTimePass(db(), 1000 * minute)
    expect(await claim(db())).toEqual([])
    expect(await deadLetters(db(), { limit: 10 })).toEqual([
      {
        study: uid(1),
        cluster: 'south',
        attempts: 3,
        requestedAt: expect.any(Date),
        failingSince: expect.any(Date),
        deadSince: expect.any(Date),
        error: 'third',
      },
    ])
  })

  it('a new request makes a dead letter due, and gives it as much time as before', async () => {
    await giveUp(db(), [uid(1), 'south'])
    await requestConverge(db(), uid(1), ['south'])
    expect(await deadLetters(db(), { limit: 10 })).toEqual([])
    expect(await fail(db())).toBe('waiting')
    await letTimePass(db(), minute)
    expect(await claimOne(db())).toMatchObject({ attempts: 1 })
  })

  it('a job that was requested while it failed for the last time is no dead letter', async () => {
    await requestConverge(db(), uid(1), ['south'])
    await fail(db())
    await letTimePass(db(), patience.giveUpAfterMs)
    const last = await claimOne(db())
    await requestConverge(db(), uid(1), ['south'])
    expect(await failConverge(db(), last, 'no', patience)).toBe('waiting')
    expect(await fail(db())).toBe('waiting')
  })

  it('the dead letters of a cluster, or that of one study, are due again when they are retried', async () => {
    await giveUp(db(), [uid(1), 'south'], [uid(2), 'south'], [uid(3), 'north'])
    expect(await retryConverge(db(), 'south', uid(2))).toBe(1)
    expect((await claim(db())).map(({ study }) => study)).toEqual([uid(2)])
    expect(await retryConverge(db(), 'south', uid(3))).toBe(0)
    expect(await retryConverge(db(), 'south')).toBe(1)
    expect(await claimOne(db())).toMatchObject({ study: uid(1), attempts: 0 })
    expect(await deadLetters(db(), { limit: 10 })).toMatchObject([{ study: uid(3), cluster: 'north' }])
  })

  it('a retry leaves what waits alone', async () => {
    await requestConverge(db(), uid(1), ['south'])
    await fail(db())
    expect(await retryConverge(db(), 'south')).toBe(0)
    expect(await claim(db())).toEqual([])
  })

  it('dead letters are listed page by page, of all clusters or of one', async () => {
    await giveUp(db(), [uid(1), 'south'], [uid(2), 'south'], [uid(1), 'north'])
    const pair = ({ cluster, study }: { cluster: string; study: Uid }) => [cluster, study]
    const first = await deadLetters(db(), { limit: 2 })
    expect(first.map(pair)).toEqual([
      ['north', uid(1)],
      ['south', uid(1)],
    ])
    const next = await deadLetters(db(), { limit: 2, after: ['south', uid(1)] })
    expect(next.map(pair)).toEqual([['south', uid(2)]])
    const south = await deadLetters(db(), { cluster: 'south', limit: 2 })
    expect(south.map(pair)).toEqual([
      ['south', uid(1)],
      ['south', uid(2)],
    ])
  })

  it('nobody claims jobs of a paused cluster until it is resumed', async () => {
    await requestConverge(db(), uid(1), ['north', 'south'])
    await pauseCluster(db(), 'south')
    await pauseCluster(other(), 'south')
    expect([...(await pausedClusters(other()))]).toEqual([['south', expect.any(Date)]])
    expect((await claim(other())).map(({ cluster }) => cluster)).toEqual(['north'])
    await resumeCluster(other(), 'south')
    expect((await pausedClusters(db())).size).toBe(0)
    expect((await claim(db())).map(({ cluster }) => cluster)).toEqual(['south'])
  })

  it('what was claimed before a pause goes on to its end', async () => {
    await requestConverge(db(), uid(1), ['south'])
    const job = await claimOne(db())
    await pauseCluster(db(), 'south')
    expect(await completeConverge(db(), job)).toBe('done')
  })

  it('a pause makes no dead letters, and its end makes all of the cluster due', async () => {
    await requestConverge(db(), uid(1), ['south'])
    await fail(db())
    await pauseCluster(db(), 'south')
    await letTimePass(db(), 2 * patience.giveUpAfterMs)
    await resumeCluster(db(), 'south')
    expect(await fail(db())).toBe('waiting')
    await resumeCluster(db(), 'south')
    expect(await claim(db())).toEqual([])
    await pauseCluster(db(), 'south')
    await resumeCluster(db(), 'south')
    expect(await claimOne(db())).toMatchObject({ attempts: 0 })
  })

  it('the depth of the queue tells dead letters apart, and what failed last', async () => {
    await giveUp(db(), [uid(1), 'south'])
    expect(await queueDepth(db())).toMatchObject([{ waiting: 0, running: 0, dead: 1, oldestRequestedAt: null }])
    await letTimePass(db(), minute)
    await requestConverge(db(), uid(2), ['north', 'south'])
    await failConverge(db(), await claimOne(db()), 'cluster north: late', patience)
    expect(await queueDepth(db())).toMatchObject([
      { cluster: 'north', waiting: 1, dead: 0, lastError: 'cluster north: late', lastFailedAt: expect.any(Date) },
      { cluster: 'south', waiting: 1, dead: 1, oldestRequestedAt: expect.any(Date), lastError: 'cluster south: no' },
    ])
  })

  it('refused instances are known until they are retried, which makes their studies due', async () => {
    const refused = [1, 2, 3].map((n) => ({ instance: uid(n), reason: 0x0122 }))
    await rememberRefusals(db(), uid(10), 'south', refused)
    await rememberRefusals(db(), uid(10), 'south', refused)
    await rememberRefusals(db(), uid(11), 'north', refused.slice(0, 1))
    await rememberRefusals(db(), uid(11), 'north', [])
    expect(await refusedOf(other(), uid(10), 'south')).toEqual(new Set([uid(1), uid(2), uid(3)]))
    expect(await refusedOf(other(), uid(10), 'north')).toEqual(new Set())
    expect(Object.fromEntries(await countRefusals(db()))).toEqual({ north: 1, south: 3 })
    const after = ['south', uid(10), uid(1)]
    expect(await refusals(db(), { limit: 1, after })).toMatchObject([{ cluster: 'south', instance: uid(2) }])
    expect(await refusals(db(), { limit: 9, cluster: 'north' })).toEqual([
      { study: uid(11), cluster: 'north', instance: uid(1), reason: 0x0122, refusedAt: expect.any(Date) },
    ])
    expect(await retryConverge(db(), 'south')).toBe(1)
    expect(await claimOne(db())).toMatchObject({ study: uid(10), cluster: 'south' })
    expect(Object.fromEntries(await countRefusals(db()))).toEqual({ north: 1 })
  })

  it('how the updates of one study stand is told, of no other', async () => {
    for (const study of [uid(1), uid(2)]) await requestConverge(db(), study, ['north', 'south', 'west'])
    const [job] = await claimConverge(db(), { owner: 'one', clusters: ['north'], limit: 1, leaseMs: minute })
    const [dead] = await claimConverge(db(), { owner: 'one', clusters: ['south'], limit: 1, leaseMs: minute })
    if (!job || !dead) throw new Error('nothing was claimed')
    await failConverge(db(), dead, 'cluster south: timed-out', { retryInMs: 0, giveUpAfterMs: 0 })
    const refused = { instance: uid(9), reason: 0x0111 }
    for (const study of [uid(1), uid(2)]) await rememberRefusals(db(), study, 'west', [refused])
    await raiseVersion(db(), uid(1), 'here')
    const told = await studyUpdates(db(), uid(1))
    expect(told.version).toEqual({ here: 1 })
    expect(told.jobs.map(({ cluster, state, attempts, error }) => [cluster, state, attempts, error])).toEqual([
      ['north', job.study === uid(1) ? 'running' : 'waiting', 0, null],
      [
        'south',
        dead.study === uid(1) ? 'dead' : 'waiting',
        dead.study === uid(1) ? 1 : 0,
        dead.study === uid(1) ? 'cluster south: timed-out' : null,
      ],
      ['west', 'waiting', 0, null],
    ])
    expect(told.refused).toMatchObject([{ cluster: 'west', ...refused }])
    expect(await studyUpdates(db(), uid(7))).toEqual({ study: uid(7), version: {}, jobs: [], refused: [] })
  })

  it('more refused instances than one statement takes are remembered', async () => {
    const refused = Array.from({ length: 2500 }, (_, n) => ({ instance: uid(n), reason: 0xa900 }))
    await rememberRefusals(db(), uid(10), 'south', refused)
    expect((await refusedOf(db(), uid(10), 'south')).size).toBe(2500)
  })
}
