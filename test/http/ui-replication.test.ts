import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { parseUid } from '../../src/dicom/uid.ts'
import { outboxState, type Site, startSite, study } from './harness.ts'

let site: Site
beforeEach(async () => {
  site = await startSite()
})
afterEach(() => site.close())

const at = new Date('2026-01-31T10:15:00Z')
const letter = {
  study: parseUid(study, 'test'),
  cluster: 'south',
  attempts: 3,
  requestedAt: at,
  failingSince: at,
  deadSince: at,
  error: 'cluster <south>: timed-out',
}
const page = () => site.fetch('/ui/replication')

/** Server-sent events as they come; a comment is an event without data. */
async function* eventsOf(response: Response): AsyncGenerator<string> {
  let text = ''
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString()
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      yield text.slice(0, end).replaceAll(/^data: ?/gm, '')
      text = text.slice(end + 2)
    }
  }
}

describe('the page about replication', () => {
  it('shows each cluster, what waits for it, and what can be done about it', async () => {
    site.services.onOutbox = { states: async () => [outboxState, { ...outboxState, cluster: 'west', pausedSince: at }] }
    const text = await (await page()).text()
    expect(text).toContain('6 studies are on their way')
    expect(text).toContain('action="/link/v1/replication/south/pause"')
    expect(text).toContain('action="/link/v1/replication/south/retry"')
    expect(text).toContain('action="/link/v1/replication/west/resume"')
    expect(text).not.toContain('action="/link/v1/replication/west/pause"')
  })

  it('offers no retry where nothing was given up, and says so when all is done', async () => {
    const idle = { ...outboxState, waiting: 0, running: 0, deadLetters: 0, refusedInstances: 0 }
    site.services.onOutbox = { states: async () => [idle] }
    const text = await (await page()).text()
    expect(text).toContain('Every cluster has what it is to have')
    expect(text).not.toContain('/retry')
  })

  it('shows dead letters, with what clusters said as text', async () => {
    site.services.onOutbox = { deadLetters: async () => [letter] }
    const text = await (await page()).text()
    expect(text).toContain(`href="/ui/studies/${study}"`)
    expect(text).toContain(`action="/link/v1/replication/south/retry?study=${study}"`)
    expect(text).toContain('cluster &lt;south&gt;: timed-out')
  })

  it('lets no script run but its own', async () => {
    const response = await page()
    const policy = response.headers.get('content-security-policy') ?? ''
    expect(policy).toMatch(/script-src 'sha256-[\w+/=]+';/)
    expect(policy).toContain("connect-src 'self'")
    const other = await site.fetch('/ui')
    expect(other.headers.get('content-security-policy')).not.toContain('script-src')
  })

  it('is 503 without the database', async () => {
    const states = async () => {
      throw new LinkError('unavailable', 'database: could not count convergence jobs (no code)')
    }
    site.services.onOutbox = { states }
    expect((await page()).status).toBe(503)
    expect((await site.fetch('/ui/replication/events')).status).toBe(503)
  })
})

describe('its events', () => {
  it('bring the page up to date when something changes', async () => {
    const leaving = new AbortController()
    const response = await site.fetch('/ui/replication/events', { signal: leaving.signal })
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const events = eventsOf(response)
    expect((await events.next()).value).toContain('3 studies are on their way')
    site.services.onOutbox = { states: async () => [{ ...outboxState, waiting: 41 }] }
    expect((await events.next()).value).toContain('42 studies are on their way')
    leaving.abort()
  })

  it('end when the service does', async () => {
    const events = eventsOf(await site.fetch('/ui/replication/events'))
    await events.next()
    const closed = site.close()
    await events.next().catch(() => undefined)
    await closed
  })

  it('go to so many pages at a time', async () => {
    const leaving = new AbortController()
    const open = () => site.fetch('/ui/replication/events', { signal: leaving.signal })
    const answers = await Promise.all(Array.from({ length: 33 }, open))
    expect(answers.filter(({ status }) => status === 503)).toHaveLength(1)
    leaving.abort()
  })
})

describe('a form of the page', () => {
  it('leads back to it', async () => {
    const response = await site.fetch('/link/v1/replication/south/pause', {
      method: 'POST',
      headers: { Accept: 'text/html,application/xhtml+xml;q=0.9' },
      redirect: 'manual',
    })
    expect(response.status).toBe(303)
    expect(response.headers.get('location')).toBe('/ui/replication')
    expect(site.services.asked.map(({ service }) => service)).toContain('pause')
  })

  it('of another site does nothing', async () => {
    const response = await site.fetch('/link/v1/replication/south/pause', {
      method: 'POST',
      headers: { Accept: 'text/html', Origin: 'https://elsewhere.example' },
    })
    expect(response.status).toBe(403)
    expect(site.services.asked).toEqual([])
  })
})
