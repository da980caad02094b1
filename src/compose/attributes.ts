import { type AttributesService, createAttributesService, type Existence } from '../attributes/service.ts'
import type { Caller } from '../core/audience.ts'
import { systemClock as clock } from '../core/clock.ts'
import type { Database } from '../db/connect.ts'
import { changeLinkRecord, linkHistoryOf, linkRecordsOf } from '../db/link-store.ts'
import { parseQuery } from '../dicom/query.ts'
import type { Uid } from '../dicom/uid.ts'
import type { QueryService } from '../query/service.ts'

export interface AttributesParts {
  /** Id of this site. */
  readonly site: string
  readonly db: Database
  readonly query: QueryService
  /** Clusters that come to know of it. */
  readonly targets: readonly string[]
  /** There are requests to tell them. */
  readonly onChanged: () => void
}

/** The service for what this site is told about studies. */
export const attributesServiceOf = ({ site, db, query, targets, onChanged }: AttributesParts): AttributesService =>
  createAttributesService({
    exists: (study, caller, signal) => exists(query, { study, caller }, signal),
    records: (studies) => linkRecordsOf(db, studies),
    change: (study, change, options) => changeLinkRecord(db, study, change, { ...options, site, targets }),
    history: (study, limit) => linkHistoryOf(db, study, limit),
    onChanged,
    clock,
  })

/** Not found is known only when nothing is missing from the answer, which its warnings would say. */
async function exists(
  query: QueryService,
  { study, caller }: { readonly study: Uid; readonly caller: Caller },
  signal: AbortSignal,
): Promise<Existence> {
  const one = parseQuery('study', `StudyInstanceUID=${study}&limit=1&partial=warn`)
  const { rows, warnings } = await query.search({ level: 'study', query: one, base: '', caller }, signal)
  if (rows.length > 0) return 'yes'
  return warnings.length > 0 ? 'unknown' : 'no'
}
