import { readFile } from 'node:fs/promises'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { LinkError } from '../../src/core/errors.ts'
import { parseUid, type Uid } from '../../src/dicom/uid.ts'
import { type AppDependencies, routeTable } from '../../src/http/app.ts'
import { createMetrics } from '../../src/http/metrics.ts'
import { fakePeers, noticeId, receiptOf } from './fake-peers.ts'
import {
  configOf,
  found,
  instance,
  instancePath,
  outboxState,
  part,
  partsOf,
  RawClient,
  type Site,
  series,
  startSite,
  study,
  toldOf,
  whole,
} from './harness.ts'
import { datasetsInHand, partsInHand } from './in-hand.ts'

interface Answer {
  readonly $ref?: string
  readonly content?: Record<string, { schema: object }>
}
interface Operation {
  readonly 'x-required-scope': string
  readonly security?: object[]
  readonly responses: Record<string, Answer>
}
interface Document {
  readonly paths: Record<string, Record<string, Operation>>
  readonly components: { readonly responses: Record<string, Answer> }
}

let document: Document
const ajv = new Ajv2020({ strict: false, allErrors: true })
beforeAll(async () => {
  document = parse(await readFile(new URL('../../openapi.yaml', import.meta.url), 'utf8')) as Document
  ;(addFormats as unknown as (instance: Ajv2020) => void)(ajv)
  ajv.addSchema(document, 'api')
})

let site: Site | undefined
afterEach(async () => {
  await site?.close()
  site = undefined
})

const templated = (path: string) => path.replaceAll(/:(\w+)/g, '{$1}')
const operations = () =>
  Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([method]) => ['get', 'post', 'patch', 'delete'].includes(method))
      .map(([method, operation]) => ({ key: `${method.toUpperCase()} ${path}`, operation })),
  )

/** Fails unless the document has this status and type for the operation and the body fits its schema. */
async function holdAgainst(key: string, response: Response): Promise<void> {
  const operation = operations().find((it) => it.key === key)?.operation
  const listed = operation?.responses[response.status]
  expect(listed, `${key} has no ${response.status}`).toBeDefined()
  const answer = listed?.$ref ? document.components.responses[listed.$ref.split('/').at(-1) ?? ''] : listed
  if (response.status === 204 || response.status === 304) return
  const type = (response.headers.get('content-type') ?? '').split(';')[0] ?? ''
  const content = answer?.content?.[type] ?? answer?.content?.[type.replace(/\/.*/, '/*')]
  expect(content, `${key} ${response.status} is never ${type}`).toBeDefined()
  if (!type.includes('json')) {
    await response.arrayBuffer()
    return
  }
  const validate = ajv.compile(absolute(content?.schema ?? {}))
  expect(validate(await response.json()), JSON.stringify(validate.errors)).toBe(true)
}

const absolute = (schema: object) => JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"api#/')) as object

describe('openapi.yaml', () => {
  const routes = () => routeTable({ config: configOf(), metrics: createMetrics() } as AppDependencies)

  it('has every route of the application, and no other', () => {
    const table = routes().map(({ method, path }) => `${method} ${templated(path)}`)
    expect(
      operations()
        .map(({ key }) => key)
        .sort(),
    ).toEqual(table.sort())
  })

  it('tells which scope each route needs, and which need no credentials', () => {
    const scopes = new Map(routes().map(({ method, path, scope }) => [`${method} ${templated(path)}`, scope]))
    for (const { key, operation } of operations()) {
      expect([key, operation['x-required-scope']]).toEqual([key, scopes.get(key)])
      expect([key, operation.security]).toEqual([key, scopes.get(key) === 'public' ? [] : undefined])
    }
  })
})

const row = {
  '0020000D': { vr: 'UI', Value: [study] },
  '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Yamada^Tarou', Ideographic: '山田^太郎' }] },
  '00080050': { vr: 'SH', Value: ['A1'], keyword: 'AccessionNumber' },
  '00081199': { vr: 'SQ', Value: [{ '00081150': { vr: 'UI', Value: ['1.2'] } }] },
}
const dicomweb = '/dicom-web/studies/{study}/series/{series}/instances/{instance}'
const wado = `/wado?requestType=WADO&studyUID=${study}&seriesUID=${series}&objectUID=${instance}`

/** An address of an operation, and the request that goes there without anything else. */
const requestOf = (key: string, headers: string) => {
  const ids: Record<string, string> = {
    study,
    series,
    instance,
    frames: '1',
    token: 'abc',
    file: 'start.js',
    cluster: 'south',
    notice: noticeId,
  }
  const [method, path = ''] = key.split(' ')
  const address = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => ids[name] ?? '')
  return `${method} ${address} HTTP/1.1\r\n${headers}Connection: close\r\n\r\n`
}

async function answerTo(address: string, request: string): Promise<Response> {
  using client = await RawClient.open(address)
  client.send(request)
  await client.closed
  const [head = '', ...body] = client.text.split('\r\n\r\n')
  const type = /^content-type: *(.*)$/im.exec(head)?.[1] ?? ''
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1])
  return new Response(body.join('\r\n\r\n'), { status, headers: { 'Content-Type': type } })
}

describe('what can come of any request', () => {
  it.each([
    [400, 'no host', ''],
    [403, 'the host of another', 'Host: evil.example\r\n'],
    [408, 'a header that does not end', undefined],
    [414, 'an address that is too long', undefined],
    [417, 'another expectation', 'Host: 127.0.0.1\r\nExpect: more\r\n'],
    [431, 'too many headers', `Host: 127.0.0.1\r\nX-Large: ${'a'.repeat(60_000)}\r\n`],
  ])('%d, as of %s, is listed for every operation', async (status, _, headers) => {
    // Only where it is what the test is about: many requests at once take their time to arrive.
    const patience = status === 408 ? { headersTimeoutMs: 200 } : {}
    site = await startSite({ limits: { ...patience, maxUrlBytes: 1024 } })
    const { address } = site
    const ask = async (key: string) => {
      const plain = requestOf(key, headers ?? 'Host: 127.0.0.1\r\n')
      const cutShort = status === 408 ? plain.slice(0, -2) : plain
      const request = status === 414 ? plain.replace(' HTTP', `?${'a'.repeat(2000)} HTTP`) : cutShort
      const answer = await answerTo(address, request)
      expect([key, answer.status]).toEqual([key, status])
      await holdAgainst(key, answer)
    }
    await Promise.all(operations().map(({ key }) => ask(key)))
  })
})

describe('real answers fit openapi.yaml', () => {
  it.each(['image/jpeg', 'image/png', 'image/gif', 'image/jp2', 'application/pdf', 'text/plain', 'video/mp4'])(
    'pictures of the type %s',
    async (type) => {
      site = await startSite()
      site.services.onRetrieve = async () => whole(partsOf(part(type, 'x')))
      await holdAgainst(`GET ${dicomweb}/rendered`, await site.fetch(`${instancePath}/rendered?accept=${type}`))
      await holdAgainst('GET /wado', await site.fetch(`${wado}&contentType=${type}`))
    },
  )

  it.each(['', `/series/${series}`])('pictures of a study, of which some are missing, below %j', async (below) => {
    site = await startSite()
    const incomplete = { status: 206, warnings: ['Results are incomplete: cluster south timed-out'] } as const
    site.services.onRetrieve = async () => ({ ...whole(partsOf(part('image/jpeg', 'x'))), ...incomplete })
    const key = `GET /dicom-web/studies/{study}${below && '/series/{series}'}/rendered`
    await holdAgainst(key, await site.fetch(`/dicom-web/studies/${study}${below}/rendered`))
  })

  it.each([
    [206, { Range: 'bytes=0-1' }],
    [304, { 'If-None-Match': '*' }],
    [412, { 'If-Match': '"other"' }],
    [416, { Range: 'bytes=100-' }],
  ] as [number, Record<string, string>][])('%d of what is in memory', async (status, asked) => {
    site = await startSite()
    site.services.onRetrieve = async () => partsInHand(['image/jpeg', 'pixels'])
    for (const [key, path] of [
      [`GET ${dicomweb}/frames/{frames}`, `${instancePath}/frames/1`],
      [`GET ${dicomweb}/frames/{frames}/rendered`, `${instancePath}/frames/1/rendered`],
      [`GET ${dicomweb}/frames/{frames}/thumbnail`, `${instancePath}/frames/1/thumbnail`],
      [`GET ${dicomweb}/rendered`, `${instancePath}/rendered`],
      [`GET ${dicomweb}/thumbnail`, `${instancePath}/thumbnail`],
      [`GET ${dicomweb}/bulkdata/{token}`, `${instancePath}/bulkdata/abc`],
      ['GET /wado', wado],
    ] as const) {
      const response = await site.fetch(path, { headers: { Accept: 'image/jpeg', ...asked } })
      expect([key, response.status]).toEqual([key, status])
      await holdAgainst(key, response)
    }
  })

  it('metadata that the client has, and other than it insists on', async () => {
    site = await startSite()
    site.services.onMetadata = async () => datasetsInHand(row)
    for (const path of ['', '/instances/{instance}'].map(
      (it) => `/dicom-web/studies/{study}/series/{series}${it}/metadata`,
    )) {
      const address = path.replace('{study}', study).replace('{series}', series).replace('{instance}', instance)
      for (const headers of [{ 'If-None-Match': '*' }, { 'If-Match': '"other"' }] as Record<string, string>[]) {
        await holdAgainst(`GET ${path}`, await site.fetch(address, { headers }))
      }
    }
  })

  it('nothing is not found where something is stored', () => {
    const posts = operations().filter(({ key }) => key.startsWith('POST /dicom-web'))
    expect(posts.map(({ operation }) => Object.keys(operation.responses))).not.toContainEqual(
      expect.arrayContaining(['404']),
    )
  })

  it.each([
    ['GET /dicom-web/studies', '/dicom-web/studies'],
    ['GET /dicom-web/studies', '/dicom-web/studies?limit=x'],
    ['GET /dicom-web/studies', '/dicom-web/studies?accept=image/png'],
    ['GET /dicom-web/series', '/dicom-web/series?accept=application/json'],
    ['GET /dicom-web/instances', '/dicom-web/instances'],
    ['GET /dicom-web/studies/{study}/series', `/dicom-web/studies/${study}/series`],
    ['GET /dicom-web/studies/{study}', `/dicom-web/studies/${study}`],
    ['GET /dicom-web/studies/{study}', '/dicom-web/studies/x'],
    ['GET /dicom-web/studies/{study}/metadata', `/dicom-web/studies/${study}/metadata`],
    [`GET ${dicomweb}`, `${instancePath}?accept=application/dicom`],
    [`GET ${dicomweb}/frames/{frames}`, `${instancePath}/frames/1`],
    [`GET ${dicomweb}/frames/{frames}`, `${instancePath}/frames/0`],
    [`GET ${dicomweb}/pixeldata`, `${instancePath}/pixeldata`],
    [`GET ${dicomweb}/pixeldata`, `${instancePath}/pixeldata?accept=multipart/related`],
    [`GET ${dicomweb}/pixeldata`, `${instancePath}/pixeldata?accept=text/html`],
    ['GET /dicom-web/studies/{study}/pixeldata', `/dicom-web/studies/${study}/pixeldata`],
    [
      'GET /dicom-web/studies/{study}/series/{series}/pixeldata',
      `/dicom-web/studies/${study}/series/${series}/pixeldata`,
    ],
    [`GET ${dicomweb}/bulkdata/{token}`, `${instancePath}/bulkdata/abc`],
    [`GET ${dicomweb}/rendered`, `${instancePath}/rendered?accept=multipart/related;type=%22image/jpeg%22`],
    ['GET /wado', `${wado}&contentType=application/dicom`],
    ['GET /wado', '/wado'],
    ['GET /link/v1/explain/studies/{study}', `/link/v1/explain/studies/${study}`],
    ['GET /link/v1/explain/studies/{study}', '/link/v1/explain/studies/x'],
    ['GET /link/v1/explain/studies/{study}/series/{series}', `/link/v1/explain/studies/${study}/series/${series}`],
    [
      'GET /link/v1/explain/studies/{study}/series/{series}/instances/{instance}',
      instancePath.replace('/dicom-web', '/link/v1/explain'),
    ],
    ['GET /link/v1/mappings', '/link/v1/mappings'],
    ['GET /link/v1/replication', '/link/v1/replication'],
    ['GET /link/v1/replication/dead-letters', '/link/v1/replication/dead-letters'],
    ['GET /link/v1/replication/dead-letters', '/link/v1/replication/dead-letters?limit=0'],
    ['GET /link/v1/replication/refused-instances', '/link/v1/replication/refused-instances'],
    ['GET /link/v1/replication/studies/{study}', '/link/v1/replication/studies/1..2'],
    ['GET /link/v1/mappings/test', '/link/v1/mappings/test?StudyDescription=MR%20BRAIN'],
    ['GET /link/v1/mappings/test', '/link/v1/mappings/test?Modality'],
    ['GET /link/v1/mappings/test', '/link/v1/mappings/test?modality=MR'],
    ['GET /link/v1/mappings/test', `/link/v1/mappings/test?study=${study}`],
    ['GET /healthz', '/healthz'],
    ['GET /readyz', '/readyz'],
    ['GET /metrics', '/metrics'],
    ['GET /openapi.yaml', '/openapi.yaml'],
    ['GET /docs', '/docs'],
    ['GET /ui', '/ui'],
    ['GET /ui', '/ui?PatientName='],
    ['GET /ui', '/ui?limit=x'],
    ['GET /ui/studies/{study}', `/ui/studies/${study}`],
    ['GET /ui/studies/{study}', '/ui/studies/x'],
    ['GET /docs/{file}', '/docs/start.js'],
    ['GET /docs/{file}', '/docs/passwd'],
  ])('%s of %s', async (key, path) => {
    site = await startSite()
    site.services.onSearch = async () => found([row], ['w'])
    if (path.includes('rendered')) site.services.onRetrieve = async () => whole(partsOf(part('image/jpeg', 'x')))
    if (/frames|bulkdata|pixeldata/.test(path)) site.services.onRetrieve = async () => whole(partsOf(part('', 'x')))
    await holdAgainst(key, await site.fetch(path))
  })

  it('rows and metadata in XML', async () => {
    site = await startSite()
    const headers = { Accept: 'multipart/related; type="application/dicom+xml"' }
    await holdAgainst('GET /dicom-web/studies', await site.fetch('/dicom-web/studies', { headers }))
    site.services.onSearch = async () => found([row])
    await holdAgainst('GET /dicom-web/studies', await site.fetch('/dicom-web/studies', { headers }))
    const path = `/dicom-web/studies/${study}/metadata`
    await holdAgainst('GET /dicom-web/studies/{study}/metadata', await site.fetch(path, { headers }))
  })

  it.each(['not-found', 'gone', 'not-acceptable', 'bad-gateway', 'unavailable', 'timed-out', 'internal'] as const)(
    'a failure of the kind %s',
    async (code) => {
      site = await startSite()
      site.services.onRetrieve = async () => {
        throw new LinkError(code, 'text')
      }
      await holdAgainst('GET /dicom-web/studies/{study}', await site.fetch(`/dicom-web/studies/${study}`))
    },
  )

  it.each(['not-found', 'unavailable', 'internal'] as const)(
    'a study of which it cannot be told where it is: %s',
    async (code) => {
      site = await startSite()
      site.services.onExplain = async () => {
        throw new LinkError(code, 'text')
      }
      for (const path of ['/link/v1/explain/studies', '/ui/studies']) {
        await holdAgainst(`GET ${path}/{study}`, await site.fetch(`${path}/${study}`))
      }
    },
  )

  it('a request that has come through this site before', async () => {
    site = await startSite()
    for (const { key } of operations().filter((it) => /query|retrieve/.test(it.operation['x-required-scope']))) {
      const answer = await answerTo(site.address, requestOf(key, 'Host: 127.0.0.1\r\nDICOMweb-Link-Hops: north\r\n'))
      expect([key, answer.status]).toEqual([key, 508])
      await holdAgainst(key, answer)
    }
  })

  it.each([200, 202, 409] as const)('a store answered with %d', async (status) => {
    site = await startSite()
    site.services.onStore = async () => ({ status, response: row })
    const headers = { 'Content-Type': 'multipart/related; type="application/dicom"; boundary=b' }
    const response = await site.fetch('/dicom-web/studies', { method: 'POST', headers, body: '--b--' })
    await holdAgainst('POST /dicom-web/studies', response)
  })

  it('mapping tables that are read again, and a file of them that is bad', async () => {
    site = await startSite()
    const reload = () => site?.fetch('/link/v1/mappings/reload', { method: 'POST' }) as Promise<Response>
    await holdAgainst('POST /link/v1/mappings/reload', await reload())
    site.services.onReload = async () => {
      throw new LinkError('config', 'text')
    }
    await holdAgainst('POST /link/v1/mappings/reload', await reload())
  })

  it('replication that is operated, and a database that does not answer', async () => {
    site = await startSite()
    const at = new Date('2026-01-31T10:15:00Z')
    const failed = { ...outboxState, pausedSince: at, lastFailure: { at, error: 'cluster south: timed-out' } }
    const [uid, cluster] = [parseUid(study, 'test'), 'south']
    const dead = { study: uid, cluster, attempts: 3, requestedAt: at, failingSince: at, deadSince: at, error: 'text' }
    const refused = { study: uid, cluster, instance: uid, reason: 0x0122, refusedAt: at }
    const { study: _, ...ofStudy } = refused
    const job = { cluster, state: 'dead', requestedAt: at, attempts: 3, error: 'text' } as const
    const gone = async () => {
      throw new LinkError('unavailable', 'text')
    }
    const working = {
      states: async () => [failed, outboxState],
      deadLetters: async () => [dead, dead],
      refusals: async () => [refused, refused],
      study: async (it: Uid) => ({ study: it, version: { north: 2 }, jobs: [job], refused: [ofStudy] }),
    }
    const dying = {
      states: gone,
      study: gone,
      deadLetters: gone,
      refusals: gone,
      pause: gone,
      resume: gone,
      retry: gone,
    }
    for (const outbox of [working, dying]) {
      site.services.onOutbox = outbox
      for (const below of ['', '/dead-letters', '/refused-instances']) {
        await holdAgainst(`GET /link/v1/replication${below}`, await site.fetch(`/link/v1/replication${below}?limit=1`))
      }
      const updates = await site.fetch(`/link/v1/replication/studies/${study}`)
      await holdAgainst('GET /link/v1/replication/studies/{study}', updates)
      for (const verb of ['pause', 'resume', 'retry']) {
        const answer = await site.fetch(`/link/v1/replication/south/${verb}`, { method: 'POST' })
        await holdAgainst(`POST /link/v1/replication/{cluster}/${verb}`, answer)
      }
    }
  })

  it('a store of the wrong type, and one that is too large', async () => {
    site = await startSite({ limits: { maxBodyBytes: 1024 } })
    const post = (type: string, size: number) =>
      site?.fetch('/dicom-web/studies', { method: 'POST', headers: { 'Content-Type': type }, body: 'x'.repeat(size) })
    for (const [type, size] of [
      ['text/plain', 1],
      ['multipart/related; boundary=b', 2000],
    ] as const) {
      await holdAgainst('POST /dicom-web/studies', (await post(type, size)) as Response)
    }
  })

  it('what a site was told about a study, and how it is changed', async () => {
    site = await startSite()
    const at = new Date('2026-01-31T10:15:00Z')
    const said = { keyword: 'PatientName', value: 'Doe^Jane', source: 'RIS', author: 'a', site: 'north', at } as const
    const statuses = { reportStatus: 'NEW', studyStatus: 'READ', verified: 'VERIFIED', verifiedAt: at } as const
    const told = { ...statuses, corrections: [said] }
    const [from, to] = [null, '1']
    site.services.onHistory = async () => [{ version: 1, at, who: 'a', field: 'comments', from, to, forced: false }]
    const address = `/link/v1/studies/${study}`
    await holdAgainst('GET /link/v1/studies/{study}', await site.fetch(address))
    site.services.onGetAttributes = async () => toldOf({ ...told, comments: [{ text: 'a', author: 'b', at }] })
    await holdAgainst('GET /link/v1/studies/{study}', await site.fetch(`${address}?history=true`))
    const patch = (type: string, body = '{}') =>
      site?.fetch(address, { method: 'PATCH', headers: { 'Content-Type': type }, body }) as Promise<Response>
    for (const response of [await patch('application/json'), await patch('text/plain'), await patch('a/b')]) {
      await holdAgainst('PATCH /link/v1/studies/{study}', response)
    }
    await holdAgainst('PATCH /link/v1/studies/{study}', await patch('application/json', ' '.repeat(100_000)))
  })

  it.each([
    'bad-request',
    'not-found',
    'conflict',
    'precondition-failed',
    'unavailable',
    'bad-gateway',
    'timed-out',
  ] as const)('a change that fails as %s', async (code) => {
    site = await startSite()
    site.services.onPatch = async () => {
      throw new LinkError(code, 'text')
    }
    const headers = { 'Content-Type': 'application/json' }
    const response = await site.fetch(`/link/v1/studies/${study}`, { method: 'PATCH', headers, body: '{}' })
    await holdAgainst('PATCH /link/v1/studies/{study}', response)
  })

  it('what sites say to each other', async () => {
    const ask = async (method: string, template: string, body?: object) => {
      const address = `/link/v1${template}`.replace('{notice}', noticeId).replace('{study}', study)
      const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': noticeId }
      const response = await site?.fetch(address, { method, headers, ...(body && { body: JSON.stringify(body) }) })
      await holdAgainst(`${method} /link/v1${template.split('?')[0]}`, response as Response)
      return response?.status
    }
    const askAll = async () => [
      await ask('POST', '/study-updates', {}),
      await ask('GET', '/receipts/{notice}'),
      await ask('GET', '/digests'),
      await ask('GET', '/digests?study=1.2'),
      await ask('GET', '/tombstones?limit=1'),
      await ask('POST', '/tombstones', { studyInstanceUID: study }),
      await ask('DELETE', '/tombstones/{study}'),
    ]
    site = await startSite({}, { peers: fakePeers() })
    expect(await askAll()).toEqual([202, 200, 200, 200, 200, 204, 204])
    await site.close()
    site = await startSite()
    expect(await askAll()).toEqual(Array(7).fill(404))
  })

  it.each([
    'conflict',
    'unprocessable',
    'too-many-requests',
    'forbidden',
    'too-large',
    'unsupported-media-type',
    'unavailable',
  ] as const)('a notice that is not taken as %s, and one nothing is to be done about', async (code) => {
    let failing = true
    const receive = async () => {
      if (failing) throw new LinkError(code, 'text')
      return { receipt: receiptOf({ state: 'STALE', error: 'text' }), isNew: false }
    }
    site = await startSite({}, { peers: fakePeers({ receive }) })
    const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': noticeId }
    const send = () => site?.fetch('/link/v1/study-updates', { method: 'POST', headers, body: '{}' })
    await holdAgainst('POST /link/v1/study-updates', (await send()) as Response)
    failing = false
    await holdAgainst('POST /link/v1/study-updates', (await send()) as Response)
  })

  it('examples of notices are notices', () => {
    const schemas = (document as unknown as { components: { schemas: Record<string, { example?: unknown }> } })
      .components.schemas
    const validate = ajv.compile({ $ref: 'api#/components/schemas/StudyUpdate' })
    expect(validate(schemas.StudyUpdate?.example), JSON.stringify(validate.errors)).toBe(true)
    expect(validate({ ...(schemas.StudyUpdate?.example as object), hops: [] })).toBe(false)
  })

  it('a caller without credentials, and one without the scope', async () => {
    const hash = 'sha256:8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918'
    site = await startSite({ auth: { apiKeys: [{ name: 'a', hash, scopes: ['store'] }] } })
    await holdAgainst('GET /metrics', await site.fetch('/metrics'))
    await holdAgainst('GET /metrics', await site.fetch('/metrics', { headers: { 'X-API-Key': 'admin' } }))
    await holdAgainst('GET /readyz', await site.fetch('/readyz'))
  })
})
