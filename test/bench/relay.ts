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
const framesEach = isLong ? 4000 : 1500
const firstBytesEach = 10
/** Orthanc takes its time to store them. */
const storedInstances = isLong ? 1000 : 200

const [direct, plain, tuned, proxy, two] = ['directly', 'nginx, defaults', 'nginx, tuned', 'the proxy', 'two proxies']

export const relay: Scenario = {
  name: 'relay',
  about: 'a large study, its first byte, and single frames: directly, through nginx and through the proxy',
  async run(say) {
    if (!nginxAvailable) throw new Error(nginxMissing)
    await using puller = startPuller()
    const simulated = await beforeSimulated(puller, say)
    return [...simulated, ...(orthancAvailable ? [await beforeOrthanc(puller)] : [])]
  },
}

async function beforeSimulated(puller: Puller, say: (line: string) => void): Promise<Table[]> {
  const { uid, instances } = imageStudy(study)
  await using origins = await startOrigins({ studies: [study], origins: [{ holds: [1] }], frameBytes })
  const [root = ''] = origins.roots
  await using site = await startSite({ roots: [root] })
  await using second = await startSite({ roots: [root] })
  await using relays = await relaysOf(root, site)
  const { ways } = relays
  const path = `/studies/${uid}`
  const studies = await wholeStudies(puller, ways, path)
  say(`whole studies measured`)
  await profiled('relay-study', site.proxy, () => pullStudy(puller, path, 8)(wayOf(site)), say)
  const frames = framesOf(instances.map((it) => `${path}/series/${it.series}/instances/${it.uid}`))
  const both = { roots: [site.dicomweb, second.dicomweb], pids: [site.proxy.pid, second.proxy.pid] }
  const single = await singleFrames(puller, { ...ways, [two]: both }, frames)
  await profiled('relay-frames', site.proxy, () => pullFrames(puller, frames)(wayOf(site)), say)
  const size = `${study.instances} × ${study.instanceBytes / 1000} KB`
  return [{ title: `A study of ${size}, one client`, ...studies }, { ...single }]
}

async function beforeOrthanc(puller: Puller): Promise<Table> {
  await using archive = await startOrthanc()
  const uid = imageStudy({ ...study, instances: 0 }).uid
  for (let at = 0; at < storedInstances; at++) {
    const instance = `${uid}.1.${at + 1}`
    await archive.load([madeInstance({ study: uid, series: `${uid}.1`, instance, rows: 1000, columns: 500 }).bytes])
  }
  await using site = await startSite({ roots: [archive.dicomweb] })
  await using relays = await relaysOf(archive.dicomweb, site)
  const measured = await wholeStudies(puller, relays.ways, `/studies/${uid}`)
  return { title: `A study of ${storedInstances} × 500 KB in Orthanc, one client`, ...measured }
}

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

async function wholeStudies(puller: Puller, ways: Ways, path: string): Promise<Omit<Table, 'title'>> {
  const work = pullStudy(puller, path, 1)
  for (const way of Object.values(ways)) await work(way)
  const whole = await compareWays(ways, { rounds, work, rate: megabytesPerSecond })
  const begun = await compareWays(ways, {
    rounds,
    work: beginStudy(puller, path),
    rate: (it) => median(it.firstByteMs),
  })
  const rows = Object.keys(ways).map((name) => [
    name,
    Math.round(middle(whole.rates, name)),
    against(whole.rates, name, plain),
    against(whole.rates, name, tuned),
    cpuText(ways[name], whole, name),
    ms(middle(begun.rates, name)),
    against(begun.rates, name, tuned),
  ])
  return { columns: ['way', 'MB/s', ...comparisons, cpuColumn, 'first byte, ms', '× tuned (min–max)'], rows }
}

async function singleFrames(puller: Puller, ways: Ways, frames: Frames): Promise<Table> {
  const work = pullFrames(puller, frames)
  for (const way of Object.values(ways)) await work(way)
  const found = await compareWays(ways, { rounds, work, rate: (it) => it.ms.length / (it.totalMs / 1000) })
  const rows = Object.keys(ways).map((name) => [
    name,
    Math.round(middle(found.rates, name)),
    against(found.rates, name, plain),
    against(found.rates, name, tuned),
    cpuText(ways[name], found, name),
  ])
  const title = `Frames of ${frameBytes / 1000} KB, each asked for once, ${connections} connections`
  return { title, columns: ['way', 'frames/s', ...comparisons, cpuColumn], rows }
}

const comparisons = ['× defaults (min–max)', '× tuned (min–max)']
const cpuColumn = 'CPU of the way, s/GB'

const megabytesPerSecond = ({ bytes, totalMs }: Pulled): number => bytes / 1e6 / (totalMs / 1000)

const pullStudy = (puller: Puller, path: string, count: number) => (way: Way) =>
  puller.pull({ roots: way.roots, paths: [path], count, connections: 1, accept: storedAccept })

const beginStudy = (puller: Puller, path: string) => (way: Way) =>
  puller.pull({
    roots: way.roots,
    paths: [path],
    count: firstBytesEach,
    connections: 1,
    accept: storedAccept,
    leaveEarly: true,
  })

/** So many addresses of frames nobody has asked for. */
type Frames = (count: number) => string[]

function framesOf(instances: readonly string[]): Frames {
  let next = 0
  const frame = () => `${instances[next % instances.length]}/frames/${1 + Math.floor(next++ / instances.length)}`
  return (count) => Array.from({ length: count }, frame)
}

const pullFrames = (puller: Puller, frames: Frames) => (way: Way) =>
  puller.pull({ roots: way.roots, paths: frames(framesEach), count: framesEach, connections, accept: framesAccept })
