import { describe, expect, test } from 'vitest'
import { updatesOf } from '../../src/replicate/targets.ts'

describe('updates of a cluster', () => {
  test.each(['all', 'holders', 'none'] as const)('are those configured, %s, when it is linked', (updates) => {
    expect(updatesOf({ role: 'linked', updates })).toBe(updates)
  })

  test.each(['all', 'holders', 'none'] as const)('are none of a third party, even configured as %s', (updates) => {
    expect(updatesOf({ role: 'thirdParty', updates })).toBe('none')
  })

  test('are none of home, which has been stored to', () => {
    expect(updatesOf({ role: 'home', updates: 'all' })).toBe('none')
  })
})
