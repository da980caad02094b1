import { existsSync } from 'node:fs'
import { type Browser, chromium, type Locator, type Page } from 'playwright-core'

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)

/** Whether there is a Chromium: `describe.skipIf(!browserAvailable)`. */
export const browserAvailable = executablePath !== undefined

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

/** Texts of OHIF's worklist, one a study, once it shows at least `atLeast` of them. */
export const worklistRows = async (page: Page, atLeast = 1): Promise<readonly string[]> => {
  await page
    .locator(worklistRow)
    .nth(atLeast - 1)
    .waitFor()
  return page.locator(worklistRow).allInnerTexts()
}

const filterColumns = { patient: 1, description: 4, accession: 5 } as const

/** Types into a filter of OHIF's worklist; the answer comes later, so wait for what is expected of `worklistRows`. */
export const filterWorklist = (page: Page, column: keyof typeof filterColumns, text: string): Promise<void> =>
  page.locator(`tr[data-filter-row] td:nth-child(${filterColumns[column]}) input`).fill(text)

/** Opens a study in OHIF's basic viewer by its address; resolves with the first viewport's canvas, maybe still blank. */
export const openStudy = async (page: Page, origin: string, studyInstanceUID: string): Promise<Locator> => {
  await page.goto(`${origin}/viewer?StudyInstanceUIDs=${studyInstanceUID}`)
  const canvas = page.locator('.cornerstone-canvas').first()
  await canvas.waitFor({ state: 'visible' })
  return canvas
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
  const box = await canvas.boundingBox()
  if (!box) return 0
  const { x, y, width, height } = box
  const clip = { x: x + width / 4, y: y + height / 4, width: width / 2, height: height / 2 }
  const png = await page.screenshot({ clip, type: 'png' })
  return page.evaluate(`(${countColours})('${png.toString('base64')}')`)
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
