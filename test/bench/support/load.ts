import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { type Child, forked } from './child.ts'
import { median } from './measure.ts'

/** Requests to be made one after the other by several clients at once. */
export interface Volley {
  /** Each is one address, or several asked at the same time and waited for together; taken in turn, over and over. */
  readonly requests: readonly (string | readonly string[])[]
  readonly count: number
  /** Clients that ask at the same time; each asks again when it has all of its answer. */
  readonly concurrency: number
}

export interface Answers {
  /** From the request to the last byte of its answer, in the order they came. */
  readonly ms: readonly number[]
  readonly bytes: number
  /** Answers that were not 200. */
  readonly failed: number
  readonly totalMs: number
}

/** Clients in a process of their own. */
export interface Load extends AsyncDisposable {
  fire(volley: Volley): Promise<Answers>
}

export function startLoad(): Load {
  const child: Child = forked(import.meta.filename)
  return {
    fire: (volley) => child.ask<Answers>({ ...volley }),
    [Symbol.asyncDispose]: () => child.end(),
  }
}

const maxCount = 40

/**
 * As many answers as take about `roundMs`, so that rounds are of one length whatever is asked; warms up what is asked
 * on the way.
 */
export async function sized(
  load: Load,
  { requests, concurrency, roundMs }: Pick<Volley, 'requests' | 'concurrency'> & { readonly roundMs: number },
): Promise<Volley> {
  const { ms } = await load.fire({ requests, count: 3, concurrency: 1 })
  return { requests, concurrency, count: Math.max(concurrency, Math.min(maxCount, Math.round(roundMs / median(ms)))) }
}

/** The median of a round, whose measurements are added to `every`. Throws when an answer was not 200. */
export async function p50(load: Load, volley: Volley, every: number[] = []): Promise<number> {
  const { ms, failed } = await load.fire(volley)
  if (failed > 0) throw new Error(`${failed} of ${volley.count} requests were not answered with 200`)
  every.push(...ms)
  return median(ms)
}

const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })

async function fetchOne(url: string): Promise<{ bytes: number; status: number }> {
  const request = get(url, { agent, headers: { Accept: 'application/dicom+json' } })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  let bytes = 0
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  await once(response, 'end')
  return { bytes, status: response.statusCode ?? 0 }
}

async function fire({ requests, count, concurrency }: Volley): Promise<Answers> {
  const ms: number[] = []
  let [next, bytes, failed] = [0, 0, 0]
  const client = async () => {
    for (let turn = next++; turn < count; turn = next++) {
      const begun = performance.now()
      const all = await Promise.all([requests[turn % requests.length] ?? []].flat().map(fetchOne))
      ms.push(performance.now() - begun)
      for (const answer of all) bytes += answer.bytes
      failed += all.filter(({ status }) => status !== 200).length
    }
  }
  const begun = performance.now()
  await Promise.all(Array.from({ length: concurrency }, client))
  return { ms, bytes, failed, totalMs: performance.now() - begun }
}

if (import.meta.main) {
  process.on('message', async (volley: Volley) => process.send?.({ answer: await fire(volley) }))
}
