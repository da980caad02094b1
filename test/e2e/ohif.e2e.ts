import type { Page, Response } from 'playwright-core'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { demoStudies } from '../../src/demo/studies.ts'
import { type Dataset, firstString } from '../../src/dicom/dataset.ts'
import {
  browserAvailable,
  filterWorklist,
  type OpenBrowser,
  openBrowser,
  openRow,
  openStudy,
  openWorklist,
  pictureOf,
  resetFilters,
  seriesInPanel,
  showSeries,
  type WorklistFilter,
  type WorklistRow,
  waitForPixels,
  whyNoViewer,
  worklistRows,
} from '../support/browser.ts'
import { sampleBytes } from '../support/federated-studies.ts'
import { disposedAfterAll, type Federation, heldBy, startFederation } from '../support/federation.ts'
import { madeInstance } from '../support/made-instance.ts'
import { orthancAvailable } from '../support/orthanc.ts'
import { bytesOf } from '../support/uploads.ts'

const row = (
  patient: string,
  date: string,
  modalities: string,
  description: string,
  instances: number,
): WorklistRow => ({ patient, date, modalities: modalities.split('+'), description, instances })

/** The generated studies of the demo, over home and the linked cluster. */
const thorax = row('Müller, Jürgen', '14-May-2024', 'CT+OT+SR', 'CT Thorax mit Kontrastmittel', 66)
const radiograph = row('Müller, Jürgen', '03-Sep-2021', 'CR', 'Röntgen Thorax p.a.', 1)
const brain = row('Yamada, Tarou', '20-Feb-2024', 'MR', 'MR Brain follow-up', 48)
const earlierBrain = row('Yamada, Tarou', '11-Jun-2022', 'MR', 'MR Brain', 18)
const echo = row('Παπαδοπούλου, Ελένη', '08-Nov-2023', 'US', 'Echocardiography', 1)
const consult = row('Παπαδοπούλου, Ελένη', '15-Jan-2020', 'OT', 'Outside consultation', 1)
const head = row("O'Connor, Seán", '27-Mar-2023', 'CT', 'CT Head without contrast', 24)
/** What is made for the third-party PACS. */
const namesake = row('MÜLLER, JÖRG', '10-Jan-2024', 'DX', 'Hand links', 1)
const angiography = row('CARDIO, CARLA', '05-May-2023', 'XA', 'Coronary angiography', 2)
/** Published samples, where they are. */
const sampleCt = row('CompressedSamples, CT1', '19-Jan-2004', 'CT', 'e+1', 1)
const sampleNm = row('CompressedSamples, NM1', '26-Aug-2004', 'NM', 'Whole Body Bone', 1)
const sampleMr = row('CompressedSamples, MR1', '26-Aug-2004', 'MR', 'No Description', 1)

const samples = { ct: sampleBytes('CT_small'), mr: sampleBytes('MR_small'), nm: sampleBytes('JPEG2000') }
const some = <T>(list: readonly unknown[], value: T): T[] => (list.length > 0 ? [value] : [])

/** Newest first. */
const everything = [thorax, brain, namesake, echo, angiography, head, earlierBrain, radiograph, consult].concat(
  some(samples.mr, sampleMr),
  some(samples.nm, sampleNm),
  some(samples.ct, sampleCt),
)

async function content() {
  const held: Record<'north' | 'south' | 'cardio', Uint8Array[]> = { north: [], south: [], cardio: [] }
  for await (const { cluster, body } of demoStudies()) {
    held[cluster === 'home' ? 'north' : 'south'].push(await bytesOf(body))
  }
  const hand = { patientName: 'MÜLLER^JÖRG', patientId: 'THIRD-1', studyDate: '20240110', modality: 'DX' }
  held.cardio.push(madeInstance({ ...hand, studyDescription: namesake.description }).bytes)
  const coronary = madeInstance({ ...carla, frames: 5, rows: 16, columns: 16 })
  held.cardio.push(coronary.bytes, madeInstance({ ...carla, study: coronary.study, instanceNumber: 2 }).bytes)
  held.cardio.push(...samples.ct, ...samples.mr, ...samples.nm)
  return held
}

const carla = {
  patientName: 'CARDIO^CARLA',
  patientId: 'THIRD-2',
  studyDate: '20230505',
  modality: 'XA',
  studyDescription: angiography.description,
}

const reason = await whyNoViewer()

describe.skipIf(!orthancAvailable || !browserAvailable || reason !== undefined)('OHIF on three archives', () => {
  const open = disposedAfterAll()
  let federation: Federation
  let browser: OpenBrowser
  let page: Page
  let errors: readonly string[]

  beforeAll(async () => {
    const [started, opened] = await Promise.all([
      startFederation({ content: await content(), config: { viewer: true } }),
      openBrowser(),
    ])
    federation = open.use(started)
    browser = open.use(opened)
    ;({ page, errors } = await browser.newPage())
  })
  afterEach(() => expect(errors).toEqual([]))

  const shown = (expected: readonly WorklistRow[]) =>
    expect.poll(() => worklistRows(page), { timeout: 60_000 }).toEqual(expected)
  const studyOf = async ({ description }: WorklistRow): Promise<string> => {
    const rows = await federation.datasets('/dicom-web/studies?includefield=StudyDescription')
    return String(firstString(rows.find((it) => firstString(it, '00081030') === description) ?? {}, '0020000D'))
  }
  /** The answer to the worklist's next question, which what is done makes it ask. */
  const answerTo = async (key: RegExp, done: () => Promise<void>): Promise<Response> => {
    const answer = page.waitForResponse((response) => key.test(response.url()))
    await done()
    return answer
  }

  test('the worklist has each study of every cluster once, with the modalities and counts of all its copies', async () => {
    await openWorklist(page, federation.proxy.url)
    await shown(everything)
  })

  const filters: readonly (readonly [string, WorklistFilter, RegExp, readonly WorklistRow[]])[] = [
    ['a letter beyond ASCII', { patient: 'müller' }, /PatientName=/, [thorax, namesake, radiograph]],
    ['a description with spaces', { description: 'MR Brain' }, /StudyDescription=/, [brain, earlierBrain]],
    ['a modality', { modality: 'CT' }, /ModalitiesInStudy=/, [thorax, head].concat(some(samples.ct, sampleCt))],
    ['days', { from: '2022-01-01', to: '2023-12-31' }, /-20231231/, [echo, angiography, head, earlierBrain]],
    ['two at once', { patient: 'müller', description: 'Thorax' }, /Name=.*Descr/, [thorax, radiograph]],
  ]
  test.each(filters)('a filter by %s leaves exactly what matches', async (_, filter, key, expected) => {
    const answer = await answerTo(key, () => filterWorklist(page, filter))
    // The page filters what it has by itself as well: only the answer tells that the proxy did.
    expect(((await answer.json()) as Dataset[]).map(descriptionOf)).toEqual(expected.map((it) => it.description))
    await shown(expected)
    await resetFilters(page)
    await shown(everything)
  })

  test.skipIf(samples.nm.length === 0)(
    'a compressed image, of whose pixels its archive says nothing, opens',
    async () => {
      const study = await studyOf(sampleNm)
      const [dataset] = await federation.datasets(`/dicom-web/studies/${study}/metadata`)
      expect(dataset?.['7FE00010']?.BulkDataURI).toMatch(/\/pixeldata$/)
      await waitForPixels(page, await openStudy(page, federation.proxy.url, study))
      await openWorklist(page, federation.proxy.url)
    },
  )

  test('a study split over two clusters opens as one, and both halves have pixels', async () => {
    await waitForPixels(page, await openRow(page, thorax.description))
    for (const series of ['Thorax axial 5 mm', 'Lunge HR axial', 'Dose report']) {
      await seriesInPanel(page, series).locator('img').waitFor()
    }
    await showSeries(page, 'Lunge HR axial')
    const linked = await pictureOf(page)
    await showSeries(page, 'Thorax axial 5 mm')
    expect(await pictureOf(page)).not.toEqual(linked)
  })

  test('a prior that another cluster holds is listed beside the study and opens', async () => {
    await page.getByText(radiograph.description).click()
    await showSeries(page, 'Thorax p.a.')
  })

  test('a measurement is drawn and saved: it is at home, comes to the linked cluster, and stays away from the third party', async () => {
    const study = await studyOf(thorax)
    const before = await heldBy(federation.north, study)
    await openStudy(page, federation.proxy.url, study)
    await showSeries(page, 'Lunge HR axial')
    await drawLength(page)
    const stored = page.waitForResponse((response) => response.request().method() === 'POST')
    await saveReport(page)
    expect((await stored).status()).toBe(200)
    const [report = '', ...others] = (await heldBy(federation.north, study)).filter((uid) => !before.includes(uid))
    expect([report, others]).toEqual([expect.stringMatching(/^[0-9.]+$/), []])
    await expect.poll(() => heldBy(federation.south, study), { timeout: 60_000 }).toContain(report)
    expect(await heldBy(federation.cardio, study)).toEqual([])
    await seriesInPanel(page, 'Create Report').waitFor()
  })

  test('the study keeps its description, though the report that OHIF wrote has none, and is found by it', async () => {
    await openWorklist(page, federation.proxy.url)
    await shown(everything.map((it) => (it === thorax ? { ...it, instances: 67 } : it)))
    const answer = await answerTo(/StudyDescription=/, () => filterWorklist(page, { description: 'CT Thorax' }))
    expect(((await answer.json()) as Dataset[]).map(descriptionOf)).toEqual([thorax.description])
    await resetFilters(page)
  })

  test('with a cluster killed the worklist loads and says what is missing, and what others hold opens', async () => {
    const study = await studyOf(head)
    await openWorklist(page, federation.proxy.url)
    await federation.south.kill()
    const answer = await answerTo(/studies\?.*limit=101/, async () => void (await page.reload()))
    expect(answer.status()).toBe(200)
    expect(await answer.headerValue('warning')).toMatch(/Results are incomplete: cluster south /)
    const left = everything.filter((it) => ![echo, earlierBrain, radiograph].includes(it))
    // Of the study that was split what home has: its own half and the report.
    await shown(left.map((it) => (it === thorax ? { ...it, instances: 43 } : it)))
    await waitForPixels(page, await openStudy(page, federation.proxy.url, study))
    await expect.poll(() => seriesInPanel(page, 'Head axial 6 mm').innerText()).toMatch(/24/)
  })
})

const descriptionOf = (dataset: Dataset): string => firstString(dataset, '00081030') ?? 'No Description'

/** Draws a line across the first viewport and has its series tracked, which is what makes it savable. */
async function drawLength(page: Page): Promise<void> {
  await page.locator('[data-cy="MeasurementTools-split-button-primary"]').click()
  const box = await page.locator('.cornerstone-canvas').first().boundingBox()
  if (!box) throw new Error('there is no viewport to measure in')
  const { x, y, width, height } = box
  await page.mouse.click(x + 0.3 * width, y + 0.4 * height)
  await page.mouse.move(x + 0.5 * width, y + 0.5 * height, { steps: 5 })
  await page.mouse.click(x + 0.6 * width, y + 0.6 * height)
  await page.locator('[data-cy^="prompt-begin-tracking-yes"]').click()
}

async function saveReport(page: Page): Promise<void> {
  await page.locator('[data-cy="trackedMeasurements-btn"]').click()
  await page.getByText('Create SR').click()
  await page.getByText('Save', { exact: true }).click()
}
