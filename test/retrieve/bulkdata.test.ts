import { describe, expect, it } from 'vitest'
import type { Dataset } from '../../src/dicom/dataset.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { followToken, pointToProxy } from '../../src/retrieve/bulkdata.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'

const target = { study: '1.2' as Uid, series: '1.2.3' as Uid, instance: '1.2.3.4' as Uid }
const instance = 'studies/1.2/series/1.2.3/instances/1.2.3.4'
const clusters = [new MemoryCluster('north'), new MemoryCluster('south')]
const base = 'https://proxy.example/dicom-web'

const metadata = (path: string): Dataset => ({
  '0020000D': { vr: 'UI', Value: [target.study] },
  '0020000E': { vr: 'UI', Value: [target.series] },
  '00080018': { vr: 'UI', Value: [target.instance] },
  '00409096': { vr: 'SQ', Value: [{ '7FE00010': { vr: 'OW', BulkDataURI: path } }] },
})

function urlFor(path: string, cluster = 'south'): string {
  const item = pointToProxy(metadata(path), cluster, base)['00409096']?.Value?.[0] as Dataset
  return item['7FE00010']?.BulkDataURI ?? ''
}

const tokenOf = (url: string) => url.slice(url.lastIndexOf('/') + 1)

describe('a BulkDataURI', () => {
  it.each([`${instance}/bulk/7fe00010`, 'studies/1.2/bulkdata/42?offset=3', `${instance}/frames/1`])(
    'of the proxy leads back to the cluster that wrote %s, in sequences too',
    (path) => {
      const url = urlFor(path)
      expect(url.startsWith(`${base}/${instance}/bulkdata/`)).toBe(true)
      expect(followToken(tokenOf(url), target, clusters)).toEqual({ cluster: clusters[1], path })
    },
  )

  it('does not tell which cluster it leads to', () => {
    const token = Buffer.from(tokenOf(urlFor(`${instance}/bulk/1`)), 'base64url').toString('latin1')
    expect(token).not.toContain('south')
  })

  it.each([
    '/studies/1.2/../../instances',
    '/studies/./x',
    '/servers/other',
    '//evil.example/x',
    '/studies/%2e%2e/x',
    '/studies/a\0b',
  ])('made up to lead out of the archive is refused: %s', (kept) => {
    const name = Buffer.from(tokenOf(urlFor(`${instance}/x`)), 'base64url')
      .toString('latin1')
      .slice(0, 8)
    const token = Buffer.from(`${name}${kept}`).toString('base64url')
    expect(() => followToken(token, target, clusters)).toThrow(expect.objectContaining({ code: 'bad-request' }))
  })

  it('of a cluster that is not configured is refused', () => {
    const token = tokenOf(urlFor(`${instance}/x`, 'elsewhere'))
    expect(() => followToken(token, target, clusters)).toThrow(expect.objectContaining({ code: 'bad-request' }))
  })
})
