import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Cluster, FramesRequest, ObjectRequest, SearchRequest, Target } from '../../src/clusters/cluster.ts'
import { type Attribute, type Dataset, firstString } from '../../src/dicom/dataset.ts'
import { tag } from '../../src/dicom/tags.ts'
import { parseUid, type Uid } from '../../src/dicom/uid.ts'
import { type MadeInstance, type MadeInstanceOptions, madeInstance, madeUid } from '../support/made-instance.ts'
import { bytesOf, digestOf, headerOf, inPieces, readParts, uploadOf, uploadsOf } from '../support/uploads.ts'

export interface OpenedCluster {
  readonly cluster: Cluster
  close(): Promise<void>
}

/** The contract in the doc comment of `Cluster`, for every kind of it. `open` gives one that can be stored to. */
export function clusterContract(name: string, open: () => Promise<OpenedCluster>): void {
  describe(`${name}: the contract of a cluster`, () => {
    let opened: OpenedCluster
    beforeAll(async () => {
      opened = await open()
    })
    afterAll(() => opened?.close())
    const cluster = () => opened.cluster

    describe('search', () => searchContract(cluster))
    describe('retrieve', () => retrieveContract(cluster))
    describe('metadata and bulk data', () => metadataContract(cluster))
    describe('store', () => storeContract(cluster))
    describe('cancel', () => cancelContract(cluster))
  })
}

const never = new AbortController().signal
const uid = (text: string): Uid => parseUid(text, 'test')

async function stored(cluster: Cluster, ...made: MadeInstance[]): Promise<void> {
  const results = await cluster.store(uploadsOf(...made.map(({ bytes }) => bytes)), never)
  expect(results.map(({ outcome }) => outcome.status)).toEqual(made.map(() => 'stored'))
}

/** A study of two series, the second of two instances. */
async function storedStudy(cluster: Cluster, options: MadeInstanceOptions = {}): Promise<MadeInstance[]> {
  const study = madeUid()
  const series = madeUid()
  const made = [
    madeInstance({ study, modality: 'CT', grey: 10, ...options }),
    madeInstance({ study, series, modality: 'MR', instanceNumber: 2, grey: 20, ...options }),
    madeInstance({ study, series, modality: 'MR', instanceNumber: 1, grey: 30, ...options }),
  ]
  await stored(cluster, ...made)
  return made
}

function targetOf(made: MadeInstance | undefined): Required<Target> {
  if (made === undefined) throw new Error('no instance')
  return { study: uid(made.study), series: uid(made.series), instance: uid(made.instance) }
}

const asked = (request: Partial<SearchRequest> & Pick<SearchRequest, 'level'>): SearchRequest => ({
  constraints: [],
  includeFields: [],
  limit: 100,
  ...request,
})

const uidsOf = (rows: readonly Dataset[], key: string) => rows.map((row) => firstString(row, key)).sort()

const key = (path: string, value: string) => ({ path: path.split('.'), value })

const asStored = (target: Target): ObjectRequest => ({ kind: 'instances', target, transferSyntax: '*' })

function searchContract(cluster: () => Cluster): void {
  it('what was stored is found as one study, by its keys', async () => {
    const patientId = `P${madeUid().slice(-12)}`
    const [first] = await storedStudy(cluster(), { patientId, patientName: 'Found^Again', studyDate: '20230405' })
    const constraints = [key(tag.PatientID, patientId), key(tag.StudyDate, '20230401-20230430')]
    const { rows, truncated } = await cluster().search(asked({ level: 'study', constraints }), never)
    expect(truncated).toBe(false)
    expect(rows).toHaveLength(1)
    const [row = {}] = rows
    expect(firstString(row, tag.StudyInstanceUID)).toBe(first?.study)
    expect(firstString(row, tag.PatientName)).toBe('Found^Again')
    expect(firstString(row, tag.NumberOfStudyRelatedInstances)).toBe('3')
    expect(firstString(row, tag.NumberOfStudyRelatedSeries)).toBe('2')
    expect([...(row[tag.ModalitiesInStudy]?.Value ?? [])].sort()).toEqual(['CT', 'MR'])
  })

  it('the series and instances of a study are found below it', async () => {
    const made = await storedStudy(cluster())
    const { study, series } = targetOf(made[1])
    const found = await cluster().search(asked({ level: 'series', study }), never)
    expect(uidsOf(found.rows, tag.SeriesInstanceUID)).toEqual([...new Set(made.map((it) => it.series))].sort())
    const all = await cluster().search(asked({ level: 'instance', study }), never)
    expect(uidsOf(all.rows, tag.SOPInstanceUID)).toEqual(made.map((it) => it.instance).sort())
    const some = await cluster().search(asked({ level: 'instance', study, series }), never)
    expect(uidsOf(some.rows, tag.SOPInstanceUID)).toEqual([made[1]?.instance, made[2]?.instance].sort())
  })

  it('several studies are found by a list of their UIDs', async () => {
    const made = [madeInstance(), madeInstance(), madeInstance()]
    await stored(cluster(), ...made)
    const wanted = made.slice(0, 2).map(({ study }) => study)
    const constraints = [key(tag.StudyInstanceUID, wanted.join(','))]
    const { rows } = await cluster().search(asked({ level: 'study', constraints }), never)
    expect(uidsOf(rows, tag.StudyInstanceUID)).toEqual(wanted.sort())
  })

  it('an attribute that is asked for is returned', async () => {
    const made = madeInstance({ studyDescription: 'Knee left' })
    await stored(cluster(), made)
    const constraints = [key(tag.StudyInstanceUID, made.study)]
    const request = asked({ level: 'study', constraints, includeFields: [tag.StudyDescription] })
    const { rows } = await cluster().search(request, never)
    expect(rows.map((row) => firstString(row, tag.StudyDescription))).toEqual(['Knee left'])
  })

  it('nothing found is an empty list', async () => {
    const constraints = [key(tag.StudyInstanceUID, madeUid())]
    expect(await cluster().search(asked({ level: 'study', constraints }), never)).toEqual({
      rows: [],
      truncated: false,
    })
    const below = asked({ level: 'series', study: uid(madeUid()) })
    expect(await cluster().search(below, never)).toEqual({ rows: [], truncated: false })
  })

  it('studies without a date are found apart from the others', async () => {
    const [dated, undated] = [madeInstance(), madeInstance({ studyDate: '' })]
    await stored(cluster(), dated, undated)
    const constraints = [key(tag.StudyInstanceUID, `${dated.study},${undated.study}`)]
    const request = asked({ level: 'study', constraints, undated: true, limit: 1 })
    const { rows, truncated } = await cluster().search(request, never)
    expect(uidsOf(rows, tag.StudyInstanceUID)).toEqual([undated.study])
    expect(truncated).toBe(false)
  })

  it('more rows than the limit are cut, and it says so', async () => {
    const [first] = await storedStudy(cluster())
    const { study } = targetOf(first)
    const { rows, truncated } = await cluster().search(asked({ level: 'instance', study, limit: 2 }), never)
    expect(rows).toHaveLength(2)
    expect(truncated).toBe(true)
  })

  it('text beyond ASCII comes back as it was stored', async () => {
    const made = madeInstance({ patientName: 'Müller^Jürgen' })
    await stored(cluster(), made)
    const constraints = [key(tag.StudyInstanceUID, made.study)]
    const { rows } = await cluster().search(asked({ level: 'study', constraints }), never)
    expect(rows.map((row) => firstString(row, tag.PatientName))).toEqual(['Müller^Jürgen'])
  })
}

function retrieveContract(cluster: () => Cluster): void {
  const digestsAt = async (target: Target) => {
    const parts = await readParts(await cluster().retrieve(asStored(target), never))
    expect(parts.every(({ contentType }) => contentType.startsWith('application/dicom'))).toBe(true)
    expect(parts.every(({ length, bytes }) => length === undefined || length === bytes.length)).toBe(true)
    return (await Promise.all(parts.map(({ bytes }) => digestOf(bytes)))).sort()
  }
  const digests = async (made: readonly MadeInstance[]) =>
    (await Promise.all(made.map(({ bytes }) => digestOf(bytes)))).sort()

  it('a study, series or instance comes back whole, each dataset once and byte for byte', async () => {
    const made = await storedStudy(cluster())
    const { study, series, instance } = targetOf(made[1])
    expect(await digestsAt({ study })).toEqual(await digests(made))
    expect(await digestsAt({ study, series })).toEqual(await digests(made.slice(1)))
    expect(await digestsAt({ study, series, instance })).toEqual(await digests(made.slice(1, 2)))
  })

  it('frames come back in the order asked for, as often as asked for', async () => {
    const made = madeInstance({ frames: 3, grey: 40 })
    await stored(cluster(), made)
    const parts = await readParts(await cluster().retrieve(framesOf(made, [3, 1, 3]), never))
    expect(parts.map(({ bytes }) => [bytes.length, bytes[0]])).toEqual([
      [16, 42],
      [16, 40],
      [16, 42],
    ])
    for (const { contentType } of parts) expect(contentType).toMatch(/^application\/octet-stream/)
  })

  it('a frame out of range is a fact about the object, not a fault of the cluster', async () => {
    const made = madeInstance()
    await stored(cluster(), made)
    const error = await cluster()
      .retrieve(framesOf(made, [9]), never)
      .then(readParts)
      .catch((it: unknown) => it)
    expect(error).toMatchObject({ name: 'ClusterError', cluster: cluster().id })
    expect(['not-found', 'rejected']).toContain((error as { reason: string }).reason)
  })

  it('what is not there is not-found, before anything is read', async () => {
    const known = targetOf((await storedStudy(cluster()))[0])
    const unknown = { study: uid(madeUid()), series: uid(madeUid()), instance: uid(madeUid()) }
    const notFound = expect.objectContaining({ name: 'ClusterError', reason: 'not-found', cluster: cluster().id })
    for (const target of [{ study: unknown.study }, { ...known, series: unknown.series }, { ...known, ...unknown }]) {
      await expect(cluster().retrieve(asStored(target), never)).rejects.toEqual(notFound)
    }
  })
}

const framesOf = (made: MadeInstance, frames: number[]): FramesRequest => ({
  kind: 'frames',
  target: targetOf(made),
  frames,
  mediaType: 'application/octet-stream',
  transferSyntax: '*',
})

function metadataContract(cluster: () => Cluster): void {
  const metadata = (target: Target) => Array.fromAsync(cluster().metadata(target, never))

  it('there is one dataset for each instance', async () => {
    const made = await storedStudy(cluster())
    const { study, series } = targetOf(made[1])
    expect(uidsOf(await metadata({ study }), tag.SOPInstanceUID)).toEqual(made.map((it) => it.instance).sort())
    const below = await metadata({ study, series })
    expect(uidsOf(below, tag.SOPInstanceUID)).toEqual([made[1]?.instance, made[2]?.instance].sort())
    expect(uidsOf(below, tag.StudyInstanceUID)).toEqual([study, study])
  })

  it('bulk data is found where the metadata says it is', async () => {
    const made = madeInstance({ rows: 64, columns: 64, grey: 77 })
    await stored(cluster(), made)
    const [dataset = {}] = await metadata(targetOf(made))
    const { BulkDataURI: path }: Partial<Attribute> = dataset[tag.PixelData] ?? {}
    expect(path).toMatch(/^studies\//)
    const parts = await readParts(await cluster().retrieve({ kind: 'bulkdata', path: path ?? '' }, never))
    expect(parts.map(({ bytes }) => bytes.equals(Buffer.alloc(64 * 64, 77)))).toEqual([true])
  })

  it('bulk data is found by its element when the address is that of another cluster', async () => {
    const made = madeInstance({ rows: 64, columns: 64, grey: 78 })
    await stored(cluster(), made)
    const target = targetOf(made)
    const asked = (element: string, instance = target.instance) =>
      cluster().retrieve(
        {
          kind: 'bulkdata',
          path: 'studies/1/bulk/of/another',
          origin: { cluster: 'another', target: { ...target, instance }, element },
        },
        never,
      )
    const parts = await readParts(await asked(tag.PixelData))
    expect(parts.map(({ bytes }) => bytes.equals(Buffer.alloc(64 * 64, 78)))).toEqual([true])
    const absent = { name: 'ClusterError', reason: 'not-found' }
    await expect(asked('54000100.1.54001010')).rejects.toMatchObject(absent)
    await expect(asked('')).rejects.toMatchObject(absent)
    await expect(asked(tag.PixelData, uid(madeUid()))).rejects.toMatchObject(absent)
  })

  it('metadata of an unknown study is not-found', async () => {
    const unknown = metadata({ study: uid(madeUid()) })
    await expect(unknown).rejects.toMatchObject({ name: 'ClusterError', reason: 'not-found' })
  })
}

function storeContract(cluster: () => Cluster): void {
  const bytesAt = async (made: MadeInstance) => {
    const parts = await readParts(await cluster().retrieve(asStored(targetOf(made)), never))
    return parts.map(({ bytes }) => bytes)
  }

  it('nothing to store is nothing stored', async () => {
    expect(await cluster().store(uploadsOf(), never)).toEqual([])
  })

  it('the answer names each instance it was given, in order', async () => {
    const made = [madeInstance(), madeInstance(), madeInstance()]
    const results = await cluster().store(uploadsOf(...made.map(({ bytes }) => bytes)), never)
    expect(results.map(({ header }) => header.sopInstanceUID)).toEqual(made.map(({ instance }) => instance))
  })

  it('the same content again is a success and changes nothing', async () => {
    const made = await storedStudy(cluster())
    await stored(cluster(), ...made)
    const { study } = targetOf(made[0])
    const { rows } = await cluster().search(asked({ level: 'instance', study }), never)
    expect(rows).toHaveLength(3)
  })

  it('other content under a known UID is refused, and the old one stays', async () => {
    const made = madeInstance({ grey: 1 })
    await stored(cluster(), made)
    const other = madeInstance({ ...made, grey: 2 })
    const [result] = await cluster().store(uploadsOf(other.bytes), never)
    const refused = { status: 'failed', failureReason: 0x0111 }
    expect(result?.outcome).toEqual(refused)
    const [bytes = Buffer.alloc(0)] = await bytesAt(made)
    expect(await digestOf(bytes)).toBe(await digestOf(made.bytes))
  })

  it('a damaged instance among good ones fails alone', async () => {
    const good = [madeInstance(), madeInstance()]
    const damaged = madeInstance({ rows: 64, columns: 64 })
    const header = await headerOf(damaged.bytes)
    async function* uploads() {
      yield await uploadOf(good[0]?.bytes ?? Buffer.alloc(0))
      // It ends in the middle of an element ahead of the pixel data.
      yield { header, body: inPieces(damaged.bytes.subarray(0, damaged.bytes.length - 64 * 64 - 30)) }
      yield await uploadOf(good[1]?.bytes ?? Buffer.alloc(0))
    }
    const results = await cluster().store(uploads(), never)
    expect(results.map(({ outcome }) => outcome.status)).toEqual(['stored', 'failed', 'stored'])
  })

  it('many at the same time, and one UID by several at the same time, are all stored once', async () => {
    const shared = madeInstance()
    const own = Array.from({ length: 4 }, () => madeInstance({ study: shared.study }))
    await Promise.all(own.map((it) => stored(cluster(), it, shared)))
    const { rows } = await cluster().search(asked({ level: 'instance', study: uid(shared.study) }), never)
    expect(uidsOf(rows, tag.SOPInstanceUID)).toEqual([shared, ...own].map(({ instance }) => instance).sort())
  })

  it('of two contents of one UID at the same time one is stored, and the other is refused', async () => {
    const contents = [madeInstance({ grey: 1 })]
    contents.push(madeInstance({ ...contents[0], grey: 2 }))
    const answers = await Promise.all(contents.map(({ bytes }) => cluster().store(uploadsOf(bytes), never)))
    const outcomes = answers.flatMap((results) => results.map(({ outcome }) => outcome.status))
    expect(outcomes.toSorted()).toEqual(['failed', 'stored'])
    for (const [index, made] of contents.entries()) {
      const [bytes = Buffer.alloc(0)] = await bytesAt(made)
      const kept = (await digestOf(bytes)) === (await digestOf(made.bytes))
      expect(kept).toBe(outcomes[index] === 'stored')
    }
  })

  it('an upload that breaks off leaves nothing that can be seen', async () => {
    const made = madeInstance()
    const header = await headerOf(made.bytes)
    async function* broken() {
      yield made.bytes.subarray(0, 300)
      throw new Error('the sender is gone')
    }
    async function* uploads() {
      yield { header, body: broken() }
    }
    await expect(cluster().store(uploads(), never)).rejects.toThrow()
    const { rows } = await cluster().search(asked({ level: 'instance', study: uid(made.study) }), never)
    expect(rows).toEqual([])
  })
}

function cancelContract(cluster: () => Cluster): void {
  const reason = new Error('the client is gone')

  it('a caller that has left gets its own reason back from every call', async () => {
    const [made] = await storedStudy(cluster())
    const target = targetOf(made)
    const gone = AbortSignal.abort(reason)
    await expect(cluster().search(asked({ level: 'study' }), gone)).rejects.toBe(reason)
    await expect(cluster().retrieve(asStored(target), gone)).rejects.toBe(reason)
    await expect(Array.fromAsync(cluster().metadata(target, gone))).rejects.toBe(reason)
    await expect(cluster().store(uploadsOf(madeInstance().bytes), gone)).rejects.toBe(reason)
    await expect(cluster().probe(gone)).rejects.toBe(reason)
  })

  it('a caller that leaves in the middle of an answer gets its own reason back', async () => {
    const big = madeInstance({ rows: 2000, columns: 2000 })
    const more = madeInstance({ study: big.study })
    await stored(cluster(), big, more)
    const caller = new AbortController()
    const parts = await cluster().retrieve(asStored({ study: uid(big.study) }), caller.signal)
    const reading = async () => {
      for await (const { body } of parts) {
        caller.abort(reason)
        await bytesOf(body)
      }
    }
    await expect(reading()).rejects.toBe(reason)
  })

  it('answers that nobody reads to their end use nothing up', async () => {
    const big = madeInstance({ rows: 1000, columns: 1000 })
    const more = madeInstance({ study: big.study })
    await stored(cluster(), big, more)
    const target = { study: uid(big.study) }
    for (let round = 0; round < 40; round++) {
      for await (const { body } of await cluster().retrieve(asStored(target), never)) {
        for await (const _ of body) break
        break
      }
    }
    expect(await readParts(await cluster().retrieve(asStored(target), never))).toHaveLength(2)
  })

  it('a probe says what the cluster can do', async () => {
    const report = await cluster().probe(never)
    expect(report.latencyMs).toBeGreaterThanOrEqual(0)
    expect(report.supports).toEqual(expect.arrayContaining(['search', 'retrieve', 'metadata', 'store']))
  })
}
