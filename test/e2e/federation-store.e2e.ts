import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Dataset } from '../../src/dicom/dataset.ts'
import {
  type Answer,
  disposedAfterAll,
  type Federation,
  heldBy,
  instancePath,
  startFederation,
  storeRequest,
} from '../support/federation.ts'
import { largeInstance } from '../support/large-instance.ts'
import { type MadeInstance, madeInstance, madeUid } from '../support/made-instance.ts'
import { type Orthanc, orthancAvailable } from '../support/orthanc.ts'
import { postgresAvailable, startPostgres } from '../support/postgres.ts'
import { digestOf } from '../support/uploads.ts'

/** Longest wait for what is stored at home to be at the linked cluster. */
const convergence = { timeout: 60_000, interval: 50 }
const uidsOf = (made: readonly MadeInstance[]) => made.map(({ instance }) => instance).toSorted()
const inOneStudy = (count: number): MadeInstance[] => {
  const [study, series] = [madeUid(), madeUid()]
  return Array.from({ length: count }, (_, index) => madeInstance({ study, series, instanceNumber: index + 1 }))
}

/** What an answer of STOW-RS says, PS3.18 10.5.3. */
function receipt(answer: Answer) {
  const response = answer.json() as Dataset
  const items = (key: string) => (response[key]?.Value ?? []) as Dataset[]
  const text = (item: Dataset, key: string) => String(item[key]?.Value?.[0])
  return {
    stored: items('00081199').map((item) => text(item, '00081155')),
    addresses: items('00081199').map((item) => text(item, '00081190')),
    failed: items('00081198').map((item) => [
      item['00081155'] === undefined ? undefined : text(item, '00081155'),
      Number(item['00081197']?.Value?.[0]),
    ]),
  }
}

describe.skipIf(!orthancAvailable)('three archives stored to as one', () => {
  const open = disposedAfterAll()
  let federation: Federation
  const third = madeInstance({ patientName: 'THIRD^PARTY' })
  const store = (path: string, ...files: Parameters<typeof storeRequest>[0]) =>
    federation.ask(path, storeRequest(files))
  const reaches = (archive: Orthanc, study: string, made: readonly MadeInstance[]) =>
    expect.poll(() => heldBy(archive, study), convergence).toEqual(uidsOf(made))
  const digestsAt = async (archive: Orthanc, made: readonly MadeInstance[]) => {
    const digests = made.map(async ({ instance }) => {
      const found = await archive.rest('/tools/lookup', { method: 'POST', body: instance })
      const [{ ID: id }] = (await found.json()) as [{ ID: string }]
      return digestOf(Buffer.from(await (await archive.rest(`/instances/${id}/file`)).arrayBuffer()))
    })
    return Promise.all(digests)
  }

  beforeAll(async () => {
    const content = { north: [], south: [], cardio: [third.bytes] }
    // The embedded database takes so much memory of its own that what is held of an instance would not be seen.
    const postgres = postgresAvailable ? open.adopt(await startPostgres(), (it) => it.stop()) : undefined
    const config = postgres ? { database: { url: await postgres.createDatabase() } } : {}
    federation = open.use(await startFederation({ content, config }))
  })

  test('what is stored is at home at once, and comes to the linked cluster byte for byte', async () => {
    const made = inOneStudy(5)
    const [{ study } = third] = made
    const answer = await store('/dicom-web/studies', ...made.map(({ bytes }) => bytes))
    expect(answer.status, answer.text()).toBe(200)
    const { stored, addresses, failed } = receipt(answer)
    expect(stored.toSorted()).toEqual(uidsOf(made))
    expect(failed).toEqual([])
    expect(addresses.toSorted()).toEqual(made.map((it) => `${federation.proxy.url}${instancePath(it)}`).toSorted())
    expect(await heldBy(federation.north, study)).toEqual(uidsOf(made))
    await reaches(federation.south, study, made)
    expect(await digestsAt(federation.south, made)).toEqual(await Promise.all(made.map(({ bytes }) => digestOf(bytes))))
  })

  test('it is found and retrieved as soon as it is acknowledged, and grows when more comes', async () => {
    const made = inOneStudy(3)
    const [first, ...more] = made as [MadeInstance, ...MadeInstance[]]
    for (const [index, files] of [[first], more].entries()) {
      const answer = await store(`/dicom-web/studies/${first.study}`, ...files.map(({ bytes }) => bytes))
      expect(answer.status, answer.text()).toBe(200)
      const expected = index === 0 ? [first] : made
      const [row] = await federation.datasets(`/dicom-web/studies?StudyInstanceUID=${first.study}`)
      expect(row?.['00201208']?.Value).toEqual([expected.length])
      const retrieved = await federation.ask(`/dicom-web/studies/${first.study}`, {
        headers: { accept: 'multipart/related; type="application/dicom"; transfer-syntax=*' },
      })
      expect(retrieved.parts()).toHaveLength(expected.length)
      const metadata = await federation.datasets(`/dicom-web/studies/${first.study}/metadata`)
      expect(metadata).toHaveLength(expected.length)
    }
    await reaches(federation.south, first.study, made)
  })

  test('the same again is a success and changes nothing', async () => {
    const made = inOneStudy(2)
    const bytes = made.map((it) => it.bytes)
    for (let round = 0; round < 2; round++) {
      const answer = await store('/dicom-web/studies', ...bytes)
      expect(answer.status, answer.text()).toBe(200)
      expect(receipt(answer).stored.toSorted()).toEqual(uidsOf(made))
    }
    expect(await heldBy(federation.north, made[0]?.study ?? '')).toEqual(uidsOf(made))
  })

  test('other content under a UID that is there is refused as a duplicate, and the stored one stays', async () => {
    const original = madeInstance({ grey: 10 })
    const { study, series, instance } = original
    const changed = madeInstance({ study, series, instance, grey: 99 })
    const beside = madeInstance({ study, series })
    expect((await store('/dicom-web/studies', original.bytes)).status).toBe(200)
    const alone = await store('/dicom-web/studies', changed.bytes)
    expect(alone.status).toBe(409)
    expect(receipt(alone)).toMatchObject({ stored: [], failed: [[instance, 0x0111]] })
    const mixed = await store('/dicom-web/studies', changed.bytes, beside.bytes)
    expect(mixed.status).toBe(202)
    expect(receipt(mixed)).toMatchObject({ stored: [beside.instance], failed: [[instance, 0x0111]] })
    await reaches(federation.south, study, [original, beside])
    for (const archive of [federation.north, federation.south]) {
      expect(await digestsAt(archive, [original])).toEqual([await digestOf(original.bytes)])
    }
  })

  test('instances of another study than that of the path are refused one by one', async () => {
    const [wanted, other] = [madeInstance(), madeInstance()]
    const answer = await store(`/dicom-web/studies/${wanted.study}`, other.bytes, wanted.bytes)
    expect(answer.status).toBe(202)
    expect(receipt(answer)).toMatchObject({ stored: [wanted.instance], failed: [[other.instance, 0xa900]] })
    expect(await heldBy(federation.north, other.study)).toEqual([])
    expect((await store(`/dicom-web/studies/${wanted.study}`, other.bytes)).status).toBe(409)
  })

  test('a part that is no DICOM spoils none of the others', async () => {
    const [first, last] = inOneStudy(2) as [MadeInstance, MadeInstance]
    const text = { type: 'application/dicom', bytes: Buffer.from('this is a letter') }
    const answer = await store('/dicom-web/studies', first.bytes, text, last.bytes)
    expect(answer.status, answer.text()).toBe(202)
    const { stored, failed } = receipt(answer)
    expect(stored.toSorted()).toEqual(uidsOf([first, last]))
    expect(failed).toEqual([[undefined, 0xc000]])
    const nothing = await store('/dicom-web/studies', text)
    expect(nothing.status).toBe(409)
  })

  test.each([
    ['without a closing boundary', (body: Buffer) => body.subarray(0, body.length - 4), 400],
    ['without parts', () => Buffer.from('--a-boundary-of-the-test--\r\n'), [200, 400, 409]],
    ['that is no multipart', () => Buffer.from('hello'), 400],
  ] as const)('a request %s is refused and leaves nothing half stored', async (_, damage, expected) => {
    const made = madeInstance()
    const request = storeRequest([made.bytes])
    const body = new Uint8Array(damage(Buffer.from(request.body)))
    const answer = await federation.ask('/dicom-web/studies', { ...request, body })
    expect([expected].flat()).toContain(answer.status)
    expect((await federation.ask('/dicom-web/studies')).status).toBe(200)
  })

  test('what is neither DICOM nor its metadata is not taken', async () => {
    const request = storeRequest([Buffer.from('x')])
    for (const type of ['application/json', 'multipart/related; type="image/png"; boundary=a-boundary-of-the-test']) {
      const headers = { ...request.headers, 'content-type': type }
      expect((await federation.ask('/dicom-web/studies', { ...request, headers })).status).toBe(415)
    }
  })

  test('a chunked upload is stored as it comes', async () => {
    const made = inOneStudy(4)
    const { body, ...request } = storeRequest(made.map(({ bytes }) => bytes))
    const chunks = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < body.length; at += 777) controller.enqueue(body.subarray(at, at + 777))
        controller.close()
      },
    })
    const answer = await federation.ask('/dicom-web/studies', {
      ...request,
      body: chunks,
      duplex: 'half',
    } as RequestInit)
    expect(answer.status, answer.text()).toBe(200)
    expect(receipt(answer).stored.toSorted()).toEqual(uidsOf(made))
    await reaches(federation.south, made[0]?.study ?? '', made)
  })

  test('metadata and bulk data that come apart are stored as one instance', async () => {
    const model = madeInstance({ patientName: 'APART^SENT', rows: 16, columns: 16 })
    const [study, series, instance] = [madeUid(), madeUid(), madeUid()]
    const target = { ...model, study, series, instance }
    await federation.north.load([model.bytes])
    const [dataset] = await federation.datasets(`${instancePath(model)}/metadata`)
    const uid = (value: string) => ({ vr: 'UI', Value: [value] })
    const metadata = {
      ...dataset,
      '0020000D': uid(study),
      '0020000E': uid(series),
      '00080018': uid(instance),
      '7FE00010': { vr: 'OB', BulkDataURI: 'pixels/1' },
    }
    const pixels = Buffer.alloc(256, 77)
    const body = Buffer.concat([
      Buffer.from(`--x\r\nContent-Type: application/dicom+json\r\n\r\n${JSON.stringify([metadata])}\r\n`),
      Buffer.from('--x\r\nContent-Type: application/octet-stream\r\nContent-Location: pixels/1\r\n\r\n'),
      pixels,
      Buffer.from('\r\n--x--\r\n'),
    ])
    const headers = { 'content-type': 'multipart/related; type="application/dicom+json"; boundary=x' }
    const answer = await federation.ask('/dicom-web/studies', { method: 'POST', headers, body })
    expect(answer.status, answer.text()).toBe(200)
    expect(receipt(answer).stored).toEqual([instance])
    const frame = await federation.ask(`${instancePath(target)}/frames/1`, {
      headers: { accept: 'application/octet-stream' },
    })
    expect(frame.bytes).toEqual(pixels)
    await reaches(federation.south, study, [target])
  })

  test('a multi-frame of 128 MB goes through, here and to the linked cluster, in bounded memory', async () => {
    const large = largeInstance(128)
    const { headers } = storeRequest([])
    async function* request() {
      yield Buffer.from('--a-boundary-of-the-test\r\nContent-Type: application/dicom\r\n\r\n')
      yield* large.read()
      yield Buffer.from('\r\n--a-boundary-of-the-test--\r\n')
    }
    const memory = await watchMemory(federation.proxy.pid)
    const answer = await federation.ask('/dicom-web/studies', {
      method: 'POST',
      headers,
      body: ReadableStream.from(request()),
      duplex: 'half',
    } as RequestInit)
    expect(answer.status, answer.text()).toBe(200)
    expect(receipt(answer).stored).toEqual([large.instance])
    await expect
      .poll(() => heldBy(federation.south, large.study), { timeout: 150_000, interval: 250 })
      .toEqual([large.instance])
    const path = `/dicom-web/studies/${large.study}/series/${large.series}/instances/${large.instance}`
    const response = await fetch(`${federation.proxy.url}${path}`, {
      headers: { accept: 'application/dicom; transfer-syntax=*' },
    })
    const hash = createHash('sha256')
    for await (const chunk of response.body ?? []) hash.update(chunk)
    expect(hash.digest('hex')).toBe(large.digest)
    // Buffers and garbage take some tens of megabytes, whatever the size.
    expect(await memory.growth()).toBeLessThan(96 * 1024 * 1024)
  })

  test('nothing of all this has come to the third party', async () => {
    const instances = (await (await federation.cardio.rest('/instances')).json()) as string[]
    expect(instances).toHaveLength(1)
    expect(await heldBy(federation.cardio, third.study)).toEqual([third.instance])
  })

  test('nothing of the third party has come to the others', async () => {
    await federation.ask(`/dicom-web/studies/${third.study}`)
    const added = madeInstance({ study: third.study })
    expect((await store('/dicom-web/studies', added.bytes)).status).toBe(200)
    await reaches(federation.south, third.study, [added])
    expect(await heldBy(federation.north, third.study)).toEqual([added.instance])
    // And the study is whole to whoever asks.
    const [row] = await federation.datasets(`/dicom-web/studies?StudyInstanceUID=${third.study}`)
    expect(row?.['00201208']?.Value).toEqual([2])
  })
})

/** Peak of a process from now on over what it has now, in bytes. */
async function watchMemory(pid: number): Promise<{ growth(): Promise<number> }> {
  const kilobytes = async (key: string) => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    return Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(status)?.[1])
  }
  // Sets the peak to the current size.
  await writeFile(`/proc/${pid}/clear_refs`, '5')
  const before = await kilobytes('VmRSS')
  return { growth: async () => ((await kilobytes('VmHWM')) - before) * 1024 }
}
