import { execFileSync } from 'node:child_process'
import { copyFile, mkdir, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { commit } from '../../src/clusters/embedded/commit.ts'
import { prepareFolder } from '../../src/clusters/embedded/files.ts'
import { type Received, receive } from '../../src/clusters/embedded/receive.ts'
import { noLog } from '../../src/core/telemetry.ts'
import type { Queries } from '../../src/db/connect.ts'
import { embeddedInstance, embeddedSeries, embeddedStudy } from '../../src/db/schema.ts'
import { firstString } from '../../src/dicom/dataset.ts'
import { tag } from '../../src/dicom/tags.ts'
import { parseUid, type Uid } from '../../src/dicom/uid.ts'
import { openTestDatabase } from '../support/database.ts'
import { openArchive } from '../support/embedded.ts'
import { temporaryFolder } from '../support/folders.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { sample, samples } from '../support/samples.ts'
import { digestOf, headerOf, inPieces, readParts, uploadOf, uploadsOf } from '../support/uploads.ts'

const never = new AbortController().signal
const uid = (text: string): Uid => parseUid(text, 'test')
const bytes = (made: readonly MadeInstance[]) => made.map((it) => it.bytes)

// One database for all tests, emptied in between, and a data directory for each: PGlite takes a while to open.
let database: Awaited<ReturnType<typeof openTestDatabase>>
let data: Awaited<ReturnType<typeof temporaryFolder>>
beforeAll(async () => {
  database = await openTestDatabase()
})
afterAll(() => database?.close())
beforeEach(async () => {
  data = await temporaryFolder()
})
afterEach(async () => {
  await forgetIndex()
  await data.remove()
})

async function forgetIndex(): Promise<void> {
  for (const table of [embeddedInstance, embeddedSeries, embeddedStudy]) await database.db.delete(table)
}

const folder = () => join(data.path, 'clusters', 'north')
const open = (maxPartBytes?: number, db: Queries = database.db) =>
  openArchive({ db, dataDir: data.path, ...(maxPartBytes && { maxPartBytes }) })

async function withArchive<T>(work: (cluster: Awaited<ReturnType<typeof open>>) => Promise<T>): Promise<T> {
  const cluster = await open()
  try {
    return await work(cluster)
  } finally {
    await cluster.close()
  }
}

const filesIn = async (path: string) =>
  (await readdir(path, { recursive: true, withFileTypes: true }))
    .filter((it) => it.isFile() && /\.dcm$|incoming/.test(join(it.parentPath, it.name)))
    .map((it) => join(it.parentPath, it.name))

const instancesIn = (cluster: Awaited<ReturnType<typeof open>>) =>
  cluster.search({ level: 'instance', constraints: [], includeFields: [], limit: 1000 }, never)

/** Files of this process that are open below a folder. */
async function openFiles(path: string): Promise<string[]> {
  const descriptors = await readdir('/proc/self/fd')
  const links = await Promise.all(descriptors.map((it) => readlink(join('/proc/self/fd', it)).catch(() => '')))
  return links.filter((it) => it.startsWith(path) && it.endsWith('.dcm'))
}

describe('files of the embedded archive', () => {
  it('refused and repeated uploads leave no file', () =>
    withArchive(async (cluster) => {
      const made = madeInstance({ rows: 1200, columns: 1200 })
      const other = madeInstance({ ...made, grey: 99, rows: 1200, columns: 1200 })
      await cluster.store(uploadsOf(made.bytes, made.bytes, other.bytes), never)
      const small = madeInstance()
      await cluster.store(uploadsOf(small.bytes, small.bytes, madeInstance({ ...small, grey: 9 }).bytes), never)
      expect(await filesIn(folder())).toHaveLength(2)
    }))

  it('an upload larger than allowed is refused, the ones beside it are stored, and nothing is left of it', async () => {
    const cluster = await open(50_000)
    const made = [madeInstance(), madeInstance({ rows: 300, columns: 300 }), madeInstance()]
    const results = await cluster.store(uploadsOf(...bytes(made)), never)
    expect(results.map(({ outcome }) => outcome)).toEqual([
      { status: 'stored' },
      { status: 'failed', failureReason: 0xa700 },
      { status: 'stored' },
    ])
    expect(await filesIn(folder())).toHaveLength(2)
    await cluster.close()
  })

  it('what says one UID outside and another inside is refused', () =>
    withArchive(async (cluster) => {
      const made = madeInstance()
      const header = { ...(await headerOf(made.bytes)), studyInstanceUID: uid(madeUid()) }
      async function* uploads() {
        yield { header, body: inPieces(made.bytes) }
      }
      const [result] = await cluster.store(uploads(), never)
      expect(result?.outcome).toEqual({ status: 'failed', failureReason: 0xa900 })
    }))

  it('two uploads of one UID with different contents at the same time: one is stored, the other refused', () =>
    withArchive(async (cluster) => {
      const one = madeInstance({ grey: 1 })
      const two = madeInstance({ ...one, grey: 2 })
      const results = await Promise.all([one, two].map((it) => cluster.store(uploadsOf(it.bytes), never)))
      expect(
        results
          .flat()
          .map(({ outcome }) => outcome.status)
          .sort(),
      ).toEqual(['failed', 'stored'])
      expect(await filesIn(folder())).toHaveLength(1)
    }))

  it('answers left early close their files', () =>
    withArchive(async (cluster) => {
      const made = madeInstance({ rows: 2000, columns: 2000, frames: 2 })
      await cluster.store(uploadsOf(made.bytes), never)
      const target = { study: uid(made.study), series: uid(made.series), instance: uid(made.instance) }
      const whole = await cluster.retrieve({ kind: 'instances', target, transferSyntax: '*' }, never)
      for await (const { body } of whole) {
        for await (const _ of body) {
          expect(await openFiles(folder())).toHaveLength(1)
          break
        }
        break
      }
      const request = { kind: 'frames', target, frames: [1, 2], mediaType: '*/*', transferSyntax: '*' } as const
      // An answer that is never read at all.
      await cluster.retrieve(request, never)
      for await (const { body } of await cluster.retrieve(request, never)) {
        for await (const _ of body) break
        break
      }
      expect(await openFiles(folder())).toEqual([])
    }))

  it('a file that is missing or cut short is a failure of the archive before its answer begins', () =>
    withArchive(async (cluster) => {
      const made = madeInstance()
      await cluster.store(uploadsOf(made.bytes), never)
      const [file = ''] = await filesIn(folder())
      const request = { kind: 'instances', target: { study: uid(made.study) }, transferSyntax: '*' } as const
      await writeFile(file, made.bytes.subarray(0, 500))
      await expect(cluster.retrieve(request, never)).rejects.toMatchObject({ name: 'ClusterError', reason: 'failed' })
      await rm(file)
      await expect(cluster.retrieve(request, never)).rejects.toMatchObject({ name: 'ClusterError', reason: 'failed' })
    }))

  it('what was lost on disk is stored when it is sent again, once however many send it', () =>
    withArchive(async (cluster) => {
      const made = [madeInstance(), madeInstance({ rows: 1200, columns: 1200 })]
      for (const damage of [rm, (path: string) => writeFile(path, 'short')]) {
        await cluster.store(uploadsOf(...bytes(made)), never)
        for (const file of await filesIn(folder())) await damage(file)
        const again = [bytes(made), bytes(made), bytes(made)].map((files) => cluster.store(uploadsOf(...files), never))
        const outcomes = (await Promise.all(again)).flat().map(({ outcome }) => outcome.status)
        expect(new Set(outcomes)).toEqual(new Set(['stored']))
        expect(await digestsIn(cluster, made)).toEqual(await Promise.all(bytes(made).map(digestOf)))
      }
      expect((await instancesIn(cluster)).rows).toHaveLength(2)
      const { rows } = await cluster.search({ level: 'study', constraints: [], includeFields: [], limit: 9 }, never)
      expect(rows.map((row) => firstString(row, tag.NumberOfStudyRelatedInstances))).toEqual(['1', '1'])
    }))

  it('other content does not take the place of what was lost', () =>
    withArchive(async (cluster) => {
      const made = madeInstance()
      await cluster.store(uploadsOf(made.bytes), never)
      for (const file of await filesIn(folder())) await rm(file)
      const [result] = await cluster.store(uploadsOf(madeInstance({ ...made, grey: 9 }).bytes), never)
      expect(result?.outcome).toEqual({ status: 'failed', failureReason: 0x0111 })
    }))

  it('nothing that is committed is taken back because a file that is left over cannot be removed', async () => {
    const [first, known, fresh] = [madeInstance(), madeInstance(), madeInstance()]
    await withArchive((cluster) => cluster.store(uploadsOf(known.bytes), never))
    const [old] = await filesIn(folder())
    const received = Promise.withResolvers<void>()
    /** What is to be removed becomes a folder, after its transaction has been committed. */
    const obstruct = async () => {
      const left = (await filesIn(folder())).filter((it) => it.includes(known.instance) && it !== old)
      for (const file of left) await rm(file).then(() => mkdir(file))
      return left.length
    }
    let obstructed = 0
    const db: Queries = Object.assign(Object.create(database.db), {
      transaction: async (work: Parameters<Queries['transaction']>[0]) => {
        // All that follows the first one becomes one batch.
        await received.promise
        const answer = await database.db.transaction(work)
        obstructed += await obstruct()
        return answer
      },
    })
    async function* uploads() {
      yield* uploadsOf(first.bytes, known.bytes, fresh.bytes)
      received.resolve()
    }
    const cluster = await open(undefined, db)
    const results = await cluster.store(uploads(), never)
    expect(results.map(({ outcome }) => outcome.status)).toEqual(['stored', 'stored', 'stored'])
    expect(obstructed).toBe(1)
    const all = [first, known, fresh]
    expect(await digestsIn(cluster, all)).toEqual(await Promise.all(bytes(all).map(digestOf)))
    await cluster.close()
    // It is looked through when it is opened next.
    expect(await readdir(folder())).not.toContain('clean')
  })

  it('of a batch that cannot be written nothing stays aside', async () => {
    await prepareFolder(folder())
    const received = async (made: MadeInstance): Promise<Received> => {
      const reception = await receive(await uploadOf(made.bytes), { folder: folder(), maxBytes: 10e6, signal: never })
      if ('failureReason' in reception) throw new Error('not received')
      return reception.received
    }
    const batch = [await received(madeInstance()), await received(madeInstance({ rows: 1200, columns: 1200 }))]
    expect(await filesIn(folder())).toHaveLength(1)
    const elsewhere = { cluster: 'north', folder: join(data.path, 'gone'), db: database.db, log: noLog }
    await expect(commit({ ...elsewhere, untidy: () => undefined }, batch)).rejects.toMatchObject({ code: 'ENOENT' })
    expect(await filesIn(folder())).toEqual([])
  })

  it('objects are given as they are stored, or not at all', () =>
    withArchive(async (cluster) => {
      const made = madeInstance()
      await cluster.store(uploadsOf(made.bytes), never)
      const request = { kind: 'instances', target: { study: uid(made.study) } } as const
      const stored = { ...request, transferSyntax: '1.2.840.10008.1.2.1' }
      const [part] = await readParts(await cluster.retrieve(stored, never))
      expect(part?.contentType).toBe('application/dicom; transfer-syntax=1.2.840.10008.1.2.1')
      expect(Buffer.compare(part?.bytes ?? Buffer.alloc(0), made.bytes)).toBe(0)
      const other = cluster.retrieve({ ...request, transferSyntax: '1.2.840.10008.1.2.4.90' }, never)
      await expect(other).rejects.toMatchObject({ reason: 'unsupported' })
      const picture = { kind: 'rendered', mediaTypes: ['image/jpeg'], parameters: {}, target: request.target } as const
      await expect(cluster.retrieve(picture, never)).rejects.toMatchObject({ reason: 'unsupported' })
    }))
})

describe('opening an embedded archive', () => {
  it('its folder belongs to one process', () =>
    withArchive(async () => {
      await expect(open()).rejects.toMatchObject({ code: 'config' })
    }))

  it('an index that was lost is made anew from the files, without their twins', async () => {
    const made = [madeInstance(), madeInstance(), madeInstance({ frames: 2 })]
    await withArchive((cluster) => cluster.store(uploadsOf(...bytes(made)), never))
    const [file = ''] = await filesIn(folder())
    await copyFile(file, file.replace(/\.[\da-f]{8}\.dcm$/, '.00000000.dcm'))
    await forgetIndex()
    await withArchive(async (cluster) => {
      const { rows } = await instancesIn(cluster)
      expect(rows.map((row) => firstString(row, tag.SOPInstanceUID)).sort()).toEqual(
        made.map((it) => it.instance).sort(),
      )
      expect(await filesIn(folder())).toHaveLength(3)
      expect(await digestsIn(cluster, made)).toEqual(await Promise.all(bytes(made).map(digestOf)))
    })
  })

  it('after a crash half files are gone, whole ones are taken in, and foreign or damaged ones stay unseen', async () => {
    const known = madeInstance()
    const whole = madeInstance()
    await withArchive((cluster) => cluster.store(uploadsOf(known.bytes), never))
    await rm(join(folder(), 'clean'))
    await mkdir(join(folder(), 'incoming'), { recursive: true })
    await writeFile(join(folder(), 'incoming', 'half'), whole.bytes.subarray(0, 400))
    const place = join(folder(), whole.study, whole.series, `${whole.instance}.0123abcd.dcm`)
    const damaged = join(folder(), whole.study, whole.series, '1.2.3.0123abcd.dcm')
    await mkdir(dirname(place), { recursive: true })
    await writeFile(place, whole.bytes)
    await writeFile(damaged, whole.bytes.subarray(0, 400))
    await writeFile(join(folder(), whole.study, whole.series, 'notes.txt'), 'mine')
    await withArchive(async (cluster) => {
      const { rows } = await instancesIn(cluster)
      const uids = rows.map((row) => firstString(row, tag.SOPInstanceUID))
      expect(uids.sort()).toEqual([known.instance, whole.instance].sort())
      expect(await readdir(join(folder(), 'incoming'))).toEqual([])
      expect((await readFile(damaged)).length).toBe(400)
    })
  })
})

async function digestsIn(cluster: Awaited<ReturnType<typeof open>>, made: readonly MadeInstance[]): Promise<string[]> {
  const digests = []
  for (const { study } of made) {
    const target = { study: uid(study) }
    const [part] = await readParts(await cluster.retrieve({ kind: 'instances', target, transferSyntax: '*' }, never))
    digests.push(await digestOf(part?.bytes ?? Buffer.alloc(0)))
  }
  return digests
}

/** The samples, of those that are one instance in several encodings the first. */
async function distinct(paths: readonly string[]): Promise<Buffer[]> {
  const byInstance = new Map<Uid, Buffer>()
  for (const path of paths) {
    const file = await readFile(path)
    const { sopInstanceUID } = await headerOf(file)
    if (!byInstance.has(sopInstanceUID)) byInstance.set(sopInstanceUID, file)
  }
  return [...byInstance.values()]
}

describe('real files', () => {
  it.skipIf(samples().length === 0)('of many kinds are stored and come back byte for byte', () =>
    withArchive(async (cluster) => {
      const files = await distinct(samples())
      const results = await cluster.store(uploadsOf(...files), never)
      const refused = results.flatMap(({ outcome }, index) => (outcome.status === 'failed' ? [index] : []))
      expect(refused).toEqual([])
      for (const [index, { header }] of results.entries()) {
        const target = {
          study: header.studyInstanceUID,
          series: header.seriesInstanceUID,
          instance: header.sopInstanceUID,
        }
        const [part] = await readParts(
          await cluster.retrieve({ kind: 'instances', target, transferSyntax: '*' }, never),
        )
        expect(part?.contentType).toBe(`application/dicom; transfer-syntax=${header.transferSyntaxUID}`)
        expect(part && files[index]?.equals(part.bytes), header.sopInstanceUID).toBe(true)
      }
    }),
  )

  it.skipIf(sample('JPEG2000.dcm') === undefined)('frames of a compressed image keep their encoding and say it', () =>
    withArchive(async (cluster) => {
      const file = await readFile(sample('JPEG2000.dcm') ?? '')
      const [result] = await cluster.store(uploadsOf(file), never)
      if (result === undefined) throw new Error('nothing stored')
      const { studyInstanceUID: study, seriesInstanceUID: series, sopInstanceUID: instance } = result.header
      const request = { kind: 'frames', target: { study, series, instance }, frames: [1] } as const
      const ask = (mediaType: string, transferSyntax: string) =>
        cluster.retrieve({ ...request, mediaType, transferSyntax }, never)
      const [part] = await readParts(await ask('application/octet-stream', '*'))
      expect(part?.contentType).toBe(`image/jp2; transfer-syntax=${result.header.transferSyntaxUID}`)
      expect(part?.length).toBe(part?.bytes.length)
      expect(part?.bytes.readUInt16BE(0)).toBe(0xff4f)
      await expect(ask('application/octet-stream', '1.2.840.10008.1.2.1')).rejects.toMatchObject({
        reason: 'unsupported',
      })
      await expect(ask('image/jpeg', '*')).rejects.toMatchObject({ reason: 'unsupported' })
    }),
  )
})

const tiny = '3m'

/** Mounts a file system that is soon full, when this process may. */
function mountTiny(path: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${tiny}`, 'tmpfs', path], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

describe('a full disk', () => {
  it('refuses what does not fit, keeps the rest, and goes on when there is room again', async (context) => {
    await mkdir(folder(), { recursive: true })
    if (!mountTiny(folder())) return context.skip('left out: only root may mount a small file system')
    try {
      await withArchive(async (cluster) => {
        const full = { status: 'failed', failureReason: 0xa700 }
        const first = madeInstance({ rows: 1200, columns: 1200 })
        const large = madeInstance({ rows: 2000, columns: 2000 })
        const small = madeInstance()
        const results = await cluster.store(uploadsOf(first.bytes, large.bytes, small.bytes), never)
        expect(results.map(({ outcome }) => outcome)).toEqual([{ status: 'stored' }, full, { status: 'stored' }])
        // Those that wait in memory are refused one by one as well.
        const many = Array.from({ length: 8 }, () => madeInstance({ rows: 600, columns: 600 }))
        const outcomes = (await cluster.store(uploadsOf(...bytes(many)), never)).map(({ outcome }) => outcome)
        expect(outcomes).toContainEqual(full)
        expect(outcomes).toContainEqual({ status: 'stored' })
        const stored = outcomes.filter(({ status }) => status === 'stored').length
        expect(await filesIn(folder())).toHaveLength(2 + stored)
        expect((await cluster.probe(never)).remarks).toEqual([expect.stringContaining('less than 1 GiB')])
        execFileSync('mount', ['-o', 'remount,size=64m', folder()])
        const again = await cluster.store(uploadsOf(large.bytes), never)
        expect(again.map(({ outcome }) => outcome)).toEqual([{ status: 'stored' }])
        expect((await instancesIn(cluster)).rows).toHaveLength(3 + stored)
      })
    } finally {
      execFileSync('umount', [folder()])
    }
  })
})
