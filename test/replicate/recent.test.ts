import { expect, it } from 'vitest'
import { noTelemetry } from '../../src/core/telemetry.ts'
import { Recent } from '../../src/replicate/recent.ts'
import { FakeClock } from '../support/fake-clock.ts'

it('tells what was brought to each cluster in the last minute, and tells others of it', async () => {
  const clock = new FakeClock()
  const recent = new Recent(clock)
  const told: unknown[] = []
  const telemetry = recent.counting({ ...noTelemetry, convergeRun: (...run) => void told.push(run) })
  telemetry.convergeRun('south', 'ok', 3)
  telemetry.convergeRun('west', 'ok', 5)
  await clock.advance(30_000)
  telemetry.convergeRun('south', 'ok', 4)
  telemetry.convergeRun('south', 'failed', 0)
  expect([recent.of('south'), recent.of('west'), recent.of('east')]).toEqual([7, 5, 0])
  await clock.advance(35_000)
  expect([recent.of('south'), recent.of('west')]).toEqual([4, 0])
  await clock.advance(60_000)
  telemetry.convergeRun('south', 'ok', 1)
  expect(recent.of('south')).toBe(1)
  expect(told).toHaveLength(5)
})
