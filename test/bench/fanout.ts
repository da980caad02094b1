import { type Scenario, worklist } from './scenario.ts'
import { startArchives } from './support/archives.ts'
import { type Load, p50, sized, startLoad, type Volley } from './support/load.ts'
import { interleave, mebibytes, median, ms, spreadOf, type Table } from './support/measure.ts'
import { startSite } from './support/site.ts'
import { daysAgo } from './support/studies.ts'

const answerAfterMs = 20
const rowsEach = 100
const rounds = 5
const roundMs = 2000
const sizes = [4, 16, 64, 256]

const queries = {
  'all rows': '/studies',
  'a year': `/studies?StudyDate=${daysAgo(365)}-`,
  worklist,
} as const

type Query = keyof typeof queries

export const fanout: Scenario = {
  name: 'fanout',
  about: `archives that answer after ${answerAfterMs} ms with ${rowsEach} rows each: what the proxy adds, by their number`,
  async run(say) {
    const rows: Table['rows'][number][] = []
    for (const size of sizes) {
      const measured = await measure(size)
      for (const row of measured) say(row.join('  '))
      rows.push(...measured)
    }
    const columns = [
      'archives',
      'query',
      'MB received',
      'MB sent',
      'all asked directly, ms',
      'proxy p50, ms',
      'added, ms',
    ]
    return [{ title: `Fan-out: added to the ${answerAfterMs} ms of the archives`, columns, rows }]
  },
}

async function measure(size: number): Promise<Table['rows'][number][]> {
  const archives = Array.from({ length: size }, (_, index) => ({ from: index * rowsEach, count: rowsEach }))
  await using sources = await startArchives({ archives, answerAfterMs })
  await using site = await startSite({ roots: sources.roots, limits: { maxResults: 50_000 } })
  await using load = startLoad()
  const rows: Table['rows'][number][] = []
  for (const query of Object.keys(queries) as Query[]) {
    rows.push([size, query, ...(await compare(load, queries[query], sources.roots, site.dicomweb))])
  }
  return rows
}

/** The same rows asked of all archives at once by the load generator, which does nothing with them, and of the proxy. */
async function compare(load: Load, query: string, roots: readonly string[], proxy: string): Promise<string[]> {
  const direct = await sized(load, { requests: [roots.map((root) => root + query)], concurrency: 1, roundMs })
  const merged = await sized(load, { requests: [proxy + query], concurrency: 1, roundMs })
  const found = await interleave(rounds, { direct: () => p50(load, direct), merged: () => p50(load, merged) })
  const added = spreadOf(found.merged.map((value) => value - answerAfterMs))
  return [
    mebibytes(await bytesOf(load, direct)),
    mebibytes(await bytesOf(load, merged)),
    ms(median(found.direct)),
    ms(median(found.merged)),
    `${ms(added.median)} (${ms(added.min)}–${ms(added.max)})`,
  ]
}

const bytesOf = async (load: Load, volley: Volley): Promise<number> => (await load.fire({ ...volley, count: 1 })).bytes
