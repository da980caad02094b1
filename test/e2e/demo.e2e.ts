import { once } from 'node:events'
import { cp, mkdtemp, rm, symlink } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Dataset, firstString } from '../../src/dicom/dataset.ts'
import {
  browserAvailable,
  openBrowser,
  openRow,
  openStudy,
  openWorklist,
  pictureOf,
  seriesInPanel,
  showSeries,
  waitForPixels,
  whyNoViewer,
  worklistRows,
} from '../support/browser.ts'
import { disposedAfterAll, storeRequest } from '../support/federation.ts'
import { madeInstance } from '../support/made-instance.ts'
import { type Ending, type Running, type RunOptions, run } from '../support/processes.ts'

const root = resolve(import.meta.dirname, '../..')

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dicomweb-link-demo-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

interface Demo extends AsyncDisposable, Pick<Running, 'stdout' | 'stderr' | 'says'> {
  readonly url: string
  /** What Ctrl-C at a terminal does: the signal goes to npm and to what it started. */
  interrupt(): Promise<Ending>
}

/** `npm start` as a user types it, in a process group of its own as a terminal gives it; resolves once it listens. */
async function npmStart(dataDir: string, options: RunOptions = {}): Promise<Demo> {
  const running = run('setsid', ['npm', 'start', '--', '--port', '0', '--data-dir', dataDir], options)
  const group = async (signal: NodeJS.Signals): Promise<Ending> => {
    process.kill(-running.pid, signal)
    return running.ended
  }
  const dispose = async () => {
    await group('SIGKILL').catch(() => undefined)
  }
  try {
    const [, url = ''] = await running.says(/listening on (http:\/\/\S+:\d+)/)
    return { ...running, url, interrupt: () => group('SIGINT'), [Symbol.asyncDispose]: dispose }
  } catch (thrown) {
    await dispose()
    throw thrown
  }
}

const noViewer = await whyNoViewer()

describe.skipIf(!browserAvailable || noViewer !== undefined)('npm start in a fresh checkout', () => {
  const open = disposedAfterAll()
  const own = madeInstance({ patientName: 'Own^Study', studyDescription: 'Stored by a user' })
  let demo: Demo
  let page: Page
  let errors: readonly string[]

  beforeAll(async () => {
    demo = open.use(await npmStart(join(folder, 'data')))
    ;({ page, errors } = await open.use(await openBrowser()).newPage())
  })
  afterEach(() => expect(errors).toEqual([]))

  const datasets = async (): Promise<Dataset[]> => {
    const response = await fetch(`${demo.url}/dicom-web/studies?includefield=StudyDescription`)
    return (await response.json()) as Dataset[]
  }
  const studyOf = async (description: string): Promise<string> => {
    const found = (await datasets()).find((it) => firstString(it, '00081030') === description)
    return firstString(found ?? {}, '0020000D') ?? 'missing'
  }

  test('says what it does and where to look', async () => {
    await demo.says(/metrics\n/)
    expect(demo.stdout()).toMatch(/generating studies for the demo/)
    for (const path of ['/', '/dicom-web/studies', '/docs', '/readyz', '/metrics']) {
      expect(demo.stdout()).toMatch(new RegExp(`${demo.url}${path}(\\s|$)`, 'm'))
      expect((await fetch(`${demo.url}${path}`)).status, path).toBe(200)
    }
  })

  test('shows the worklist of both clusters', async () => {
    await openWorklist(page, demo.url)
    await expect.poll(() => worklistRows(page), { timeout: 60_000 }).toHaveLength(7)
    const rows = await worklistRows(page)
    expect(rows.map(({ description, instances }) => [description, instances])).toEqual([
      ['CT Thorax mit Kontrastmittel', 66],
      ['MR Brain follow-up', 48],
      ['Echocardiography', 1],
      ['CT Head without contrast', 24],
      ['MR Brain', 18],
      ['Röntgen Thorax p.a.', 1],
      ['Outside consultation', 1],
    ])
  })

  test('opens the study that is split over both, and its report can be read', async () => {
    await waitForPixels(page, await openRow(page, 'CT Thorax mit Kontrastmittel'))
    await showSeries(page, 'Lunge HR axial')
    await showSeries(page, 'Thorax axial 5 mm')
    await seriesInPanel(page, 'Befundbericht').dblclick()
    await page.getByText('Solid nodule in the right upper lobe').waitFor()
    await page.getByText('Follow-up CT in 3 months is suggested').waitFor()
  })

  test('goes through the frames of a cine', async () => {
    await waitForPixels(page, await openStudy(page, demo.url, await studyOf('Echocardiography')))
    const position = page.locator('[data-cy="viewport-overlay-bottom-right"]')
    await position.getByText('(1/24)').waitFor()
    const first = await pictureOf(page)
    await page.keyboard.press('ArrowDown')
    await position.getByText('(2/24)').waitFor()
    await expect.poll(() => pictureOf(page)).not.toEqual(first)
  })

  test('documents its API', async () => {
    await page.goto(`${demo.url}/docs`)
    await page.getByText('Search for studies', { exact: true }).waitFor()
  })

  test('Ctrl-C ends it well, and the next start has what was stored and generates nothing again', async () => {
    const stored = await fetch(`${demo.url}/dicom-web/studies`, storeRequest([own.bytes]))
    expect(stored.status).toBe(200)
    expect(await demo.interrupt()).toEqual({ code: 0, signal: null })

    demo = open.use(await npmStart(join(folder, 'data')))
    expect(demo.stdout()).not.toMatch(/generating/)
    expect(await datasets()).toHaveLength(8)
    expect(await studyOf('Stored by a user')).toBe(own.study)
    expect(await demo.interrupt()).toEqual({ code: 0, signal: null })
  })
})

describe('npm start where the viewer cannot be had', () => {
  test('starts at once, and / says why there is no viewer and where everything else is', async () => {
    await using registry = await silentRegistry()
    const env = {
      npm_config_registry: registry.url,
      npm_config_cache: join(folder, 'npm-cache'),
      npm_config_fetch_retry_mintimeout: '1',
      npm_config_update_notifier: 'false',
    }
    await using demo = await npmStart(join(folder, 'elsewhere'), { cwd: await freshCheckout(), env })
    await registry.asked
    const waiting = await (await fetch(`${demo.url}/`)).text()
    expect(waiting).toContain('The viewer is being fetched')

    registry.hangUp()
    await demo.says(/no viewer at \/: @ohif\/app@\S+ could not be fetched: the npm registry cannot be reached/)
    const response = await fetch(`${demo.url}/`)
    const text = await response.text()
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/html; charset=UTF-8'])
    expect(text).toContain('There is no viewer here')
    expect(text).toContain('the npm registry cannot be reached')
    expect(text).not.toContain(registry.url)
    for (const path of ['/dicom-web/studies', '/docs', '/healthz', '/readyz', '/metrics']) {
      expect(text).toContain(`href="${path}"`)
      expect((await fetch(`${demo.url}${path}`)).status, path).toBe(200)
    }
    expect(await demo.interrupt()).toEqual({ code: 0, signal: null })
  })
})

/** What a clone has that nothing was fetched for yet; the packages are those of this one. */
async function freshCheckout(): Promise<string> {
  const checkout = join(folder, 'checkout')
  for (const name of ['src', 'drizzle', 'examples', 'scripts', 'package.json', 'openapi.yaml']) {
    await cp(join(root, name), join(checkout, name), { recursive: true })
  }
  await symlink(join(root, 'node_modules'), join(checkout, 'node_modules'))
  return checkout
}

/** A registry that takes questions and does not answer, and later refuses all. */
async function silentRegistry() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const hangUp = () => {
    server.close()
    server.closeAllConnections()
  }
  return {
    url: `http://127.0.0.1:${port}/`,
    asked: once(server, 'request', { signal: AbortSignal.timeout(120_000) }),
    hangUp,
    [Symbol.asyncDispose]: async () => hangUp(),
  }
}
