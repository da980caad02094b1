import { Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { LinkError } from '../../src/core/errors.ts'
import { createLog } from '../../src/http/log.ts'

function capture(level: 'debug' | 'info' = 'info') {
  const lines: string[] = []
  const sink = new Writable({
    write(chunk, _, done) {
      lines.push(String(chunk))
      done()
    },
  })
  return { log: createLog({ site: 'north', log: { level } }, sink), lines }
}

describe('a log line', () => {
  it('is an event with fields', () => {
    const { log, lines } = capture()
    log.warn({ cluster: 'south' }, 'breaker-opened')
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'warn',
      site: 'north',
      event: 'breaker-opened',
      cluster: 'south',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    })
  })

  it('is left out below the configured level', () => {
    const { log, lines } = capture()
    log.debug({}, 'detail')
    expect(lines).toEqual([])
  })

  it('never shows credentials, however deep they lie', () => {
    const { log, lines } = capture()
    log.info({ authorization: 's1', headers: { authorization: 's2' }, a: { b: { password: 's3', token: 's4' } } }, 'x')
    for (const secret of ['s1', 's2', 's3', 's4']) expect(lines.join()).not.toContain(`"${secret}"`)
  })

  it('tells an error with its causes, but not what libraries hang on it', () => {
    const { log, lines } = capture()
    const cause = Object.assign(new Error('refused'), { code: 'ECONNREFUSED', request: { headers: 'secret' } })
    log.error({ err: new LinkError('unavailable', 'cluster south: unreachable', { cause }) }, 'failed')
    const { err } = JSON.parse(lines[0] ?? '') as { err: object }
    expect(err).toMatchObject({
      type: 'LinkError',
      code: 'unavailable',
      message: 'cluster south: unreachable',
      cause: { message: 'refused', code: 'ECONNREFUSED' },
    })
    expect(lines[0]).not.toContain('secret')
  })

  it('survives causes that go in circles', () => {
    const { log, lines } = capture()
    const error = new Error('a')
    error.cause = error
    log.error({ err: error }, 'failed')
    expect(lines.length).toBe(1)
  })
})
