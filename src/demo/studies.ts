import type { Dataset } from '../dicom/dataset.ts'
import { type InstanceHeader, sniffInstance } from '../dicom/part10.ts'
import { parseUid } from '../dicom/uid.ts'
import { writePart10 } from '../dicom/write.ts'
import { capture } from './studies-capture.ts'
import { series } from './studies-catalogue.ts'
import { cine } from './studies-cine.ts'
import { code } from './studies-dataset.ts'
import { type DemoImage, pixelsOf } from './studies-image.ts'
import { radiograph } from './studies-radiograph.ts'
import { report } from './studies-report.ts'
import { volumeImages } from './studies-volume.ts'
import { chestVolume, earlierT2Volume, headVolume, lungVolume, t1Volume, t2Volume } from './studies-volumes.ts'

export type DemoCluster = 'home' | 'linked'

/** One generated instance, and the role of the cluster that holds it. */
export interface DemoInstance {
  readonly cluster: DemoCluster
  readonly header: InstanceHeader
  /** The Part 10 file; pixels are drawn as it is read, so leaving it unread costs nothing. */
  readonly body: AsyncIterable<Uint8Array>
}

const transferSyntaxUID = parseUid('1.2.840.10008.1.2.1', 'transfer syntax')
const ctImage = '1.2.840.10008.5.1.4.1.1.2'
const maxHeaderBytes = 64 * 1024

/**
 * The studies of the demo, the same bytes every time: a CT study split over both clusters, with its report and dose
 * sheet, and a prior in the linked one; an MR study with a prior there; a cine; a study both hold identically. About
 * 30 MB in about 160 instances.
 */
export async function* demoStudies(): AsyncGenerator<DemoInstance, void, undefined> {
  for (const { clusters, image } of contents()) {
    for (const cluster of clusters) {
      const { header, body } = await sniffInstance(fileOf(image), { maxHeaderBytes })
      yield { cluster, header, body }
    }
  }
}

type Content = { readonly clusters: readonly DemoCluster[]; readonly image: DemoImage | Dataset }

function* contents(): Generator<Content> {
  yield* held(['home'], volumeImages(chestVolume))
  yield* held(['linked'], volumeImages(lungVolume))
  yield* held(['home'], [doseSheet(), chestReport()])
  yield* held(['linked'], [radiograph(series.radiograph)])
  yield* held(['home'], volumeImages(t1Volume))
  yield* held(['home'], volumeImages(t2Volume))
  yield* held(['linked'], volumeImages(earlierT2Volume))
  yield* held(['linked'], [cine(series.echo)])
  yield* held(['home', 'linked'], volumeImages(headVolume))
  yield* held(['home'], [letter()])
}

function* held(clusters: readonly DemoCluster[], images: Iterable<DemoImage | Dataset>): Generator<Content> {
  for (const image of images) yield { clusters, image }
}

const isImage = (image: DemoImage | Dataset): image is DemoImage => 'draw' in image

const fileOf = (image: DemoImage | Dataset): AsyncIterable<Uint8Array> =>
  isImage(image)
    ? writePart10(image.dataset, { transferSyntaxUID, pixelData: [pixelsOf(image)] })
    : writePart10(image, { transferSyntaxUID })

const doseSheet = (): DemoImage =>
  capture(
    series.dose,
    'DOSE REPORT',
    [
      'SERIES 2  120 KV  110 MAS',
      'CTDI VOL  7.4 MGY',
      'DLP  196 MGY-CM',
      'SERIES 3  120 KV   90 MAS',
      'DLP   31 MGY-CM',
    ],
    Array.from({ length: 40 }, (_, slice) => 60 + Math.round(45 * Math.sin(slice / 6) + 20 * Math.sin(slice / 2.3))),
  )

const letter = (): DemoImage =>
  capture(
    series.consult,
    'OUTSIDE CONSULT',
    ['ECG: SINUS RHYTHM 72/MIN', 'BLOOD PRESSURE 128/76', 'NO PRIOR IMAGING ON FILE', '', 'PLEASE SEE FOR ECHO'],
    Array.from({ length: 110 }, (_, at) =>
      at % 22 === 11 ? 110 : at % 22 === 12 ? 8 : 28 + 8 * Math.sin(at * 0.571),
    ).map(Math.round),
  )

/** It measures what is painted: the nodule of `studies-anatomy.ts`. */
const chestReport = (): Dataset =>
  report({
    series: series.report,
    image: { series: series.chest, instance: 30, sopClass: ctImage },
    sections: [
      {
        heading: code('121070', 'DCM', 'Findings'),
        texts: [
          'Solid nodule in the right upper lobe, well circumscribed. Series 2, image 30.',
          'Long axis: 18 mm. Short axis: 17 mm. Mean density: 35 HU.',
          'Ascending aorta: 30 mm. Descending aorta: 26 mm. No pleural effusion.',
        ],
      },
      {
        heading: code('121072', 'DCM', 'Impressions'),
        texts: ['New pulmonary nodule, not visible on the radiograph of 2021. Follow-up CT in 3 months is suggested.'],
      },
    ],
  })
