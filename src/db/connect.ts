import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { sql } from 'drizzle-orm'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core'
import { makePgArray, parsePgArray } from 'drizzle-orm/pg-core/utils/array'
import { drizzle as overPglite } from 'drizzle-orm/pglite'
import { migrate as migratePglite } from 'drizzle-orm/pglite/migrator'
import { drizzle as overPostgres } from 'drizzle-orm/postgres-js'
import { migrate as migratePostgres } from 'drizzle-orm/postgres-js/migrator'
import postgres from 'postgres'
import { LinkError } from '../core/errors.ts'
import { DatabaseError, driverError, statementTimeoutMs, within } from './errors.ts'
import { lockDirectory } from './lock.ts'
import { withSafeTransactions } from './lost-connection.ts'

/** What the repositories work on: the database itself or a transaction on it, PostgreSQL or PGlite alike. */
export type Queries = PgDatabase<PgQueryResultHKT, Record<string, never>>

export interface Database extends Queries {
  readonly kind: 'postgres' | 'embedded'
  /** Waits a few seconds for running statements, then disconnects; an embedded database is free for others after. */
  close(): Promise<void>
}

export interface DatabaseOptions {
  /** `postgres://…`; absent: PGlite in `<dataDir>/db`. */
  readonly url?: string | undefined
  readonly dataDir: string
}

/**
 * Opens the database and brings its schema up to date.
 *
 * Throws `config` when PostgreSQL cannot be reached, when the data directory is taken or not writable, and when the
 * schema is of a later version of the program.
 */
export const openDatabase = (options: DatabaseOptions): Promise<Database> =>
  options.url === undefined ? openEmbedded(options.dataDir) : openPostgres(options.url)

const connectTimeoutSeconds = 10
/** Between attempts to connect, however many have failed: who waits is told soon, and served soon when it is back. */
const reconnectSeconds = 0.25
/** A change of the schema may take its time, and so may the other process that is making it. */
const migrationTimeoutMs = 300_000
/** What running statements get when the connection is closed; after that it is torn down. */
const closeTimeoutSeconds = 5
/** The key of the advisory lock under which one process migrates while the others wait; the value means nothing. */
const migrationLock = 7_321_906

async function openPostgres(url: string): Promise<Database> {
  if (!URL.canParse(url)) throw new LinkError('config', 'database.url: not an address; expected postgres://…')
  try {
    await migrateAlone(url)
    const client = connect(url, { max: 10, timeoutMs: statementTimeoutMs })
    const handle: Queries = overPostgres(withSafeTransactions(client))
    const close = () => client.end({ timeout: closeTimeoutSeconds })
    return Object.assign(handle, { kind: 'postgres' as const, close })
  } catch (error) {
    throw error instanceof LinkError ? error : unreachable(error)
  }
}

const connect = (url: string, { max, timeoutMs }: { max: number; timeoutMs: number }) =>
  postgres(url, {
    max,
    connect_timeout: connectTimeoutSeconds,
    backoff: () => reconnectSeconds,
    onnotice: () => undefined,
    // The driver asks each new connection for them, and lost meanwhile that question ends the process.
    fetch_types: false,
    types: { texts: arraysOf(1009), integers: arraysOf(1007) },
    connection: {
      application_name: 'dicomweb-link',
      statement_timeout: timeoutMs,
      idle_in_transaction_session_timeout: timeoutMs,
    },
  })

/** `oid`: of `text[]` or `integer[]` in every PostgreSQL; what comes of the latter is not made into numbers. */
const arraysOf = (oid: 1009 | 1007): postgres.PostgresType => ({
  to: oid,
  from: [oid],
  // The query builder has written the columns that are arrays.
  serialize: (value: unknown) => (Array.isArray(value) ? makePgArray(value) : value),
  parse: parsePgArray,
})

/** On a connection of its own, because the lock belongs to the session that took it and ends with it. */
async function migrateAlone(url: string): Promise<void> {
  const client = connect(url, { max: 1, timeoutMs: migrationTimeoutMs })
  const migrate = async () => {
    const handle = overPostgres(client)
    await handle.execute(sql`select pg_advisory_lock(${migrationLock})`)
    await refuseNewerSchema(handle)
    await migratePostgres(handle, { migrationsFolder })
  }
  try {
    await within(2 * migrationTimeoutMs, migrate)
  } finally {
    await client.end({ timeout: closeTimeoutSeconds })
  }
}

async function openEmbedded(dataDir: string): Promise<Database> {
  const lock = await lockDirectory(dataDir)
  let client: PGlite | undefined
  try {
    client = await PGlite.create(join(dataDir, 'db'), { relaxedDurability: false })
    const handle = overPglite(client)
    await refuseNewerSchema(handle)
    await migratePglite(handle, { migrationsFolder })
    return asDatabase(handle, client, () => lock.release())
  } catch (error) {
    await client?.close().catch(() => undefined)
    lock.release()
    throw error instanceof LinkError ? error : unusable(dataDir, error)
  }
}

function asDatabase(handle: Queries, client: PGlite, release: () => void): Database {
  const close = async () => {
    try {
      await client.close()
    } finally {
      release()
    }
  }
  return Object.assign(handle, { kind: 'embedded' as const, close })
}

/** Works from `src/db` and from `dist/db` alike: the nearest package that carries migrations. */
const migrationsFolder = ((): string => {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const candidate = resolve(folder, 'drizzle')
    if (existsSync(join(candidate, 'meta', '_journal.json'))) return candidate
    if (folder === dirname(folder)) {
      throw new LinkError('config', 'database migrations (folder "drizzle") are missing from this installation')
    }
  }
})()

/** An older program on a newer schema would write rows the newer one misreads. */
async function refuseNewerSchema(handle: Queries): Promise<void> {
  const known = readMigrationFiles({ migrationsFolder }).at(-1)?.folderMillis ?? 0
  const [table] = await handle
    .select({ found: sql<boolean>`to_regclass('drizzle.__drizzle_migrations') is not null` })
    .from(sql`(select 1) as one`)
  if (!table?.found) return
  const [last] = await handle
    .select({ at: sql<string>`coalesce(max(created_at), 0)` })
    .from(sql`drizzle.__drizzle_migrations`)
  if (Number(last?.at) <= known) return
  throw new LinkError(
    'config',
    'database: its schema was made by a newer version of dicomweb-link; run that version, or restore a backup',
  )
}

/** The texts of the driver name the server; they go to the log as the cause, and the address is not repeated. */
function unreachable(error: unknown): LinkError {
  const cause = new DatabaseError('connect to PostgreSQL', driverError(error))
  const hint = hints[cause.sqlState?.slice(0, 2) ?? ''] ?? 'check that the server runs and database.url is right'
  return new LinkError('config', `database.url: ${cause.message}; ${hint}`, { cause })
}

/** By class of SQLSTATE. */
const hints: Readonly<Record<string, string>> = {
  '28': 'the user or the password in database.url is not accepted',
  '3D': 'create the database named in database.url first',
  '42': 'the user in database.url needs the right to create schemas and tables in this database',
  '53': 'the server has no free connection or space',
}

function unusable(dataDir: string, error: unknown): LinkError {
  const cause = new DatabaseError('open the embedded database', driverError(error))
  return new LinkError('config', `dataDir ${dataDir}: ${cause.message}; check its files, rights and free space`, {
    cause,
  })
}
