import { DeadlineExceeded } from '../core/deadline.ts'
import { LinkError, toError } from '../core/errors.ts'

/**
 * The server ends a statement after this long; none of ours takes nearly as long, and one that does has met a lock
 * nobody releases.
 */
export const statementTimeoutMs = 15_000
/** When the server does not even do that, because it hangs or the network does, nobody waits for it longer. */
const verbTimeoutMs = 20_000

/**
 * The database did not do what it was asked. `sqlState` is PostgreSQL's five-character code, present when the server
 * itself answered; the transaction is then rolled back for certain, without it what became of it is unknown.
 */
export class DatabaseError extends LinkError {
  override readonly name = 'DatabaseError'
  readonly sqlState: string | undefined

  constructor(what: string, cause: unknown) {
    const code = codeOf(cause)
    const sqlState = code !== undefined && /^[0-9A-Z]{5}$/.test(code) ? code : undefined
    const connection = sqlState === undefined || /^(08|53|57)/.test(sqlState)
    super(connection ? 'unavailable' : 'internal', `database: could not ${what} (${code ?? 'no code'})`, {
      cause: withoutValues(cause, sqlState),
    })
    this.sqlState = sqlState
  }
}

/**
 * Runs one verb of a repository and turns what the driver throws into a `DatabaseError`: the query builder's own
 * error prints the parameters, and those carry names and ids of patients. One that does not end in time is given up;
 * it may still be done later.
 */
export async function guard<T>(what: string, work: () => PromiseLike<T>): Promise<T> {
  try {
    return await within(verbTimeoutMs, work)
  } catch (error) {
    throw error instanceof LinkError ? error : new DatabaseError(what, driverError(error))
  }
}

/** Waits for work of the database so long and not longer; then throws `DeadlineExceeded`. */
export async function within<T>(ms: number, work: () => PromiseLike<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new DeadlineExceeded(`no answer within ${ms} ms`)), ms)
  try {
    return await Promise.race([work(), late])
  } finally {
    clearTimeout(timer)
  }
}

/** The driver's error below the query builder's, which repeats the statement with its parameters. */
export const driverError = (error: unknown): unknown =>
  error instanceof Error && 'query' in error && 'params' in error ? error.cause : error

function codeOf(error: unknown): string | undefined {
  if (error instanceof DeadlineExceeded) return error.message
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : undefined
}

/** Data exceptions and violated constraints quote the offending value; every other text of the server is safe. */
function withoutValues(error: unknown, sqlState: string | undefined): Error {
  return new Error(sqlState !== undefined && /^2[23]/.test(sqlState) ? `SQLSTATE ${sqlState}` : toError(error).message)
}
