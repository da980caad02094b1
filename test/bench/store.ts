import { setTimeout as sleep } from 'node:timers/promises'
import { type Orthanc, orthancAvailable, startOrthanc } from '../support/orthanc.ts'
import { isLong, type Scenario } from './scenario.ts'
import { type Arrivals, watchArrivals } from './support/arrivals.ts'
import { cpuSeconds, residentBytes } from './support/figures.ts'
import type { ImageStudyOptions } from './support/image-study.ts'
import { interleave, mebibytes, median, ms, quantile, ratiosOf, type Table, times } from './support/measure.ts'
import { profiled } from './support/profile.ts'
import { type Sender, type Sending, type Sent, startSender } from './support/sender.ts'
import { type Site, startSite } from './support/site.ts'

const clients = 16
const instances = isLong ? 200 : 20
const sizes = [30_000, 50_000, 100_000]
const rounds = isLong ? 9 : 5
/** Of the rate at which the archive takes instances directly. */
const paces = [0.1, 0.2]
const pacedMs = isLong ? 60_000 : 12_000
const sampledEveryMs = 100

const [direct, alone, linked] = ['directly', 'the proxy, nobody linked', 'the proxy, an archive linked']

export const store: Scenario = {
  name: 'store',
  about: `${clients} clients store small instances, directly and through the proxy, and when a linked archive lists them`,
  missing: !orthancAvailable && 'left out, Orthanc and its DICOMweb plugin are not installed here',
  async run(say) {
    await using home = await startOrthanc({ name: 'home' })
    await using peer = await startOrthanc({ name: 'peer' })
    await using lonely = await startSite({ roots: [home.dicomweb] })
    await using site = await startSite({ roots: [home.dicomweb, peer.dicomweb], updates: 'all' })
    await using sender = startSender()
    await using arrivals = watchArrivals(peer)
    const bench = new Bench({ home, site, sender, arrivals, say })
    for (const root of [home.dicomweb, lonely.dicomweb]) await bench.send(root)
    await bench.sendLinked(linked)
    say('warmed up')
    bench.forget()
    const cpu: Record<string, number[]> = { [alone]: [], [linked]: [] }
    const measured = async (name: string, { proxy }: Site, work: () => Promise<Sent>) => {
      const before = cpuSeconds(proxy.pid)
      const sent = await work()
      cpu[name]?.push((1000 * (cpuSeconds(proxy.pid) - before)) / sent.acknowledged.length)
      return rateOf(sent)
    }
    const rates = await interleave(rounds, {
      [direct]: async () => rateOf(await bench.send(home.dicomweb)),
      [alone]: () => measured(alone, lonely, () => bench.send(lonely.dicomweb)),
      [linked]: () => measured(linked, site, () => bench.sendLinked('as fast as they are taken')),
    })
    say('rates measured')
    const most = median(rates[direct] ?? [])
    for (const pace of paces) await bench.sendLinked(`${pace} × directly`, pace * most)
    await profiled('store', lonely.proxy, () => bench.send(lonely.dicomweb), say)
    await profiled('store-linked', site.proxy, () => bench.sendLinked('profiled'), say)
    return [rateTable(rates, cpu), bench.lagTable(), bench.memoryTable()]
  },
}

const rateOf = ({ acknowledged, totalMs }: Sent): number => acknowledged.length / (totalMs / 1000)

interface Parts {
  readonly home: Orthanc
  readonly site: Site
  readonly sender: Sender
  readonly arrivals: Arrivals
  readonly say: (line: string) => void
}

/** What was measured under one load. */
interface Loaded {
  readonly lags: number[]
  readonly caughtUpMs: number[]
  readonly sent: Sent[]
}

class Bench {
  readonly #parts: Parts
  readonly #loads = new Map<string, Loaded>()
  readonly #resident: number[] = []
  #studies = 1

  constructor(parts: Parts) {
    this.#parts = parts
  }

  forget(): void {
    this.#loads.clear()
    this.#resident.length = 0
  }

  /** Studies that nobody has seen. Throws when one of their instances was not taken. */
  async send(root: string, perSecond?: number): Promise<Sent> {
    const each = perSecond === undefined ? instances : Math.ceil((perSecond * pacedMs) / 1000 / clients)
    const studies = Array.from({ length: clients }, () => this.#next(each))
    const sending: Sending = { root, studies, clients, ...(perSecond !== undefined && { perSecond }) }
    const sent = await this.#parts.sender.send(sending)
    this.#parts.say(`${root}: ${Math.round(rateOf(sent))}/s`)
    if (sent.failed > 0) throw new Error(`${root}: ${sent.failed} instances were not taken`)
    return sent
  }

  /** The same through the proxy with a linked archive; resolves when that lists them all. */
  async sendLinked(load: string, perSecond?: number): Promise<Sent> {
    const sending = this.send(this.#parts.site.dicomweb, perSecond)
    const [sent] = await Promise.all([sending, this.#sample(sending)])
    const { acknowledged } = sent
    const arrived = await this.#parts.arrivals.of(acknowledged.map(([id]) => id))
    const { lags, caughtUpMs, sent: all } = this.#loaded(load)
    lags.push(...arrived.map((at, index) => at - (acknowledged[index]?.[1] ?? Number.NaN)))
    caughtUpMs.push(Math.max(...arrived) - Math.max(...acknowledged.map(([, at]) => at)))
    all.push(sent)
    this.#parts.say(`${load}: ${Math.round(rateOf(sent))}/s, p50 ${ms(median(lags))}, p99 ${ms(quantile(lags, 0.99))}`)
    return sent
  }

  #next(count: number): ImageStudyOptions {
    const number = this.#studies++
    return { number, instances: count, instanceBytes: sizes[number % sizes.length] ?? 0, series: 2 }
  }

  #loaded(load: string): Loaded {
    const known = this.#loads.get(load) ?? { lags: [], caughtUpMs: [], sent: [] }
    this.#loads.set(load, known)
    return known
  }

  async #sample(until: Promise<unknown>): Promise<void> {
    let over = false
    const end = () => {
      over = true
    }
    until.then(end, end)
    while (!over) {
      this.#resident.push(residentBytes(this.#parts.site.proxy.pid))
      await sleep(sampledEveryMs)
    }
  }

  lagTable(): Table {
    const rows = this.#loads
      .entries()
      .map(([load, { lags, caughtUpMs, sent }]) => [
        load,
        Math.round(median(sent.map(rateOf))),
        ms(median(sent.flatMap((it) => it.ms))),
        ms(median(lags)),
        ms(quantile(lags, 0.99)),
        ms(Math.max(...lags)),
        ms(median(caughtUpMs)),
      ])
    const title = `From the acknowledgement until the linked archive lists it, ms; wanted: p99 of 5000 where the archive can take the load`
    return { title, columns: lagColumns, rows: [...rows] }
  }

  memoryTable(): Table {
    const third = Math.floor(this.#resident.length / 3)
    const [first, last] = [this.#resident.slice(0, third), this.#resident.slice(-third)]
    const row = [median(first), median(last), Math.max(...this.#resident)].map(mebibytes)
    const title = 'Memory of the proxy with an archive linked, under load, MB; wanted: flat'
    const grown = (median(last) / median(first)).toFixed(2)
    return { title, columns: ['first third', 'last third', 'most', '× first'], rows: [[...row, grown]] }
  }
}

const lagColumns = ['load', 'instances/s', 'acknowledged after', 'p50', 'p99', 'most', 'after the last one']

function rateTable(rates: Readonly<Record<string, readonly number[]>>, cpu: Readonly<Record<string, number[]>>): Table {
  const rows = Object.entries(rates).map(([name, each]) => [
    name,
    Math.round(median(each)),
    name === direct ? '1' : times(ratiosOf(each, rates[direct] ?? [])),
    cpu[name] ? ms(median(cpu[name])) : '',
  ])
  const size = `${sizes.map((it) => it / 1000).join(', ')} KB`
  return {
    title: `Instances of ${size}, one a request, ${clients} clients; wanted: 0.8`,
    columns: ['way', 'instances/s', '× directly (min–max)', 'CPU of the proxy, ms an instance'],
    rows,
  }
}
