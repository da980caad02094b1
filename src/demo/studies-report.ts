import type { Dataset } from '../dicom/dataset.ts'
import { attributes, code, common, instanceUid, type Series, seriesUid, studyUid } from './studies-dataset.ts'

const basicTextSr = '1.2.840.10008.5.1.4.1.1.88.11'

/** What a report says, section by section, and the image that its very first text was inferred from. */
export interface Report {
  readonly series: Series
  readonly sections: readonly Section[]
  readonly image: { readonly series: Series; readonly instance: number; readonly sopClass: string }
}

interface Section {
  readonly heading: Dataset
  readonly texts: readonly string[]
}

/** A Basic Text SR (PS3.3 A.35.1): a container with one container a section. */
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
      ContentSequence: sections.map((it, index) => section(it, index === 0 ? image : undefined)),
    }),
  }
}

const section = ({ heading, texts }: Section, firstInferredFrom?: Report['image']): Dataset =>
  attributes({
    RelationshipType: 'CONTAINS',
    ValueType: 'CONTAINER',
    ContinuityOfContent: 'SEPARATE',
    ConceptNameCodeSequence: [heading],
    ContentSequence: texts.map((text, index) => finding(text, index === 0 ? firstInferredFrom : undefined)),
  })

/** The image stands below its text: beside it OHIF would want to show it, and fails for want of a concept name. */
const finding = (text: string, image?: Report['image']): Dataset =>
  attributes({
    RelationshipType: 'CONTAINS',
    ValueType: 'TEXT',
    ConceptNameCodeSequence: [code('121071', 'DCM', 'Finding')],
    TextValue: text,
    ...(image && { ContentSequence: [imageReference(image)] }),
  })

const reference = ({ series, instance, sopClass }: Report['image']): Dataset =>
  attributes({ ReferencedSOPClassUID: sopClass, ReferencedSOPInstanceUID: instanceUid(series, instance) })

const imageReference = (image: Report['image']): Dataset =>
  attributes({ RelationshipType: 'INFERRED FROM', ValueType: 'IMAGE', ReferencedSOPSequence: [reference(image)] })

/** PS3.3 C.17.2.3: every object a report speaks of is listed under its study and series. */
const evidence = (image: Report['image']): Dataset =>
  attributes({
    StudyInstanceUID: studyUid(image.series.study),
    ReferencedSeriesSequence: [
      attributes({ SeriesInstanceUID: seriesUid(image.series), ReferencedSOPSequence: [reference(image)] }),
    ],
  })
