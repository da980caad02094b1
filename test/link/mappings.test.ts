import { describe, expect, test } from 'vitest'
import { tag } from '../../src/dicom/tags.ts'
import {
  factsOf,
  joinFacts,
  mappingFields,
  mapStudy,
  matchingRules,
  parseMappings,
  type StudyFacts,
} from '../../src/link/mappings.ts'
import { compilePattern } from '../../src/link/mappings-pattern.ts'

const none: StudyFacts = { studyDescription: '', procedureCodes: [], modalities: [], bodyParts: [], institutions: [] }
const facts = (given: Partial<StudyFacts>): StudyFacts => ({ ...none, ...given })

const specialty = (rules: object[]) => parseMappings(JSON.stringify({ specialty: rules }), 'test')
const firing = (when: object, given: Partial<StudyFacts>) =>
  mapStudy(specialty([{ rule: 1, when, gives: 'X' }]), facts(given)).specialty.rule === 1

describe('a pattern', () => {
  test.each([
    ['BRAIN', 'BRAIN', true],
    ['BRAIN', 'Brain', false],
    ['BRAIN', 'MR BRAIN', false],
    ['%BRAIN%', 'BRAIN', true],
    ['%BRAIN%', 'MR BRAIN W/O', true],
    ['%BRAIN%', 'MR BRAI N', false],
    ['MR%', 'MR', true],
    ['MR%', 'CMR', false],
    ['%KNEE', 'MR KNEE', true],
    ['%KNEE', 'MR KNEES', false],
    ['%', '', true],
    ['%', 'anything', true],
    ['%%%', '', true],
    ['A%A', 'A', false],
    ['A%A', 'AA', true],
    ['%CHEST%ABD%', 'CT CHEST AND ABDOMEN', true],
    ['%CHEST%ABD%', 'CT ABDOMEN AND CHEST', false],
    ['%aab%', 'aaab', true],
    ['%abab%c', 'abaababc', true],
    ['CT.*(HEAD)?[A-Z]\\d*_', 'CT HEAD', false],
    ['CT.*(HEAD)?[A-Z]\\d*_', 'CT.*(HEAD)?[A-Z]\\d*_', true],
    ['C*T?', 'CxT1', false],
    ['%RÖNTGEN%', 'RÖNTGEN THORAX', true],
    ['%𝄞%', 'a𝄞b', true],
  ])('%s on %s: %s', (pattern, text, matches) => {
    expect(compilePattern(pattern)(text)).toBe(matches)
  })

  test('costs the length of pattern and text together, not their product', () => {
    const many = 1_000_000
    const texts = { end: `%${'a'.repeat(many)}b%`, start: `%b${'a'.repeat(many)}%`, pieces: '%a'.repeat(many) }
    const text = 'a'.repeat(2 * many)
    expect(compilePattern(texts.end)(text)).toBe(false)
    expect(compilePattern(texts.start)(text)).toBe(false)
    expect(compilePattern(`${texts.pieces}%b%c`)(text)).toBe(false)
    expect(compilePattern(texts.pieces)(text)).toBe(true)
  })
})

describe('a rule', () => {
  test.each([
    [{ StudyDescription: '%BRAIN%' }, { studyDescription: 'MR BRAIN' }, true],
    [{ StudyDescription: ['%HEAD%', '%BRAIN%'] }, { studyDescription: 'MR BRAIN' }, true],
    [{ StudyDescription: '%BRAIN%' }, { bodyParts: ['BRAIN'] }, false],
    [{ ProcedureCode: '7055%' }, { procedureCodes: ['1', '70551'] }, true],
    [{ ProcedureCode: '7055%' }, { procedureCodes: ['170551'] }, false],
    [{ Modality: 'MR' }, { modalities: ['SR', 'MR'] }, true],
    [{ Modality: 'MR' }, { modalities: ['SR'] }, false],
    [{ BodyPartExamined: 'HEAD' }, { bodyParts: ['NECK', 'HEAD'] }, true],
    [{ InstitutionName: '%North%' }, { institutions: ['Hospital North'] }, true],
    [{ StudyDescription: '%BRAIN%', Modality: 'MR' }, { studyDescription: 'BRAIN', modalities: ['MR'] }, true],
    [{ StudyDescription: '%BRAIN%', Modality: 'MR' }, { studyDescription: 'BRAIN', modalities: ['CT'] }, false],
    [{ StudyDescription: '%' }, {}, true],
    [{ Modality: '%' }, {}, true],
    [{ Modality: '%R' }, {}, false],
    [{ StudyDescription: 'BRAIN' }, { studyDescription: 'BRAIN ' }, true],
    [{ StudyDescription: '%ü%' }, { studyDescription: 'Schu\u0308del' }, true],
    [{}, {}, true],
  ])('%j meets %j: %s', (when, given, fires) => {
    expect(firing(when, given)).toBe(fires)
  })

  test('with the lowest number wins, wherever it stands in the file', () => {
    const rules = [
      { rule: 900, when: {}, gives: 'GENERAL' },
      { rule: 20, when: { StudyDescription: '%BRAIN%' }, gives: 'NEURO' },
      { rule: 3, when: { StudyDescription: '%BRAIN TUMOR%' }, gives: 'ONCO' },
    ]
    for (const table of [rules, rules.toReversed()]) {
      const values = (studyDescription: string) =>
        mapStudy(specialty(table), facts({ studyDescription })).specialty.values
      expect(values('MR BRAIN TUMOR')).toEqual(['ONCO'])
      expect(values('MR BRAIN')).toEqual(['NEURO'])
      expect(values('MR KNEE')).toEqual(['GENERAL'])
    }
  })

  test('tells in words why it fired', () => {
    const table = specialty([
      { rule: 1, when: { Modality: ['CT', 'MR'], StudyDescription: ['%HEAD%', '%BRAIN%'] }, gives: ['NEURO', 'ENT'] },
      { rule: 2, when: {}, gives: 'GENERAL' },
    ])
    const mapped = (given: Partial<StudyFacts>) => mapStudy(table, facts(given)).specialty
    expect(mapped({ studyDescription: 'BRAIN', modalities: ['SR', 'MR'] })).toEqual({
      values: ['NEURO', 'ENT'],
      rule: 1,
      why: 'rule 1: StudyDescription matches %BRAIN% and Modality matches MR',
    })
    expect(mapped({})).toEqual({ values: ['GENERAL'], rule: 2, why: 'rule 2: the default, it has no conditions' })
  })

  test('that is missing leaves a study without a value', () => {
    expect(mapStudy(specialty([]), none)).toEqual({
      specialty: { values: [], why: 'no rule matches' },
      bodyPart: { values: [], why: 'no rule matches' },
    })
  })

  test('that comes second is told too', () => {
    const table = specialty([
      { rule: 3, when: {}, gives: 'C' },
      { rule: 2, when: { Modality: 'MR' }, gives: 'B' },
      { rule: 1, when: { Modality: '%' }, gives: 'A' },
    ])
    const rules = (limit: number) => matchingRules(table, none, limit).specialty.map(({ rule }) => rule)
    expect(rules(10)).toEqual([1, 3])
    expect(rules(1)).toEqual([1])
  })
})

describe('the facts of a study', () => {
  const study = {
    [tag.StudyDescription]: { vr: 'LO', Value: ['MR Brain'] },
    [tag.ModalitiesInStudy]: { vr: 'CS', Value: ['MR', 'SR'] },
    '00080080': { vr: 'LO', Value: ['North'] },
    '00081032': {
      vr: 'SQ',
      Value: [
        { '00080100': { vr: 'SH', Value: ['70551'] }, '00080104': { vr: 'LO', Value: ['MRI brain'] } },
        { '00080119': { vr: 'UC', Value: ['A-LONG-CODE-OF-MORE-THAN-16'] } },
        {},
      ],
    },
  }
  const series = (modality: string, part: string) => ({
    [tag.Modality]: { vr: 'CS', Value: [modality] },
    [tag.BodyPartExamined]: { vr: 'CS', Value: [part] },
    '00080080': { vr: 'LO', Value: ['South'] },
  })

  test('are gathered from its row and those of its series', () => {
    expect(factsOf(study, [series('MR', 'HEAD'), series('PR', 'HEAD'), series('MR', 'NECK')])).toEqual({
      studyDescription: 'MR Brain',
      procedureCodes: ['70551', 'A-LONG-CODE-OF-MORE-THAN-16'],
      modalities: ['MR', 'SR', 'PR'],
      bodyParts: ['HEAD', 'NECK'],
      institutions: ['North', 'South'],
    })
  })

  test('have the description of a series when the row of the study has none', () => {
    const described = { ...series('MR', 'HEAD'), [tag.StudyDescription]: { vr: 'LO', Value: ['MR Neck'] } }
    expect(factsOf({}, [series('SR', ''), described]).studyDescription).toBe('MR Neck')
    expect(factsOf(study, [described]).studyDescription).toBe('MR Brain')
  })

  test('are empty where the archive gives nothing, or what is no sequence', () => {
    expect(factsOf({})).toEqual(none)
    expect(factsOf({ '00081032': { vr: 'SQ', Value: [null, 'x'] } })).toEqual(none)
  })

  test('need no more of a study than the attributes an archive is asked for', () => {
    const asked = Object.fromEntries(Object.entries(study).filter(([key]) => mappingFields.includes(key)))
    expect(factsOf(asked)).toEqual(factsOf(study))
  })

  test('of several copies are those of all, with the first description there is', () => {
    const copies = [none, factsOf(study), facts({ studyDescription: 'other', modalities: ['SR', 'PR'] })]
    expect(joinFacts(copies)).toEqual({ ...factsOf(study), modalities: ['MR', 'SR', 'PR'] })
    expect(joinFacts([])).toEqual(none)
  })
})
