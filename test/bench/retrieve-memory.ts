import { setTimeout as sleep } from 'node:timers/promises'
import { isLong, type Scenario, storedAccept } from './scenario.ts'
import { grown, openFiles, residentBytes } from './support/figures.ts'
import { imageStudy } from './support/image-study.ts'
import { mebibytes, type Table } from './support/measure.ts'
import { startOrigins } from './support/origin.ts'
import { startPuller } from './support/pull.ts'
import { startSite } from './support/site.ts'

const study = { number: 1, instances: isLong ? 1000 : 200, instanceBytes: 500_000 }
const clients = 20
const slowBytesPerSecond = isLong ? 5e6 : 10e6
/** Idle connections to an archive are closed by then. */
const settleMs = 5000

export const retrieveMemory: Scenario = {
  name: 'retrieve-memory',
  about: `what the proxy holds while ${clients} clients pull a large study at once, every second one slowly`,
  async run(say) {
    await using origins = await startOrigins({ studies: [study], origins: [{ holds: [1] }] })
    await using site = await startSite({ roots: origins.roots })
    await using puller = startPuller()
    const { uid } = imageStudy(study)
    const { pid } = site.proxy
    const pull = (connections: number, bytesPerSecond: readonly (number | undefined)[]) => () =>
      puller.pull({
        roots: [site.dicomweb],
        paths: [`/studies/${uid}`],
        count: connections,
        connections,
        accept: storedAccept,
        bytesPerSecond,
      })
    await sleep(settleMs)
    const idle = residentBytes(pid)
    const rows: Table['rows'][number][] = []
    const note = async (what: string, work: ReturnType<typeof pull>) => {
      const before = openFiles(pid)
      const { most, value } = await grown(pid, work)
      await sleep(settleMs)
      const after = openFiles(pid)
      const row = [
        what,
        mebibytes(most),
        mebibytes(most - idle),
        mebibytes(residentBytes(pid) - idle),
        value.failed,
        `${before.all} / ${after.all}`,
        `${before.sockets} / ${after.sockets}`,
      ]
      say(row.join('  '))
      rows.push(row)
    }
    const slow = slowBytesPerSecond
    await note('1 client', pull(1, [undefined]))
    await note(`${clients} clients, all fast`, pull(clients, [undefined]))
    await note(`${clients} clients, half of them at ${slow / 1e6} MB/s`, pull(clients, [undefined, slow]))
    await note(`${clients} clients, all at ${slow / 1e6} MB/s`, pull(clients, [slow]))
    const size = `${(study.instances * study.instanceBytes) / 1e6} MB`
    return [
      {
        title: `Memory while studies of ${size} are pulled; idle: ${mebibytes(idle)} MB; wanted: less than 128 MB over it`,
        columns,
        rows,
      },
    ]
  },
}

const columns = [
  'what',
  'most, MB',
  'over idle, MB',
  `over idle ${settleMs / 1000} s later, MB`,
  'failed',
  'open files before / after',
  'sockets before / after',
]
