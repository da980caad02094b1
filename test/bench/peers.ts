import type { Scenario } from './scenario.ts'
import { startArchives } from './support/archives.ts'
import { median, ms, type Table } from './support/measure.ts'
import { startSite } from './support/site.ts'
import { newestFirst, studiesFrom } from './support/studies.ts'

const archives = 4
const studiesEach = 1500
const step = studiesEach * 0.9
const pageSize = 101
const rounds = 5

/** What a client shows: pages of study UIDs. */
type Pages = readonly (readonly string[])[]

interface Row {
  readonly '0020000D': { readonly Value: readonly string[] }
  readonly '00080020'?: { readonly Value?: readonly string[] }
}

/** One page of a worklist; empty after the last one. */
type Ask = (page: number) => Promise<readonly Row[]>

export const peers: Scenario = {
  name: 'peers',
  about: `${archives} archives of ${studiesEach} studies in no order, a tenth shared: their worklist by OHIF's own merging, by concatenation, and by the proxy`,
  async run(say) {
    const held = Array.from({ length: archives }, (_, index) => ({ from: index * step, count: studiesEach }))
    await using sources = await startArchives({ archives: held, answerAfterMs: 20 })
    await using site = await startSite({ roots: sources.roots })
    const right = studiesFrom(0, (archives - 1) * step + studiesEach)
      .toSorted(newestFirst)
      .map(({ uid }) => uid)
    const ways: Readonly<Record<string, Ask>> = {
      'merging in OHIF': (page) => askEach(sources.roots, page).then((rows) => newest(uniqueByUid(rows))),
      'concatenation, cut': (page) => askEach(sources.roots, page).then((rows) => rows.slice(0, pageSize)),
      'the proxy': (page) => ask(site.dicomweb, page),
    }
    const rows: Table['rows'][number][] = []
    for (const [name, way] of Object.entries(ways)) {
      const row = [name, ...(await judged(way, right))]
      say(row.join('  '))
      rows.push(row)
    }
    const columns = ['by', 'first page, ms', 'all pages, ms', ...judgements]
    return [{ title: `A worklist in pages of ${pageSize}: ${right.length} studies`, columns, rows }]
  },
}

const judgements = ['of the newest missing on page 1', 'missing from all pages', 'shown twice', 'on a wrong page']

async function judged(way: Ask, right: readonly string[]): Promise<(string | number)[]> {
  const first: number[] = []
  for (let round = 0; round < rounds; round++) first.push((await timed(() => way(0))).ms)
  const { ms: all, value: pages } = await timed(() => read(way))
  const pageOf = new Map(right.map((uid, index) => [uid, Math.floor(index / pageSize)]))
  const shown = pages.flat()
  const distinct = new Set(shown)
  const newestOnes = right.slice(0, pageSize)
  const onFirst = new Set(pages[0]?.slice(0, pageSize))
  return [
    ms(median(first)),
    ms(all),
    newestOnes.filter((uid) => !onFirst.has(uid)).length,
    right.filter((uid) => !distinct.has(uid)).length,
    shown.length - distinct.size,
    pages.reduce((sum, page, number) => sum + page.filter((uid) => pageOf.get(uid) !== number).length, 0),
  ]
}

async function read(way: Ask): Promise<Pages> {
  const pages: string[][] = []
  for (;;) {
    const rows = await way(pages.length)
    if (rows.length === 0) return pages
    pages.push(rows.map(uidOf))
  }
}

async function timed<T>(work: () => Promise<T>): Promise<{ readonly ms: number; readonly value: T }> {
  const begun = performance.now()
  const value = await work()
  return { ms: performance.now() - begun, value }
}

async function ask(root: string, page: number): Promise<Row[]> {
  const response = await fetch(`${root}/studies?limit=${pageSize}&offset=${page * pageSize}`)
  return response.status === 204 ? [] : ((await response.json()) as Row[])
}

const askEach = async (roots: readonly string[], page: number): Promise<Row[]> =>
  (await Promise.all(roots.map((root) => ask(root, page)))).flat()

const uidOf = (row: Row): string => row['0020000D'].Value[0] ?? ''

const uniqueByUid = (rows: readonly Row[]): Row[] => [
  ...new Map(rows.toReversed().map((row) => [uidOf(row), row])).values(),
]

/** OHIF sorts what it has got. */
const newest = (rows: readonly Row[]): Row[] => rows.toSorted((a, b) => (dateOf(a) < dateOf(b) ? 1 : -1))

const dateOf = (row: Row): string => row['00080020']?.Value?.[0] ?? ''
