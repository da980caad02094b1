import type { Cluster } from '../../src/clusters/cluster.ts'
import { openEmbeddedCluster } from '../../src/clusters/embedded/cluster.ts'
import { noLog } from '../../src/core/telemetry.ts'
import type { Queries } from '../../src/db/connect.ts'
import { openTestDatabase } from './database.ts'

/** An embedded archive in a data directory and a database that the test has already. */
export const openArchive = (options: { dataDir: string; db: Queries; maxPartBytes?: number }): Promise<Cluster> =>
  openEmbeddedCluster({
    id: 'north',
    role: 'home',
    priority: 1,
    timeoutMs: 20_000,
    dataDir: options.dataDir,
    db: options.db,
    limits: { maxPartBytes: options.maxPartBytes ?? 64 * 1024 ** 2 },
    log: noLog,
  })

/** A fresh embedded archive of the test's own, with its database. */
export async function openTestArchive(options: { maxPartBytes?: number } = {}) {
  const { db, dataDir, close: closeDatabase } = await openTestDatabase()
  const cluster = await openArchive({ dataDir, db, ...options })
  const close = async () => {
    await cluster.close()
    await closeDatabase()
  }
  return { cluster, db, dataDir, close }
}
