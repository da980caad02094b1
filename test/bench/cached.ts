import { framesAccept, isLong, type Scenario } from './scenario.ts'
import { imageStudy } from './support/image-study.ts'
import { nginxAvailable, nginxMissing, startNginx } from './support/nginx.ts'
import { startOrigins } from './support/origin.ts'
import { profiled } from './support/profile.ts'
import { startPuller } from './support/pull.ts'
import { startSite } from './support/site.ts'
import { against, compareWays, cpuText, middle, type Way } from './support/ways.ts'

const study = { number: 1, instances: 200, instanceBytes: 100_000 }
const frameBytes = 200_000
const connections = 32
const rounds = isLong ? 15 : 5
const framesEach = isLong ? 6000 : 2000

const [direct, nginx, proxy] = ['from the origin', 'nginx, caching', 'the proxy']

export const cached: Scenario = {
  name: 'cached',
  about: `${study.instances} frames that were asked for before: from nginx with a cache in memory, and from the proxy`,
  async run(say) {
    if (!nginxAvailable) throw new Error(nginxMissing)
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
    const reached: Record<string, number> = {}
    const work = async (way: Way) => {
      const before = await origins.asked()
      const pulled = await puller.pull({
        roots: way.roots,
        paths,
        count: framesEach,
        connections,
        accept: framesAccept,
      })
      reached[way.roots.join()] = (await origins.asked()) - before
      return pulled
    }
    for (const way of Object.values(ways)) await work(way)
    const found = await compareWays(ways, { rounds, work, rate: (it) => it.ms.length / (it.totalMs / 1000) })
    await profiled('cached', site.proxy, () => work({ roots: [site.dicomweb], pids: [] }), say)
    const rows = Object.entries(ways).map(([name, way]) => [
      name,
      Math.round(middle(found.rates, name)),
      against(found.rates, name, nginx),
      cpuText(way, found, name),
      `${reached[way.roots.join()]} of ${framesEach}`,
    ])
    const columns = ['way', 'frames/s', '× nginx (min–max)', 'CPU of the way, s/GB', 'asked of the origin']
    return [
      {
        title: `${study.instances} frames of ${frameBytes / 1000} KB asked for again, ${connections} connections`,
        columns,
        rows,
      },
    ]
  },
}
