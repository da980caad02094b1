import { createHash, createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Dataset } from '../../src/dicom/dataset.ts'
import type { Part } from '../../src/dicom/multipart.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { counted, followToken, pointToProxy } from '../../src/retrieve/bulkdata.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'

const target = { study: '1.2' as Uid, series: '1.2.3' as Uid, instance: '1.2.3.4' as Uid }
const instance = 'studies/1.2/series/1.2.3/instances/1.2.3.4'
const clusters = [new MemoryCluster('north'), new MemoryCluster('south')]
const base = 'https://proxy.example/dicom-web'
const key = Buffer.from('a key of the test')
const known = { clusters, key }

const metadata = (path: string): Dataset => ({
  '0020000D': { vr: 'UI', Value: [target.study] },
  '0020000E': { vr: 'UI', Value: [target.series] },
  '00080018': { vr: 'UI', Value: [target.instance] },
  '00081190': { vr: 'UR', Value: ['http://secret:8042/studies/1.2'] },
  '00409096': {
    vr: 'SQ',
    Value: [{ '00080054': { vr: 'AE', Value: ['SECRET'] }, '7FE00010': { vr: 'OW', BulkDataURI: path } }],
  },
})

function urlFor(path: string, cluster = 'south'): string {
  const item = pointToProxy(metadata(path), cluster, { base, key })['00409096']?.Value?.[0] as Dataset
  return item['7FE00010']?.BulkDataURI ?? ''
}

const tokenOf = (url: string) => url.slice(url.lastIndexOf('/') + 1)
const refused = expect.objectContaining({ code: 'bad-request' })

describe('metadata as a client gets it', () => {
  it('tells nothing of the address or the title of the cluster, in sequences neither', () => {
    expect(JSON.stringify(pointToProxy(metadata(`${instance}/bulk/1`), 'south', { base, key }))).not.toMatch(/secret/i)
  })
})

describe('the pixel data of an image', () => {
  const image: Dataset = {
    ...metadata(`${instance}/bulk/1`),
    '00280010': { vr: 'US', Value: [4] },
    '00280011': { vr: 'US', Value: [4] },
    '00280100': { vr: 'US', Value: [8] },
    FFFCFFFC: { vr: 'OB', InlineBinary: 'AA==' },
  }
  const pixels = (dataset: Dataset) => pointToProxy(dataset, 'south', { base, key })['7FE00010']
  const placed = { vr: 'OB', BulkDataURI: `${base}/${instance}/pixeldata` }

  it('of which the archive says nothing has an address of the proxy, in the order of tags', () => {
    expect(pixels(image)).toEqual(placed)
    expect(Object.keys(pointToProxy(image, 'south', { base, key })).slice(-2)).toEqual(['7FE00010', 'FFFCFFFC'])
  })

  it('of which the archive says only the VR keeps that', () => {
    expect(pixels({ ...image, '7FE00010': { vr: 'OW' } })).toEqual({ ...placed, vr: 'OW' })
  })

  it.each<[string, Dataset]>([
    ['is at hand', { ...image, '7FE00010': { vr: 'OW', InlineBinary: 'AA==' } }],
    ['is of floating point numbers', { ...image, '7FE00008': { vr: 'OF', InlineBinary: 'AA==' } }],
    ['is provided elsewhere', { ...image, '00287FE0': { vr: 'UR', Value: ['http://secret/jpip'] } }],
    ['has no rows', { ...image, '00280010': { vr: 'US', Value: [0] } }],
    ['has no columns', { ...image, '00280011': { vr: 'US' } }],
    ['has no depth', Object.fromEntries(Object.entries(image).filter(([it]) => it !== '00280100'))],
    ['is none', metadata(`${instance}/bulk/1`)],
  ])('that %s gets none', (_, dataset) => {
    expect(pixels(dataset)?.BulkDataURI).toBeUndefined()
  })

  it('in a sequence is not meant', () => {
    const icon = { vr: 'SQ', Value: [Object.fromEntries(Object.entries(image).filter(([it]) => it > '0028'))] }
    expect(JSON.stringify(pointToProxy({ '00880200': icon }, 'south', { base, key }))).not.toContain('pixeldata')
  })
})

describe('a BulkDataURI', () => {
  it.each([
    `${instance}/bulk/7fe00010`,
    'studies/1.2/bulkdata/42?offset=3',
    `${instance}/frames/1`,
    'studies/1.2/bulk/ü',
  ])('of the proxy leads back to the cluster that wrote %s, in sequences too', (path) => {
    const url = urlFor(path)
    expect(url.startsWith(`${base}/${instance}/bulkdata/`)).toBe(true)
    expect(followToken(tokenOf(url), target, known)).toEqual({
      cluster: clusters[1],
      path,
      element: '00409096.1.7FE00010',
    })
  })

  it('that was written before elements were named leads where it did', () => {
    const path = `${instance}/bulk/1`
    const name = createHash('sha256').update('south').digest('base64url').slice(0, 8)
    const mac = createHmac('sha256', key).update(['south', instance, path].join('\n'))
    const seal = mac.digest('base64url').slice(0, 22)
    const token = Buffer.from(`${name}${seal}bulk/1`).toString('base64url')
    expect(followToken(token, target, known)).toEqual({ cluster: clusters[1], path, element: '' })
  })

  it('whose element was changed is refused', () => {
    const genuine = Buffer.from(tokenOf(urlFor(`${instance}/bulk/1`)), 'base64url').toString()
    for (const made of [genuine.replace('00409096.1.', ''), genuine.replace('.1.', '.2.'), genuine.replace(' ', '')]) {
      expect(made).not.toBe(genuine)
      expect(() => followToken(Buffer.from(made).toString('base64url'), target, known)).toThrow(refused)
    }
  })

  it('does not tell which cluster it leads to', () => {
    const token = Buffer.from(tokenOf(urlFor(`${instance}/bulk/1`)), 'base64url').toString()
    expect(token).not.toContain('south')
  })

  it.each(['bulk/2', '/studies/9.9/series?PatientName=DOE', '/studies/1.2/metadata', '/studies/1.2/../../instances'])(
    'made up to read what no metadata points to is refused: %s',
    (kept) => {
      const genuine = Buffer.from(tokenOf(urlFor(`${instance}/bulk/1`)), 'base64url').toString()
      const token = Buffer.from(`${genuine.slice(0, 30)}${kept}`).toString('base64url')
      expect(() => followToken(token, target, known)).toThrow(refused)
    },
  )

  it('of one instance is none of another, and none under another key', () => {
    const token = tokenOf(urlFor(`${instance}/bulk/1`))
    expect(() => followToken(token, { ...target, instance: '1.2.3.5' as Uid }, known)).toThrow(refused)
    expect(() => followToken(token, target, { clusters, key: Buffer.from('another') })).toThrow(refused)
  })

  it.each(['', 'x', '!!!', 'AAAA', tokenOf(urlFor(`${instance}/x`, 'elsewhere'))])(
    'that is none is refused: %j',
    (token) => {
      expect(() => followToken(token, target, known)).toThrow(refused)
    },
  )
})

describe('parts that are counted', () => {
  const part = (more: Partial<Part>): Part => ({ contentType: '', body: [] as never, ...more })

  async function firstOf(...parts: Part[]) {
    let asked = 0
    const source = (async function* () {
      for (const it of parts) {
        asked++
        yield it
      }
      asked++
    })()
    const first = await counted(source).next()
    return { total: first.value?.total, asked }
  }

  it('are looked for behind a first one that is in memory', async () => {
    const held = part({ held: [Buffer.from('abc')], length: 3 })
    expect(await firstOf(held)).toEqual({ total: 1, asked: 2 })
    expect(await firstOf(held, held, held)).toEqual({ total: 2, asked: 2 })
  })

  it('are not asked for before one of known length that is yet to be read', async () => {
    expect(await firstOf(part({ length: 3 }))).toEqual({ total: undefined, asked: 1 })
  })
})
