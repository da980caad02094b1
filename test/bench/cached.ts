import { framesAccept, isLong, type Scenario } from './scenario.ts'
import { imageStudy } from './support/image-study.ts'
import type { Table } from './support/measure.ts'
import { nginxAvailable, nginxMissing, startNginx } from './support/nginx.ts'
import { startOrigins } from './support/origin.ts'
import { profiled } from './support/profile.ts'
import { type Pulled, startPuller } from './support/pull.ts'
import { startSite } from './support/site.ts'
import { against, type Compared, compareWays, cpuText, middle, type Way, type Ways } from './support/ways.ts'

const study = { number: 1, instances: 200, instanceBytes: 100_000 }
const frameBytes = 200_000
const connections = 32
const rounds = isLong ? 15 : 5
const framesEach = isLong ? 6000 : 2000

const [direct, nginx, proxy] = ['from the origin', 'nginx, caching', 'the proxy']

export const cached: Scenario = {
  name: 'cached',
  about: `${study.instances} frames that were asked for before: from nginx with a cache in memory, and from the proxy`,
  missing: !nginxAvailable && nginxMissing,
  async run(say) {
    const { uid, instances } = imageStudy(study)
    await using origins = await startOrigins({ studies: [study], origins: [{ holds: [1] }], frameBytes })
    const [root = ''] = origins.roots
    await using site = await startSite({ roots: [root] })
    const { origin, pathname } = new URL(root)
    await using caching = await startNginx({ origin, caches: true })
    await using puller = startPuller()
    const ways = {
      [direct]: { roots: [root], pids: [] },
      [nginx]: { roots: [caching.url + pathname], pids: [caching.pid] },
      [proxy]: { roots: [site.dicomweb], pids: [site.proxy.pid] },
    }
    const paths = instances.map((it) => `/studies/${uid}/series/${it.series}/instances/${it.uid}/frames/1`)
    const asked = new Map<Way, number>()
    const work = async (way: Way): Promise<Pulled> => {
      const before = await origins.asked()
      const pulled = await puller.pull({ ...again, roots: way.roots, paths })
      asked.set(way, (await origins.asked()) - before)
      return pulled
    }
    for (const way of Object.values(ways)) await work(way)
    const found = await compareWays(ways, { rounds, work, rate: (it) => it.ms.length / (it.totalMs / 1000) })
    await profiled('cached', site.proxy, () => work({ roots: [site.dicomweb], pids: [] }), say)
    return [tableOf(ways, found, asked)]
  },
}

const again = { count: framesEach, connections, accept: framesAccept }

function tableOf(ways: Ways, found: Compared, asked: ReadonlyMap<Way, number>): Table {
  const rows = Object.entries(ways).map(([name, way]) => [
    name,
    Math.round(middle(found.rates, name)),
    against(found.rates, name, nginx),
    cpuText(way, found, name),
    `${asked.get(way)} of ${framesEach}`,
  ])
  const columns = ['way', 'frames/s', '× nginx (min–max)', 'CPU of the way, s/GB', 'asked of the origin']
  const title = `${study.instances} frames of ${frameBytes / 1000} KB asked for again, ${connections} connections`
  return { title, columns, rows }
}
