import { z } from 'zod'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { badRequest, LinkError, toError } from '../core/errors.ts'
import type { Console } from './console.ts'

/** How a command finds the proxy that runs. */
export interface OperateOptions {
  readonly config?: string
  readonly url?: string
}

/**
 * A running proxy, asked by its API. Both methods throw `LinkError`: with what the proxy says is wrong, or `unavailable`
 * when none answers, or what answers is none.
 */
export interface Operator {
  get<T>(path: string, answer: z.ZodType<T>): Promise<T>
  post<T>(path: string, answer: z.ZodType<T>): Promise<T>
}

const timeoutMs = 30_000
/** Holds an API key of the scope `admin`. */
const keyVariable = 'DICOMWEB_LINK_KEY'

export async function operatorOf(
  options: OperateOptions,
  { interrupted }: Pick<Console, 'interrupted'>,
): Promise<Operator> {
  const address = await addressOf(options)
  const stopped = interrupted()
  const ask = async <T>(method: string, path: string, answer: z.ZodType<T>): Promise<T> => {
    const signal = AbortSignal.any([stopped, AbortSignal.timeout(timeoutMs)])
    const response = await send(`${address}${path}`, { method, headers: headers(), redirect: 'error', signal }, address)
    const body: unknown = await response.json().catch(() => undefined)
    if (!response.ok) throw refusal(response.status, body, address)
    const parsed = answer.safeParse(body)
    if (!parsed.success) throw strange(address)
    return parsed.data
  }
  return {
    get: (path, answer) => ask('GET', path, answer),
    post: (path, answer) => ask('POST', path, answer),
  }
}

async function addressOf({ url, config }: OperateOptions): Promise<string> {
  if (url === undefined)
    return config === undefined ? 'http://127.0.0.1:8080' : listened(await loadConfig(config, process.env))
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url.replace(/\/+$/, '')
  throw badRequest(`--url: expected an http:// or https:// address`)
}

function listened({ listen: { host, port } }: Config): string {
  if (port === 0) throw badRequest('--url: needed, since listen.port of the configuration is 0, any free one')
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${reached.includes(':') ? `[${reached}]` : reached}:${port}`
}

const headers = (): Record<string, string> => {
  const key = process.env[keyVariable]
  return key === undefined || key === '' ? {} : { 'X-API-Key': key }
}

async function send(url: string, init: RequestInit, address: string): Promise<Response> {
  try {
    return await fetch(url, init)
  } catch (thrown) {
    const { name, cause } = toError(thrown)
    const why = name === 'TimeoutError' ? 'no answer in time' : cause instanceof Error ? cause.message : name
    throw new LinkError('unavailable', `no proxy answers at ${address}: ${why}; start it, or give --config or --url`, {
      cause: thrown,
    })
  }
}

const problem = z.object({ detail: z.string(), code: z.string() })

function refusal(status: number, body: unknown, address: string): LinkError {
  const parsed = problem.safeParse(body)
  if (!parsed.success) return strange(address)
  const { detail } = parsed.data
  if (status === 401) return new LinkError('unauthenticated', `${detail}; ${keyVariable} is to hold an API key`)
  return new LinkError('bad-request', detail)
}

const strange = (address: string): LinkError =>
  new LinkError('bad-gateway', `what answers at ${address} is no dicomweb-link of this version; --url names another`)
