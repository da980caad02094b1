import { describe, expect, test } from 'vitest'
import { travelsUnless } from '../../src/link/travels.ts'

const classes = {
  ct: '1.2.840.10008.5.1.4.1.1.2',
  secondaryCapture: '1.2.840.10008.5.1.4.1.1.7',
  multiFrameWord: '1.2.840.10008.5.1.4.1.1.7.3',
  presentationState: '1.2.840.10008.5.1.4.1.1.11.1',
  keyObjects: '1.2.840.10008.5.1.4.1.1.88.59',
}

describe('what travels', () => {
  test.each([
    ['everything, unless something is configured', [], Object.keys(classes)],
    [
      'all but a class given by its keyword, whose relatives go on travelling',
      ['SecondaryCaptureImageStorage'],
      ['ct', 'multiFrameWord', 'presentationState', 'keyObjects'],
    ],
    [
      'all but classes given by their UIDs',
      [classes.ct, classes.multiFrameWord],
      ['secondaryCapture', 'presentationState', 'keyObjects'],
    ],
  ])('is %s', (_, stays, expected) => {
    const travels = travelsUnless(stays)
    expect(Object.entries(classes).flatMap(([name, uid]) => (travels(uid) ? [name] : []))).toEqual(expected)
    expect(travels(undefined)).toBe(true)
  })

  test('a name that is none is told with those that are', () => {
    expect(() => travelsUnless(['1.2', 'SecondaryCapture'])).toThrow(
      /^replication\.stays\[1\]: SecondaryCapture is not known; .* SecondaryCaptureImageStorage, /,
    )
  })
})
