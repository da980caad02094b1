import { LinkError } from '../core/errors.ts'
import type { ChangePlan } from './change.ts'
import type { Correction } from './correction.ts'
import { mergeSnapshots, standing } from './merge.ts'
import type { LinkRecord } from './record.ts'
import type { Said } from './said.ts'
import { emptySnapshot, type LinkSnapshot } from './snapshot.ts'

export interface Saying {
  /** Id of the site that says it. */
  readonly site: string
  /** Name of the principal. */
  readonly author: string
  readonly now: Date
}

/**
 * The snapshot once this site has said what `plan` makes of `record`, which is what counts in `before`. Throws
 * `conflict` when another site, the home of the study, has said something else: its word would count on.
 */
export function sayPlan(
  before: LinkSnapshot,
  { record, plan }: { readonly record: LinkRecord; readonly plan: ChangePlan },
  saying: Saying,
): LinkSnapshot {
  const verified = plan.verified ?? (plan.verifiedAt === undefined ? undefined : record.verified)
  const verifiedAt = plan.verifiedAt === undefined ? record.verifiedAt : plan.verifiedAt
  const at = verifiedAt === 'now' ? saying.now : verifiedAt
  const said = {
    ...emptySnapshot,
    ...(plan.reportStatus && {
      reportStatus: [{ value: plan.reportStatus, ...nextWord('reportStatus', before, saying) }],
    }),
    ...(plan.studyStatus && {
      studyStatus: [{ value: plan.studyStatus, ...nextWord('studyStatus', before, saying) }],
    }),
    ...(verified && {
      verified: [{ value: verified, ...(at && { verifiedAt: at }), ...nextWord('verified', before, saying) }],
    }),
    comments: commentsSaid(record, plan, saying),
    corrections: plan.corrections.map((correction) => ({
      ...correction,
      ...nextCorrection(correction, before, saying),
    })),
  }
  return mergeSnapshots(before, said)
}

type Status = 'reportStatus' | 'studyStatus' | 'verified'

const nextWord = (field: Status, { homeSite, ...before }: LinkSnapshot, saying: Saying): Said =>
  wordAfter(standing<Said>(before[field], homeSite), { name: field, homeSite }, saying)

function nextCorrection({ keyword }: Correction, { homeSite, corrections }: LinkSnapshot, saying: Saying) {
  const words = corrections.filter((said) => said.keyword === keyword)
  const said = wordAfter(standing(words, homeSite), { name: `corrections of ${keyword}`, homeSite }, saying)
  return { author: saying.author, ...said }
}

/** After what it is an answer to, also when the clock of the site that said that runs ahead. */
function wordAfter(
  last: Said | undefined,
  { name, homeSite }: { readonly name: string; readonly homeSite: Said | undefined },
  { site, now }: Saying,
): Said {
  if (!last) return { site, at: now }
  if (last.site !== site && last.site === homeSite?.site) {
    throw new LinkError('conflict', `${name}: is as the study's home site ${last.site} says; change it there`)
  }
  return { site, at: new Date(Math.max(now.getTime(), last.at.getTime() + 1)) }
}

const commentsSaid = ({ comments }: LinkRecord, plan: ChangePlan, { site, author, now }: Saying) =>
  plan.comments.map((text, index) => ({ site, number: comments.length + index + 1, text, author, at: now }))
