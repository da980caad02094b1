import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { claimConverge, failConverge, requestConverge } from '../../src/db/converge-jobs.ts'
import { rememberRefusals } from '../../src/db/outbox.ts'
import { parseUid } from '../../src/dicom/uid.ts'
import { createOutbox, type Outbox } from '../../src/replicate/outbox.ts'
import { openTestDatabase } from '../support/database.ts'
import { FakeClock } from '../support/fake-clock.ts'

const study = parseUid('1.2.3', 'test')
const anHour = 3_600_000
/** South takes updates and fails for good; north takes updates and has nothing to do; the old one is not configured. */
let opened: Awaited<ReturnType<typeof openTestDatabase>>
let outbox: Outbox
const clock = new FakeClock()
beforeAll(async () => {
  opened = await openTestDatabase()
  const { db } = opened
  await requestConverge(db, study, ['south'])
  const [job] = await claimConverge(db, { owner: 'test', clusters: ['south'], limit: 1, leaseMs: anHour })
  if (job) await failConverge(db, job, 'cluster south: late', { retryInMs: 0, giveUpAfterMs: 0 })
  await rememberRefusals(db, study, 'south', [{ instance: study, reason: 0x0122 }])
  await requestConverge(db, study, ['old'])
  await clock.advance(Date.now() + anHour - clock.now())
  outbox = createOutbox({ database: db, targets: ['south', 'north'], clock, sentLastMinute: () => 0 })
})
afterAll(() => opened.close())

const nothing = { waiting: 0, running: 0, oldestAgeMs: 0, sentLastMinute: 0, deadLetters: 0, refusedInstances: 0 }

describe('the outbox', () => {
  it('tells how each cluster stands that takes updates, and those that have jobs nobody takes', async () => {
    const [north, old, south] = await outbox.states()
    expect(north).toEqual({ cluster: 'north', ...nothing })
    expect(old).toEqual({ cluster: 'old', ...nothing, waiting: 1, oldestAgeMs: expect.any(Number) })
    expect(old?.oldestAgeMs).toBeGreaterThan(0)
    const lastFailure = { at: expect.any(Date), error: 'cluster south: late' }
    expect(south).toEqual({ cluster: 'south', ...nothing, deadLetters: 1, refusedInstances: 1, lastFailure })
  })

  it('pauses and resumes a cluster and says so', async () => {
    expect(await outbox.pause('north')).toEqual({ cluster: 'north', ...nothing, pausedSince: expect.any(Date) })
    expect((await outbox.states()).map(({ pausedSince }) => pausedSince !== undefined)).toEqual([true, false, false])
    expect(await outbox.resume('north')).toEqual({ cluster: 'north', ...nothing })
  })

  it.each(['home', 'old', ''])('does nothing to %j, which takes no updates', async (cluster) => {
    const refused = expect.objectContaining({ code: 'not-found', message: expect.stringContaining(`"${cluster}"`) })
    await expect(outbox.pause(cluster)).rejects.toEqual(refused)
    await expect(outbox.resume(cluster)).rejects.toEqual(refused)
    await expect(outbox.retry(cluster)).rejects.toEqual(refused)
    await expect(outbox.deadLetters({ cluster, limit: 1 })).rejects.toEqual(refused)
    await expect(outbox.refusals({ cluster, limit: 1 })).rejects.toEqual(refused)
  })

  it('lists what was given up and refused, and tries it again', async () => {
    expect(await outbox.deadLetters({ cluster: 'south', limit: 9 })).toMatchObject([{ study, cluster: 'south' }])
    expect(await outbox.refusals({ limit: 9 })).toMatchObject([{ study, instance: study, reason: 0x0122 }])
    expect(await outbox.retry('south')).toEqual({ studies: 1 })
    expect(await outbox.deadLetters({ limit: 9 })).toEqual([])
    expect(await outbox.refusals({ limit: 9 })).toEqual([])
    expect((await outbox.states()).at(-1)).toMatchObject({ cluster: 'south', waiting: 1, deadLetters: 0 })
  })
})
