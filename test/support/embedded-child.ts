import { createHash } from 'node:crypto'
import { openDatabase } from '../../src/db/connect.ts'
import { openArchive } from './embedded.ts'
import { type MadeInstance, madeInstance, madeUid } from './made-instance.ts'
import { uploadsOf } from './uploads.ts'

/*
 * A process to be killed: stores into an embedded archive until then, by several callers at once, and prints
 * `<study> <instance> <SHA-256 of the file>` for each instance it has been acknowledged.
 * Arguments: data directory, address of a PostgreSQL or nothing.
 */
const [dataDir = '', url] = process.argv.slice(2)
const db = await openDatabase({ dataDir, url: url || undefined })
const cluster = await openArchive({ dataDir, db })
const never = new AbortController().signal

async function storeOnAndOn(caller: number): Promise<never> {
  for (let study = madeUid(), round = 0; ; round++) {
    if (round % 5 === 0) study = madeUid()
    // Each third caller sends instances too large to be kept in memory.
    const side = caller % 3 === 0 ? 1100 : 20
    const made = Array.from({ length: 1 + (round % 4) }, () => madeInstance({ study, rows: side, columns: side }))
    const results = await cluster.store(uploadsOf(...made.map(({ bytes }) => bytes)), never)
    const stored = made.filter((_, index) => results[index]?.outcome.status === 'stored')
    process.stdout.write(stored.map(line).join(''))
  }
}

const line = ({ study, instance, bytes }: MadeInstance): string =>
  `${study} ${instance} ${createHash('sha256').update(bytes).digest('hex')}\n`

await Promise.all([0, 1, 2, 3].map(storeOnAndOn))
