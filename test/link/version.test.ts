import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareVersions, isDominated, joinVersions, type Version } from '../../src/link/version.ts'

const version: fc.Arbitrary<Version> = fc.dictionary(
  fc.constantFrom('a', 'b', 'c', 'constructor'),
  fc.integer({ min: 1, max: 5 }),
)

describe('a version of a study', () => {
  it.each<[Version, Version, ReturnType<typeof compareVersions>]>([
    [{}, {}, 'same'],
    [{}, { a: 1 }, 'older'],
    [{ a: 2 }, { a: 1 }, 'newer'],
    [{ a: 1, b: 2 }, { b: 2, a: 1 }, 'same'],
    [{ a: 1 }, { b: 1 }, 'concurrent'],
    [{ a: 2, b: 1 }, { a: 1, b: 2 }, 'concurrent'],
    [{ a: 2, b: 1 }, { a: 2, b: 1, c: 1 }, 'older'],
  ])('%j beside %j is %s', (a, b, expected) => {
    expect(compareVersions(a, b)).toBe(expected)
  })

  it('joined with another has the changes of both and no others', () => {
    expect(joinVersions({ a: 2, c: 1 }, { b: 3, a: 1 })).toEqual({ a: 2, b: 3, c: 1 })
    fc.assert(
      fc.property(version, version, version, (a, b, c) => {
        const joined = joinVersions(a, b)
        expect(isDominated(a, joined) && isDominated(b, joined)).toBe(true)
        if (isDominated(a, c) && isDominated(b, c)) expect(isDominated(joined, c)).toBe(true)
        expect(joinVersions(b, a)).toEqual(joined)
        expect(joinVersions(joinVersions(a, b), c)).toEqual(joinVersions(a, joinVersions(b, c)))
        expect(compareVersions(joinVersions(a, a), a)).toBe('same')
      }),
    )
  })
})
