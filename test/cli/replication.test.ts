import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { replicationCommand } from '../../src/cli/replication.ts'
import { LinkError } from '../../src/core/errors.ts'
import { parseUid } from '../../src/dicom/uid.ts'
import { outboxState, type Site, startSite, study } from '../http/harness.ts'
import { temporaryFolder } from '../support/folders.ts'

/** A proxy that runs, its outbox made up. */
let site: Site
beforeEach(async () => {
  site = await startSite()
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await site.close()
})

/** Runs a command as its user writes it. */
async function run(...args: string[]) {
  const said: string[] = []
  let status: number | undefined
  const command = replicationCommand({
    say: (line) => said.push(line),
    progress: { write: () => undefined },
    interrupted: () => new AbortController().signal,
    end: (code) => {
      status = code
    },
  })
  await command.parseAsync(args, { from: 'user' })
  return { text: said.join('\n'), said, status }
}

const there = () => ['--url', site.address]
const at = new Date('2026-01-31T10:15:00Z')

describe('replication status', () => {
  test('says how each cluster stands', async () => {
    const lastFailure = { at, error: 'cluster south: timed-out' }
    const idle = { waiting: 0, running: 0, oldestAgeMs: 0, sentLastMinute: 0, deadLetters: 0, refusedInstances: 0 }
    const states = async () => [
      { ...idle, cluster: 'east' },
      { ...outboxState, oldestAgeMs: 7_260_000, pausedSince: at, lastFailure },
    ]
    site.services.onOutbox = { states }
    const { text, status } = await run('status', ...there())
    expect(text).toBe(
      [
        'east',
        '  studies   0 waiting, 0 running',
        'south: paused since 2026-01-31T10:15:00.000Z',
        '  studies   2 waiting, 1 running, the oldest for 2 h',
        '  given up  5 studies',
        '  refused   7 instances',
        '  failed    2026-01-31T10:15:00.000Z: cluster south: timed-out',
      ].join('\n'),
    )
    expect(status).toBe(0)
  })

  test('is of one cluster, and in JSON, when asked for so', async () => {
    const { text } = await run('status', ...there(), '--cluster', 'south', '--json')
    expect(JSON.parse(text)).toMatchObject({ clusters: [{ cluster: 'south', deadLetters: 5, paused: false }] })
    expect(await run('status', ...there(), '--cluster', 'east')).toMatchObject({
      text: 'no cluster east takes updates',
      status: 1,
    })
  })
})

describe('replication dead-letters', () => {
  test('lists all of them, page after page, with what they failed of', async () => {
    const letter = (n: number) => ({
      study: parseUid(`1.2.${n}`, 'test'),
      cluster: 'south',
      attempts: 3,
      requestedAt: at,
      failingSince: at,
      deadSince: at,
      error: 'cluster south: timed-out',
    })
    const all = Array.from({ length: 101 }, (_, n) => letter(n))
    site.services.onOutbox = { deadLetters: async ({ after, limit }) => all.slice(after ? 100 : 0).slice(0, limit) }
    const { said } = await run('dead-letters', ...there(), '--cluster', 'south')
    expect(said).toHaveLength(101)
    expect(said[100]).toMatch(/^south {2}1\.2\.100 {2}given up 2026-.*: cluster south: timed-out$/)
    expect(site.services.asked.map(({ request }) => (request as { cluster: string }).cluster)).toEqual([
      'south',
      'south',
    ])
    const json = await run('dead-letters', ...there(), '--json')
    expect(JSON.parse(json.said[0] ?? '')).toMatchObject({ study: '1.2.0', attempts: 3 })
  })
})

describe('replication refused', () => {
  test('lists the instances with the reason in hexadecimal', async () => {
    const instance = parseUid('1.2.3.4', 'test')
    const refusal = { study: parseUid(study, 'test'), cluster: 'south', instance, reason: 0x0122, refusedAt: at }
    site.services.onOutbox = { refusals: async () => [refusal] }
    const { text } = await run('refused', ...there())
    expect(text).toBe(`south  ${study}  1.2.3.4  0122H  2026-01-31T10:15:00.000Z`)
  })
})

describe('replication pause, resume and retry', () => {
  test('do it and say how it is then', async () => {
    expect((await run('pause', ...there(), '--cluster', 'south')).text).toContain('south: paused since 1970')
    expect((await run('resume', ...there(), '--cluster', 'south')).text).toMatch(/^south\n/)
    expect((await run('retry', ...there(), '--cluster', 'south')).text).toBe('south: 5 studies are tried again')
    site.services.onOutbox = { retry: async () => ({ studies: 0 }) }
    const one = await run('retry', ...there(), '--cluster', 'south', '--study', study)
    expect(one.text).toBe('south: there is nothing that was given up or refused')
    expect(site.services.asked.map(({ service, request }) => [service, request])).toEqual([
      ['pause', 'south'],
      ['resume', 'south'],
      ['retry', { cluster: 'south' }],
      ['retry', { cluster: 'south', study }],
    ])
  })

  test('say what the proxy says is wrong', async () => {
    const pause = async () => {
      throw new LinkError('not-found', '"east": no cluster that takes updates has this id')
    }
    site.services.onOutbox = { pause }
    await expect(run('pause', ...there(), '--cluster', 'east')).rejects.toThrow(/^"east": no cluster that takes/)
    await expect(run('retry', ...there(), '--cluster', 'south', '--study', 'x')).rejects.toThrow('--study: "x" is no')
  })
})

describe('the proxy that is asked', () => {
  test('gets the key of the environment, and its lack is told', async () => {
    const hash = 'sha256:8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918'
    await using guarded = await startSite({ auth: { apiKeys: [{ name: 'a', hash, scopes: ['admin'] }] } })
    vi.stubEnv('DICOMWEB_LINK_KEY', '')
    await expect(run('status', '--url', guarded.address)).rejects.toThrow('DICOMWEB_LINK_KEY is to hold an API key')
    vi.stubEnv('DICOMWEB_LINK_KEY', 'admin')
    expect((await run('status', '--url', `${guarded.address}/`)).status).toBe(0)
  })

  test.each([
    ['127.0.0.1', '127.0.0.1'],
    ['0.0.0.0', '127.0.0.1'],
  ])('is where the configuration says it listens: %s', async (host) => {
    const folder = await temporaryFolder()
    const hash = `sha256:${'0'.repeat(64)}`
    const config = {
      site: 'north',
      listen: { host, port: Number(new URL(site.address).port) },
      auth: { apiKeys: [{ name: 'a', hash, scopes: ['admin'] }] },
      clusters: [{ id: 'north', role: 'home', embedded: {} }],
    }
    const file = join(folder.path, 'link.json')
    await writeFile(file, JSON.stringify(config))
    expect((await run('status', '-c', file)).text).toContain('south')
    await writeFile(file, JSON.stringify({ ...config, listen: { port: 0 } }))
    await expect(run('status', '-c', file)).rejects.toThrow('--url: needed')
    await folder.remove()
  })

  test('has to be there, and to be one', async () => {
    await expect(run('status', '--url', 'ftp://x')).rejects.toThrow('--url: expected an http:// or https:// address')
    const gone = await startSite()
    await gone.close()
    await expect(run('status', '--url', gone.address)).rejects.toThrow(/^no proxy answers at .*ECONNREFUSED/)
    for (const [code, body] of [
      [200, '{}'],
      [200, '<html>'],
      [500, '<html>'],
    ] as const) {
      const server = createServer((_, response) => void response.writeHead(code).end(body)).listen(0, '127.0.0.1')
      await new Promise((resolve) => server.once('listening', resolve))
      const { port } = server.address() as AddressInfo
      await expect(run('status', '--url', `http://127.0.0.1:${port}`)).rejects.toThrow('is no dicomweb-link')
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  })
})
