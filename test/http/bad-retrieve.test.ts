import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type AppDependencies, routeTable } from '../../src/http/app.ts'
import { createMetrics } from '../../src/http/metrics.ts'
import { configOf, instance, instancePath, RawClient, type Site, series, startSite, study } from './harness.ts'

/** What no request for a retrieval may do: it is a clear answer, and no cluster is asked. */

let site: Site
beforeAll(async () => {
  site = await startSite({ limits: { maxUrlBytes: 64 * 1024 } })
})
afterAll(() => site.close())
beforeEach(() => {
  site.services.asked.length = 0
})

interface Answer {
  readonly status: number
  readonly head: string
  readonly problem: { readonly status: number; readonly code: string; readonly detail: string }
}

/** Sends an address as it is: what other clients would make of it is not wanted. */
async function get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
  using client = await RawClient.open(site.address)
  const lines = Object.entries({ ...headers, Connection: 'close' }).map(([name, value]) => `${name}: ${value}\r\n`)
  client.get(path, lines.join(''))
  await client.closed
  const [head = '', body = ''] = client.text.split('\r\n\r\n')
  return { status: Number(head.slice(9, 12)), head, problem: JSON.parse(body) }
}

/** Refused with a text that begins with the name of what is wrong, and says little of it. */
async function expectRefusal(answer: Answer, status: number, name: string): Promise<void> {
  expect([answer.status, answer.problem.detail]).toEqual([status, expect.stringMatching(name)])
  expect(answer.head).toMatch(/content-type: application\/problem\+json/i)
  expect(answer.head).not.toMatch(/set-cookie/i)
  expect(answer.problem.status).toBe(status)
  expect(answer.problem.detail.length).toBeLessThan(400)
  expect(site.services.asked).toEqual([])
}

const ids = { study, series, instance, frames: '1', token: 'abc' }
type Id = keyof typeof ids

/** Paths of all retrievals below studies, as the routing table has them. */
const paths = routeTable({ config: configOf(), metrics: createMetrics() } as AppDependencies)
  .filter(({ path }) => path.startsWith('/dicom-web/') && path.includes(':study'))
  .filter(({ scope }) => scope === 'retrieve')
  .map(({ path }) => path)
const filled = (path: string, over: Partial<Record<Id, string>> = {}) =>
  path.replaceAll(/:(\w+)/g, (_, name: Id) => over[name] ?? ids[name])
const having = (id: Id) => paths.filter((path) => path.includes(`:${id}`))

const badUids = [
  'abc',
  '-1.2',
  '1.2.',
  '.1.2',
  '1..2',
  '1,2',
  '1.2;x',
  '1.2%20',
  '1.2%00',
  '1.2%0d%0aSet-Cookie:%20a=b',
  '1.2%2f..%2f..%2fetc%2fpasswd',
  '..%2f..%2fetc%2fpasswd',
  '..%5c..%5c1.2',
  '%252e%252e',
  '%252e%252e%252f1.2',
  '%c0%ae%c0%ae',
  '%E0%A4%A',
  '%D9%A1.%D9%A2',
  '...',
  '1'.repeat(65),
  '1'.repeat(5000),
]

describe.each(['study', 'series', 'instance'] as const)('a UID of the %s that is none', (id) => {
  it.each(badUids.map((uid) => [uid.length > 60 ? `${uid.length} digits` : uid, uid]))('%s', async (_, uid) => {
    for (const path of having(id)) {
      await expectRefusal(await get(filled(path, { [id]: uid })), 400, `^${id}: "`)
    }
  })
})

describe('a path that goes elsewhere', () => {
  it.each([
    '/dicom-web/studies/../../etc/passwd',
    '/dicom-web/studies/%2e%2e/%2e%2e/etc/passwd',
    '/dicom-web/studies//metadata',
    '/dicom-web/studies/1.2/series//instances/1.3/frames/1',
    '//dicom-web/studies/1.2/metadata/x',
    '/dicom-web/studies/1.2/metadata/x',
    '/dicom-web/studies/1.2/series/1.3/frames/1',
    '/dicom-web/studies/1.2/bulkdata',
    `${instancePath}/frames`,
    `${instancePath}/frames/1/metadata`,
    `${instancePath}/frames/1/pixeldata`,
    `${instancePath}/bulkdata/`,
    '/dicom-web%2fstudies/1.2',
    '/DICOM-WEB/studies/1.2',
  ])('%s is not found', async (path) => {
    await expectRefusal(await get(path), 404, 'there is nothing at this address')
  })
})

describe('a bulk data address that is none', () => {
  const tokens = [
    '..%2f..%2f..',
    'a.b',
    'a%00',
    'a%0d%0ab',
    '%252e%252e',
    'a%20b',
    'a=',
    'ü'.repeat(3),
    'x'.repeat(2049),
  ]

  it.each(tokens.map((token) => [token.slice(0, 20), token]))('%s', async (_, token) => {
    await expectRefusal(await get(`${instancePath}/bulkdata/${encodeURI(decodeURI(token))}`), 400, '^bulkdata: ')
  })
})

describe('frames that are none', () => {
  const many = (count: number) => Array.from({ length: count }, () => '1').join(',')
  const lists = ['0', '-1', '+1', '1.5', '1e3', '01', '0x1', '1,', ',1', '1,,2', '1,%202', '1-3', 'a', '%00', '%D9%A1']

  it.each([...lists, '999999999', '99999999999999999999'])('%s', async (list) => {
    for (const path of having('frames')) {
      await expectRefusal(await get(filled(path, { frames: list })), 400, '^frames: .* is no frame number')
    }
  })

  it('of which there are more than 10,000', async () => {
    for (const path of having('frames')) {
      await expectRefusal(await get(filled(path, { frames: many(10_001) })), 400, '^frames: more than 10000')
    }
  })
})

describe('a picture that cannot be', () => {
  const pictures = paths.filter((path) => /rendered|thumbnail/.test(path))

  it.each([
    [
      'window',
      ['40', '40,0', '40,-5,linear', '40,400,cubic', 'a,b', '1e999,1', '1,1e-999', 'NaN,1', '1,Infinity', ',', ''],
    ],
    ['viewport', ['256', '0,256', '-1,-1', '16385,16385', '1,2,3,4,5,6,7', 'a,b', '1e3,1e3', '1,2,a', ',', '']],
    ['quality', ['0', '101', '-1', '1.5', '1e1', 'high', '']],
    ['annotation', ['%3Cscript%3E', 'a,', ',a', 'patient technique', 'x'.repeat(33), '']],
  ])('because of its %s', async (name, values) => {
    for (const path of pictures) {
      for (const value of values) {
        await expectRefusal(await get(`${filled(path)}?${name}=${encodeURI(decodeURI(value))}`), 400, `^${name}: `)
      }
      await expectRefusal(await get(`${filled(path)}?${name}=1&${name}=1`), 400, `^${name}: given more than once`)
    }
  })
})

describe('what a client accepts', () => {
  const malformed = [
    'json',
    'image/',
    '/jpeg',
    '*/jpeg',
    'image/jpeg;q=2',
    'image/jpeg;q=high',
    'image/jpeg;q=-1',
    'image/jpeg;q=',
    'image/jpeg; x="open',
    'image/jpeg, nonsense',
    'a/b,'.repeat(101),
    `a/b;x=${'y'.repeat(9000)}`,
  ]

  it.each(malformed.map((accept) => [accept.slice(0, 30), accept]))(
    '%s is a bad request of each',
    async (_, accept) => {
      for (const path of paths.filter((it) => !it.includes(':token'))) {
        await expectRefusal(await get(filled(path), { Accept: accept }), 400, '^Accept: ')
        await expectRefusal(await get(`${filled(path)}?accept=${encodeURIComponent(accept)}`), 400, '^accept: ')
      }
    },
  )

  it.each([
    'text/html',
    'application/dicom+xml',
    '*/*;q=0',
    'multipart/related;type="text/html"',
    'image/jpeg;q=0.000',
    ',',
  ])('%s is of nothing that is offered', async (accept) => {
    for (const path of paths.filter((it) => !it.includes(':token'))) {
      await expectRefusal(await get(filled(path), { Accept: accept }), 406, 'this resource offers ')
    }
  })

  it.each(['%', '%E0%A4%A', '%zz'])('%s is not encoded as it should be', async (accept) => {
    for (const path of paths.filter((it) => !it.includes(':token'))) {
      await expectRefusal(
        await get(`${filled(path)}?accept=${accept}`),
        400,
        '^accept: the value is not percent-encoded',
      )
    }
  })

  it('is said once', async () => {
    for (const path of paths.filter((it) => !it.includes(':token'))) {
      await expectRefusal(await get(`${filled(path)}?accept=*/*&accept=*/*`), 400, '^accept: given more than once')
    }
  })

  it.each(['a b', '1.2.3;', '"', 'x'.repeat(65), '1.2*', '%00'])('%j is no transfer syntax', async (syntax) => {
    const accept = `multipart/related; transfer-syntax="${syntax.replaceAll('"', '\\"')}"`
    for (const path of paths.filter((it) => /(study|series|instance|frames|pixeldata)$/.test(it))) {
      await expectRefusal(await get(filled(path), { Accept: accept }), 400, '^transfer-syntax: ')
    }
  })
})

describe('WADO-URI', () => {
  const asked = { requestType: 'WADO', studyUID: study, seriesUID: series, objectUID: instance }
  const wado = (over: Record<string, string | undefined>) => {
    const query = Object.entries({ ...asked, ...over }).flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
    )
    return `/wado?${query.join('&')}`
  }

  it.each([
    ['requestType', [undefined, '', 'wado', 'WADO-RS']],
    ['studyUID', [undefined, '', '../..', 'abc', '1.2\0', '1'.repeat(65)]],
    ['seriesUID', [undefined, '', '1.2/..']],
    ['objectUID', [undefined, '', '1..2']],
    ['contentType', ['json', 'image/jpeg;q=2', 'a/b;x="']],
    ['frameNumber', ['0', '-1', '1,2', 'a', '', '99999999999']],
    ['rows', ['0', '-1', 'a', '1e3', '99999', '1,2', '']],
    ['columns', ['0', '-1', 'a', '1.5', '99999', '']],
    ['imageQuality', ['0', '101', 'a', '']],
    ['annotation', ['<script>', '']],
    ['anonymize', ['yes']],
    ['windowCenter', ['1']],
    ['windowWidth', ['1']],
  ])('without a %s that can be', async (name, values) => {
    for (const value of values) await expectRefusal(await get(wado({ [name]: value })), 400, `\\b${name}\\b`)
  })

  it.each([
    ['1', '0'],
    ['1', '-1'],
    ['a', '1'],
    ['1', 'b'],
    ['', ''],
  ])('with a window of %j and %j', async (windowCenter, windowWidth) => {
    await expectRefusal(await get(wado({ windowCenter, windowWidth })), 400, '^windowCenter and windowWidth: ')
  })

  it.each(['abc', '1..2', '1.2,1.3', ''])('in the transfer syntax %j', async (transferSyntax) => {
    const path = wado({ contentType: 'application/dicom', transferSyntax })
    await expectRefusal(await get(path), 400, '^transferSyntax: ')
  })

  it.each([...Object.keys(asked), 'contentType', 'frameNumber', 'rows', 'transferSyntax', 'anonymize'])(
    'with %s twice',
    async (name) => {
      const value = encodeURIComponent(({ ...asked, rows: '1' } as Record<string, string>)[name] ?? 'no')
      await expectRefusal(
        await get(`${wado({})}&${name}=${value}&${name}=${value}`),
        400,
        `^${name}: given more than once`,
      )
    },
  )
})
