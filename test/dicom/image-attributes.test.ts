import { describe, expect, it } from 'vitest'
import type { Dataset } from '../../src/dicom/dataset.ts'
import { frameCount } from '../../src/dicom/image-attributes.ts'

const us = (value: unknown) => ({ vr: 'US', Value: [value] })
const image = { '00280010': us(4), '00280011': us(4), '00280100': us(8) }
const frames = (value: unknown) => ({ ...image, '00280008': { vr: 'IS', Value: [value] } })
const ofClass = (uid: string) => ({ ...frames(300), '00080016': { vr: 'UI', Value: [uid] } })
const inSyntax = (uid: string) => ({ ...frames(300), '00083002': { vr: 'UI', Value: [uid] } })

describe('the frames of an instance by its metadata', () => {
  it.each<[string, Dataset, number]>([
    ['that says how many', frames(7), 7],
    ['that says it in text', frames('7'), 7],
    ['that does not say it', image, 1],
    ['that says it is none', frames(0), 1],
    ['that says nonsense', frames('many'), 1],
    ['that says a negative number', frames(-5), 1],
    ['that says more than there can be', frames(1e12), 100_000],
    ['that is endoscopic video', ofClass('1.2.840.10008.5.1.4.1.1.77.1.1.1'), 1],
    ['that is stored as MPEG-4', inSyntax('1.2.840.10008.1.2.4.102'), 1],
    ['that is stored as JPEG', inSyntax('1.2.840.10008.1.2.4.50'), 300],
    ['that is no image', { '00280008': { vr: 'IS', Value: [7] } }, 0],
    ['that has nothing', {}, 0],
  ])('%s', (_, dataset, expected) => {
    expect(frameCount(dataset)).toBe(expected)
  })
})
