import { isLong, type Scenario, storedAccept } from './scenario.ts'
import { imageStudy } from './support/image-study.ts'
import { startOrigins } from './support/origin.ts'
import { type Pulled, startPuller } from './support/pull.ts'
import { startSite } from './support/site.ts'
import { against, compareWays, middle } from './support/ways.ts'

const bytesPerSecond = 20e6
const rounds = isLong ? 5 : 3
const [shared, single] = [1, 2].map((number) => ({ number, instances: isLong ? 200 : 80, instanceBytes: 500_000 }))

const [one, both] = ['held by one', 'held by both']

export const sources: Scenario = {
  name: 'sources',
  about: `two origins that send ${bytesPerSecond / 1e6} MB/s each: a study that both hold against one that only one holds`,
  async run() {
    if (!shared || !single) return []
    await using origins = await startOrigins({
      studies: [shared, single],
      origins: [{ holds: [1, 2] }, { holds: [1] }],
      bytesPerSecond,
    })
    await using site = await startSite({ roots: origins.roots })
    await using puller = startPuller()
    const pull = (number: typeof shared) => async (): Promise<Pulled> => {
      const paths = [`/studies/${imageStudy(number).uid}`]
      return puller.pull({ roots: [site.dicomweb], paths, count: 1, connections: 1, accept: storedAccept })
    }
    const work = { [one]: pull(single), [both]: pull(shared) }
    const ways = Object.fromEntries(Object.keys(work).map((name) => [name, { roots: [name], pids: [] }]))
    const found = await compareWays(ways, {
      rounds,
      work: ({ roots: [name = ''] }) => work[name]?.() ?? Promise.reject(new Error(name)),
      rate: ({ bytes, totalMs }) => bytes / 1e6 / (totalMs / 1000),
    })
    const rows = [one, both].map((name) => [
      name,
      middle(found.rates, name).toFixed(1),
      against(found.rates, name, one),
    ])
    const size = `${(shared.instances * shared.instanceBytes) / 1e6} MB`
    const title = `A study of ${size} from origins of ${bytesPerSecond / 1e6} MB/s; wanted: 1.8`
    return [{ title, columns: ['study', 'MB/s', '× held by one (min–max)'], rows }]
  },
}
