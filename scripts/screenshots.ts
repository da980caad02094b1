/**
 * Makes the pictures of docs/images from the demo: `npm run screenshots`. Needs Chromium, and the viewer or a network to
 * fetch it.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import {
  openBrowser,
  openRow,
  openWorklist,
  seriesInPanel,
  showSeries,
  waitForPixels,
  whyNoViewer,
} from '../test/support/browser.ts'
import { storeRequest } from '../test/support/federation.ts'
import { madeInstance } from '../test/support/made-instance.ts'
import { startProxy } from '../test/support/processes.ts'

const folder = join(import.meta.dirname, '../docs/images')
/** What a picture may weigh in the repository. */
const maxBytes = 300_000

async function worklist(page: Page): Promise<void> {
  await page.setViewportSize({ width: 1280, height: 640 })
  await page.getByText('Outside consultation').waitFor()
  await save(page, 'worklist.png')
}

/** The study that is split over both clusters beside its prior, on a slice in the middle. */
async function viewer(page: Page): Promise<void> {
  await page.setViewportSize({ width: 1200, height: 860 })
  await waitForPixels(page, await openRow(page, 'CT Thorax mit Kontrastmittel'))
  await page.getByText('Röntgen Thorax p.a.').click()
  await seriesInPanel(page, 'Thorax p.a.').locator('img').waitFor()
  await showSeries(page, 'Thorax axial 5 mm')
  const position = page.locator('[data-cy="viewport-overlay-bottom-right"]')
  for (let slice = 2; slice <= 19; slice++) {
    await page.keyboard.press('ArrowDown')
    await position.getByText(`(${slice}/40)`).waitFor()
  }
  await page.waitForLoadState('networkidle')
  await save(page, 'viewer.png')
}

/** What the clusters hold of the chest, and how that was found out. */
async function search(page: Page, origin: string): Promise<void> {
  await page.setViewportSize({ width: 1400, height: 1660 })
  await page.goto(`${origin}/ui?link.bodyPart=CHEST&from=2020-01-01`)
  await page.getByText('How this answer came about').click()
  await save(page, 'search.png')
}

/** A cluster that nobody can reach, one that is paused, and one that has got what it is to have. */
async function replication(page: Page): Promise<void> {
  const linked = (id: string) => ({ id, role: 'linked', embedded: {} })
  const away = { id: 'south', role: 'linked', dicomweb: 'http://127.0.0.1:1/dicom-web' }
  const clusters = [{ id: 'north', role: 'home', embedded: {} }, away, linked('east'), linked('west')]
  await using proxy = await startProxy({ config: { site: 'north', viewer: false, clusters } })
  await fetch(`${proxy.url}/link/v1/replication/east/pause`, { method: 'POST' })
  for (let study = 0; study < 3; study++) {
    await fetch(`${proxy.url}/dicom-web/studies`, storeRequest([madeInstance({}).bytes]))
  }
  await page.setViewportSize({ width: 1280, height: 420 })
  await page.goto(`${proxy.url}/ui/replication`)
  await page.getByRole('row', { name: 'south' }).getByText('the connection is refused').waitFor()
  await save(page, 'replication.png')
}

async function save(page: Page, name: string): Promise<void> {
  const picture = await page.screenshot({ type: 'png' })
  if (picture.length > maxBytes) throw new Error(`${name} has ${picture.length} bytes; at most ${maxBytes} are wanted`)
  await writeFile(join(folder, name), picture)
  console.log(`docs/images/${name}: ${picture.length} bytes`)
}

const reason = await whyNoViewer()
if (reason !== undefined) throw new Error(reason)
await using demo = await startProxy()
await using browser = await openBrowser()
const { page } = await browser.newPage()
await openWorklist(page, demo.url)
await worklist(page)
await viewer(page)
await search(page, demo.url)
await replication(page)
