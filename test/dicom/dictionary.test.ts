import { describe, expect, test } from 'vitest'
import { keywordOf, tagOf, vrOf } from '../../src/dicom/dictionary.ts'
import { defaultReturned, tag } from '../../src/dicom/tags.ts'

describe('the dictionary', () => {
  test.each([
    ['StudyDate', '00080020'],
    ['0040A730', '0040A730'],
    ['0040a730', '0040A730'],
    ['00771001', '00771001'],
    ['StudyComments', '00324000'],
    ['InterpretationStatusID', '40080212'],
  ])('resolves %s', (text, expected) => {
    expect(tagOf(text)).toBe(expected)
  })

  test.each([
    '',
    'studydate',
    '0020',
    '0020000G',
    '(0020,000D)',
    'includefield',
    'constructor',
    '__proto__',
    'toString',
  ])('knows no attribute %j', (text) => {
    expect(tagOf(text)).toBeUndefined()
  })

  test.each([
    [tag.StudyInstanceUID, 'UI', 'StudyInstanceUID'],
    [tag.PatientName, 'PN', 'PatientName'],
    [tag.RequestAttributesSequence, 'SQ', 'RequestAttributesSequence'],
    ['00324000', 'LT', 'StudyComments'],
    [tag.PixelData, 'OW', 'PixelData'],
    ['00280106', 'US', 'SmallestImagePixelValue'],
    ['00770010', 'LO', undefined],
    ['00771001', 'CS', undefined],
    ['00771099', 'UN', undefined],
    ['00091001', 'UN', undefined],
  ])('%s is of VR %s', (given, vr, keyword) => {
    expect(vrOf(given)).toBe(vr)
    expect(keywordOf(given)).toBe(keyword)
  })

  test('every tag named in the code is the one of its keyword in the dictionary', () => {
    for (const [keyword, value] of Object.entries(tag)) expect([keyword, tagOf(keyword)]).toEqual([keyword, value])
  })

  test('an answer of each level carries the UID of its rows', () => {
    expect(defaultReturned.study).toContain(tag.StudyInstanceUID)
    expect(defaultReturned.series).toContain(tag.SeriesInstanceUID)
    expect(defaultReturned.instance).toContain(tag.SOPInstanceUID)
  })
})
