import { madeInstance } from '../support/made-instance.ts'
import { orthancAvailable, startOrthanc } from '../support/orthanc.ts'
import { framesAccept, isLong, type Scenario, storedAccept } from './scenario.ts'
import { imageStudy } from './support/image-study.ts'
import { median, ms, type Table } from './support/measure.ts'
import { nginxAvailable, nginxMissing, startNginx } from './support/nginx.ts'
import { startOrigins } from './support/origin.ts'
import { profiled } from './support/profile.ts'
import { type Pulled, type Puller, startPuller } from './support/pull.ts'
import { type Site, startSite } from './support/site.ts'
import { against, compareWays, cpuText, middle, type Way, type Ways } from './support/ways.ts'

const study = { number: 1, instances: 1000, instanceBytes: 500_000 }
const frameBytes = 200_000
const connections = 32
const rounds = isLong ? 15 : 5
const framesEach = isLong ? 4000 : 1000
/** Read to its end, over and over: what leaving an answer costs is not measured. */
const small = { number: 2, instances: 20, instanceBytes: 500_000 }
/** Before and in a round, on each way. */
const firstBytes = { warm: 300, each: isLong ? 100 : 30 }
/** In Orthanc, which takes its time to store them: images of ten frames. */
const stored = { instances: isLong ? 250 : 100, frames: 10 }

const [direct, plain, tuned, proxy, two] = ['directly', 'nginx, defaults', 'nginx, tuned', 'the proxy', 'two proxies']

export const relay: Scenario = {
  name: 'relay',
  about: 'a large study, its first byte, and single frames: directly, through nginx and through the proxy',
  missing: !nginxAvailable && nginxMissing,
  async run(say) {
    await using puller = startPuller()
    const simulated = await beforeSimulated(puller, say)
    return [...simulated, ...(orthancAvailable ? await beforeOrthanc(puller) : [])]
  },
}

async function beforeSimulated(puller: Puller, say: (line: string) => void): Promise<Table[]> {
  const { uid, instances } = imageStudy(study)
  await using origins = await startOrigins({ studies: [study, small], origins: [{ holds: [1, 2] }], frameBytes })
  const [root = ''] = origins.roots
  await using site = await startSite({ roots: [root] })
  await using second = await startSite({ roots: [root] })
  await using relays = await relaysOf(root, site)
  const { ways } = relays
  const path = `/studies/${uid}`
  const whole = await wholeStudies(puller, ways, { path, first: `/studies/${imageStudy(small).uid}` })
  say('whole studies measured')
  await profiled('relay-study', site.proxy, () => pullStudy(puller, path, 8)(wayOf(site)), say)
  const frames = framesOf(instances.map((it) => `${path}/series/${it.series}/instances/${it.uid}`))
  const pull = pullFrames(puller, frames, framesEach)
  const both = { roots: [site.dicomweb, second.dicomweb], pids: [site.proxy.pid, second.proxy.pid] }
  const single = await singleFrames({ ...ways, [two]: both }, pull)
  await profiled('relay-frames', site.proxy, () => pull(ways[proxy] ?? both), say)
  return [
    { title: `A study of ${study.instances} × ${study.instanceBytes / 1000} KB, one client; ${wantedWhole}`, ...whole },
    { title: `${framesTitle}, ${connections} connections; ${wantedSingle}`, ...single },
  ]
}

async function beforeOrthanc(puller: Puller): Promise<Table[]> {
  await using archive = await startOrthanc()
  const { uid } = imageStudy({ ...study, instances: 0 })
  const series = `${uid}.1`
  const instances = Array.from({ length: stored.instances }, (_, index) => `${series}.${index + 1}`)
  for (const instance of instances) {
    const { bytes } = madeInstance({ study: uid, series, instance, frames: stored.frames, rows: 400, columns: 500 })
    await archive.load([bytes])
  }
  const { uid: few } = imageStudy({ ...small, instances: 0 })
  const image = () => madeInstance({ study: few, series: `${few}.1`, rows: 1000, columns: 500 })
  const images = Array.from({ length: small.instances }, image)
  await archive.load(images.map(({ bytes }) => bytes))
  await using site = await startSite({ roots: [archive.dicomweb] })
  await using relays = await relaysOf(archive.dicomweb, site)
  const path = `/studies/${uid}`
  const whole = await wholeStudies(puller, relays.ways, { path, first: `/studies/${few}` })
  const frames = framesOf(
    instances.map((it) => `${path}/series/${series}/instances/${it}`),
    stored.frames,
  )
  const each = Math.floor((stored.instances * stored.frames) / (rounds + 1))
  const single = await singleFrames(relays.ways, pullFrames(puller, frames, each))
  return [
    { title: `A study of ${stored.instances} × 2 MB in Orthanc, one client; ${wantedWhole}`, ...whole },
    { title: `${framesTitle}, ${connections} connections, in Orthanc; ${wantedSingle}`, ...single },
  ]
}

const wantedWhole = 'wanted: 0.9 × tuned, 1 × defaults, first byte within 1.5 × defaults'
const wantedSingle = 'wanted of one process: 1 × defaults, 0.5 × tuned'
const framesTitle = `Frames of ${frameBytes / 1000} KB, each asked for once`

const wayOf = (site: Site): Way => ({ roots: [site.dicomweb], pids: [site.proxy.pid] })

async function relaysOf(root: string, site: Site): Promise<AsyncDisposable & { readonly ways: Ways }> {
  await using started = new AsyncDisposableStack()
  const { origin, pathname } = new URL(root)
  const nginx = started.use(await startNginx({ origin }))
  const better = started.use(await startNginx({ origin, tuned: true }))
  const ways = {
    [direct]: { roots: [root], pids: [] },
    [plain]: { roots: [nginx.url + pathname], pids: [nginx.pid] },
    [tuned]: { roots: [better.url + pathname], pids: [better.pid] },
    [proxy]: wayOf(site),
  }
  const kept = started.move()
  return { ways, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

/** `path`: of a large study; `first`: of the small one that the time to the first byte is measured with. */
async function wholeStudies(
  puller: Puller,
  ways: Ways,
  { path, first }: { readonly path: string; readonly first: string },
): Promise<Omit<Table, 'title'>> {
  const work = pullStudy(puller, path, 1)
  for (const way of Object.values(ways)) await work(way)
  const whole = await compareWays(ways, { rounds, work, rate: megabytesPerSecond })
  for (const way of Object.values(ways)) await pullStudy(puller, first, firstBytes.warm)(way)
  const begun = await compareWays(ways, {
    rounds,
    work: pullStudy(puller, first, firstBytes.each),
    rate: (it) => median(it.firstByteMs),
  })
  const rows = Object.keys(ways).map((name) => [
    name,
    Math.round(middle(whole.rates, name)),
    against(whole.rates, name, plain),
    against(whole.rates, name, tuned),
    cpuText(ways[name], whole, name),
    ms(middle(begun.rates, name)),
    against(begun.rates, name, plain),
  ])
  return { columns: ['way', 'MB/s', ...comparisons, cpuColumn, 'first byte, ms', '× defaults (min–max)'], rows }
}

async function singleFrames(ways: Ways, work: (way: Way) => Promise<Pulled>): Promise<Omit<Table, 'title'>> {
  for (const way of Object.values(ways)) await work(way)
  const found = await compareWays(ways, { rounds, work, rate: (it) => it.ms.length / (it.totalMs / 1000) })
  const rows = Object.keys(ways).map((name) => [
    name,
    Math.round(middle(found.rates, name)),
    against(found.rates, name, plain),
    against(found.rates, name, tuned),
    cpuText(ways[name], found, name),
  ])
  return { columns: ['way', 'frames/s', ...comparisons, cpuColumn], rows }
}

const comparisons = ['× defaults (min–max)', '× tuned (min–max)']
const cpuColumn = 'CPU of the way, s/GB'

const megabytesPerSecond = ({ bytes, totalMs }: Pulled): number => bytes / 1e6 / (totalMs / 1000)

const pullStudy = (puller: Puller, path: string, count: number) => (way: Way) =>
  puller.pull({ roots: way.roots, paths: [path], count, connections: 1, accept: storedAccept })

/** So many addresses of frames that were not asked for on this way before. */
type Frames = (way: Way, count: number) => string[]

/** Goes through the first frames of all instances before the second ones. */
function framesOf(instances: readonly string[], most = Number.POSITIVE_INFINITY): Frames {
  const next = new Map<Way, number>()
  const address = (at: number) => {
    const frame = 1 + Math.floor(at / instances.length)
    if (frame > most) throw new Error('there are no more frames')
    return `${instances[at % instances.length]}/frames/${frame}`
  }
  return (way, count) => {
    const from = next.get(way) ?? 0
    next.set(way, from + count)
    return Array.from({ length: count }, (_, index) => address(from + index))
  }
}

const pullFrames = (puller: Puller, frames: Frames, count: number) => (way: Way) =>
  puller.pull({ roots: way.roots, paths: frames(way, count), count, connections, accept: framesAccept })
