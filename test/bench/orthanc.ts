import { madeInstance } from '../support/made-instance.ts'
import { type Orthanc, orthancAvailable, startOrthanc } from '../support/orthanc.ts'
import { type Scenario, worklist } from './scenario.ts'
import { type Load, p50, sized, startLoad, type Volley } from './support/load.ts'
import { interleave, median, ms, quantile, ratiosOf, type Table, times } from './support/measure.ts'
import { startSite } from './support/site.ts'
import { chance, days, daysAgo, type Study, studiesFrom, studyOf } from './support/studies.ts'

const studiesEach = 2000
/** A tenth of an archive's studies is in the one before it as well, and a tenth in the one after it. */
const shared = studiesEach / 10
const sites = 3
const total = sites * (studiesEach - shared)
const rounds = 5
const roundMs = 2000

const variants = 50
/** Of which about a hundred studies are. */
const daysOfHundred = Math.round((100 * days) / total)

/** Each asked for with another value every time, as users do. */
const queries: Readonly<Record<string, readonly string[]>> = {
  'a range of dates, ~100 rows': variantsOf((it) => {
    const oldest = Math.floor(chance(it, 20) * (days - daysOfHundred)) + daysOfHundred
    return `/studies?StudyDate=${daysAgo(oldest)}-${daysAgo(oldest - daysOfHundred + 1)}`
  }),
  'one patient ID': variantsOf((it) => `/studies?PatientID=${studyOf(Math.floor(chance(it, 21) * total)).patientId}`),
  'worklist of OHIF': [worklist],
  everything: ['/studies'],
}

function variantsOf(query: (variant: number) => string): string[] {
  return Array.from({ length: variants }, (_, variant) => query(variant))
}

export const orthanc: Scenario = {
  name: 'orthanc',
  about: `${sites} Orthancs of ${studiesEach} studies: the merged answer against each of them asked for the same`,
  missing: !orthancAvailable && 'left out, Orthanc and its DICOMweb plugin are not installed here',
  async run(say) {
    await using resources = new AsyncDisposableStack()
    const started = await Promise.all(Array.from({ length: sites }, () => startOrthanc()))
    for (const it of started) resources.use(it)
    await Promise.all(started.map(fill))
    say('studies stored')
    const roots = started.map(({ dicomweb }) => dicomweb)
    const site = resources.use(await startSite({ roots, limits: { maxResults: 10_000 } }))
    const load = resources.use(startLoad())
    const rows: Table['rows'][number][] = []
    for (const [name, query] of Object.entries(queries)) {
      for (const concurrency of [1, 8]) {
        const row = [name, concurrency, ...(await compare({ load, roots, proxy: site.dicomweb, query, concurrency }))]
        say(row.join('  '))
        rows.push(row)
      }
    }
    const columns = ['query', 'clients', 'slowest Orthanc', 'all three at once', 'proxy p50', 'p95']
    return [{ title: 'Merged answers of real archives, ms', columns: [...columns, ...ratios], rows }]
  },
}

const ratios = ['× slowest (min–max)', '× all three (min–max)']

async function fill(archive: Orthanc, index: number): Promise<void> {
  const studies = studiesFrom(index * (studiesEach - shared), studiesEach).map((it, at) => wrapped(it, index, at))
  for (let at = 0; at < studies.length; at += 50) {
    await archive.load(studies.slice(at, at + 50).map((study) => instanceOf(study)))
  }
}

/** The last archive shares its last studies with the first one. */
const wrapped = (study: Study, index: number, at: number): Study =>
  index === sites - 1 && at >= studiesEach - shared ? studyOf(at - (studiesEach - shared)) : study

const instanceOf = ({ uid, date, ...study }: Study): Uint8Array =>
  madeInstance({
    ...study,
    study: uid,
    series: `${uid}.1`,
    instance: `${uid}.1.1`,
    studyDate: date,
    studyDescription: study.description,
  }).bytes

interface Comparison {
  readonly load: Load
  readonly roots: readonly string[]
  readonly proxy: string
  readonly query: readonly string[]
  readonly concurrency: number
}

async function compare({ load, roots, proxy, query, concurrency }: Comparison): Promise<string[]> {
  const volley = (requests: Volley['requests']) => sized(load, { requests, concurrency, roundMs })
  const all = await volley(query.map((it) => roots.map((root) => root + it)))
  const merged = await volley(query.map((it) => proxy + it))
  const singles: Volley[] = []
  for (const root of roots) singles.push(await volley(query.map((it) => root + it)))
  const every: number[] = []
  const found = await interleave(rounds, {
    slowest: async () => {
      let slowest = 0
      for (const single of singles) slowest = Math.max(slowest, await p50(load, single))
      return slowest
    },
    all: () => p50(load, all),
    merged: () => p50(load, merged, every),
  })
  return [
    ms(median(found.slowest)),
    ms(median(found.all)),
    ms(median(found.merged)),
    ms(quantile(every, 0.95)),
    times(ratiosOf(found.merged, found.slowest)),
    times(ratiosOf(found.merged, found.all)),
  ]
}
