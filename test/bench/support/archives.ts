import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Child, forked } from './child.ts'
import { type Study, shuffled, studiesFrom } from './studies.ts'

/**
 * Many archives in one process of their own: each answers QIDO-RS after the same time, with rows that were serialised
 * before. They match Study Date, Patient ID and lists of Study Instance UIDs, know `limit` and `offset`, ignore every
 * other key, and give rows in an order of their own that stays the same.
 */
export interface ArchivesOptions {
  /** Each holds the studies of these numbers. */
  readonly archives: readonly { readonly from: number; readonly count: number }[]
  readonly answerAfterMs: number
}

export interface Archives extends AsyncDisposable {
  /** DICOMweb roots, in the order of the options. */
  readonly roots: readonly string[]
  /** From now on these, by index, take requests and never answer, until they are listed no more. */
  hang(indices: readonly number[]): Promise<void>
}

export async function startArchives(options: ArchivesOptions): Promise<Archives> {
  const child: Child = forked(import.meta.filename)
  const port = await child.ask<number>({ start: options })
  return {
    roots: options.archives.map((_, index) => `http://127.0.0.1:${port}/${index}`),
    hang: (indices) => child.ask<void>({ hang: indices }),
    [Symbol.asyncDispose]: () => child.end(),
  }
}

/** A study, and its rows of two levels as JSON. */
export interface Row {
  readonly study: Study
  readonly json: string
  readonly series: string
}

const attribute = (vr: string, ...values: readonly unknown[]) => (values[0] === '' ? { vr } : { vr, Value: values })

/** The attributes PS3.18 table 10.6.3-3 wants, as Orthanc gives them. */
export function rowOf(study: Study, root: string): Row {
  const shared = {
    '00080005': attribute('CS', 'ISO_IR 192'),
    '00080020': attribute('DA', study.date),
    '00080030': attribute('TM', study.time),
    '00080050': attribute('SH', study.accessionNumber),
  }
  const json = JSON.stringify({
    ...shared,
    '00080061': attribute('CS', study.modality),
    '00080090': attribute('PN', { Alphabetic: 'Referrer^Ruth' }),
    '00081030': attribute('LO', study.description),
    '00081190': attribute('UR', `${root}/studies/${study.uid}`),
    '00100010': attribute('PN', { Alphabetic: study.patientName }),
    '00100020': attribute('LO', study.patientId),
    '00100030': attribute('DA', '19700101'),
    '00100040': attribute('CS', 'O'),
    '0020000D': attribute('UI', study.uid),
    '00200010': attribute('SH', '1'),
    '00201206': attribute('IS', 1),
    '00201208': attribute('IS', 1),
  })
  const series = JSON.stringify({
    ...shared,
    '00080060': attribute('CS', study.modality),
    '0020000D': attribute('UI', study.uid),
    '0020000E': attribute('UI', `${study.uid}.1`),
    '00200011': attribute('IS', 1),
    '00201209': attribute('IS', 1),
  })
  return { study, json, series }
}

/** Answers kept serialised, for each archive. */
const maxKept = 1000

class Archive {
  readonly #rows: readonly Row[]
  readonly #kept = new Map<string, Buffer>()
  hung = false

  constructor(index: number, { from, count }: ArchivesOptions['archives'][number], root: string) {
    this.#rows = shuffled(studiesFrom(from, count), index).map((study) => rowOf(study, root))
  }

  answer(path: string, query: URLSearchParams): Buffer {
    const key = `${path}?${query}`
    const kept = this.#kept.get(key) ?? this.#make(path, query)
    if (this.#kept.size < maxKept) this.#kept.set(key, kept)
    return kept
  }

  #make(path: string, query: URLSearchParams): Buffer {
    const found = this.#rows.filter(({ study }) => matches(study, query))
    const offset = Number(query.get('offset') ?? 0)
    const page = found.slice(offset, offset + Number(query.get('limit') ?? found.length))
    return Buffer.from(`[${page.map((row) => (path.endsWith('/series') ? row.series : row.json)).join(',')}]`)
  }
}

function matches({ uid, date, patientId }: Study, query: URLSearchParams): boolean {
  const value = (tag: string, keyword: string) => query.get(tag) ?? query.get(keyword)
  const dates = value('00080020', 'StudyDate')
  const uids = value('0020000D', 'StudyInstanceUID')
  const patient = value('00100020', 'PatientID')
  if (dates !== null && !isWithin(date, dates)) return false
  if (uids !== null && !uids.split(',').includes(uid)) return false
  return patient === null || patient === patientId
}

function isWithin(date: string, range: string): boolean {
  const [from = '', to = from] = range.split('-')
  return date !== '' && date >= from && (to === '' || date <= to)
}

/** The process with the archives. */
async function serve(options: ArchivesOptions): Promise<{ port: number; hang: (indices: readonly number[]) => void }> {
  const archives: Archive[] = []
  const server = createServer((request, response) => {
    const [, index, path = ''] = /^\/(\d+)(\/[^?]*)/.exec(request.url ?? '') ?? []
    const archive = archives[Number(index)]
    if (!archive || archive.hung) return
    const query = new URL(request.url ?? '', 'http://archive').searchParams
    setTimeout(() => send(response, archive.answer(path, query)), options.answerAfterMs)
  })
  server.listen(0, '127.0.0.1', 4096)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  for (const [index, it] of options.archives.entries()) {
    archives.push(new Archive(index, it, `http://127.0.0.1:${port}/${index}`))
  }
  const hang = (indices: readonly number[]) => {
    for (const [index, archive] of archives.entries()) archive.hung = indices.includes(index)
  }
  return { port, hang }
}

function send(response: ServerResponse, body: Buffer): void {
  response.writeHead(200, { 'Content-Type': 'application/dicom+json', 'Content-Length': body.length })
  response.end(body)
}

if (import.meta.main) {
  let running: Awaited<ReturnType<typeof serve>> | undefined
  process.on('message', async (message: { start?: ArchivesOptions; hang?: readonly number[] }) => {
    if (message.start) running = await serve(message.start)
    else running?.hang(message.hang ?? [])
    process.send?.({ answer: running?.port })
  })
}
