import { setTimeout as sleep } from 'node:timers/promises'
import { type Scenario, worklist } from './scenario.ts'
import { startArchives } from './support/archives.ts'
import { ms, type Table } from './support/measure.ts'
import { startSite } from './support/site.ts'

const archives = 16
const timeoutMs = 2000
const askedEveryMs = 500
/** Queries while one archive hangs, and the time it is given to be found again. */
const whileHung = 12
const patienceMs = 60_000

export const hung: Scenario = {
  name: 'hung',
  about: `one of ${archives} archives takes requests and never answers: when the others' rows come, and when it is found again`,
  async run(say) {
    const held = Array.from({ length: archives }, (_, index) => ({ from: index * 100, count: 100 }))
    await using sources = await startArchives({ archives: held, answerAfterMs: 20 })
    await using site = await startSite({ roots: sources.roots, timeoutMs })
    const rows: Table['rows'][number][] = []
    const note = (since: number, what: string, answer: Answer) => {
      const row = [((performance.now() - since) / 1000).toFixed(1), what, ms(answer.ms), answer.missing]
      say(row.join('  '))
      rows.push(row)
    }
    for (let turn = 0; turn < 5; turn++) await ask(site.dicomweb)
    const begun = performance.now()
    note(begun, 'all answer', await ask(site.dicomweb))
    await sources.hang([archives / 2])
    for (let turn = 0; turn < whileHung; turn++) {
      note(begun, 'one hangs', await ask(site.dicomweb))
      await sleep(askedEveryMs)
    }
    await sources.hang([])
    const healed = performance.now()
    for (let complete = false; !complete && performance.now() - healed < patienceMs; await sleep(askedEveryMs)) {
      const answer = await ask(site.dicomweb)
      complete = answer.missing === 0
      note(begun, 'it answers again', answer)
    }
    return [{ title: 'One archive hangs', columns: ['at, s', 'what', 'answer after, ms', 'archives missing'], rows }]
  },
}

interface Answer {
  readonly ms: number
  /** Archives the answer says it lacks. */
  readonly missing: number
}

async function ask(proxy: string): Promise<Answer> {
  const begun = performance.now()
  const response = await fetch(proxy + worklist)
  await response.arrayBuffer()
  const missing = response.headers.get('warning')?.match(/Results are incomplete/g)?.length ?? 0
  return { ms: performance.now() - begun, missing }
}
