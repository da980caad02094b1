import { randomBytes } from 'node:crypto'
import { eq } from 'drizzle-orm'
import type { Queries } from './connect.ts'
import { guard } from './errors.ts'
import { sharedKey } from './schema.ts'

const keyBytes = 32

/** The key of this name, the same for every proxy on this database and after every restart. */
export const keyNamed = (db: Queries, name: string): Promise<Buffer> =>
  guard('read a shared key', async () => {
    const value = randomBytes(keyBytes).toString('hex')
    await db.insert(sharedKey).values({ name, value }).onConflictDoNothing()
    const [row] = await db.select({ value: sharedKey.value }).from(sharedKey).where(eq(sharedKey.name, name))
    return Buffer.from(row?.value ?? value, 'hex')
  })
