import { describe, expect, it } from 'vitest'
import { type DemoInstance, demoStudies } from '../../src/demo/studies.ts'
import type { Dataset } from '../../src/dicom/dataset.ts'
import { datasetDigest } from '../../src/dicom/digest.ts'
import { readMetadata } from '../../src/dicom/metadata.ts'
import { locateFrames } from '../../src/dicom/pixel-data.ts'
import { readerOf, whole } from '../dicom/files.ts'

interface Read extends Omit<DemoInstance, 'body'> {
  readonly size: number
  readonly digest: string
  readonly metadata: Dataset
}

async function read({ cluster, header, body }: DemoInstance): Promise<Read> {
  const bytes = await whole(body)
  const file = readerOf(bytes)
  const metadata = await readMetadata(file)
  // Throws when there is less than the frames it should hold.
  if (metadata['7FE00010'] !== undefined) await locateFrames(file)
  const digest = await datasetDigest(pieces(bytes), header.datasetOffset)
  return { cluster, header, metadata, size: bytes.length, digest }
}

async function* pieces(bytes: Buffer) {
  yield bytes
}

const all: Read[] = []
for await (const instance of demoStudies()) all.push(await read(instance))

const values = (tag: string, of: readonly Read[] = all) =>
  new Set(of.flatMap(({ metadata }) => metadata[tag]?.Value ?? []))
const held = (cluster: string) => all.filter((instance) => instance.cluster === cluster)
const key = ({ header }: Read) => header.sopInstanceUID
const studiesOf = (cluster: string) => new Set(held(cluster).map(({ header }) => header.studyInstanceUID))

describe('the studies of the demo', () => {
  it('stay small, and are files that say what their header says', () => {
    expect(all.reduce((sum, { size }) => sum + size, 0)).toBeLessThan(40_000_000)
    for (const { header, metadata } of all) {
      expect(metadata['00080018']?.Value).toEqual([header.sopInstanceUID])
      expect(metadata['0020000D']?.Value).toEqual([header.studyInstanceUID])
    }
  })

  it('are the same every time', async () => {
    let index = 0
    for await (const instance of demoStudies()) {
      if (index % 30 === 0) expect((await read(instance)).digest).toBe(all[index]?.digest)
      index++
    }
    expect(index).toBe(all.length)
  })

  it('hold each instance once a cluster, and the same wherever both hold it', () => {
    for (const cluster of ['home', 'linked']) {
      expect(new Set(held(cluster).map(key)).size).toBe(held(cluster).length)
    }
    const home = new Map(held('home').map((instance) => [key(instance), instance.digest]))
    const shared = held('linked').filter((instance) => home.has(key(instance)))
    expect(shared.length).toBeGreaterThan(20)
    for (const instance of shared) expect(home.get(key(instance))).toBe(instance.digest)
  })

  it('split one study over the clusters, series by series', () => {
    const both = [...studiesOf('home')].filter((study) => studiesOf('linked').has(study))
    const seriesOf = (cluster: string, study: string) =>
      new Set(
        held(cluster).flatMap(({ header }) => (header.studyInstanceUID === study ? [header.seriesInstanceUID] : [])),
      )
    const split = both.filter((study) =>
      [...seriesOf('home', study)].every((one) => !seriesOf('linked', study).has(one)),
    )
    expect([both.length, split.length]).toEqual([2, 1])
  })

  it('give a patient of home a prior that only the linked cluster has', () => {
    const elsewhere = held('linked').filter(({ header }) => !studiesOf('home').has(header.studyInstanceUID))
    const known = values('00100020', held('home'))
    expect([...values('00100020', elsewhere)].filter((id) => known.has(id)).length).toBeGreaterThan(1)
  })

  it('come from several modalities, years and writing systems', () => {
    expect([...values('00080060')].sort()).toEqual(['CR', 'CT', 'MR', 'OT', 'SR', 'US'])
    expect(new Set([...values('00080020')].map((date) => String(date).slice(0, 4))).size).toBeGreaterThan(3)
    const names = JSON.stringify([...values('00100010')])
    for (const part of ['Müller', 'Παπαδοπούλου', '山田^太郎', 'やまだ^たろう']) expect(names).toContain(part)
  })

  it('place every slice of a volume in space, one step from the next', () => {
    const slices = all.filter(({ metadata }) => metadata['0008103E']?.Value?.[0] === 'Thorax axial 5 mm')
    const heights = slices.map(({ metadata }) => Number(metadata['00200032']?.Value?.[2]))
    expect(heights).toHaveLength(40)
    for (const [index, height] of heights.slice(1).entries()) expect(height - (heights[index] ?? 0)).toBeCloseTo(5.5)
    expect(values('00200052', slices).size).toBe(1)
  })

  it('show something: the middle of a volume is no single colour', async () => {
    for await (const instance of demoStudies()) {
      const file = await whole(instance.body)
      expect(new Set(file.subarray(-60_000)).size).toBeGreaterThan(50)
      return
    }
  })
})
