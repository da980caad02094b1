import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { mapStudy, parseMappings, type StudyFacts } from '../../src/link/mappings.ts'

const path = join(import.meta.dirname, '../../examples/mappings.yaml')
const mappings = parseMappings(readFileSync(path, 'utf8'), path)

function mapped(description: string, modality: string, bodyPart = '') {
  const facts: StudyFacts = {
    studyDescription: description,
    procedureCodes: [],
    modalities: modality.split('/'),
    bodyParts: bodyPart === '' ? [] : [bodyPart],
    institutions: [],
  }
  const { specialty, bodyPart: part } = mapStudy(mappings, facts)
  return [specialty.values.join(' '), part.values.join(' ')]
}

describe('the shipped tables', () => {
  test.each([
    ['MR BRAIN W/O CONTRAST', 'MR', 'NEURO', 'BRAIN HEAD'],
    ['MRI Brain with and without contrast', 'MR', 'NEURO', 'BRAIN HEAD'],
    ['mr brain', 'MR', 'NEURO', 'BRAIN HEAD'],
    ['CT Head without contrast', 'CT/SR', 'NEURO', 'HEAD'],
    ['CT HEAD AND C-SPINE TRAUMA', 'CT', 'NEURO MSK', 'HEAD CSPINE SPINE'],
    ['CT HEAD NECK W CONTRAST', 'CT', 'NEURO ENT', 'HEAD NECK'],
    ['CTA HEAD AND NECK', 'CT', 'VASCULAR NEURO', 'HEAD NECK'],
    ['MRA Brain', 'MR', 'VASCULAR NEURO', 'BRAIN HEAD'],
    ['MR PITUITARY', 'MR', 'NEURO', 'SELLA HEAD'],
    ['MR BRAIN METASTASES FOLLOW UP', 'MR', 'NEURO ONCO', 'BRAIN HEAD'],
    ['US Neonatal Head', 'US', 'PEDIATRIC NEURO', 'HEAD'],
    ['MR ORBITS', 'MR', 'OPHTHALMOLOGY', 'ORBIT HEAD'],
    ['CT SINUSES', 'CT', 'ENT', 'SINUS HEAD'],
    ['CT Temporal Bones', 'CT', 'ENT', 'EAR HEAD'],
    ['MR IAC', 'MR', 'ENT', 'IAC HEAD'],
    ['CT Soft tissue neck', 'CT', 'ENT', 'NECK'],
    ['CT NECK CHEST', 'CT', 'ENT CHEST', 'NECK CHEST'],
    ['US THYROID', 'US', 'ENT', 'THYROID NECK'],
    ['XR Orthopantomogram', 'PX', 'DENTAL', 'JAW HEAD'],
    ['US Carotid Doppler', 'US', 'VASCULAR NEURO', 'CAROTID NECK'],
    ['MR CERVICAL SPINE', 'MR', 'NEURO MSK', 'CSPINE SPINE'],
    ['MR Thoracic Spine W/WO', 'MR', 'NEURO MSK', 'TSPINE SPINE'],
    ['XR LUMBAR SPINE 2 VIEWS', 'DX', 'MSK', 'LSPINE SPINE'],
    ['XR Scoliosis', 'DX', 'MSK', 'CSPINE TSPINE LSPINE SPINE'],
    ['XR Sacrum and coccyx', 'CR', 'MSK', 'SSPINE SPINE PELVIS'],
    ['XR CHEST PA AND LATERAL', 'DX', 'CHEST', 'CHEST'],
    ['CXR', 'CR', 'CHEST', 'CHEST'],
    ['Chest 1 view portable', 'CR', 'CHEST', 'CHEST'],
    ['CT Thorax mit Kontrastmittel', 'CT', 'CHEST', 'CHEST'],
    ['CT CHEST HRCT', 'CT', 'CHEST', 'LUNG CHEST'],
    ['CT Pulmonary Angiogram', 'CT', 'CHEST VASCULAR', 'LUNG CHEST'],
    ['CTA CHEST PE PROTOCOL', 'CT', 'CHEST VASCULAR', 'LUNG CHEST'],
    ['CT CHEST ABDOMEN PELVIS W CONTRAST', 'CT', 'CHEST ABDOMEN', 'CHEST ABDOMEN PELVIS'],
    ['CT Chest/Abd/Pelvis', 'CT', 'CHEST ABDOMEN', 'CHEST ABDOMEN PELVIS'],
    ['CT ABDOMEN AND PELVIS', 'CT', 'ABDOMEN', 'ABDOMEN PELVIS'],
    ['CT abdomen', 'CT', 'ABDOMEN', 'ABDOMEN'],
    ['US LIVER', 'US', 'ABDOMEN', 'LIVER ABDOMEN'],
    ['US GALLBLADDER', 'US', 'ABDOMEN', 'GALLBLADDER ABDOMEN'],
    ['MRCP', 'MR', 'ABDOMEN', 'BILEDUCT LIVER ABDOMEN'],
    ['CT ADRENALS', 'CT', 'ABDOMEN', 'ADRENAL ABDOMEN'],
    ['RF Barium swallow', 'RF', 'ABDOMEN', 'ESOPHAGUS CHEST'],
    ['US RENAL', 'US', 'URO', 'KIDNEY ABDOMEN'],
    ['CT KUB', 'CT', 'URO', 'KIDNEY BLADDER ABDOMEN'],
    ['MR Prostate multiparametric', 'MR', 'URO', 'PROSTATE PELVIS'],
    ['US TESTICULAR', 'US', 'URO', 'SCROTUM'],
    ['RF VCUG', 'RF', 'PEDIATRIC URO', 'BLADDER PELVIS'],
    ['US OB > 14 WEEKS', 'US', 'OB-GYN', 'UTERUS PELVIS'],
    ['US Pelvis Transvaginal', 'US', 'OB-GYN', 'PELVIS'],
    ['US PELVIS', 'US', 'ABDOMEN OB-GYN', 'PELVIS'],
    ['XR PELVIS AP', 'DX', 'MSK', 'PELVIS'],
    ['XR HIP LT 2 VIEWS', 'DX', 'MSK', 'HIP LEG'],
    ['CT FEMORAL HEAD', 'CT', 'MSK', 'HIP LEG'],
    ['MR KNEE RIGHT', 'MR', 'MSK', 'KNEE LEG'],
    ['XR Ankle 3 Views Left', 'DX', 'MSK', 'ANKLE LEG'],
    ['XR FOOT', 'CR', 'MSK', 'FOOT LEG'],
    ['MR Shoulder Arthrogram', 'MR', 'MSK', 'SHOULDER ARM'],
    ['XR WRIST', 'DX', 'MSK', 'WRIST ARM'],
    ['XR Hand Right', 'DX', 'MSK', 'HAND ARM'],
    ['XR RIBS BILATERAL', 'DX', 'MSK', 'RIB CHEST'],
    ['XR BONE AGE', 'DX', 'PEDIATRIC', 'HAND ARM'],
    ['DEXA BONE DENSITY', 'BMD', 'MSK', 'UNSPECIFIED'],
    ['Mammogram screening bilateral', 'MG', 'BREAST', 'BREAST'],
    ['US BREAST LEFT', 'US', 'BREAST', 'BREAST'],
    ['Echocardiography', 'US', 'CARDIO', 'HEART CHEST'],
    ['US Echo Transthoracic', 'US', 'CARDIO', 'HEART CHEST'],
    ['CTA CORONARY ARTERIES', 'CT', 'CARDIO', 'CORONARYARTERY HEART CHEST'],
    ['MR CARDIAC', 'MR', 'CARDIO', 'HEART CHEST'],
    ['US Fetal Echo', 'US', 'OB-GYN CARDIO', 'HEART CHEST'],
    ['CTA ABDOMEN AORTA', 'CT', 'VASCULAR', 'AORTA ABDOMEN'],
    ['US VENOUS DOPPLER LOWER EXTREMITY', 'US', 'VASCULAR', 'LEG EXTREMITY'],
    ['IR BIOPSY LIVER', 'XA', 'INTERVENTIONAL', 'LIVER ABDOMEN'],
    ['CT Guided Drainage Abdomen', 'CT', 'INTERVENTIONAL', 'ABDOMEN'],
    ['PET/CT SKULL BASE TO MID THIGH', 'PT/CT', 'NUCMED ONCO', 'WHOLEBODY'],
    ['NM Myocardial Perfusion', 'NM', 'NUCMED CARDIO', 'HEART CHEST'],
    ['NM BONE SCAN WHOLE BODY', 'NM', 'NUCMED', 'WHOLEBODY'],
    ['CT Planning Prostate', 'CT/RTPLAN', 'RADIOTHERAPY ONCO', 'PROSTATE PELVIS'],
    ['Outside consultation', 'OT', 'GENERAL', 'UNSPECIFIED'],
    ['', 'CT', 'GENERAL', 'UNSPECIFIED'],
  ])('%s (%s) is of %s, and of %s', (description, modality, specialty, bodyPart) => {
    expect(mapped(description, modality)).toEqual([specialty, bodyPart])
  })

  test.each([
    ['HEART is no ear', 'MR HEART', 'CARDIO', 'HEART CHEST'],
    ['a WHIPPLE is no hip', 'CT WHIPPLE PANCREAS', 'ABDOMEN', 'PANCREAS ABDOMEN'],
    ['an ILIAC bone is no internal auditory canal', 'XR ILIAC', 'GENERAL', 'UNSPECIFIED'],
    ['a DELIVERY is no liver', 'US POST DELIVERY', 'GENERAL', 'UNSPECIFIED'],
    ['what is SUSPECTED is no SPECT', 'XR KNEE SUSPECTED FRACTURE', 'MSK', 'KNEE LEG'],
    ['a PHARMACY is no arm', 'PHARMACY', 'GENERAL', 'UNSPECIFIED'],
    ['DISTRIBUTION has no rib', 'DISTRIBUTION', 'GENERAL', 'UNSPECIFIED'],
    ['a CHOLANGIOGRAM shows no vessels', 'MR CHOLANGIOGRAM', 'ABDOMEN', 'BILEDUCT LIVER ABDOMEN'],
    ['a HEMANGIOMA is no angiography', 'MR LIVER HEMANGIOMA', 'ABDOMEN', 'LIVER ABDOMEN'],
    ['what is PERSISTENT is no stent', 'XR KNEE PERSISTENT PAIN', 'MSK', 'KNEE LEG'],
    ['NON ACCIDENTAL INJURY is no dental one', 'NON ACCIDENTAL INJURY', 'GENERAL', 'UNSPECIFIED'],
    ['a SUBMANDIBULAR gland is no jaw', 'US SUBMANDIBULAR GLAND', 'ENT', 'SUBMANDIBULAR NECK'],
    ['a neck of a femur is no neck', 'XR Femoral Neck', 'MSK', 'HIP LEG'],
    ['a metacarpal bone is not of the wrist', 'XR METACARPALS FRACTURE', 'MSK', 'HAND ARM'],
    ['a toe is no echocardiography', 'XR TOE RIGHT', 'MSK', 'TOE FOOT LEG'],
    ['a LUMBAR TAP is of no trunk', 'LUMBAR TAP', 'MSK', 'LSPINE SPINE'],
    ['a SURFACE is no face', 'SURFACE SCAN', 'GENERAL', 'UNSPECIFIED'],
  ])('short words are not found in longer ones: %s', (_, description, specialty, bodyPart) => {
    expect(mapped(description, 'OT')).toEqual([specialty, bodyPart])
  })

  test.each([
    ['', 'CT', 'HEAD', 'NEURO', 'HEAD'],
    ['', 'CT', 'CHESTABDPELVIS', 'CHEST ABDOMEN', 'CHEST ABDOMEN PELVIS'],
    ['', 'DX', 'CSPINE', 'MSK', 'CSPINE SPINE'],
    ['', 'DX', 'C-SPINE', 'MSK', 'CSPINE SPINE'],
    ['Routine', 'MR', 'KNEE', 'MSK', 'KNEE LEG'],
    ['Routine', 'MR', 'Abdomen', 'ABDOMEN', 'ABDOMEN'],
    ['', 'MG', '', 'BREAST', 'BREAST'],
    ['', 'OP', '', 'OPHTHALMOLOGY', 'EYE HEAD'],
    ['MR KNEE', 'MR', 'HEAD', 'MSK', 'KNEE LEG'],
  ])('what %j (%s) does not say is taken from Body Part Examined %j', (description, modality, part, ...expected) => {
    expect(mapped(description, modality, part)).toEqual(expected)
  })

  test('end with a default, and no rule is hidden by an earlier one', () => {
    for (const rules of [mappings.specialty, mappings.bodyPart]) {
      expect(rules.filter(({ when }) => Object.keys(when).length === 0)).toEqual([rules.at(-1)])
      const conditions = rules.map(({ when }) => JSON.stringify(when))
      expect(new Set(conditions).size).toBe(rules.length)
    }
  })
})
