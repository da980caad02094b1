import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { found, RawClient, type Site, series, startSite, study } from './harness.ts'

let site: Site
beforeEach(async () => {
  site = await startSite()
})
afterEach(() => site.close())

const json = { Accept: 'application/dicom+json' }

describe('the six resources', () => {
  it.each([
    ['/studies', { level: 'study' }],
    ['/series', { level: 'series' }],
    ['/instances', { level: 'instance' }],
    [`/studies/${study}/series`, { level: 'series', study }],
    [`/studies/${study}/instances`, { level: 'instance', study }],
    [`/studies/${study}/series/${series}/instances`, { level: 'instance', study, series }],
  ])('%s asks for %j', async (path, expected) => {
    const response = await site.fetch(`/dicom-web${path}?limit=5&PatientID=A1`, { headers: json })
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('application/dicom+json')
    const { request } = site.services.asked[0] ?? {}
    expect(request).toMatchObject({ ...expected, base: `${site.address}/dicom-web` })
    expect(request).toMatchObject({ query: { limit: 5, constraints: [{ path: ['00100020'], value: 'A1' }] } })
  })

  it('answer with the rows as they are', async () => {
    const rows = [{ '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Müller^Jürgen' }] } }]
    site.services.onSearch = async () => found(rows)
    const response = await site.fetch('/dicom-web/studies')
    expect(await response.json()).toEqual(rows)
  })

  it('answer an empty list with 200, as viewers expect', async () => {
    const response = await site.fetch('/dicom-web/studies', { headers: json })
    expect(response.status).toBe(200)
    expect(await response.text()).toBe('[]')
  })

  it('bear a slash at the end', async () => {
    expect((await site.fetch('/dicom-web/studies/')).status).toBe(200)
  })

  it('take the public address for URLs of answers', async () => {
    await using other = await startSite({ publicUrl: 'https://imaging.example.org/pacs/' })
    await other.fetch('/dicom-web/studies')
    expect(other.services.asked[0]?.request).toMatchObject({ base: 'https://imaging.example.org/pacs/dicom-web' })
  })
})

describe('warnings', () => {
  it('are header lines of their own, named after the site', async () => {
    const warnings = [
      'There are 7 additional results that can be requested',
      'Results are incomplete: cluster b timed-out',
    ]
    site.services.onSearch = async () => found([], warnings)
    using client = await RawClient.open(site.address)
    client.get('/dicom-web/studies')
    const text = await client.until('\r\n\r\n')
    expect(text).toContain('Warning: 299 north: There are 7 additional results that can be requested\r\n')
    expect(text).toContain('Warning: 299 north: Results are incomplete: cluster b timed-out\r\n')
  })

  it('cannot break out of their line and carry no characters that headers cannot', async () => {
    site.services.onSearch = async () => found([], ['a\r\nSet-Cookie: x=1\u0000 漢字 ü'])
    const response = await site.fetch('/dicom-web/studies')
    expect(response.headers.get('set-cookie')).toBeNull()
    expect(response.headers.get('warning')).toBe('299 north: a??Set-Cookie: x=1? ?? ü')
  })

  it('are bounded in number and length', async () => {
    const warnings = Array.from({ length: 300 }, (_, index) => `${index}${'x'.repeat(1000)}`)
    site.services.onSearch = async () => found([], warnings)
    const warning = (await site.fetch('/dicom-web/studies')).headers.get('warning') ?? ''
    expect(warning.split('299 north: ').length - 1).toBe(16)
    expect(warning).toContain('There are 285 more warnings')
    expect(warning.length).toBeLessThan(6000)
  })
})

describe('what is wrong with a request', () => {
  it.each([
    ['/dicom-web/studies/abc/series', 400, 'study: "abc" is no DICOM UID'],
    ['/dicom-web/studies/1..2/series', 400, 'study'],
    [`/dicom-web/studies/${'1'.repeat(65)}/series`, 400, 'study'],
    [`/dicom-web/studies/${study}/series/x/instances`, 400, 'series'],
    ['/dicom-web/studies/%2e%2e%2fetc/series', 400, 'study'],
    ['/dicom-web/studies/1.2%2F3/series', 400, 'study'],
    ['/dicom-web/studies/1.2%00/series', 400, 'study'],
    ['/dicom-web/studies/%zz/series', 400, 'study'],
    ['/dicom-web/studies?limit=-1', 400, 'limit'],
    ['/dicom-web/studies?PatientID=a&00100020=b', 400, ''],
    ['/dicom-web/studies?accept=%zz', 400, 'accept'],
    ['/dicom-web/patients', 404, 'nothing at this address'],
    ['/dicom-web', 404, 'nothing at this address'],
    ['/', 404, 'nothing at this address'],
  ])('%s is a %d', async (path, status, detail) => {
    const response = await site.fetch(path)
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(((await response.json()) as { detail: string }).detail).toContain(detail)
    expect(site.services.asked).toEqual([])
  })

  it('dots in a path lead nowhere but up', async () => {
    using client = await RawClient.open(site.address)
    client.get('/dicom-web/../../etc/passwd', 'Connection: close\r\n')
    await client.closed
    expect(client.text).toMatch(/^HTTP\/1\.1 404 /)
  })

  it.each(['nonsense', 'a/b;q=2', '"'])('Accept: %s is a 400', async (accept) => {
    expect((await site.fetch('/dicom-web/studies', { headers: { Accept: accept } })).status).toBe(400)
  })

  it('one part of XML alone is a 406 that says what there is', async () => {
    const headers = { Accept: 'application/dicom+xml' }
    const response = await site.fetch('/dicom-web/studies', { headers })
    expect(response.status).toBe(406)
    expect(await response.text()).toContain('application/dicom+json')
    expect(site.services.asked).toEqual([])
  })

  it('the query parameter accept has precedence over the header', async () => {
    const headers = { Accept: 'image/png' }
    expect((await site.fetch('/dicom-web/studies?accept=application/dicom+json', { headers })).status).toBe(200)
    expect((await site.fetch('/dicom-web/studies?accept=image%2Fpng', { headers: json })).status).toBe(406)
  })

  it.each(['PUT', 'DELETE', 'PATCH'])('%s is a 405 that says what is allowed', async (method) => {
    const response = await site.fetch('/dicom-web/studies', { method })
    expect(response.status).toBe(405)
    expect(response.headers.get('allow')).toBe('GET, HEAD, POST')
    const deletion = await site.fetch(`/dicom-web/studies/${study}/series`, { method })
    expect(deletion.headers.get('allow')).toBe('GET, HEAD')
  })
})

describe('failures of the service', () => {
  it.each([
    ['timed-out', 504],
    ['unavailable', 503],
    ['bad-gateway', 502],
    ['not-found', 404],
    ['gone', 410],
    ['conflict', 409],
  ] as const)('%s is a %d', async (code, status) => {
    site.services.onSearch = async () => {
      throw new LinkError(code, 'no cluster answered')
    }
    const response = await site.fetch('/dicom-web/studies', { headers: { 'X-Request-Id': 'r1' } })
    expect(response.status).toBe(status)
    expect(response.headers.get('retry-after')).toBe(code === 'unavailable' ? '10' : null)
    expect(await response.json()).toMatchObject({ status, code, detail: 'no cluster answered', requestId: 'r1' })
  })

  it('a defect tells the client nothing and the log everything', async () => {
    site.services.onSearch = async () => {
      throw new TypeError('secret-host:5432 refused', { cause: new Error('deep') })
    }
    const line = site.logged('request-failed')
    const response = await site.fetch('/dicom-web/studies')
    expect(response.status).toBe(500)
    expect(await response.text()).not.toContain('secret-host')
    expect(await line).toMatchObject({
      level: 'error',
      err: { message: 'secret-host:5432 refused', cause: { message: 'deep' } },
    })
  })
})

describe('Link-Sources', () => {
  it('names each cluster with what became of it, as a structured field', async () => {
    site.services.onSearch = async () => {
      const none = { pushed: [], withheld: [], unhonoured: [], requests: 1, rows: 0, durationMs: 12.4 }
      const answer = found([])
      const sources = [
        { ...none, cluster: 'north', role: 'home', outcome: 'ok', rows: 12 },
        { ...none, cluster: '3d-lab', role: 'linked', outcome: 'timed-out', known: 120 },
        { ...none, cluster: 'cardio', role: 'thirdParty', outcome: 'skipped', why: 'is not asked' },
      ] as const
      return { ...answer, report: { ...answer.report, sources } }
    }
    const response = await site.fetch('/dicom-web/studies')
    expect(response.headers.get('link-sources')).toBe(
      '"north";role=home;outcome=ok;rows=12;ms=12, "3d-lab";role=linked;outcome=timed-out;known=120, ' +
        '"cardio";role=thirdParty;outcome=skipped',
    )
  })

  it('stays short when there are hundreds of clusters, and then names those that matter', async () => {
    site.services.onSearch = async () => {
      const one = { role: 'linked', pushed: [], withheld: [], unhonoured: [], requests: 1, rows: 0, durationMs: 1 }
      const answer = found([])
      const sources = Array.from({ length: 256 }, (_, index) => ({
        ...one,
        cluster: `cluster-${index}`,
        outcome: index === 200 ? ('timed-out' as const) : ('ok' as const),
      }))
      return { ...answer, report: { ...answer.report, sources } }
    }
    const header = (await site.fetch('/dicom-web/studies')).headers.get('link-sources')
    expect(header).toBe('"cluster-200";role=linked;outcome=timed-out')
  })
})

describe('the explanation of a search', () => {
  it('is the report of the search that the same query is, without its rows', async () => {
    site.services.onSearch = async () => found([{ '0020000D': { vr: 'UI', Value: [study] } }], ['w'])
    const response = await site.fetch('/link/v1/explain?PatientID=X&limit=3')
    expect(await response.json()).toMatchObject({ rows: 1, sources: [], rounds: [], warnings: ['w'] })
    expect(site.services.asked.at(-1)?.request).toMatchObject({ level: 'study', query: { limit: 3 } })
  })

  it('refuses what the search refuses', async () => {
    expect((await site.fetch('/link/v1/explain?limit=x')).status).toBe(400)
  })
})
