import type { Sql, TransactionSql } from 'postgres'
import { DatabaseError, driverError } from './errors.ts'

type Begin = (work: (tx: TransactionSql) => Promise<unknown>) => Promise<unknown>

/**
 * Transactions that end well when their connection is lost. postgres.js would write to what is no connection any more,
 * the `rollback` or the next statement of the work, which ends the process. Here neither is written: that the connection
 * is lost ends the transaction by itself, with an error.
 */
export function withSafeTransactions<Client extends Sql>(client: Client): Client {
  const begin = client.begin.bind(client) as unknown as Begin
  const safely: Begin = (work) => {
    const state = { isLost: false }
    const begun = begin((tx) => unlessLost(work(guarded(tx, state)), state))
    begun.catch(() => {
      state.isLost = true
    })
    return begun
  }
  return Object.assign(client, { begin: safely })
}

interface State {
  /** The transaction has ended, whatever its work still does. */
  isLost: boolean
}

/** Does not end when the connection is lost: what ends it does. */
const unlessLost = (work: Promise<unknown>, state: State): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const ended = (value: unknown) => {
      if (!state.isLost) resolve(value)
    }
    work.then(ended, (error: unknown) => {
      if (!state.isLost && !saysLost(error)) reject(error)
    })
  })

function guarded(tx: TransactionSql, state: State): TransactionSql {
  const ask = tx.unsafe.bind(tx)
  const unsafe: TransactionSql['unsafe'] = (...args) => {
    if (state.isLost) throw new Error('the transaction has ended')
    return ask(...args)
  }
  const part = tx.savepoint.bind(tx) as unknown as Begin
  // One within it is given back in the same way, and so are those within that.
  const savepoint: Begin = (work) => part((inner) => unlessLost(work(guarded(inner, state)), state))
  return Object.assign(tx, { unsafe, savepoint })
}

/**
 * What the server itself did not answer, or only to say that it shuts down (57P01 to 57P03). When the connection is
 * there nevertheless, the server ends the transaction, since nothing more is said in it.
 */
function saysLost(error: unknown): boolean {
  if (error instanceof DatabaseError) return error.sqlState === undefined || isGoodbye(error.sqlState)
  const { code } = (driverError(error) ?? {}) as { code?: unknown }
  return typeof code === 'string' && (isGoodbye(code) || /^(CONNECTION_|E[A-Z]+$)/.test(code))
}

const isGoodbye = (sqlState: string): boolean => /^57P0[123]$/.test(sqlState)
