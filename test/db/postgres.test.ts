import { describe, it } from 'vitest'
import { openDatabase } from '../../src/db/connect.ts'
import { databaseContract } from '../contract/database.ts'
import { postgresAvailable, postgresMissing, startPostgres } from '../support/postgres.ts'

if (postgresAvailable) {
  databaseContract('PostgreSQL', async () => {
    const server = await startPostgres()
    const url = await server.createDatabase()
    const db = await openDatabase({ url, dataDir: '' })
    const other = await openDatabase({ url, dataDir: '' })
    const close = async () => {
      await Promise.all([db.close(), other.close()])
      await server.stop()
    }
    return { db, other, close }
  })
} else {
  describe('PostgreSQL', () => it.skip(postgresMissing, () => undefined))
}
