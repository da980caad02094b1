import { afterEach, describe, expect, it } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { parseUid } from '../../src/dicom/uid.ts'
import { clusterStates, instance, reportOf, type Site, series, startSite, study } from './harness.ts'
import { cells, plain } from './ui-page.ts'

let site: Site
afterEach(() => site.close())

const path = `/link/v1/explain/studies/${study}`
const [north, south] = clusterStates
const whole = reportOf({ study: parseUid(study, 'test') })
const [held] = whole.holders

/** North gives it, south is down and further away, east is silent, west is not asked. */
const report = {
  ...whole,
  holders: [
    { ...held, status: { ...north, firstByteMs: 12.4, firstByteP95Ms: 55.5, bytesPerSecond: 34_567_890.1 } },
    {
      cluster: 'south',
      role: 'linked',
      decidedBy: 'health',
      merits: { ...held?.merits, id: 'south', isIll: true, availability: 'NEARLINE', isBusy: true },
      status: south,
      unlisted: 'circuit-open',
    },
  ],
  silent: [{ cluster: 'east', reason: 'timed-out' }],
  skipped: [{ cluster: 'west', role: 'thirdParty', why: 'does not answer internal queries' }],
} as Awaited<ReturnType<Site['services']['onExplain']>>

describe('where a study is', () => {
  it('is told in the order of its holders, with the values of each', async () => {
    site = await startSite()
    site.services.onExplain = async () => report
    const response = await site.fetch(path)
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(await response.json()).toEqual({
      studyInstanceUID: study,
      holders: [
        {
          cluster: 'north',
          role: 'home',
          state: 'up',
          breaker: 'closed',
          availability: 'ONLINE',
          series: 1,
          instances: 2,
          priority: 5,
          running: 1,
          waiting: 0,
          expectedMs: 12,
          firstByteMs: 12,
          firstByteP95Ms: 56,
          bytesPerSecond: 34_567_890,
          listed: { instances: 2, onlyHere: 2, examples: [] },
        },
        {
          cluster: 'south',
          role: 'linked',
          decidedBy: 'health',
          state: 'down',
          breaker: 'open',
          reason: 'unreachable',
          availability: 'NEARLINE',
          series: 1,
          instances: 2,
          priority: 5,
          running: 0,
          waiting: 2,
          expectedMs: 12,
          unlisted: 'circuit-open',
        },
      ],
      union: { series: 1, instances: 2 },
      silent: [{ cluster: 'east', reason: 'timed-out' }],
      skipped: [{ cluster: 'west', role: 'thirdParty', why: 'does not answer internal queries' }],
    })
  })

  it.each([
    ['', { study }],
    [`/series/${series}`, { study, series }],
    [`/series/${series}/instances/${instance}`, { study, series, instance }],
  ])('may be asked of studies%s, for the caller that asks', async (below, target) => {
    site = await startSite()
    const headers = { 'DICOMweb-Link-Scope': 'home' }
    expect((await site.fetch(path + below, { headers })).status).toBe(200)
    expect(site.services.asked).toMatchObject([{ service: 'explain', request: { target }, audience: 'home' }])
  })

  it('needs the scope of retrievals', async () => {
    const hash = 'sha256:8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918'
    site = await startSite({ auth: { apiKeys: [{ name: 'a', hash, scopes: ['query'] }] } })
    const headers = { 'X-API-Key': 'admin' }
    for (const address of [path, `/ui/studies/${study}`]) {
      expect((await site.fetch(address, { headers })).status).toBe(403)
    }
  })

  it('is a problem when it cannot be told', async () => {
    site = await startSite()
    site.services.onExplain = async () => {
      throw new LinkError('not-found', 'study is not held by any cluster')
    }
    const response = await site.fetch(path)
    expect(response.status).toBe(404)
    expect(await response.json()).toMatchObject({ code: 'not-found' })
    expect((await site.fetch('/link/v1/explain/studies/x')).status).toBe(400)
  })
})

describe('the page of a study', () => {
  const text = async (address = `/ui/studies/${study}`) => (await site.fetch(address)).text()

  it('shows its holders, why each has its place, and who is missing', async () => {
    site = await startSite()
    site.services.onExplain = async () => report
    const page = await text()
    expect(page).toContain('<title>Held by 2 clusters – dicomweb-link</title>')
    expect(cells(page, 'holders')).toEqual([
      ['north', 'home', 'asked first', 'up', 'ONLINE', '1', '2', '2', '5', '0', '12 ms', '34.6 MB/s'],
      ['south', 'linked', 'down', 'down', 'NEARLINE', '1', 'circuit-open', '', '5', '2', '', ''],
    ])
    expect(cells(page, 'skipped')).toEqual([['west', 'thirdParty', 'does not answer internal queries']])
    const [, status = ''] = /<div role="status"[^>]*>([\s\S]*?)<\/div>/.exec(page) ?? []
    expect(plain(status)).toBe(
      'cluster east did not say whether it holds it: timed-out ' +
        'cluster south does not list what it holds: circuit-open',
    )
    expect(plain(page)).toContain(`Study ${study} has 2 images in 1 series over all its copies`)
    expect(page).toContain(`href="/link/v1/explain/studies/${study}"`)
  })

  it('shows who operates the service what is on its way, what is not taken, and the changes of each site', async () => {
    site = await startSite()
    site.services.onExplain = async () => report
    site.services.onOutbox = {
      study: async (it) => ({
        study: it,
        version: { south: 1, north: 12 },
        jobs: [{ cluster: 'south', state: 'dead', requestedAt: new Date(0), attempts: 3, error: '<b>timed out' }],
        refused: [0x0111, 0x0122].map((reason) => ({ cluster: 'west', instance: it, reason, refusedAt: new Date(0) })),
      }),
    }
    const page = await text()
    expect(cells(page, 'jobs')).toEqual([['south', 'dead', '3', '&lt;b&gt;timed out']])
    expect(cells(page, 'refused')).toEqual([
      ['west', study, 'conflict: it is there with other content'],
      ['west', study, '0122H'],
    ])
    expect(plain(page)).toContain('Not all of it is where it is to be. Changes: 12 of north, 1 of south;')
    expect(page).toContain(`href="/link/v1/replication/studies/${study}"`)
  })

  it('shows others no more than where the study is', async () => {
    const hash = 'sha256:8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918'
    site = await startSite({ auth: { apiKeys: [{ name: 'a', hash, scopes: ['retrieve'] }] } })
    site.services.onExplain = async () => report
    const page = await (await site.fetch(`/ui/studies/${study}`, { headers: { 'X-API-Key': 'admin' } })).text()
    expect(page).toContain('Copies of a study')
    expect(page).not.toContain('Updates of the study')
  })

  it('has no script, is not kept, and names no page but the search as a place to go', async () => {
    site = await startSite()
    const response = await site.fetch(`/ui/studies/${study}`)
    expect(response.headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-/)
    expect(response.headers.get('cache-control')).toBe('no-store')
    const page = await response.text()
    expect(page).not.toMatch(/<script|aria-current=/)
    expect(page).toContain('<a class="skip" href="#copies">Skip to copies</a>')
    expect(page).toContain('<a href="/ui">Linked search</a>')
  })

  it('says what is wrong in an alert that has the focus', async () => {
    site = await startSite()
    site.services.onExplain = async () => {
      throw new LinkError('unavailable', '<b>south unreachable</b>')
    }
    const response = await site.fetch(`/ui/studies/${study}`)
    const page = await response.text()
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '10'])
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(page).toMatch(/role="alert" tabindex="-1" autofocus>&lt;b&gt;south unreachable/)
    const wrong = await site.fetch('/ui/studies/x')
    expect([wrong.status, await wrong.text()]).toEqual([400, expect.stringContaining('is no DICOM UID')])
  })
})
