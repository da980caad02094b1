import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { sql } from 'drizzle-orm'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { openDatabase } from '../../src/db/connect.ts'
import { guard } from '../../src/db/errors.ts'
import { lockDirectory } from '../../src/db/lock.ts'
import { studyLocation } from '../../src/db/schema.ts'
import { holdersOf, rememberHolders } from '../../src/db/study-location.ts'
import { parseUid } from '../../src/dicom/uid.ts'
import { temporaryFolder } from '../support/folders.ts'
import { postgresAvailable, startPostgres } from '../support/postgres.ts'

const study = parseUid('1.2.3', 'test')
const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function folder(): Promise<string> {
  const it = await temporaryFolder()
  closers.push(it.remove)
  return it.path
}

describe('the embedded database', () => {
  it('keeps what was written over a restart', async () => {
    const dataDir = await folder()
    const first = await openDatabase({ dataDir })
    await rememberHolders(first, [{ study, cluster: 'north', instances: 4 }])
    await first.close()
    const second = await openDatabase({ dataDir })
    closers.push(() => second.close())
    expect(await holdersOf(second, study)).toMatchObject([{ cluster: 'north', instances: 4 }])
  })

  it('refuses a schema that a newer version made', async () => {
    const dataDir = await folder()
    const db = await openDatabase({ dataDir })
    await db.execute(sql`insert into drizzle.__drizzle_migrations (hash, created_at) values ('future', 9999999999999)`)
    await db.close()
    const refused = expect.objectContaining({ code: 'config', message: expect.stringContaining('newer version') })
    await expect(openDatabase({ dataDir })).rejects.toEqual(refused)
    // It let go of the folder.
    const lock = await lockDirectory(dataDir)
    lock.release()
  })

  it('says so when the data directory cannot be one', async () => {
    const dataDir = join(await folder(), 'file')
    await writeFile(dataDir, '')
    const refused = expect.objectContaining({ code: 'config', message: expect.stringContaining('cannot be written') })
    await expect(openDatabase({ dataDir })).rejects.toEqual(refused)
  })

  it.skipIf(process.getuid?.() === 0)('says so when the data directory is read-only', async () => {
    const dataDir = join(await folder(), 'data')
    await mkdir(dataDir)
    await chmod(dataDir, 0o500)
    await expect(openDatabase({ dataDir })).rejects.toMatchObject({ code: 'config' })
  })

  it('errors tell what was attempted but never the values', async () => {
    const dataDir = await folder()
    const db = await openDatabase({ dataDir })
    closers.push(() => db.close())
    const secret = 'DOE^JANE'
    const failing = guard('test the guard', () =>
      db.insert(studyLocation).values({ studyInstanceUID: study, cluster: secret, instances: secret as never }),
    )
    const error = await failing.catch((it: Error) => it)
    expect(error).toMatchObject({ name: 'DatabaseError', message: 'database: could not test the guard (22P02)' })
    expect(JSON.stringify([error, String((error as Error).cause), (error as Error).stack])).not.toContain('JANE')
  })
})

describe('the lock of the data directory', () => {
  it('is not given twice, and is free after release', async () => {
    const directory = await folder()
    const first = await lockDirectory(directory)
    const taken = expect.objectContaining({ code: 'config', message: expect.stringContaining('another dicomweb-link') })
    await expect(lockDirectory(directory)).rejects.toEqual(taken)
    first.release()
    const second = await lockDirectory(directory)
    second.release()
  })

  it('dies with its process, even by kill -9', async () => {
    const directory = await folder()
    const module = JSON.stringify(new URL('../../src/db/lock.ts', import.meta.url).href)
    const script = `const { lockDirectory } = await import(${module});
      globalThis.lock = await lockDirectory(${JSON.stringify(directory)}); console.log('held'); setInterval(() => {}, 1e6)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(createInterface({ input: child.stdout }), 'line')
    await expect(lockDirectory(directory)).rejects.toMatchObject({ code: 'config' })
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
    const lock = await lockDirectory(directory)
    lock.release()
  })
})

describe('PostgreSQL that cannot be used', () => {
  it.each([
    ['nobody listens', 'postgres://proxy:hunter2@127.0.0.1:1/link'],
    ['the address is none', 'postgres://proxy:hunter2@:nowhere:/link'],
  ])('%s: a config error that keeps the secrets', async (_, url) => {
    const error = await openDatabase({ url, dataDir: '' }).catch((it: Error) => it)
    expect(error).toMatchObject({ code: 'config', message: expect.stringContaining('database.url') })
    const { message, stack, cause } = error as Error
    expect([message, stack, String(cause)].join()).not.toMatch(/hunter2|127\.0\.0\.1.*hunter/)
  })
})

describe.skipIf(!postgresAvailable)('PostgreSQL', () => {
  it('proxies that start at the same time on an empty database do not clash', async () => {
    const server = await startPostgres()
    closers.push(server.stop)
    const url = await server.createDatabase()
    const opened = await Promise.all(Array.from({ length: 4 }, () => openDatabase({ url, dataDir: '' })))
    for (const db of opened) closers.push(() => db.close())
    expect(await Promise.all(opened.map((db) => holdersOf(db, study)))).toEqual([[], [], [], []])
  })

  it('a database that does not exist, and one of a newer version, are config errors', async () => {
    const server = await startPostgres()
    closers.push(server.stop)
    const url = await server.createDatabase()
    const missing = openDatabase({ url: `${url}x`, dataDir: '' })
    await expect(missing).rejects.toMatchObject({
      code: 'config',
      message: expect.stringContaining('create the database'),
    })
    const db = await openDatabase({ url, dataDir: '' })
    await db.execute(sql`insert into drizzle.__drizzle_migrations (hash, created_at) values ('future', 9999999999999)`)
    await db.close()
    const refused = openDatabase({ url, dataDir: '' })
    await expect(refused).rejects.toMatchObject({ code: 'config', message: expect.stringContaining('newer version') })
  })

  it('a server that crashes fails what is under way, and nobody else; it is used again when it is back', async () => {
    const server = await startPostgres()
    closers.push(server.stop)
    const db = await openDatabase({ url: await server.createDatabase(), dataDir: '' })
    closers.push(() => db.close())
    const ended = { well: 0, badly: 0 }
    let goesOn = true
    const work = async (cluster: string) => {
      while (goesOn) {
        const told = db.transaction(async (tx) => {
          await rememberHolders(tx, [{ study, cluster, instances: 3 }])
          await tx.transaction((within) => rememberHolders(within, [{ study, cluster, instances: 4 }]))
        })
        const isWell = await told.then(
          () => true,
          () => false,
        )
        ended[isWell ? 'well' : 'badly']++
      }
    }
    const works = Array.from({ length: 20 }, (_, n) => work(`cluster-${n}`))
    closers.push(() => {
      goesOn = false
      return Promise.all(works)
    })
    for (const _ of ['once', 'twice', 'three times']) {
      const { well, badly } = ended
      await vi.waitFor(() => expect(ended.well).toBeGreaterThan(well + 100), { timeout: 30_000 })
      await server.kill()
      // More than there are connections: none is lost for good.
      await vi.waitFor(() => expect(ended.badly).toBeGreaterThan(badly + 100), { timeout: 30_000 })
      await server.restart()
    }
    const { well } = ended
    await vi.waitFor(() => expect(ended.well).toBeGreaterThan(well + 100), { timeout: 30_000 })
  })

  it('a connection that is lost at any moment of its making fails what waits for it, and nobody else', async () => {
    const server = await startPostgres()
    closers.push(server.stop)
    const url = new URL(await server.createDatabase())
    await using way = await wayTo(Number(url.port))
    url.port = String(way.port)
    url.hostname = '127.0.0.1'
    const db = await openDatabase({ url: url.href, dataDir: '' })
    closers.push(() => db.close())
    const outcomes = new Set<string>()
    for (let messages = 1; messages <= 8; messages++) {
      way.reset(messages)
      await holdersOf(db, study).then(
        () => outcomes.add('answered'),
        () => outcomes.add('failed'),
      )
    }
    expect([...outcomes].sort()).toEqual(['answered', 'failed'])
    way.reset(Number.POSITIVE_INFINITY)
    await vi.waitFor(async () => expect(await holdersOf(db, study)).toEqual([]))
  })

  it('a server that hangs is given up in time, by statements, transactions and closing, and served again after', async () => {
    const server = await startPostgres()
    closers.push(server.stop)
    const url = await server.createDatabase()
    const db = await openDatabase({ url, dataDir: '' })
    const other = await openDatabase({ url, dataDir: '' })
    closers.push(() => db.close())
    await rememberHolders(db, [{ study, cluster: 'north' }])
    await holdersOf(other, study)
    server.pause()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const late = { name: 'DatabaseError', code: 'unavailable', sqlState: undefined }
      const statement = expect(holdersOf(db, study)).rejects.toMatchObject(late)
      const transaction = guard('test a transaction', () => db.transaction((tx) => holdersOf(tx, study)))
      const both = Promise.all([statement, expect(transaction).rejects.toMatchObject(late)])
      await vi.advanceTimersByTimeAsync(20_000)
      await both
      const unanswered = expect(holdersOf(other, study)).rejects.toMatchObject({ name: 'DatabaseError' })
      const closing = other.close()
      await vi.advanceTimersByTimeAsync(5_000)
      await Promise.all([closing, unanswered])
    } finally {
      vi.useRealTimers()
      server.resume()
    }
    expect(await holdersOf(db, study)).toMatchObject([{ cluster: 'north' }])
  })
})

/** A way to a port of the loopback on which every connection is reset after so many messages of the client. */
async function wayTo(port: number) {
  const sockets = new Set<Socket>()
  let most = Number.POSITIVE_INFINITY
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1')
    let messages = 0
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => sockets.delete(socket))
    }
    client.on('data', () => {
      if (++messages >= most) for (const socket of [client, upstream]) socket.resetAndDestroy()
    })
    client.pipe(upstream).pipe(client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const resetAll = () => {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    reset(after: number) {
      most = after
      resetAll()
    },
    async [Symbol.asyncDispose]() {
      resetAll()
      server.close()
      await once(server, 'close')
    },
  }
}
