import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Answer, type FakeArchive, json, startFakeArchive } from '../support/fake-archive.ts'
import { madeUid } from '../support/made-instance.ts'
import { type Site, startSite } from './site.ts'

const study = madeUid()
const series = madeUid()
const path = `/studies/${study}/series/${series}`
const megabyte = 1024 ** 2

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** What is in use once nothing is left that could be thrown away. */
function bytesInUse(): number {
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

const ui = (value: string) => ({ vr: 'UI', Value: [value] })
const instance = (number: number) => `${series}.${number}`
const rowOf = (number: number) => ({
  '0020000D': ui(study),
  '0020000E': ui(series),
  '00080018': ui(instance(number)),
})

const item = { '00081150': ui('1.2.840.10008.5.1.4.1.1.2'), '00081155': ui(madeUid()) }
const filler = {
  '00081140': { vr: 'SQ', Value: Array.from({ length: 20 }, () => item) },
  '00204000': { vr: 'LT', Value: ['x'.repeat(17_000)] },
  '54000100': { vr: 'SQ', Value: [{ '54001010': { vr: 'OW', BulkDataURI: 'bulk/1' } }] },
}
/** About 20 KB. */
const datasetOf = (number: number) => JSON.stringify({ ...rowOf(number), ...filler })

async function send(response: ServerResponse, text: string): Promise<void> {
  if (!response.write(text)) await once(response, 'drain')
}

const metadata =
  (count: number): Answer =>
  async (_request, response) => {
    response.writeHead(200, { 'Content-Type': 'application/dicom+json' })
    for (let number = 0; number < count; number += 10) {
      const some = Array.from({ length: 10 }, (_, index) => datasetOf(number + index))
      await send(response, `${number === 0 ? '[' : ','}${some.join(',')}`)
    }
    response.end(']')
  }

let archives: FakeArchive[]
let site: Site

beforeEach(async () => {
  archives = [await startFakeArchive(), await startFakeArchive()]
})
afterEach(async () => {
  await site[Symbol.asyncDispose]()
  await Promise.all(archives.map((archive) => archive.close()))
})

function hold(archive: FakeArchive, count: number): void {
  const rows = Array.from({ length: count }, (_, number) => rowOf(number))
  archive
    .on('/studies', json([]))
    .on(/\/series\?/, json([{ ...rowOf(0), '00201209': { vr: 'IS', Value: [count] } }]))
    .on(/\/instances\?/, json(rows))
    .on(/\/metadata$/, metadata(count))
}

/** Reads an answer to its end and throws it away; how much it was, and the most that was in use meanwhile. */
async function measured(address: string): Promise<{ size: number; peak: number }> {
  const response = await fetch(address, { headers: { Accept: '*/*', 'Accept-Encoding': 'identity' } })
  let size = 0
  let peak = 0
  let next = 10 * megabyte
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength
    if (size < next) continue
    next += 10 * megabyte
    peak = Math.max(peak, bytesInUse())
  }
  return { size, peak }
}

describe('the memory that metadata take', () => {
  it.each([
    [1, 10_000, 200],
    [2, 4000, 80],
  ])('of %i holders does not grow with their size: %i instances, %i MB', async (holders, count, megabytes) => {
    for (const archive of archives.slice(0, holders)) hold(archive, count)
    const [north, south] = archives as [FakeArchive, FakeArchive]
    site = await startSite(holders === 1 ? { north } : { north, south })
    const before = bytesInUse()
    const { size, peak } = await measured(`${site.dicomweb}${path}/metadata`)
    expect(size).toBeGreaterThan(megabytes * 1_000_000)
    expect(peak - before).toBeLessThan(64 * megabyte)
  })
})

describe('the memory that pixel data take', () => {
  const frames = 200

  it.each([
    ['held back whole', 4 * megabyte],
    ['passed on as they come', 1024],
  ])('does not grow with the number of frames that are %s', async (_, maxBufferedPartBytes) => {
    const [north] = archives as [FakeArchive]
    hold(north, 1)
    const us = (value: number) => ({ vr: 'US', Value: [value] })
    const image = { '00280008': us(frames), '00280010': us(1024), '00280011': us(1024), '00280100': us(8) }
    north.on(/\/metadata$/, json([{ ...rowOf(0), ...image }]))
    north.on('/frames/', async (_request, response) => {
      response.writeHead(200, { 'Content-Type': 'multipart/related; type="application/octet-stream"; boundary=b' })
      for (let frame = 0; frame < frames; frame++) {
        await send(response, `--b\r\n\r\n${'x'.repeat(megabyte)}\r\n`)
      }
      response.end('--b--')
    })
    site = await startSite({ north }, { limits: { maxBufferedPartBytes } })
    const before = bytesInUse()
    const { size, peak } = await measured(`${site.dicomweb}${path}/instances/${instance(0)}/pixeldata`)
    expect(size).toBeGreaterThan(frames * megabyte)
    expect(peak - before).toBeLessThan(64 * megabyte)
  })
})
