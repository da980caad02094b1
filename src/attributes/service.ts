import type { Caller } from '../core/audience.ts'
import type { Clock } from '../core/clock.ts'
import { LinkError } from '../core/errors.ts'
import type { ChangeOptions, ChangeResult, LinkAudit } from '../db/link-store.ts'
import type { Uid } from '../dicom/uid.ts'
import { type LinkChange, type LinkField, parseChange } from '../link/change.ts'
import { type LinkRecord, untold } from '../link/record.ts'

/** Whether a study is at any cluster that the caller may ask; `unknown` when one that may have it did not answer. */
export type Existence = 'yes' | 'no' | 'unknown'

export interface AttributesDependencies {
  readonly exists: (study: Uid, caller: Caller, signal: AbortSignal) => Promise<Existence>
  /** What `db/link-store.ts` does, on the database of this site. A change and that others are told of it are one. */
  readonly records: (studies: readonly Uid[]) => Promise<ReadonlyMap<Uid, LinkRecord>>
  readonly change: (study: Uid, change: LinkChange, options: ChangeOptions) => Promise<ChangeResult>
  readonly history: (study: Uid, limit: number) => Promise<readonly LinkAudit[]>
  /** Told when a change is kept. */
  readonly onChanged: () => void
  readonly clock: Clock
}

export interface PatchOptions {
  /** Who changes it; its name is what the comments and the audit trail say. */
  readonly caller: Caller
  /** Versions one of which the record has to be of; absent: whatever it is of. */
  readonly ifMatch?: readonly number[] | undefined
}

export interface PatchResult {
  readonly record: LinkRecord
  /** Empty when the record said all of it already. */
  readonly changed: readonly LinkField[]
  /** Report or study status went back, because the caller insisted. */
  readonly forced: boolean
}

/**
 * What this site is told about studies. All methods throw `LinkError`: `not-found` when no cluster has the study,
 * `unavailable` when that cannot be told now.
 */
export interface AttributesService {
  /** Of version 0 when nothing was told. */
  get(study: Uid, caller: Caller, signal: AbortSignal): Promise<LinkRecord>

  /** The last changes, the newest first. */
  history(study: Uid, caller: Caller, signal: AbortSignal): Promise<readonly LinkAudit[]>

  /**
   * `change` as the client wrote it, its JSON parsed. Throws `bad-request` that names the member, `conflict` when a
   * status would go back or the study has all the comments it may have, `precondition-failed` for another version;
   * nothing is changed then.
   */
  patch(study: Uid, change: unknown, options: PatchOptions, signal: AbortSignal): Promise<PatchResult>
}

const maxHistory = 100

/** Check that it exists → read or change. */
export function createAttributesService(deps: AttributesDependencies): AttributesService {
  async function requireStudy(study: Uid, caller: Caller, signal: AbortSignal): Promise<void> {
    const found = await deps.exists(study, caller, signal)
    if (found === 'no') throw new LinkError('not-found', `no cluster has a study ${study}`)
    if (found === 'yes') return
    throw new LinkError('unavailable', `whether there is a study ${study} is known only to clusters that do not answer`)
  }

  return {
    async get(study, caller, signal) {
      await requireStudy(study, caller, signal)
      return (await deps.records([study])).get(study) ?? untold(study)
    },

    async history(study, caller, signal) {
      await requireStudy(study, caller, signal)
      return deps.history(study, maxHistory)
    },

    async patch(study, change, { caller, ifMatch }, signal) {
      const wanted = parseChange(change, deps.clock.now())
      await requireStudy(study, caller, signal)
      const result = await deps.change(study, wanted, { author: caller.name, ifVersion: ifMatch })
      if (result.status === 'version-mismatch') throw changedMeanwhile(result.record)
      if (result.status === 'unchanged') return { record: result.record, changed: [], forced: false }
      deps.onChanged()
      return { record: result.record, changed: result.fields, forced: result.forced }
    },
  }
}

const changedMeanwhile = ({ version }: LinkRecord): LinkError =>
  new LinkError(
    'precondition-failed',
    `If-Match: the link attributes are of version ${version} now; get them again and look whether the change still holds`,
  )
