import { createRequire } from 'node:module'
import { api } from 'dicomweb-client'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Dataset } from '../../src/dicom/dataset.ts'
import { federatedStudies, filesOf, sampleBytes } from '../support/federated-studies.ts'
import { disposedAfterAll, type Federation, heldBy, startFederation } from '../support/federation.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { orthancAvailable } from '../support/orthanc.ts'
import { digestOf, headerOf } from '../support/uploads.ts'

// The library is made for browsers.
Object.assign(globalThis, { XMLHttpRequest: createRequire(import.meta.url)('xhr2') })

interface Target {
  readonly studyInstanceUID: string
  readonly seriesInstanceUID?: string
  readonly sopInstanceUID?: string
}
type MediaTypes = { readonly mediaTypes?: readonly { mediaType: string; transferSyntaxUID?: string }[] }
type Frames = { readonly frameNumbers: readonly number[] }

/** What it takes and gives; its own declarations make everything required. */
interface Client {
  searchForStudies(options: { queryParams: object }): Promise<Dataset[]>
  searchForSeries(options: Target): Promise<Dataset[]>
  searchForInstances(options: Target): Promise<Dataset[]>
  retrieveStudyMetadata(options: Target): Promise<Dataset[]>
  retrieveSeriesMetadata(options: Target): Promise<Dataset[]>
  retrieveInstanceMetadata(options: Target): Promise<Dataset[]>
  retrieveStudy(options: Target): Promise<ArrayBuffer[]>
  retrieveSeries(options: Target): Promise<ArrayBuffer[]>
  retrieveInstance(options: Target): Promise<ArrayBuffer>
  retrieveInstanceFrames(options: Target & MediaTypes & Frames): Promise<ArrayBuffer[]>
  retrieveInstanceRendered(options: Target & MediaTypes): Promise<ArrayBuffer[]>
  retrieveInstanceFramesRendered(options: Target & MediaTypes & Frames): Promise<ArrayBuffer[]>
  retrieveBulkData(options: { BulkDataURI: string }): Promise<ArrayBuffer[]>
  storeInstances(options: { datasets: readonly ArrayBuffer[] }): Promise<unknown>
}
const DICOMwebClient = api.DICOMwebClient as unknown as new (options: object) => Client

const { split, overlapping, single, made } = federatedStudies()

const uidsIn = (rows: unknown, key: string) => (rows as Dataset[]).map((row) => String(row[key]?.Value?.[0])).toSorted()
const digests = async (files: readonly (ArrayBuffer | Uint8Array)[]) =>
  (await Promise.all(files.map((file) => digestOf(new Uint8Array(file))))).toSorted()
const empty = new ArrayBuffer(0)
const addressed = ({ study, series, instance }: MadeInstance) => ({
  studyInstanceUID: study,
  seriesInstanceUID: series,
  sopInstanceUID: instance,
})

describe.skipIf(!orthancAvailable)('dicomweb-client', () => {
  const open = disposedAfterAll()
  let federation: Federation
  let client: Client

  beforeAll(async () => {
    const files = filesOf(made)
    const cardio = [...files.cardio, ...sampleBytes('JPEG2000')]
    federation = open.use(await startFederation({ content: { ...files, cardio } }))
    client = new DICOMwebClient({ url: `${federation.proxy.url}/dicom-web`, verbose: false })
  })

  test('searches studies, series and instances of all clusters', async () => {
    const studies = await client.searchForStudies({ queryParams: { PatientName: '*FEDERATE*', limit: 50 } })
    const named = [split, overlapping, single.chest, single.bob, single.undated, single.report]
    expect(uidsIn(studies, '0020000D')).toEqual(named.map(({ study }) => study).toSorted())
    const series = await client.searchForSeries({ studyInstanceUID: split.study })
    expect(uidsIn(series, '00080060')).toEqual(['CT', 'MR'])
    const instances = await client.searchForInstances({ studyInstanceUID: overlapping.study })
    expect(uidsIn(instances, '00080018')).toEqual(overlapping.all.map(({ instance }) => instance).toSorted())
  })

  test('an empty answer is an empty list', async () => {
    expect(await client.searchForStudies({ queryParams: { PatientID: 'NOBODY' } })).toEqual([])
  })

  test('reads metadata of study, series and instance', async () => {
    const study = await client.retrieveStudyMetadata({ studyInstanceUID: split.study })
    expect(uidsIn(study, '00080018')).toEqual(split.all.map(({ instance }) => instance).toSorted())
    const { studyInstanceUID, seriesInstanceUID } = addressed(single.cine)
    expect(await client.retrieveSeriesMetadata({ studyInstanceUID, seriesInstanceUID })).toHaveLength(1)
    expect(await client.retrieveInstanceMetadata(addressed(single.cine))).toMatchObject([
      { '00280008': { Value: [5] } },
    ])
  })

  test('retrieves study, series and instance byte for byte', async () => {
    const study = await client.retrieveStudy({ studyInstanceUID: split.study })
    expect(await digests(study)).toEqual(await digests(split.all.map(({ bytes }) => bytes)))
    const series = await client.retrieveSeries({
      studyInstanceUID: overlapping.study,
      seriesInstanceUID: overlapping.series,
    })
    expect(series).toHaveLength(4)
    const instance = await client.retrieveInstance(addressed(single.cine))
    expect(await digests([instance])).toEqual(await digests([single.cine.bytes]))
  })

  test('retrieves frames', async () => {
    const frames = await client.retrieveInstanceFrames({ ...addressed(single.cine), frameNumbers: [2, 4] })
    expect(frames.map((frame) => Buffer.from(frame))).toEqual([Buffer.alloc(256, 11), Buffer.alloc(256, 13)])
  })

  test('retrieves a compressed instance and its frame as they are stored', async ({ skip }) => {
    const [bytes] = sampleBytes('JPEG2000')
    if (!bytes) return skip('the folder of sample files is missing')
    const header = await headerOf(bytes)
    const target = {
      studyInstanceUID: header.studyInstanceUID,
      seriesInstanceUID: header.seriesInstanceUID,
      sopInstanceUID: header.sopInstanceUID,
    }
    const instance = await client.retrieveInstance(target)
    expect(await digests([instance])).toEqual(await digests([bytes]))
    const mediaTypes = [
      { mediaType: 'image/jp2', transferSyntaxUID: '1.2.840.10008.1.2.4.91' },
      { mediaType: 'image/jp2', transferSyntaxUID: '1.2.840.10008.1.2.4.90' },
    ]
    const [frame] = await client.retrieveInstanceFrames({ ...target, frameNumbers: [1], mediaTypes })
    expect(bytes.includes(Buffer.from(frame ?? empty))).toBe(true)
    // How a JPEG 2000 codestream begins.
    expect(
      Buffer.from(frame ?? empty)
        .subarray(0, 2)
        .toString('hex'),
    ).toBe('ff4f')
  })

  test('retrieves pictures', async () => {
    const mediaTypes = [{ mediaType: 'image/png' }]
    const [rendered] = await client.retrieveInstanceRendered({ ...addressed(single.cine), mediaTypes })
    expect(
      Buffer.from(rendered ?? empty)
        .subarray(1, 4)
        .toString(),
    ).toBe('PNG')
    const [frame] = await client.retrieveInstanceFramesRendered({
      ...addressed(single.cine),
      frameNumbers: [3],
      mediaTypes: [{ mediaType: 'image/jpeg' }],
    })
    expect(
      Buffer.from(frame ?? empty)
        .subarray(0, 2)
        .toString('hex'),
    ).toBe('ffd8')
  })

  test('follows the addresses of bulk data', async () => {
    const [dataset] = await client.retrieveInstanceMetadata(addressed(single.cine))
    const BulkDataURI = dataset?.['7FE00010']?.BulkDataURI ?? ''
    const [pixels] = await client.retrieveBulkData({ BulkDataURI })
    expect(pixels?.byteLength).toBe(5 * 256)
  })

  test.skipIf(sampleBytes('JPEG2000').length === 0)('follows that of compressed pixels too', async () => {
    const [bytes = Buffer.alloc(0)] = sampleBytes('JPEG2000')
    const { studyInstanceUID } = await headerOf(bytes)
    const [dataset] = await client.retrieveStudyMetadata({ studyInstanceUID })
    const pixels = await client.retrieveBulkData({ BulkDataURI: dataset?.['7FE00010']?.BulkDataURI ?? '' })
    expect(pixels.map((it) => bytes.includes(Buffer.from(it)))).toEqual([true])
  })

  test('stores instances, which are at home then and come to the linked cluster', async () => {
    const study = madeUid()
    const files = [madeInstance({ study }), madeInstance({ study })]
    const datasets = files.map(({ bytes }) => new Uint8Array(bytes).buffer)
    await client.storeInstances({ datasets })
    const uids = files.map(({ instance }) => instance).toSorted()
    expect(await heldBy(federation.north, study)).toEqual(uids)
    await expect.poll(() => heldBy(federation.south, study), { timeout: 60_000, interval: 50 }).toEqual(uids)
  })

  test('an error of a request is told as such', async () => {
    await expect(client.retrieveStudyMetadata({ studyInstanceUID: '1.2.3.4' })).rejects.toMatchObject({ status: 404 })
    await expect(client.searchForStudies({ queryParams: { StudyDate: 'never' } })).rejects.toMatchObject({
      status: 400,
    })
  })
})
