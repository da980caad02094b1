import { existsSync } from 'node:fs'
import { type Browser, chromium, type Locator, type Page } from 'playwright-core'
import { fetchViewer, viewerCacheFolder } from '../../src/demo/ohif.ts'

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)

/** Whether there is a Chromium: `describe.skipIf(!browserAvailable)`. */
export const browserAvailable = executablePath !== undefined

/**
 * Why OHIF cannot be tried on this machine, as a reason to skip; `undefined` once it is there, fetched when it has to
 * be, as the proxy itself does. Throws it in CI, where a test that quietly did not run would pass for one that passed.
 */
export const whyNoViewer = async (): Promise<string | undefined> => {
  const fetched = await fetchViewer(viewerCacheFolder(''))
  if (fetched.status === 'ready') return undefined
  if (process.env.CI) throw new Error(fetched.reason)
  return fetched.reason
}

const stepTimeoutMs = 120_000

export interface OpenBrowser extends AsyncDisposable {
  readonly browser: Browser
  /**
   * A page of its own context: no storage of another test, and OHIF's first-time tour and notice already seen, since
   * they would cover what a test looks at. `errors` fills with uncaught exceptions and console errors.
   */
  newPage(): Promise<{ readonly page: Page; readonly errors: readonly string[] }>
  close(): Promise<void>
}

/** A headless Chromium that renders WebGL in software. */
export const openBrowser = async (): Promise<OpenBrowser> => {
  if (!executablePath) throw new Error('no Chromium on this machine: apt-get install chromium')
  const browser = await chromium.launch({ executablePath, args: flags })
  const close = () => browser.close()
  return {
    browser,
    newPage: async () => {
      const context = await browser.newContext({ viewport: { width: 1440, height: 900 } })
      await context.addInitScript(beenHereBefore)
      const page = await context.newPage()
      page.setDefaultTimeout(stepTimeoutMs)
      const errors: string[] = []
      page.on('pageerror', (error) => errors.push(error.message))
      page.on('console', (message) => {
        if (message.type() === 'error') errors.push(message.text())
      })
      return { page, errors }
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Runs in the page before OHIF does. */
const beenHereBefore = () => {
  localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour']))
  sessionStorage.setItem('investigationalUseDialog', 'hidden')
}

const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-gl=angle',
  '--use-angle=swiftshader',
  '--enable-unsafe-swiftshader',
  '--ignore-gpu-blocklist',
]

const worklistRow = 'tbody tr[aria-selected]'

/** A study as OHIF's worklist shows it. */
export interface WorklistRow {
  readonly patient: string
  /** `14-May-2024`, without the time. */
  readonly date: string
  readonly modalities: readonly string[]
  readonly description: string
  readonly instances: number
}

/** What OHIF's worklist shows at this moment, from the top. */
export const worklistRows = async (page: Page): Promise<WorklistRow[]> => {
  const cells = await page.evaluate<string[][]>(`(${textsOfCells})('${worklistRow}')`)
  return cells.map(([patient = '', date = '', modalities = '', description = '', , instances]) => ({
    patient,
    date: date.split(' ')[0] ?? '',
    modalities: modalities.split('\\').sort(),
    description,
    instances: Number(instances),
  }))
}

/** Runs in the page; as text, since the tests are not typed for a browser. */
const textsOfCells = `(rows) =>
  [...document.querySelectorAll(rows)].map((row) => [...row.cells].map((cell) => cell.innerText.trim()))`

/** Resolves once OHIF's worklist has at least one study. */
export const openWorklist = async (page: Page, origin: string): Promise<void> => {
  await page.goto(`${origin}/`)
  await page.locator(worklistRow).first().waitFor()
}

/** Opens a study by its row in the worklist, as a user does; resolves with the first viewport, maybe still blank. */
export const openRow = async (page: Page, description: string): Promise<Locator> => {
  await page.locator(worklistRow).filter({ hasText: description }).dblclick()
  await page.waitForURL(/\/viewer\?/)
  return firstCanvas(page)
}

const filterColumns = { patient: 1, modality: 3, description: 4 } as const

/** What OHIF's worklist can be filtered by; days as `2022-01-31`. */
export type WorklistFilter =
  | { readonly [column in keyof typeof filterColumns]?: string }
  | { readonly from: string; readonly to: string }

/** Fills filters of OHIF's worklist; it asks for the rows a moment later. */
export const filterWorklist = async (page: Page, filter: WorklistFilter): Promise<void> => {
  if ('from' in filter) {
    await page.locator('[data-cy="input-date-range-start"]').fill(filter.from)
    await page.locator('[data-cy="input-date-range-end"]').fill(filter.to)
    await page.keyboard.press('Enter')
    return
  }
  for (const [column, number] of Object.entries(filterColumns)) {
    const text = filter[column as keyof typeof filterColumns]
    if (text === undefined) continue
    await page.locator(`tr[data-filter-row] td:nth-child(${number}) input`).fill(text)
    // The modalities are a list to pick from: the first that begins like this.
    if (column === 'modality') await page.keyboard.press('Enter')
  }
}

/** Takes all filters off OHIF's worklist. */
export const resetFilters = (page: Page): Promise<void> => page.getByRole('button', { name: 'Reset filters' }).click()

/** Opens a study in OHIF's basic viewer by its address; resolves with the first viewport, maybe still blank. */
export const openStudy = async (page: Page, origin: string, studyInstanceUID: string): Promise<Locator> => {
  await page.goto(`${origin}/viewer?StudyInstanceUIDs=${studyInstanceUID}`)
  return firstCanvas(page)
}

const firstCanvas = async (page: Page): Promise<Locator> => {
  const canvas = page.locator('.cornerstone-canvas').first()
  await canvas.waitFor({ state: 'visible' })
  return canvas
}

/** The series in the viewer's study panel, with or without a picture. */
export const seriesInPanel = (page: Page, description: string): Locator =>
  page.locator('[data-cy^="study-browser-thumbnail"]').filter({ hasText: description })

/** Puts a series from the study panel into the viewport; resolves once its name and an image are in it. */
export const showSeries = async (page: Page, description: string): Promise<void> => {
  await seriesInPanel(page, description).dblclick()
  await page.locator('[data-cy="viewport-overlay-top-left"]').filter({ hasText: description }).first().waitFor()
  await waitForPixels(page)
}

const fewestColours = 16

/**
 * Resolves with the number of colours in the middle of a viewport once it shows an image. A canvas drawn by WebGL
 * cannot be read back, and its edges carry text in any case, so a screenshot of the inner half is looked at.
 */
export const waitForPixels = async (
  page: Page,
  canvas = page.locator('.cornerstone-canvas').first(),
): Promise<number> => {
  const deadline = Date.now() + stepTimeoutMs
  for (;;) {
    const colours = await coloursInTheMiddle(page, canvas)
    if (colours >= fewestColours) return colours
    if (Date.now() > deadline) throw new Error(`the viewport is blank: ${colours} colours after ${stepTimeoutMs} ms`)
    await page.evaluate('new Promise(requestAnimationFrame)')
  }
}

const coloursInTheMiddle = async (page: Page, canvas: Locator): Promise<number> => {
  const png = await pictureOf(page, canvas)
  return png ? page.evaluate(`(${countColours})('${png.toString('base64')}')`) : 0
}

/** A PNG of the middle of a viewport, to be compared with another; `undefined` while it is not on the screen. */
export const pictureOf = async (
  page: Page,
  canvas = page.locator('.cornerstone-canvas').first(),
): Promise<Buffer | undefined> => {
  const box = await canvas.boundingBox()
  if (!box) return undefined
  const { x, y, width, height } = box
  const clip = { x: x + width / 4, y: y + height / 4, width: width / 2, height: height / 2 }
  return page.screenshot({ clip, type: 'png' })
}

/** Runs in the page, which has a PNG decoder; as text, since the tests are not typed for a browser. */
const countColours = `async (base64) => {
  const image = new Image()
  image.src = 'data:image/png;base64,' + base64
  await image.decode()
  const context = new OffscreenCanvas(image.width, image.height).getContext('2d')
  context.drawImage(image, 0, 0)
  const { data } = context.getImageData(0, 0, image.width, image.height)
  return new Set(new Uint32Array(data.buffer)).size
}`
