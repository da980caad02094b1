import { Hono } from 'hono'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Env } from '../../src/http/context.ts'
import { createMetrics } from '../../src/http/metrics.ts'
import { clusterStates, outboxState, type Site, startSite, study } from './harness.ts'

let site: Site
beforeEach(async () => {
  site = await startSite()
})
afterEach(() => site.close())

describe('health', () => {
  it('is told without asking anything else', async () => {
    const response = await site.fetch('/healthz')
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({ status: 'ok' })
  })

  it('readiness tells which clusters are up; one that is down does not make the service unready', async () => {
    const response = await site.fetch('/readyz')
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({
      status: 'ready',
      clusters: [
        { id: 'north', role: 'home', state: 'up', breaker: 'closed', since: '1970-01-01T00:00:00.000Z', latencyMs: 12 },
        {
          id: 'south',
          role: 'linked',
          state: 'down',
          breaker: 'open',
          since: '1970-01-01T00:00:01.000Z',
          reason: 'unreachable',
        },
      ],
    })
  })

  it('readiness ends when draining begins', async () => {
    site.lifecycle.draining = true
    const response = await site.fetch('/readyz')
    expect(response.status).toBe(503)
    expect(await response.json()).toMatchObject({ status: 'draining' })
    expect(response.headers.get('connection')).toBe('close')
  })
})

describe('metrics', () => {
  it('count requests by pattern, method and status', async () => {
    await site.fetch(`/dicom-web/studies/${study}/series`)
    await site.fetch('/dicom-web/studies/x/series')
    await site.fetch('/nowhere/at/all')
    const text = await (await site.fetch('/metrics')).text()
    const count = 'dicomweb_link_http_request_duration_seconds_count'
    expect(text).toContain(`${count}{route="/dicom-web/studies/:study/series",method="GET",status="200"} 1`)
    expect(text).toContain(`${count}{route="/dicom-web/studies/:study/series",method="GET",status="400"} 1`)
    expect(text).toContain(`${count}{route="unmatched",method="GET",status="404"} 1`)
    for (const direction of ['received', 'sent']) {
      expect(text).toMatch(new RegExp(`_http_bytes_total\\{route="unmatched",direction="${direction}"\\} [1-9]`))
    }
    expect(text).toContain('process_resident_memory_bytes')
  })

  it('show clusters and the replication queue as they are', async () => {
    const response = await site.fetch('/metrics')
    expect(response.headers.get('content-type')).toContain('text/plain')
    const text = await response.text()
    for (const line of [
      'cluster_up{cluster="north",role="home"} 1',
      'cluster_up{cluster="south",role="linked"} 0',
      'cluster_breaker{cluster="south",state="open"} 1',
      'cluster_breaker{cluster="south",state="closed"} 0',
      'cluster_latency_seconds{cluster="north"} 0.012',
      'cluster_pool{cluster="south",use="waiting"} 2',
      'converge_queue_depth{cluster="south"} 3',
      'converge_queue_oldest_age_seconds{cluster="south"} 4.5',
      'converge_dead_letters{cluster="south"} 5',
      'converge_refused_instances{cluster="south"} 7',
      'converge_paused{cluster="south"} 0',
    ]) {
      expect(text).toContain(`dicomweb_link_${line}`)
    }
  })

  it('tell which cluster is paused', async () => {
    site.services.onOutbox = { states: async () => [{ ...outboxState, pausedSince: new Date() }] }
    expect(await (await site.fetch('/metrics')).text()).toContain('dicomweb_link_converge_paused{cluster="south"} 1')
  })

  it('come without the queue when the database does not answer', async () => {
    const states = async () => {
      throw new Error('database gone')
    }
    site.services.onOutbox = { states }
    const text = await (await site.fetch('/metrics')).text()
    expect(text).toContain('dicomweb_link_cluster_up')
    expect(text).not.toContain('converge_queue_depth{')
  })

  it('take what the features tell', async () => {
    const metrics = createMetrics()
    metrics.clusterCall({ cluster: 'b', operation: 'search', result: 'timed-out', durationMs: 5000 })
    metrics.clusterBytes('b', 'received', 100)
    metrics.convergeRun('b', 'ok', 7)
    const text = await metrics.render({ clusters: clusterStates, queues: undefined })
    for (const line of [
      'cluster_call_duration_seconds_count{cluster="b",operation="search",result="timed-out"} 1',
      'cluster_bytes_total{cluster="b",direction="received"} 100',
      'converge_runs_total{cluster="b",result="ok"} 1',
      'converge_instances_total{cluster="b"} 7',
    ]) {
      expect(text).toContain(`dicomweb_link_${line}`)
    }
  })

  it('count methods nobody knows as one', async () => {
    await site.fetch('/healthz', { method: 'PROPFIND' })
    expect(await (await site.fetch('/metrics')).text()).toContain('method="OTHER",status="405"')
  })
})

describe('documentation', () => {
  it.each([
    ['/docs', 'text/html', 'swagger-ui-bundle.js'],
    ['/docs/start.js', 'text/javascript', '/openapi.yaml'],
    ['/docs/swagger-ui-bundle.js', 'text/javascript', 'SwaggerUIBundle'],
    ['/docs/swagger-ui.css', 'text/css', '.swagger-ui'],
    ['/openapi.yaml', 'application/yaml', 'openapi: 3.1'],
  ])('%s comes from here', async (path, type, content) => {
    const response = await site.fetch(path)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toContain(type)
    expect(response.headers.get('content-security-policy')).toContain("script-src 'self'")
    expect(await response.text()).toContain(content)
  })
})

describe('pages for people', () => {
  it('are asked for what the API does not answer, and nothing else', async () => {
    const pages = new Hono<Env>()
    pages.get('/', (c) => c.html('<h1>viewer</h1>', 200, { 'Content-Security-Policy': "script-src 'self'" }))
    await using other = await startSite({}, { pages })
    const response = await other.fetch('/')
    expect(await response.text()).toContain('viewer')
    expect(response.headers.get('content-security-policy')).toBe("script-src 'self'")
    expect((await other.fetch('/dicom-web/studies')).headers.get('content-type')).toBe('application/dicom+json')
    expect((await other.fetch('/dicom-web/nothing')).status).toBe(404)
  })
})
