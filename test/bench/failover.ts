import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { isLong, type Scenario, storedAccept } from './scenario.ts'
import { type ImageStudy, imageStudy } from './support/image-study.ts'
import { median, ms, quantile } from './support/measure.ts'
import { type Death, startOrigins } from './support/origin.ts'
import { type Site, startSite } from './support/site.ts'
import { chance } from './support/studies.ts'

const study = { number: 1, instances: 300, instanceBytes: 64_000 }
const retrievals = isLong ? 200 : 20
/** `BENCH_SEED` repeats a run. */
const seed = Number(process.env.BENCH_SEED ?? Date.now() % 1_000_000)
/** As over a gigabit link, so that what is cut is not all in the kernel's buffers. */
const bytesPerSecond = 100e6
const goneForMs = 300
/** More often than the proxy tries again whom it gave up. */
const everyMs = 600

export const failover: Scenario = {
  name: 'failover',
  about: `${retrievals} retrievals of a study that two origins hold, while the one that sends dies somewhere in the middle`,
  async run(say) {
    say(`seed ${seed}`)
    await using origins = await startOrigins({
      studies: [study],
      origins: [{ holds: [study.number] }, { holds: [study.number] }],
      bytesPerSecond,
    })
    await using site = await startSite({ roots: origins.roots })
    const expected = expectationOf(imageStudy(study))
    const address = `${site.dicomweb}/studies/${expected.uid}`
    let cut = 0
    const struck = async (turn: number): Promise<Retrieved> => {
      await origins.plan(deathOf(turn, expected.bytes))
      const retrieved = await retrieve(address, expected)
      if ((await origins.recovered()) > 0) cut++
      if (retrieved.fault) say(`${turn}: ${retrieved.fault}`)
      return retrieved
    }
    for (let turn = 0; turn < 3; turn++) await retrieve(address, expected)
    const found: Record<string, Retrieved[]> = { [calm]: [], [rarely]: [], [often]: [] }
    for (let turn = 0; turn < retrievals; turn++) {
      found[calm]?.push(await retrieve(address, expected))
      await inOrder(site)
      found[rarely]?.push(await struck(turn))
    }
    for (let turn = 0; turn < retrievals; turn++) {
      const pause = sleep(everyMs)
      found[often]?.push(await struck(retrievals + turn))
      await pause
    }
    const size = `${study.instances} instances of ${study.instanceBytes / 1000} KB`
    const title = `${size} from two origins, seed ${seed}, ${cut} answers of origins cut; wanted: all complete`
    return [{ title, columns, rows: Object.entries(found).map(([what, all]) => rowOf(what, all)) }]
  },
}

const [calm, rarely, often] = ['nobody dies', 'one dies, both were in order', `one dies every ${everyMs} ms`]

/** Waits until the proxy takes all clusters for usable. */
async function inOrder({ proxy }: Site): Promise<void> {
  for (;;) {
    const response = await fetch(`${proxy.url}/readyz`)
    const { clusters } = (await response.json()) as { clusters: { state: string; breaker: string }[] }
    if (clusters.every(({ state, breaker }) => state === 'up' && breaker === 'closed')) return
    await sleep(50)
  }
}

const rowOf = (what: string, all: readonly Retrieved[]): (string | number)[] => [
  what,
  all.length,
  all.filter(({ fault }) => fault === undefined).length,
  all.filter(({ status }) => status === 206).length,
  ms(median(all.map((it) => it.ms))),
  ms(
    quantile(
      all.map((it) => it.ms),
      0.95,
    ),
  ),
]

const columns = ['what', 'retrievals', 'complete and exact', 'of them 206', 'p50, ms', 'p95, ms']

const deathOf = (turn: number, bytes: number): Death => ({
  afterBytes: Math.floor(chance(turn, seed) * bytes),
  forMs: goneForMs,
  reset: chance(turn, seed + 1) < 0.5,
})

interface Expectation {
  readonly uid: string
  readonly bytes: number
  /** SHA-256 of every file; no two are the same. */
  readonly digests: ReadonlySet<string>
}

function expectationOf({ uid, instances }: ImageStudy): Expectation {
  const digests = new Set(instances.map(({ head, pixels }) => digest(head, pixels)))
  const bytes = instances.reduce((sum, { head, pixels }) => sum + head.length + pixels.length, 0)
  return { uid, bytes, digests }
}

function digest(...pieces: readonly Uint8Array[]): string {
  const hash = createHash('sha256')
  for (const piece of pieces) hash.update(piece)
  return hash.digest('hex')
}

interface Retrieved {
  readonly ms: number
  readonly status: number
  /** What is wrong with it. */
  readonly fault: string | undefined
}

async function retrieve(address: string, expected: Expectation): Promise<Retrieved> {
  const begun = performance.now()
  try {
    const response = await fetch(address, { headers: { Accept: storedAccept } })
    const body = Buffer.from(await response.arrayBuffer())
    const took = performance.now() - begun
    const { status } = response
    if (!response.ok) return { ms: took, status, fault: `${status} ${body.toString('utf8').slice(0, 300)}` }
    return { ms: took, status, fault: faultOf(body, response.headers.get('content-type') ?? '', expected) }
  } catch (error) {
    return { ms: performance.now() - begun, status: 0, fault: `cut: ${(error as Error).cause ?? error}` }
  }
}

function faultOf(body: Buffer, contentType: string, { digests }: Expectation): string | undefined {
  const found = partsOf(body, /boundary="?([^";]+)/.exec(contentType)?.[1] ?? '').map((part) => digest(part))
  const distinct = new Set(found)
  const missing = [...digests].filter((it) => !distinct.has(it)).length
  const foreign = [...distinct].filter((it) => !digests.has(it)).length
  const twice = found.length - distinct.size
  if (missing + foreign + twice === 0) return undefined
  return `${missing} missing, ${foreign} that the origins do not hold, ${twice} twice`
}

/** Bodies of the parts of a multipart message that is all there. */
function partsOf(message: Buffer, boundary: string): Buffer[] {
  const delimiter = Buffer.from(`\r\n--${boundary}`)
  const parts: Buffer[] = []
  let from = delimiter.length - 2
  for (let end = message.indexOf(delimiter, from); end >= 0; end = message.indexOf(delimiter, from)) {
    parts.push(message.subarray(message.indexOf('\r\n\r\n', from) + 4, end))
    from = end + delimiter.length
  }
  return parts
}
