import type { Dataset } from '../dicom/dataset.ts'
import { attributes, code, common, instanceUid, type Series, seriesUid, studyUid } from './studies-dataset.ts'

const basicTextSr = '1.2.840.10008.5.1.4.1.1.88.11'

/** What a report says, section by section, and the image it speaks of. */
export interface Report {
  readonly series: Series
  readonly sections: readonly { readonly heading: Dataset; readonly texts: readonly string[] }[]
  readonly image: { readonly series: Series; readonly instance: number; readonly sopClass: string }
}

/** A Basic Text SR (PS3.3 A.35.1): a container with one container a section, and a reference to the key image. */
export function report({ series, sections, image }: Report): Dataset {
  const { StudyDate, StudyTime, ReferringPhysicianName } = series.study
  return {
    ...common(series, basicTextSr, 1),
    ...attributes({
      ValueType: 'CONTAINER',
      ContinuityOfContent: 'SEPARATE',
      ConceptNameCodeSequence: [code('18748-4', 'LN', 'Diagnostic Imaging Report')],
      CompletionFlag: 'COMPLETE',
      VerificationFlag: 'VERIFIED',
      VerifyingObserverSequence: [
        attributes({
          VerifyingOrganization: 'Demonstration Hospital',
          VerificationDateTime: `${StudyDate}${StudyTime}`,
          VerifyingObserverName: ReferringPhysicianName,
          VerifyingObserverIdentificationCodeSequence: '',
        }),
      ],
      PerformedProcedureCodeSequence: '',
      ReferencedPerformedProcedureStepSequence: '',
      CurrentRequestedProcedureEvidenceSequence: [evidence(image)],
      ContentSequence: [...sections.map(section), imageReference(image)],
    }),
  }
}

const section = ({ heading, texts }: Report['sections'][number]): Dataset =>
  attributes({
    RelationshipType: 'CONTAINS',
    ValueType: 'CONTAINER',
    ContinuityOfContent: 'SEPARATE',
    ConceptNameCodeSequence: [heading],
    ContentSequence: texts.map((text) =>
      attributes({
        RelationshipType: 'CONTAINS',
        ValueType: 'TEXT',
        ConceptNameCodeSequence: [code('121071', 'DCM', 'Finding')],
        TextValue: text,
      }),
    ),
  })

const reference = ({ series, instance, sopClass }: Report['image']): Dataset =>
  attributes({ ReferencedSOPClassUID: sopClass, ReferencedSOPInstanceUID: instanceUid(series, instance) })

const imageReference = (image: Report['image']): Dataset =>
  attributes({ RelationshipType: 'CONTAINS', ValueType: 'IMAGE', ReferencedSOPSequence: [reference(image)] })

/** PS3.3 C.17.2.3: every object a report speaks of is listed under its study and series. */
const evidence = (image: Report['image']): Dataset =>
  attributes({
    StudyInstanceUID: studyUid(image.series.study),
    ReferencedSeriesSequence: [
      attributes({ SeriesInstanceUID: seriesUid(image.series), ReferencedSOPSequence: [reference(image)] }),
    ],
  })
