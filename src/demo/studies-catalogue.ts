import type { Patient, Series, Study } from './studies-dataset.ts'

/** Patients of the demo: names beyond ASCII, and some known to both clusters under one id. */
const mueller: Patient = {
  PatientName: 'Müller^Jürgen',
  PatientID: 'DEMO-1001',
  PatientBirthDate: '19570314',
  PatientSex: 'M',
}
const yamada: Patient = {
  PatientName: 'Yamada^Tarou=山田^太郎=やまだ^たろう',
  PatientID: 'DEMO-1002',
  PatientBirthDate: '19681102',
  PatientSex: 'M',
}
const papadopoulou: Patient = {
  PatientName: 'Παπαδοπούλου^Ελένη',
  PatientID: 'DEMO-1003',
  PatientBirthDate: '19820725',
  PatientSex: 'F',
}
const oconnor: Patient = {
  PatientName: "O'Connor^Seán",
  PatientID: 'DEMO-1004',
  PatientBirthDate: '19450609',
  PatientSex: 'M',
}

/** Held in two halves: the chest at home, the fine slices of the lungs in the linked cluster. */
const chestStudy: Study = {
  key: 'CT-CHEST-2024',
  patient: mueller,
  StudyDate: '20240514',
  StudyTime: '093042',
  StudyDescription: 'CT Thorax mit Kontrastmittel',
  AccessionNumber: 'N24051401',
  ReferringPhysicianName: 'Weiß^Annegret^^Dr.',
}
/** A prior of the same patient that only the linked cluster has. */
const radiographStudy: Study = {
  key: 'CR-CHEST-2021',
  patient: mueller,
  StudyDate: '20210903',
  StudyTime: '141510',
  StudyDescription: 'Röntgen Thorax p.a.',
  AccessionNumber: 'S21090307',
  ReferringPhysicianName: 'Weiß^Annegret^^Dr.',
}
const brainStudy: Study = {
  key: 'MR-BRAIN-2024',
  patient: yamada,
  StudyDate: '20240220',
  StudyTime: '160805',
  StudyDescription: 'MR Brain follow-up',
  AccessionNumber: 'N24022003',
  ReferringPhysicianName: 'Sato^Haruka=佐藤^春香',
}
/** Its prior, in the linked cluster. */
const earlierBrainStudy: Study = {
  key: 'MR-BRAIN-2022',
  patient: yamada,
  StudyDate: '20220611',
  StudyTime: '101730',
  StudyDescription: 'MR Brain',
  AccessionNumber: 'S22061102',
  ReferringPhysicianName: 'Sato^Haruka=佐藤^春香',
}
const echoStudy: Study = {
  key: 'US-HEART-2023',
  patient: papadopoulou,
  StudyDate: '20231108',
  StudyTime: '113320',
  StudyDescription: 'Echocardiography',
  AccessionNumber: 'S23110805',
  ReferringPhysicianName: 'Νικολάου^Γιώργος',
}
/** Stored in both clusters, byte for byte the same. */
const headStudy: Study = {
  key: 'CT-HEAD-2023',
  patient: oconnor,
  StudyDate: '20230327',
  StudyTime: '215950',
  StudyDescription: 'CT Head without contrast',
  AccessionNumber: 'N23032711',
  ReferringPhysicianName: 'Byrne^Aoife^^Dr.',
}
const consultStudy: Study = {
  key: 'OT-CONSULT-2020',
  patient: papadopoulou,
  StudyDate: '20200115',
  StudyTime: '084500',
  StudyDescription: 'Outside consultation',
  AccessionNumber: 'N20011502',
  ReferringPhysicianName: 'Νικολάου^Γιώργος',
}

const of = (study: Study, number: number, modality: string, description: string, bodyPart: string): Series => ({
  study,
  number,
  modality,
  description,
  bodyPart,
})

/** All series of the demo. */
export const series = {
  chest: of(chestStudy, 2, 'CT', 'Thorax axial 5 mm', 'CHEST'),
  lung: of(chestStudy, 3, 'CT', 'Lunge HR axial', 'CHEST'),
  dose: of(chestStudy, 99, 'OT', 'Dose report', 'CHEST'),
  report: of(chestStudy, 100, 'SR', 'Befundbericht', 'CHEST'),
  radiograph: of(radiographStudy, 1, 'CR', 'Thorax p.a.', 'CHEST'),
  t1: of(brainStudy, 2, 'MR', 'T1 axial', 'HEAD'),
  t2: of(brainStudy, 3, 'MR', 'T2 axial', 'HEAD'),
  earlierT2: of(earlierBrainStudy, 2, 'MR', 'T2 axial', 'HEAD'),
  echo: of(echoStudy, 1, 'US', 'Four chambers', 'HEART'),
  head: of(headStudy, 2, 'CT', 'Head axial 6 mm', 'HEAD'),
  consult: of(consultStudy, 1, 'OT', 'Scanned letter', ''),
} as const satisfies Readonly<Record<string, Series>>
