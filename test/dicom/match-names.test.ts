import { describe, expect, test } from 'vitest'
import { compileConstraint, matchConstraint } from '../../src/dicom/match.ts'
import { dataset, pathOf } from './datasets.ts'

describe('a fuzzy key for a name', () => {
  const isMet = (key: string, name: string): boolean => {
    const compiled = compileConstraint({ path: pathOf('PatientName'), value: key, fuzzy: true })
    const [Alphabetic = '', Ideographic = '', Phonetic = ''] = name.split('=')
    return matchConstraint(dataset({ PatientName: { Alphabetic, Ideographic, Phonetic } }), compiled) === 'match'
  }

  test.each([
    ['muller', 'Müller^Jürgen'],
    ['MUL', 'Müller^Jürgen'],
    ['müller', 'MULLER^J'],
    ['Mueller', 'Müller^Jürgen'],
    ['Müller', 'MUELLER^JUERGEN'],
    ['muller', 'Mu\u0308ller'],
    ['muller ju', 'Müller^Hans^Jürgen'],
    ['Müller, Jürgen', 'Müller^Jürgen'],
    ['Müller^Jürgen', 'Müller^Peter^Jürgen'],
    ['muller dr', 'Müller^Jürgen^^Dr.'],
    ['strasse', 'Straße'],
    ['Straße', 'STRASSE'],
    ['soren', 'Sørensen'],
    ['soeren', 'Sørensen'],
    ['sørensen', 'Sorensen'],
    ['aaberg', 'Åberg'],
    ['laerke', 'Lærke'],
    ['walesa', 'Wałęsa'],
    ['istanbul', 'İSTANBUL'],
    ['nguyen', 'Nguyễn'],
    ['παπας', 'Πάπας'],
    ['федор', 'Фёдоров'],
    ['van der berg', 'van der Berg^Jan'],
    ['berg', 'van der Berg^Jan'],
    ['doe john', 'DOE JOHN'],
    ['luden', 'Müller-Lüdenscheidt'],
    ['山', 'Yamada^Tarou=山田^太郎'],
    ['yamada 太郎', 'Yamada^Tarou=山田^太郎'],
    ['やまだ', 'Yamada=山田=やまだ'],
    ['yamada=山田', 'Yamada^Tarou=山田^太郎'],
    ['김', '김^희중'],
  ])('%s is met by %s', (key, name) => {
    expect(isMet(key, name)).toBe(true)
  })

  test.each([
    ['jurgen', 'Müller^Jürgen'],
    ['ller', 'Müller^Jürgen'],
    ['muller peter', 'Müller^Jürgen'],
    ['muller', 'Mueller'],
    ['か', 'が'],
    ['기', '김'],
    ['muller', ''],
  ])('%s is not met by %s', (key, name) => {
    expect(isMet(key, name)).toBe(false)
  })
})
