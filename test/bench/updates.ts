import { setTimeout as sleep } from 'node:timers/promises'
import { type Orthanc, orthancAvailable, startOrthanc } from '../support/orthanc.ts'
import { isLong, type Scenario } from './scenario.ts'
import { cpuSeconds } from './support/figures.ts'
import { imageStudy } from './support/image-study.ts'
import { startLinkedPair } from './support/linked-pair.ts'
import { interleave, median, ms, ratiosOf, times } from './support/measure.ts'
import { profiled } from './support/profile.ts'
import { startSite } from './support/site.ts'

const study = { number: 1, instances: 2000, instanceBytes: 50_000, series: 4 }
const rounds = isLong ? 9 : 3
const lookEveryMs = 10
const patienceMs = 180_000

const [direct, replicated, linked] = ['Orthanc itself, STOW-RS', 'replication to the archive', 'notice and pull']

export const updates: Scenario = {
  name: 'updates',
  about: `a study of ${study.instances} instances on its way to another site: by Orthanc itself, by replication, by notice and pull`,
  missing: !orthancAvailable && 'left out, Orthanc and its DICOMweb plugin are not installed here',
  async run(say) {
    await using north = await startOrthanc({ name: 'north' })
    await using south = await startOrthanc({ name: 'south' })
    await using site = await startSite({ roots: [north.dicomweb, south.dicomweb], updates: 'all' })
    await using pair = await startLinkedPair({ north: north.dicomweb, south: south.dicomweb })
    const { uid, instances } = imageStudy(study)
    await north.load(instances.map(({ head, pixels }) => Buffer.concat([head, pixels])))
    const [id = ''] = (await (await north.rest('/studies')).json()) as string[]
    say('study stored')
    await north.rest('/dicom-web/servers/south', { method: 'PUT', body: JSON.stringify({ Url: south.dicomweb }) })
    let told = 0
    const tell = () => ({
      method: 'PATCH',
      headers: { 'content-type': 'application/merge-patch+json' },
      body: JSON.stringify({ comments: [{ text: `round ${told++}` }] }),
    })
    const path = `/link/v1/studies/${uid}`
    const begin: Record<string, () => Promise<Response>> = {
      [direct]: () => {
        const body = JSON.stringify({ Resources: [id], Synchronous: false })
        return north.rest('/dicom-web/servers/south/stow', { method: 'POST', body })
      },
      [replicated]: () => fetch(`${site.proxy.url}${path}`, tell()),
      [linked]: () => pair.ask(path, tell()),
    }
    const pids: Record<string, readonly number[]> = {
      [replicated]: [site.proxy.pid],
      [linked]: [pair.north.pid, pair.south.pid],
    }
    const cpu: Record<string, number[]> = { [replicated]: [], [linked]: [] }
    const measure = async (name: string): Promise<number> => {
      await emptied(south)
      const used = () => (pids[name] ?? []).reduce((sum, pid) => sum + cpuSeconds(pid), 0)
      const before = used()
      const begun = performance.now()
      const response = await begin[name]?.()
      if (!response?.ok) throw new Error(`${name}: ${response?.status} ${await response?.text()}`)
      await listed(south, study.instances)
      const tookMs = performance.now() - begun
      cpu[name]?.push(used() - before)
      say(`${name}: ${(tookMs / 1000).toFixed(1)} s`)
      return tookMs
    }
    const ways = [direct, replicated, linked].map((name) => [name, () => measure(name)] as const)
    for (const [, way] of ways) await way()
    say('warmed up')
    const found = await interleave(rounds, Object.fromEntries(ways))
    await profiled('updates-replicated', site.proxy, () => measure(replicated), say)
    await profiled('updates-pull', pair.south, () => measure(linked), say)
    const rows = Object.entries(found).map(([name, each]) => [
      name,
      (median(each) / 1000).toFixed(1),
      name === direct ? '1' : times(ratiosOf(each, found[direct] ?? [])),
      cpu[name] ? ms((1000 * median(cpu[name])) / study.instances) : '',
    ])
    const size = `${study.instances} × ${study.instanceBytes / 1000} KB`
    return [{ title: `A study of ${size} from one Orthanc to another; wanted of replication: 1.25`, columns, rows }]
  },
}

const columns = ['way', 's', '× Orthanc itself (min–max)', 'CPU of the proxies, ms an instance']

async function emptied(archive: Orthanc): Promise<void> {
  const studies = (await (await archive.rest('/studies')).json()) as string[]
  for (const id of studies) await archive.rest(`/studies/${id}`, { method: 'DELETE' })
}

async function listed(archive: Orthanc, count: number): Promise<void> {
  const until = performance.now() + patienceMs
  for (;;) {
    const { CountInstances: now } = (await (await archive.rest('/statistics')).json()) as { CountInstances: number }
    if (now >= count) return
    if (performance.now() > until) throw new Error(`only ${now} of ${count} instances came`)
    await sleep(lookEveryMs)
  }
}
