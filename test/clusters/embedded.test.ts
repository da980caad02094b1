import { describe, it } from 'vitest'
import { openDatabase } from '../../src/db/connect.ts'
import { clusterContract } from '../contract/cluster.ts'
import { openArchive, openTestArchive } from '../support/embedded.ts'
import { temporaryFolder } from '../support/folders.ts'
import { postgresAvailable, postgresMissing, startPostgres } from '../support/postgres.ts'

clusterContract('embedded', openTestArchive)

if (postgresAvailable) {
  clusterContract('embedded, with its index in PostgreSQL', async () => {
    const server = await startPostgres()
    const folder = await temporaryFolder()
    const db = await openDatabase({ url: await server.createDatabase(), dataDir: folder.path })
    const cluster = await openArchive({ dataDir: folder.path, db })
    const close = async () => {
      await cluster.close()
      await db.close()
      await Promise.all([server.stop(), folder.remove()])
    }
    return { cluster, close }
  })
} else {
  describe('embedded, with its index in PostgreSQL', () => it.skip(postgresMissing, () => undefined))
}
