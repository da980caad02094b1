import type { Page } from 'playwright-core'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { browserAvailable, openBrowser } from '../support/browser.ts'
import { disposedAfterAll, storeRequest } from '../support/federation.ts'
import { madeInstance } from '../support/made-instance.ts'
import { type Proxy as ProxyProcess, startProxy } from '../support/processes.ts'

/** Twelve studies of one patient, the newest last, and one of another whose name is hostile. */
const studies = [
  ...Array.from({ length: 12 }, (_, at) => ({
    patientName: 'Keyboard^Kim',
    patientId: 'K-1',
    studyDate: `202401${String(at + 10)}`,
    studyDescription: `Study ${at + 1}`,
  })),
  { patientName: '<b>Bobby</b>^"T"', patientId: 'B-1', studyDescription: '<script>alert(1)</script>' },
].map(madeInstance)

/** A home with studies, and a linked cluster that nobody can reach. */
const config = {
  site: 'north',
  viewer: false,
  clusters: [
    { id: 'north', role: 'home', embedded: {} },
    { id: 'south', role: 'linked', dicomweb: 'http://127.0.0.1:1/dicom-web', updates: 'none' },
  ],
}

/** Browsers write to the console what a page answers with its own text. */
const refusal = /^Failed to load resource: the server responded with a status of (400|502|503) /

describe.skipIf(!browserAvailable)('the search page in a browser, by keyboard', () => {
  const open = disposedAfterAll()
  let proxy: ProxyProcess
  let page: Page
  let errors: readonly string[]

  beforeAll(async () => {
    proxy = open.use(await startProxy({ config }))
    const stored = await fetch(`${proxy.url}/dicom-web/studies`, storeRequest(studies.map(({ bytes }) => bytes)))
    expect(stored.status).toBe(200)
    ;({ page, errors } = await open.use(await openBrowser()).newPage())
  })
  afterEach(() => expect(errors.filter((it) => !refusal.test(it))).toEqual([]))

  /** What has the focus: its id, or what it says. */
  const focused = () => page.evaluate<string>('document.activeElement.id || document.activeElement.innerText.trim()')

  /** Presses Tab until something has the focus; fields for dates take several. */
  async function tabTo(what: string | RegExp): Promise<void> {
    const passed: string[] = []
    for (let press = 0; press < 100; press++) {
      await page.keyboard.press('Tab')
      const it = await focused()
      if (typeof what === 'string' ? it === what : what.test(it)) return
      passed.push(it)
    }
    throw new Error(`Tab never came to ${what}: ${passed.join(', ')}`)
  }

  /** Presses Enter on what leads to another page, and waits for that. */
  async function follow(): Promise<void> {
    await Promise.all([page.waitForEvent('load'), page.keyboard.press('Enter')])
  }

  test('the first thing Tab comes to leads past the rest, to the search', async () => {
    await page.goto(`${proxy.url}/ui`)
    await page.keyboard.press('Tab')
    expect(await focused()).toBe('Skip to search')
    await page.keyboard.press('Enter')
    await tabTo('PatientName')
  })

  test('every landmark, field and table has a name', async () => {
    await page.goto(`${proxy.url}/ui`)
    const clusters = page.getByRole('region', { name: '1 of 2 clusters are up' })
    expect(await clusters.getByRole('row', { name: 'south' }).innerText()).toMatch(/linked\s+down\s+unreachable/)
    expect(await page.getByRole('navigation', { name: 'Pages' }).getByRole('link').allInnerTexts()).toEqual([
      'Linked search',
      'Replication',
      'API',
    ])
    expect(await page.getByRole('search', { name: 'Search all clusters' }).ariaSnapshot()).toMatchInlineSnapshot(`
      "- search "Search all clusters":
        - group "Patient and order":
          - text: Patient and order Patient name
          - textbox "Patient name"
          - text: Patient ID
          - textbox "Patient ID"
          - text: Accession number
          - textbox "Accession number"
        - group "Study":
          - text: Study Study date from
          - textbox "Study date from"
          - text: Study date to
          - textbox "Study date to"
          - text: Modality
          - textbox "Modality"
        - group "Link attributes":
          - text: Link attributes Report status
          - combobox "Report status":
            - option "any" [selected]
            - option "NEW"
            - option "DICTATED"
            - option "TRANSCRIBED"
            - option "APPROVED"
            - option "UNKNOWN"
          - text: Specialty
          - textbox "Specialty"
          - text: Body part
          - textbox "Body part"
          - text: Verified
          - combobox "Verified":
            - option "any" [selected]
            - option "VERIFIED"
            - option "UNVERIFIED"
            - option "FAILED"
          - text: Location
          - combobox "Location":
            - option "any" [selected]
            - option "CACHE"
            - option "NONCACHE"
          - text: Cluster
          - combobox "Cluster":
            - option "any" [selected]
            - option "north"
            - option "south"
          - text: Comments
          - textbox "Comments"
        - group "Answer":
          - text: Answer Studies per page
          - combobox "Studies per page":
            - option "10"
            - option "25" [selected]
            - option "50"
            - option "100"
          - text: Fail when a cluster is missing
          - checkbox "Fail when a cluster is missing"
        - paragraph:
          - button "Search"
          - link "Clear":
            - /url: /ui"
    `)
  })

  test('a search is typed, its results have the focus, and what is missing is said', async () => {
    await page.goto(`${proxy.url}/ui`)
    await tabTo('PatientName')
    await page.keyboard.type('keyb')
    await tabTo('limit')
    await page.keyboard.press('ArrowUp')
    await tabTo('Search')
    await follow()
    expect(await page.title()).toBe('Studies 1–10 of at least 12 – dicomweb-link')
    expect(await focused()).toBe('results')
    expect(await page.getByRole('status', { name: 'Warnings' }).innerText()).toMatch(
      /cluster south (unreachable|circuit-open)/,
    )
    expect(await page.getByRole('row', { name: 'Study 12' }).getByRole('listitem').innerText()).toBe(
      'north: 1 image, ONLINE',
    )
  })

  test('the page after it is reached by Tab and Enter, and the form stays as it was', async () => {
    await tabTo('Next page')
    await follow()
    expect(await page.title()).toContain('Studies 11–12 of')
    expect(await page.getByLabel('Patient name').inputValue()).toBe('keyb')
    await tabTo('Previous page')
    await follow()
    expect(await page.title()).toContain('Studies 1–10 of')
  })

  test('how the answer came about opens by keyboard', async () => {
    const rounds = page.getByRole('region', { name: 'Rounds of questions' })
    expect(await rounds.isVisible()).toBe(false)
    await tabTo('How this answer came about')
    await page.keyboard.press('Enter')
    await rounds.waitFor()
    const sources = page.getByRole('region', { name: 'What each cluster had to do with it' })
    const home = sources.getByRole('row', { name: 'north' })
    expect(await home.getByText('PatientName=').count()).toBe(1)
    expect(await sources.getByRole('row', { name: 'south' }).innerText()).toMatch(/unreachable|circuit-open/)
  })

  test('where a study is is reached from its row, and the way back by keyboard', async () => {
    await page.goto(`${proxy.url}/ui?PatientID=B-1`)
    await tabTo(/^Copies/)
    await follow()
    expect(await page.title()).toBe('Held by 1 cluster – dicomweb-link')
    const holders = page.getByRole('region', { name: 'Clusters in the order in which they are asked' })
    expect(await holders.getByRole('row', { name: 'north' }).innerText()).toMatch(/home\s+asked first\s+up\s+ONLINE/)
    expect(await page.getByRole('status', { name: 'Warnings' }).innerText()).toContain('cluster south did not say')
    await tabTo('Linked search')
    await follow()
    expect(new URL(page.url()).pathname).toBe('/ui')
  })

  test('a wrong value is said at its field, which has the focus', async () => {
    await page.goto(`${proxy.url}/ui?from=2024-02-01&to=2024-01-01`)
    expect(await focused()).toBe('from')
    const error = 'StudyDate: the range ends before it begins'
    expect(await page.getByRole('alert').innerText()).toBe(error)
    const description = 'document.getElementById(document.activeElement.getAttribute("aria-describedby")).innerText'
    expect(await page.evaluate(description)).toBe(error)
  })

  test('whoever wants all clusters or nothing is told which is missing', async () => {
    await page.goto(`${proxy.url}/ui`)
    await tabTo('PatientID')
    await page.keyboard.type('K-1')
    await tabTo('partial')
    await page.keyboard.press('Space')
    await page.keyboard.press('Enter')
    await page.waitForURL(/partial=abort/)
    expect(await page.getByRole('alert').innerText()).toMatch(/incomplete: .*south/)
    expect(await page.getByRole('region', { name: 'Results' }).count()).toBe(0)
  })

  test('names from studies are text', async () => {
    await page.goto(`${proxy.url}/ui?PatientID=B-1`)
    const row = page.getByRole('row', { name: '<script>alert(1)</script>' })
    expect(await row.getByRole('rowheader').innerText()).toBe('<b>Bobby</b>, "T"')
  })

  test('a study that nobody has is an alert with the focus', async () => {
    await page.goto(`${proxy.url}/ui/studies/1.2.3`)
    expect(await page.getByRole('alert').innerText()).toContain('who holds study 1.2.3 (south')
    expect(await page.evaluate('document.activeElement.getAttribute("role")')).toBe('alert')
  })

  test.each([
    [320, 'a telephone'],
    [720, 'zoom to 200 %'],
  ])('at %d pixels, as of %s, only tables scroll sideways', async (width) => {
    await page.setViewportSize({ width, height: 800 })
    await page.goto(`${proxy.url}/ui?PatientID=K-1`)
    await page.getByText('How this answer came about').click()
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width)
    const table = page.getByRole('region', { name: /^Studies 1/ })
    await table.focus()
    await page.keyboard.press('ArrowRight')
    await expect.poll(() => page.evaluate('document.activeElement.scrollLeft')).toBeGreaterThan(0)
  })
})
