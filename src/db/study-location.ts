import { and, asc, eq, sql } from 'drizzle-orm'
import { LRUCache } from 'lru-cache'
import type { Uid } from '../dicom/uid.ts'
import type { Queries } from './connect.ts'
import { guard } from './errors.ts'
import { studyLocation } from './schema.ts'

/** A cluster was seen to hold something of a study. */
export interface Holding {
  readonly study: Uid
  readonly cluster: string
  /** Instances of the study there, when the cluster said so. */
  readonly instances?: number | undefined
}

export interface Holder {
  readonly cluster: string
  /** As last told, or null when the cluster never said. */
  readonly instances: number | null
  readonly seenAt: Date
}

/** Rows of one statement: far below the limit of parameters, large enough that the round trip does not matter. */
const batchSize = 1000

/**
 * Notes which clusters hold which studies. What this process wrote lately is not written again, and what others
 * confirmed within the hour is left as it is: every query of a worklist comes by here.
 */
export async function rememberHolders(db: Queries, holdings: readonly Holding[]): Promise<void> {
  const written = writtenTo(db)
  const rows = distinct(holdings.filter((holding) => !written.has(holding)))
  for (let start = 0; start < rows.length; start += batchSize) {
    const batch = rows.slice(start, start + batchSize)
    await written.note(batch, () => guard('remember where studies are', () => upsert(db, batch)))
  }
}

/** The clusters that were seen to hold something of the study, by id. */
export const holdersOf = (db: Queries, study: Uid): Promise<Holder[]> =>
  guard('look up where a study is', () =>
    db
      .select({ cluster: studyLocation.cluster, instances: studyLocation.instances, seenAt: studyLocation.seenAt })
      .from(studyLocation)
      .where(eq(studyLocation.studyInstanceUID, study))
      .orderBy(asc(studyLocation.cluster)),
  )

/** Studies known to be at a cluster. */
export const countStudiesAt = (db: Queries, cluster: string): Promise<number> =>
  guard('count the studies of a cluster', () => db.$count(studyLocation, eq(studyLocation.cluster, cluster)))

/** The cluster was asked and does not hold the study. */
export const forgetHolder = async (db: Queries, study: Uid, cluster: string): Promise<void> =>
  void (await writtenTo(db).change([{ studyInstanceUID: study, cluster }], () =>
    guard('forget where a study was', async () => {
      await db
        .delete(studyLocation)
        .where(and(eq(studyLocation.studyInstanceUID, study), eq(studyLocation.cluster, cluster)))
    }),
  ))

interface Pair {
  readonly studyInstanceUID: Uid
  readonly cluster: string
}

interface Row extends Pair {
  readonly instances: number | null
}

/** One row a pair, in one order: PostgreSQL updates no row twice in a statement, and two batches never deadlock. */
function distinct(holdings: readonly Holding[]): Row[] {
  const pairs = new Map<string, Row>()
  for (const { study, cluster, instances } of holdings) {
    const key = `${study} ${cluster}`
    const known = pairs.get(key)?.instances ?? null
    pairs.set(key, { studyInstanceUID: study, cluster, instances: instances ?? known })
  }
  return [...pairs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row)
}

/** Arrays: the statement is the same for any number of rows, and has three parameters. */
async function upsert(db: Queries, rows: readonly Row[]): Promise<void> {
  const studies = sql.param(rows.map(({ studyInstanceUID }) => studyInstanceUID))
  const clusters = sql.param(rows.map(({ cluster }) => cluster))
  const counts = sql.param(rows.map(({ instances }) => instances))
  await db.execute(sql`
    insert into ${studyLocation} as known (study_instance_uid, cluster, instances)
    select * from unnest(${studies}::text[], ${clusters}::text[], ${counts}::integer[])
    on conflict (study_instance_uid, cluster) do update
      set instances = coalesce(excluded.instances, known.instances), seen_at = now()
      where coalesce(excluded.instances, known.instances) is distinct from known.instances
        or known.seen_at < now() - interval '1 hour'`)
}

/**
 * What one process knows to be in the database because it wrote it. Not for long: another one may have forgotten it
 * since.
 */
class Written {
  readonly #rows = new LRUCache<string, Row>({ max: 50_000, ttl: 300_000 })
  /** Pairs that are being changed, by how many, and whether any of these overlap. */
  readonly #changing = new Map<string, { changes: number; overlap: boolean }>()

  has({ study, cluster, instances }: Holding): boolean {
    const known = this.#rows.get(`${study} ${cluster}`)
    return known !== undefined && (instances === undefined || instances === known.instances)
  }

  /** Notes rows as written by `write`, but those that another change overlaps: which came last cannot be told. */
  async note(rows: readonly Row[], write: () => Promise<void>): Promise<void> {
    for (const row of await this.change(rows, write)) this.#rows.set(keyOf(row), row)
  }

  /** Knows nothing of these rows from the beginning to the end of the change. Answers with those changed by no other. */
  async change<R extends Pair>(rows: readonly R[], work: () => Promise<void>): Promise<R[]> {
    for (const row of rows) this.#begin(keyOf(row))
    let alone: R[] = []
    try {
      await work()
    } finally {
      alone = rows.filter((row) => this.#end(keyOf(row)))
    }
    return alone
  }

  #begin(key: string): void {
    this.#rows.delete(key)
    const changing = this.#changing.get(key)
    this.#changing.set(key, { changes: (changing?.changes ?? 0) + 1, overlap: changing !== undefined })
  }

  /** Whether there was no other change of the pair since this one began. */
  #end(key: string): boolean {
    const { changes, overlap } = this.#changing.get(key) ?? { changes: 1, overlap: true }
    if (changes > 1) this.#changing.set(key, { changes: changes - 1, overlap })
    else this.#changing.delete(key)
    return !overlap
  }
}

const keyOf = ({ studyInstanceUID, cluster }: Pair): string => `${studyInstanceUID} ${cluster}`

const handles = new WeakMap<Queries, Written>()

function writtenTo(db: Queries): Written {
  const known = handles.get(db) ?? new Written()
  handles.set(db, known)
  return known
}
