import { openEmbeddedCluster } from '../../src/clusters/embedded/cluster.ts'
import { noLog } from '../../src/core/telemetry.ts'
import { clusterContract } from '../contract/cluster.ts'
import { openTestDatabase } from '../support/database.ts'

clusterContract('embedded', async () => {
  const { db, dataDir, close: closeDatabase } = await openTestDatabase()
  const cluster = await openEmbeddedCluster({
    id: 'north',
    role: 'home',
    priority: 1,
    timeoutMs: 20_000,
    dataDir,
    db,
    limits: { maxPartBytes: 64 * 1024 ** 2 },
    log: noLog,
  })
  const close = async () => {
    await cluster.close()
    await closeDatabase()
  }
  return { cluster, close }
})
