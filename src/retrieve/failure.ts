import type { RetrieveRequest, Target } from '../clusters/cluster.ts'
import { LinkError } from '../core/errors.ts'
import type { ClusterError, FailureReason } from '../core/outcome.ts'

/** Answers that asking again does not change. */
const final: ReadonlySet<FailureReason> = new Set(['gone', 'unsupported', 'rejected', 'too-large'])

/** So is a 500: the archive is there and gave up on the object, most often one it cannot decode or that has no frames. */
const isFinal = ({ reason, status }: ClusterError): boolean => final.has(reason) || status === 500

/**
 * What a client is told when no cluster could serve an object: 404 only when every cluster said
 * no, 503 while any was silent, 410 when the holders say it is gone, 406 when they hold it but cannot represent it,
 * 502 when they gave up on it.
 */
export function noHolderLeft(what: string, errors: readonly ClusterError[]): LinkError {
  const verdicts = errors.filter(({ reason }) => reason !== 'not-found')
  const cause = verdicts[0] ?? errors[0]
  const told = verdicts.map(({ cluster, reason }) => `${cluster} ${reason}`).join(', ')
  if (verdicts.length === 0) return new LinkError('not-found', `${what} is not held by any cluster`, { cause })
  if (!verdicts.every(isFinal)) {
    const formRefused = verdicts.some(({ reason }) => reason === 'unsupported')
    return new UnavailableError(`${what} cannot be had at the moment (${told})`, { cause, formRefused })
  }
  if (verdicts.every(({ reason }) => reason === 'gone'))
    return new LinkError('gone', `${what} has been removed`, { cause })
  if (verdicts.some(({ reason }) => reason === 'unsupported')) {
    return new LinkError('not-acceptable', `no cluster can give ${what} in a form this request accepts (${told})`, {
      cause,
    })
  }
  if (verdicts.some(({ status }) => status === 500)) {
    return new LinkError('bad-gateway', `${what} is held, but its archive fails to give it so (${told})`, { cause })
  }
  return new LinkError('bad-request', `${what}: the request was refused (${told})`, { cause })
}

/** Nobody gives it now. */
class UnavailableError extends LinkError {
  /** Whether a cluster that answers has it, and cannot represent it as it was asked for. */
  readonly formRefused: boolean

  constructor(message: string, { cause, formRefused }: { cause: unknown; formRefused: boolean }) {
    super('unavailable', message, { cause })
    this.formRefused = formRefused
  }
}

/** Whether asking for another representation may help. */
const isFormRefused = (error: unknown): error is LinkError =>
  error instanceof LinkError &&
  (error.code === 'not-acceptable' || (error instanceof UnavailableError && error.formRefused))

/**
 * Asks for one form after the other while the answer is that the clusters that have it cannot give it so. When none is
 * left it throws what speaks of a better time, else what the first one met.
 */
export async function firstGiven<Form, Answer>(
  forms: readonly Form[],
  ask: (form: Form) => Promise<Answer>,
): Promise<Answer> {
  const refusals: LinkError[] = []
  for (const form of forms) {
    try {
      return await ask(form)
    } catch (error) {
      if (!isFormRefused(error)) throw error
      refusals.push(error)
    }
  }
  throw refusals.find(({ code }) => code !== 'not-acceptable') ?? refusals[0]
}

/** What was asked for, in words that name no patient. */
export function describe({ study, series, instance }: Target, request?: RetrieveRequest): string {
  const object = instance ? `instance ${instance}` : series ? `series ${series}` : `study ${study}`
  const frames = request && 'frames' in request ? request.frames : undefined
  return frames ? `frame ${frames.slice(0, 10).join(', ')} of ${object}` : object
}

/** Texts for a 206: which clusters might have held more. */
export const incompleteBecause = (silent: readonly ClusterError[]): string[] =>
  silent.map(({ cluster, reason }) => `Results are incomplete: cluster ${cluster} ${reason}`)
