import { afterEach, describe, expect, it } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import type { QueryRequest } from '../../src/query/service.ts'
import { type Site, startSite } from './harness.ts'
import { cells } from './ui-page.ts'

let site: Site
afterEach(() => site.close())

const text = async (path: string): Promise<string> => (await site.fetch(path)).text()
const asked = () => site.services.asked.map(({ request }) => request as QueryRequest)

describe('the clusters', () => {
  it('are shown with their health and latency before anything is searched', async () => {
    site = await startSite()
    const page = await text('/ui')
    expect(page).toContain('1 of 2 clusters are up')
    expect(cells(page, 'clusters')).toEqual([
      ['north', 'home', 'up', '', 'closed', '12 ms', '1970-01-01 00:00:00 UTC'],
      ['south', 'linked', 'down', 'unreachable', 'open', '', '1970-01-01 00:00:01 UTC'],
    ])
    expect(page).toContain('<title>Search – dicomweb-link</title>')
    expect(site.services.asked).toEqual([])
  })
})

describe('a search', () => {
  it.each([
    ['PatientName=doe', '00100010', '*doe*'],
    ['PatientName=Doe^J*', '00100010', 'Doe^J*'],
    ['PatientName=+doe+', '00100010', '*doe*'],
    ['PatientID=P-17', '00100020', 'P-17'],
    ['AccessionNumber=A%2B1%261', '00080050', 'A+1&1'],
    ['from=2024-01-31&to=2024-02-01', '00080020', '20240131-20240201'],
    ['from=2024-01-31', '00080020', '20240131-'],
    ['to=2024-01-31', '00080020', '-20240131'],
    ['ModalitiesInStudy=ct', '00080061', 'CT'],
  ])('%s asks for what a client of QIDO-RS would', async (typed, tag, value) => {
    site = await startSite()
    await text(`/ui?${typed}&link.specialty=&limit=10`)
    const [request] = asked()
    expect(request?.query).toMatchObject({
      constraints: [{ path: [tag], value }],
      linkConstraints: [],
      includeFields: 'all',
      limit: 10,
      offset: 0,
    })
    expect(request?.base).toBe(`${site.address}/dicom-web`)
  })

  it('can be made by every link attribute, and told to fail rather than lack a cluster', async () => {
    site = await startSite()
    const keys = 'link.reportStatus=NEW&link.specialty=NEURO&link.bodyPart=head&link.verified=FAILED'
    await text(`/ui?${keys}&link.location=CACHE&link.cluster=south&link.comments=stroke&partial=abort`)
    const query = asked()[0]?.query
    expect(query?.linkConstraints.map(({ path, value }) => [path.at(-1), value])).toEqual([
      ['00771001', 'NEW'],
      ['00771003', 'NEURO'],
      ['00771004', 'HEAD'],
      ['00771005', 'FAILED'],
      ['00771002', 'CACHE'],
      ['00771011', 'south'],
      ['00771007', '*stroke*'],
    ])
    expect(query).toMatchObject({ partial: 'abort', limit: 25 })
  })

  it('with an empty form asks for all studies', async () => {
    site = await startSite()
    const page = await text('/ui?PatientName=&PatientID=&from=&to=')
    expect(asked()[0]?.query.constraints).toEqual([])
    expect(page).toContain('<title>No studies – dicomweb-link</title>')
  })
})

describe('what is typed', () => {
  it('stays in the form', async () => {
    site = await startSite()
    const page = await text('/ui?PatientName=Doe&from=2024-01-31&link.verified=FAILED&partial=abort&limit=50')
    expect(page).toMatch(/<input type="text" id="PatientName" name="PatientName" value="Doe"/)
    expect(page).toMatch(/<input type="date" id="from" name="from" value="2024-01-31"/)
    expect(page).toMatch(/<option value="FAILED" selected>/)
    expect(page).toMatch(/<option value="50" selected>/)
    expect(page).toMatch(/<input type="checkbox"[^>]* checked/)
  })
})

describe('a wrong search', () => {
  it.each([
    ['from=2024-31', 'StudyDate', 'from'],
    ['to=soon', 'StudyDate', 'from'],
    ['from=2024-02-01&to=2024-01-01', 'StudyDate', 'from'],
    ['link.verified=PERHAPS', 'link.verified', 'link.verified'],
    ['limit=many', 'limit', 'limit'],
    ['partial=perhaps', 'partial', 'partial'],
  ])('%s is refused beside its field, which has the focus', async (typed, parameter, field) => {
    site = await startSite()
    const response = await site.fetch(`/ui?${typed}`)
    const page = await response.text()
    expect(response.status).toBe(400)
    expect(page).toContain('<title>Error – dicomweb-link</title>')
    const control = new RegExp(`id="${field}"[^>]*aria-describedby="${parameter}-error"[^>]* autofocus>`)
    expect(page).toMatch(control)
    expect(page.match(/role="alert"/g)).toHaveLength(1)
    expect(page).toMatch(new RegExp(`role="alert" id="${parameter}-error">${parameter}: `))
    expect(asked()).toEqual([])
  })

  it('is refused above the form when no field of it is wrong', async () => {
    site = await startSite()
    const page = await text('/ui?offset=-1')
    expect(page).toMatch(/role="alert" tabindex="-1" autofocus>offset: /)
  })

  it.each([
    ['bad-gateway', 502],
    ['unavailable', 503],
    ['timed-out', 504],
  ] as const)('that ends as %s is told of, with the form as it was', async (code, status) => {
    site = await startSite()
    site.services.onSearch = async () => {
      throw new LinkError(code, 'south: did not answer')
    }
    const response = await site.fetch('/ui?PatientID=P-17')
    expect(response.status).toBe(status)
    expect(response.headers.get('retry-after')).toBe(code === 'unavailable' ? '10' : null)
    const page = await response.text()
    expect(page).toMatch(/role="alert"[^>]*>south: did not answer</)
    expect(page).toContain('value="P-17"')
    expect(page).not.toContain('id="results"')
  })

  it('that ends in a defect says nothing of it, and is logged', async () => {
    site = await startSite()
    site.services.onSearch = async () => {
      throw new Error('secret')
    }
    const logged = site.logged('request-failed')
    const response = await site.fetch('/ui?PatientName=')
    expect([response.status, response.headers.get('content-type')]).toEqual([500, 'application/problem+json'])
    expect(await response.text()).not.toContain('secret')
    await logged
  })
})

describe('who may see it', () => {
  const hash = 'sha256:8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918'
  const keyed = (scopes: string[]) => startSite({ auth: { apiKeys: [{ name: 'a', hash, scopes }] } })
  const headers = { 'X-API-Key': 'admin' }

  it('is whoever may query', async () => {
    site = await keyed(['query'])
    const without = await site.fetch('/ui?PatientName=')
    expect(without.status).toBe(401)
    expect(await without.text()).not.toContain('south')
    expect((await site.fetch('/ui?PatientName=', { headers })).status).toBe(200)
    expect(asked().map(({ caller }) => caller.name)).toEqual(['key:a'])
  })

  it('is nobody else', async () => {
    site = await keyed(['store', 'admin'])
    expect((await site.fetch('/ui', { headers })).status).toBe(403)
  })

  it('leaves nothing behind, runs no script and is in no frame', async () => {
    site = await startSite()
    const { headers: sent } = await site.fetch('/ui?PatientName=')
    expect(sent.get('cache-control')).toBe('no-store')
    expect(sent.get('referrer-policy')).toBe('no-referrer')
    const policy = sent.get('content-security-policy') ?? ''
    expect(policy).toMatch(/^default-src 'none'; style-src 'sha256-[^']+'; img-src data:;/)
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toMatch(/script-src|unsafe/)
  })

  it('is written to no log', async () => {
    site = await startSite()
    const logged = site.logged('request')
    await text('/ui?PatientName=Secretperson&from=wrong')
    await logged
    expect(JSON.stringify(site.log)).not.toContain('Secretperson')
  })
})
