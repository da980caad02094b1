import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type Scenario, worklist } from './scenario.ts'
import { startArchives } from './support/archives.ts'
import { grown } from './support/figures.ts'
import { startLoad } from './support/load.ts'
import { mebibytes, median, ms, type Table } from './support/measure.ts'
import { startSite } from './support/site.ts'

const archives = 8
const rowsEach = 1000
const atOnce = 1000
const stopped = 50

export const memory: Scenario = {
  name: 'memory',
  about: `what the proxy holds while ${atOnce} worklists are asked for at once, and while ${stopped} clients do not read their answers`,
  async run(say) {
    const held = Array.from({ length: archives }, (_, index) => ({ from: index * rowsEach, count: rowsEach }))
    await using sources = await startArchives({ archives: held, answerAfterMs: 20 })
    await using site = await startSite({ roots: sources.roots })
    await using load = startLoad()
    const requests = [site.dicomweb + worklist]
    const rows: Table['rows'][number][] = []
    const note = async (what: string, work: () => Promise<(string | number)[]>) => {
      const { before, most, value } = await grown(site.proxy.pid, work)
      const row = [what, mebibytes(before), mebibytes(most), mebibytes(most - before), ...value]
      say(row.join('  '))
      rows.push(row)
    }
    const fire = (concurrency: number, count: number) => async () => {
      const { ms: each, failed } = await load.fire({ requests, count, concurrency })
      return [ms(median(each)), failed]
    }
    await load.fire({ requests, count: 200, concurrency: 8 })
    await note('200 worklists, 8 at once', fire(8, 200))
    await note(`${atOnce} worklists at once`, fire(atOnce, atOnce))
    await note(`${atOnce} again`, fire(atOnce, atOnce))
    const deaf = await Promise.all(Array.from({ length: stopped }, () => askWithoutReading(site.dicomweb)))
    await note(`100 worklists, while ${stopped} clients do not read 5000 rows`, fire(4, 100))
    for (const socket of deaf) socket.destroy()
    await note('200 worklists, 8 at once, after it', fire(8, 200))
    const columns = ['what', 'resident before, MB', 'most, MB', 'grown by, MB', 'p50, ms', 'not answered with 200']
    return [{ title: 'Memory of the proxy', columns, rows }]
  },
}

/** Asks for many rows, and leaves them in the buffers of whoever sends them. */
async function askWithoutReading(proxy: string): Promise<Socket> {
  const { hostname, port, pathname } = new URL(proxy)
  const socket = connect({ host: hostname, port: Number(port) })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.write(`GET ${pathname}/studies?limit=5000 HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`)
  socket.pause()
  return socket
}
