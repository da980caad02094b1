import { databaseContract } from '../contract/database.ts'
import { openTestDatabase } from '../support/database.ts'

databaseContract('embedded', async () => {
  const { db, close } = await openTestDatabase()
  // One process only may open it: both handles are the same.
  return { db, other: db, close }
})
