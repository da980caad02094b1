import { readDatasets } from '../../src/clusters/dicomweb-json.ts'
import { sortRows } from '../../src/query/page.ts'
import { render } from '../../src/query/render.ts'
import { type ClusterRows, mergeRows } from '../support/merge.ts'
import type { Scenario } from './scenario.ts'
import { rowOf } from './support/archives.ts'
import { interleave, mebibytes, median, ms, ratiosOf, times } from './support/measure.ts'
import { studiesFrom } from './support/studies.ts'

const archives = 16
const rowsEach = 1000
/** A fifth of an archive's studies is in the next one as well. */
const step = rowsEach * 0.8
const rounds = 15
const warmUps = 5
/** As Node's sockets give them. */
const chunkBytes = 64 * 1024
const limits = { maxJsonBytes: 1024 ** 3 } as Parameters<typeof readDatasets>[2]['limits']
const signal = new AbortController().signal

export const merge: Scenario = {
  name: 'merge',
  about: `${archives} × ${rowsEach} rows, a fifth of them shared, in one process: all that is done to rows against JSON.parse and JSON.stringify of the same bytes`,
  async run() {
    const bodies = Array.from({ length: archives }, (_, index) => bodyOf(index))
    const ways = { plain: () => timed(() => plain(bodies)), ours: () => timed(() => merged(bodies)) }
    await interleave(warmUps, ways)
    const found = await interleave(rounds, ways)
    const bytes = bodies.reduce((sum, body) => sum + body.length, 0)
    const ratios = ratiosOf(found.ours, found.plain)
    const columns = ['MB', 'rows', 'parse and stringify, ms', 'check, merge, sort and render too, ms', '× (min–max)']
    const counted = [mebibytes(bytes), archives * rowsEach]
    return [
      {
        title: 'Work on rows',
        columns,
        rows: [[...counted, ms(median(found.plain)), ms(median(found.ours)), times(ratios)]],
      },
    ]
  },
}

const bodyOf = (index: number): Buffer =>
  Buffer.from(`[${studiesFrom(index * step, rowsEach).map((study) => rowOf(study, `http://archive/${index}`).json)}]`)

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await work()
  return performance.now() - begun
}

const plain = async (bodies: readonly Buffer[]): Promise<number> =>
  JSON.stringify(bodies.flatMap((body) => JSON.parse(body.toString('utf8')))).length

async function merged(bodies: readonly Buffer[]): Promise<number> {
  const answers = await Promise.all(bodies.map(answerOf))
  const rows = sortRows('study', mergeRows('study', answers).values())
  return JSON.stringify(rows.map(({ dataset }) => render('study', dataset, 'http://proxy/dicom-web'))).length
}

async function answerOf(body: Buffer, rank: number): Promise<ClusterRows> {
  const exchange = { status: 200, contentType: 'application/dicom+json', body: chunks(body), discard: () => undefined }
  const rows = await Array.fromAsync(readDatasets(failures, exchange, { limits, signal }))
  return { cluster: `c${rank}`, rank, rows }
}

const failures: Parameters<typeof readDatasets>[0] = {
  error: (_, message) => {
    throw new Error(message)
  },
  explain: (thrown) => thrown,
}

async function* chunks(body: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < body.length; at += chunkBytes) yield body.subarray(at, at + chunkBytes)
}
