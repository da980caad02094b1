import { beforeAll, describe, expect, test } from 'vitest'
import type { Dataset } from '../../src/dicom/dataset.ts'
import { federatedStudies, filesOf, sampleBytes } from '../support/federated-studies.ts'
import { disposedAfterAll, type Federation, heldBy, startFederation } from '../support/federation.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { type Orthanc, orthancAvailable, startOrthanc } from '../support/orthanc.ts'
import { digestOf, headerOf } from '../support/uploads.ts'

const { split, overlapping, single, made } = federatedStudies()
const uidsOf = (files: readonly MadeInstance[]) => files.map(({ instance }) => instance).toSorted()

describe.skipIf(!orthancAvailable)('Orthanc as a client of the proxy', () => {
  const open = disposedAfterAll()
  let federation: Federation
  let client: Orthanc
  const call = async (operation: string, body: object) => {
    const response = await client.rest(`/dicom-web/servers/proxy/${operation}`, {
      method: 'POST',
      body: JSON.stringify(body),
    })
    const text = await response.text()
    expect(response.status, text).toBe(200)
    return JSON.parse(text) as unknown
  }
  /** Orthanc's own identifiers of what it holds of a study. */
  const resourcesOf = async (study: string) => {
    const found = await client.rest('/tools/lookup', { method: 'POST', body: study })
    return ((await found.json()) as { ID: string }[]).map(({ ID }) => ID)
  }
  const digestsAt = async (archive: Orthanc, study: string) => {
    const [resource] = (await (await archive.rest('/tools/lookup', { method: 'POST', body: study })).json()) as {
      ID: string
    }[]
    const instances = await archive.rest(`/studies/${resource?.ID}/instances`)
    const ids = ((await instances.json()) as { ID: string }[]).map(({ ID }) => ID)
    const files = ids.map(async (id) => Buffer.from(await (await archive.rest(`/instances/${id}/file`)).arrayBuffer()))
    return (await Promise.all(files.map(async (file) => digestOf(await file)))).toSorted()
  }
  const digests = async (files: readonly Uint8Array[]) => (await Promise.all(files.map(digestOf))).toSorted()

  beforeAll(async () => {
    const files = filesOf(made)
    federation = open.use(
      await startFederation({ content: { ...files, cardio: [...files.cardio, ...sampleBytes('JPEG2000')] } }),
    )
    client = open.use(await startOrthanc({ dicomWebServers: { proxy: `${federation.proxy.url}/dicom-web/` } }))
  })

  test('sends a study, which is stored at home and comes to the linked cluster', async () => {
    const [study, series] = [madeUid(), madeUid()]
    const files = [1, 2, 3].map((instanceNumber) => madeInstance({ study, series, instanceNumber }))
    await client.load(files.map(({ bytes }) => bytes))
    await call('stow', { Resources: await resourcesOf(study), Synchronous: true })
    expect(await heldBy(federation.north, study)).toEqual(uidsOf(files))
    expect(await digestsAt(federation.north, study)).toEqual(await digests(files.map(({ bytes }) => bytes)))
    await expect.poll(() => heldBy(federation.south, study), { timeout: 60_000, interval: 50 }).toEqual(uidsOf(files))
  })

  test('finds what all clusters hold', async () => {
    const rows = (await call('qido', {
      Uri: '/studies',
      Arguments: { PatientName: '*FEDERATE^*', '00080020': '20220101-20241231' },
    })) as Dataset[]
    const studies = rows.map((row) => JSON.stringify(row))
    for (const { study } of [split, overlapping, single.chest, single.bob, single.report]) {
      expect(studies.some((row) => row.includes(study))).toBe(true)
    }
    expect(rows).toHaveLength(5)
  })

  test('retrieves a study split over two clusters, and one in three overlapping copies, whole and byte for byte', async () => {
    for (const { study, all } of [split, overlapping]) {
      await call('retrieve', { Resources: [{ Study: study }], Synchronous: true })
      expect(await heldBy(client, study)).toEqual(uidsOf(all))
      expect(await digestsAt(client, study)).toEqual(await digests(all.map(({ bytes }) => bytes)))
    }
  })

  test('retrieves a series and an instance', async () => {
    const { study, series, instance, bytes } = single.cine
    await call('retrieve', { Resources: [{ Study: study, Series: series }], Synchronous: true })
    expect(await digestsAt(client, study)).toEqual(await digests([bytes]))
    const other = single.müller
    const resource = { Study: other.study, Series: other.series, Instance: other.instance }
    await call('retrieve', { Resources: [resource], Synchronous: true })
    expect(await heldBy(client, other.study)).toEqual([other.instance])
    expect(instance).not.toBe(other.instance)
  })

  test('retrieves what no cluster can decode as it is stored', async ({ skip }) => {
    const [bytes] = sampleBytes('JPEG2000')
    if (!bytes) return skip('the folder of sample files is missing')
    const { studyInstanceUID: study } = await headerOf(bytes)
    await call('retrieve', { Resources: [{ Study: study }], Synchronous: true })
    expect(await digestsAt(client, study)).toEqual([await digestOf(bytes)])
  })
})
