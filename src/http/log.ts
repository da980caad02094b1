import { type DestinationStream, pino } from 'pino'
import type { Config } from '../config/schema.ts'
import type { Log } from '../core/telemetry.ts'

const secrets = ['authorization', 'Authorization', 'cookie', 'password', 'token', 'clientSecret', 'x-api-key', 'url']

/**
 * Lines go out some at a time, at most a tenth of a second late: a call of the system for each costs more than the line.
 * Nobody waits for whoever reads them; what is not read is dropped beyond a bound.
 */
const together = { minLength: 4096, periodicFlush: 100, maxLength: 16 * 1024 * 1024 }

/** Structured logs, one JSON object a line: `event` is its name, the rest are fields. To stdout unless told else. */
export function createLog(config: Pick<Config, 'site' | 'log'>, destination?: DestinationStream): Log {
  const options = {
    level: config.log.level,
    base: { site: config.site },
    messageKey: 'event',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: describeError, error: describeError },
  }
  const redact = secrets.flatMap((name) => [`["${name}"]`, `*["${name}"]`, `*.*["${name}"]`])
  const to = destination ?? pino.destination({ fd: 1, sync: false, ...together })
  const [plain, careful] = [pino(options, to), pino({ ...options, redact }, to)]
  const logFor = (fields: object) => (isHarmless(fields) ? plain : careful)
  return {
    debug: (fields, event) => logFor(fields).debug(fields, event),
    info: (fields, event) => logFor(fields).info(fields, event),
    warn: (fields, event) => logFor(fields).warn(fields, event),
    error: (fields, event) => logFor(fields).error(fields, event),
  }
}

/** Nothing lies below the fields, and none is called like a secret: to look for one takes longer than to write the line. */
const isHarmless = (fields: object): boolean =>
  Object.entries(fields).every(([name, value]) => typeof value !== 'object' && !secrets.includes(name))

/** An error with its causes, not with whatever else libraries hang on it: requests, headers, addresses. */
function describeError(thrown: unknown, depth = 0): unknown {
  if (!(thrown instanceof Error)) return String(thrown)
  const { code } = thrown as { code?: unknown }
  return {
    type: thrown.name,
    message: thrown.message,
    ...(code === undefined ? {} : { code: String(code) }),
    ...(depth === 0 ? { stack: thrown.stack } : {}),
    ...(thrown.cause === undefined || depth >= 4 ? {} : { cause: describeError(thrown.cause, depth + 1) }),
  }
}
