import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Dataset } from '../../src/dicom/dataset.ts'
import { readMetadata } from '../../src/dicom/metadata.ts'
import { nativeXml } from '../../src/dicom/native-xml.ts'
import { type ReadAttribute, readNativeXml } from '../support/native-xml.ts'
import { samples } from '../support/samples.ts'
import { readerOf } from './files.ts'

/** What is inside the root element. */
const inside = (dataset: Dataset): string => nativeXml(dataset).replace(/^.*?preserve">|<\/NativeDicomModel>$/gs, '')

describe('a dataset in the Native DICOM Model', () => {
  it('is a document of its own', () => {
    expect(nativeXml({})).toBe(
      '<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve"></NativeDicomModel>',
    )
  })

  it.each<[string, Dataset, string]>([
    [
      'values are numbered, empty ones are kept',
      { '00080061': { vr: 'CS', Value: ['CT', null, 'MR'] } },
      '<DicomAttribute tag="00080061" vr="CS" keyword="ModalitiesInStudy"><Value number="1">CT</Value><Value number="2"/><Value number="3">MR</Value></DicomAttribute>',
    ],
    [
      'numbers are texts',
      { '00101030': { vr: 'DS', Value: [71.5] } },
      '<DicomAttribute tag="00101030" vr="DS" keyword="PatientWeight"><Value number="1">71.5</Value></DicomAttribute>',
    ],
    [
      'what has no value is there',
      { '00080020': { vr: 'DA' }, '00080030': { vr: 'TM', Value: [] } },
      '<DicomAttribute tag="00080020" vr="DA" keyword="StudyDate"/><DicomAttribute tag="00080030" vr="TM" keyword="StudyTime"/>',
    ],
    [
      'names have groups and components',
      { '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Yamada^Tarou^^Dr.', Ideographic: '山田^太郎' }, null] } },
      '<DicomAttribute tag="00100010" vr="PN" keyword="PatientName">' +
        '<PersonName number="1"><Alphabetic><FamilyName>Yamada</FamilyName><GivenName>Tarou</GivenName><NamePrefix>Dr.</NamePrefix></Alphabetic>' +
        '<Ideographic><FamilyName>山田</FamilyName><GivenName>太郎</GivenName></Ideographic></PersonName><PersonName number="2"/></DicomAttribute>',
    ],
    [
      'names may be one text, and of more components than there are',
      { '00100010': { vr: 'PN', Value: ['A^B^C^D^E^F==P'] } },
      '<DicomAttribute tag="00100010" vr="PN" keyword="PatientName"><PersonName number="1"><Alphabetic>' +
        '<FamilyName>A</FamilyName><GivenName>B</GivenName><MiddleName>C</MiddleName><NamePrefix>D</NamePrefix><NameSuffix>E^F</NameSuffix>' +
        '</Alphabetic><Phonetic><FamilyName>P</FamilyName></Phonetic></PersonName></DicomAttribute>',
    ],
    [
      'sequences have items',
      { '00400275': { vr: 'SQ', Value: [{ '00401001': { vr: 'SH', Value: ['R1'] } }, {}] } },
      '<DicomAttribute tag="00400275" vr="SQ" keyword="RequestAttributesSequence"><Item number="1">' +
        '<DicomAttribute tag="00401001" vr="SH" keyword="RequestedProcedureID"><Value number="1">R1</Value></DicomAttribute></Item>' +
        '<Item number="2"/></DicomAttribute>',
    ],
    [
      'bulk data is referred to or inline',
      { '7FE00010': { vr: 'OW', BulkDataURI: 'http://x/a?b=1&c' }, '00282000': { vr: 'OB', InlineBinary: 'AAAA' } },
      '<DicomAttribute tag="00282000" vr="OB" keyword="ICCProfile"><InlineBinary>AAAA</InlineBinary></DicomAttribute>' +
        '<DicomAttribute tag="7FE00010" vr="OW" keyword="PixelData"><BulkData uri="http://x/a?b=1&amp;c"/></DicomAttribute>',
    ],
    [
      'a private attribute goes by its creator, whatever its block',
      { '00770042': { vr: 'LO', Value: ['DICOMWEB LINK 1.0'] }, '00774201': { vr: 'CS', Value: ['NEW'] } },
      '<DicomAttribute tag="00770042" vr="LO"><Value number="1">DICOMWEB LINK 1.0</Value></DicomAttribute>' +
        '<DicomAttribute tag="00770001" vr="CS" privateCreator="DICOMWEB LINK 1.0"><Value number="1">NEW</Value></DicomAttribute>',
    ],
    [
      'and without one keeps it',
      { '00091001': { vr: 'LO', Value: ['x'] } },
      '<DicomAttribute tag="00091001" vr="LO"><Value number="1">x</Value></DicomAttribute>',
    ],
    [
      'what would be markup is escaped',
      { '00081030': { vr: 'LO', Value: ['<a href="x">&amp;</a>]]>\t\r\n'] } },
      '<DicomAttribute tag="00081030" vr="LO" keyword="StudyDescription">' +
        '<Value number="1">&lt;a href=&quot;x&quot;&gt;&amp;amp;&lt;/a&gt;]]&gt;&#9;&#13;&#10;</Value></DicomAttribute>',
    ],
    [
      'what XML cannot have is replaced',
      { '00081030': { vr: 'LO', Value: ['a\u0000\u001bb\ud800c\uffff😀'] } },
      '<DicomAttribute tag="00081030" vr="LO" keyword="StudyDescription"><Value number="1">a\ufffd\ufffdb\ufffdc\ufffd😀</Value></DicomAttribute>',
    ],
  ])('%s', (_, dataset, expected) => {
    expect(inside(dataset)).toBe(expected)
    expect(readNativeXml(nativeXml(dataset))).toHaveLength(Object.keys(dataset).length)
  })

  it('bears what archives put where attributes should be', () => {
    const odd = {
      '00100010': { vr: 'PN', Value: [7, { Alphabetic: 5 }] },
      'nonsense"': { vr: 'LO', Value: ['x'] },
      '00080020': null,
      '00080030': { vr: '"><x', Value: 'x' },
      '00080050': { Value: [{}, [1]] },
      '00400275': { vr: 'SQ', Value: ['x', null, { '00080020': 7 }] },
    } as unknown as Dataset
    const read = readNativeXml(nativeXml(odd))
    expect(read.map(({ tag, vr }) => `${tag} ${vr}`)).toEqual([
      '00080030 UN',
      '00080050 UN',
      '00100010 PN',
      '00400275 SQ',
    ])
  })
})

describe('sample files', () => {
  const native = (path: string): ReadAttribute[] | undefined => {
    try {
      const output = execFileSync('dcm2xml', ['-q', '-nat', '+Xn', '+U8', path], { maxBuffer: 1e8, stdio: 'pipe' })
      return readNativeXml(output.toString().replaceAll(/>\n+</g, '><'))
    } catch {
      return undefined
    }
  }

  it.skipIf(!available())('are what dcmtk makes of them', { timeout: 120_000 }, async () => {
    let compared = 0
    for (const path of samples()) {
      const expected = native(path)
      // dcmtk gives a name without a phonetic group its ideographic one once more.
      if (expected === undefined || path.endsWith('chrX1.dcm')) continue
      const read = readNativeXml(nativeXml(await readMetadata(readerOf(readFileSync(path)))))
      expect(texts(read), path).toEqual(texts(expected))
      expect(read.map(keywordOf), path).toEqual(expect.arrayContaining(expected.map(keywordOf).filter(isNamed)))
      compared++
    }
    expect(compared).toBeGreaterThan(10)
  })

  /** Attributes of text: numbers are spelled in several ways, and binary data is somewhere else. */
  const texts = (attributes: readonly ReadAttribute[]): unknown[] =>
    attributes
      .filter(
        ({ tag, vr }) =>
          !/^(?:0008000[5]|0008300[2]|.{4}0000)$/.test(tag) &&
          /^(?:AE|AS|CS|DA|DT|LO|LT|PN|SH|SQ|ST|TM|UC|UI|UR|UT)$/.test(vr),
      )
      .map(({ keyword: _, Value, ...attribute }) => ({
        ...attribute,
        tag: withoutBlock(attribute.tag),
        Value: Value?.map(comparable),
      }))

  /** dcmtk leaves it out also of those that lack their creator. */
  const withoutBlock = (tag: string): string => tag.replace(/^(...[13579BDF])[1-9A-F]./, '$100')

  /** dcmtk gives none to attributes that are retired, and lists padding, which metadata leaves out. */
  const keywordOf = ({ tag, keyword }: ReadAttribute): string => `${tag} ${keyword ?? ''}`
  const isNamed = (text: string): boolean => !/ $|^FFFC/.test(text)

  const comparable = (value: unknown): unknown =>
    Array.isArray(value) ? texts(value as ReadAttribute[]) : typeof value === 'string' ? value.trim() : value
})

function available(): boolean {
  try {
    execFileSync('dcm2xml', ['--version'], { stdio: 'ignore' })
    return samples().length > 0
  } catch {
    return false
  }
}
