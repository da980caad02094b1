import { execFileSync } from 'node:child_process'
import { open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Cluster } from '../../src/clusters/cluster.ts'
import { openEmbeddedCluster } from '../../src/clusters/embedded/cluster.ts'
import { noLog } from '../../src/core/telemetry.ts'
import type { Queries } from '../../src/db/connect.ts'
import { parseUid } from '../../src/dicom/uid.ts'
import { openTestDatabase } from '../support/database.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { madeInstance } from '../support/made-instance.ts'
import { bytesOf, uploadsOf } from '../support/uploads.ts'

const never = new AbortController().signal
const gone = new Error('the caller is gone')
const timeoutMs = 5000
const timedOut = { name: 'ClusterError', cluster: 'north', reason: 'timed-out' }

/** A statement under construction that nobody answers, whatever is added to it. */
const unanswered: unknown = new Proxy(() => undefined, {
  get: (_, key) => (key === 'then' ? () => undefined : () => unanswered),
})

describe('an embedded archive whose index or disk hangs', () => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  let cluster: Cluster
  const opened: Cluster[] = []
  let clock: FakeClock
  let hangs: boolean
  beforeAll(async () => {
    database = await openTestDatabase()
  })
  afterAll(() => database?.close())
  beforeEach(async () => {
    hangs = false
    clock = new FakeClock()
    const { db, dataDir } = database
    const hanging: Queries = Object.assign(Object.create(db), {
      select: (fields: never) => (hangs ? unanswered : db.select(fields)),
      transaction: (work: never) => (hangs ? unanswered : db.transaction(work)),
    })
    const options = { id: 'north', role: 'home', priority: 1, timeoutMs, limits: { maxPartBytes: 1e9 } } as const
    cluster = await openEmbeddedCluster({ ...options, dataDir, db: hanging, log: noLog, clock })
    opened.push(cluster)
  })
  afterEach(() => opened.pop()?.close())

  const stored = async () => {
    const made = madeInstance({ rows: 1000, columns: 1000 })
    await cluster.store(uploadsOf(made.bytes), never)
    return { study: parseUid(made.study, 'test') }
  }

  it('metadata is given up at its deadline, and at once when the caller leaves', async () => {
    const target = await stored()
    hangs = true
    const late = expect(Array.fromAsync(cluster.metadata(target, never))).rejects.toMatchObject(timedOut)
    await turn()
    await clock.advance(timeoutMs)
    await late
    const caller = new AbortController()
    const left = expect(Array.fromAsync(cluster.metadata(target, caller.signal))).rejects.toBe(gone)
    await turn()
    caller.abort(gone)
    await left
  })

  it('storing is given up when its batch takes too long, and soon after the caller left', async () => {
    await stored()
    hangs = true
    const received = Promise.withResolvers<void>()
    async function* uploads(done: () => void) {
      yield* uploadsOf(madeInstance().bytes)
      done()
    }
    const late = expect(cluster.store(uploads(received.resolve), never)).rejects.toMatchObject(timedOut)
    await received.promise
    await clock.advance(60_000)
    await late
    const caller = new AbortController()
    const again = Promise.withResolvers<void>()
    const left = expect(cluster.store(uploads(again.resolve), caller.signal)).rejects.toBe(gone)
    await again.promise
    caller.abort(gone)
    await turn()
    await clock.advance(timeoutMs)
    await left
    const closing = opened.pop()?.close()
    await clock.advance(timeoutMs)
    await closing
  })

  it('reading a file is given up after a multiple of it', async () => {
    const reading = await hangingRead(never)
    const late = expect(reading.done).rejects.toMatchObject(timedOut)
    await clock.advance(6 * timeoutMs)
    await late
    await reading.letGo()
  })

  it('reading a file is given up at once when the caller leaves', async () => {
    const caller = new AbortController()
    const reading = await hangingRead(caller.signal)
    const left = expect(reading.done).rejects.toBe(gone)
    caller.abort(gone)
    await left
    await reading.letGo()
  })

  /** An answer whose file is being opened and cannot be. */
  async function hangingRead(signal: AbortSignal) {
    const target = await stored()
    const parts = await cluster.retrieve({ kind: 'instances', target, transferSyntax: '*' }, signal)
    const begun = Promise.withResolvers<string>()
    const read = async () => {
      for await (const { body } of parts) {
        begun.resolve(await becomesPipe(target.study))
        await bytesOf(body)
      }
    }
    const done = read()
    const pipe = await begun.promise
    await turn()
    return { done, letGo: async () => (await open(pipe, 'w')).close() }
  }

  /** Nobody writes to a pipe: opening it for reading hangs. */
  async function becomesPipe(study: string): Promise<string> {
    const folder = join(database.dataDir, 'clusters', 'north', study)
    const [file = ''] = (await readdir(folder, { recursive: true })).filter((it) => it.endsWith('.dcm'))
    const path = join(folder, file)
    await rm(path)
    execFileSync('mkfifo', [path])
    return path
  }
})
