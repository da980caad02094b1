import type { Dataset } from '../../src/dicom/dataset.ts'
import type { QueryReport } from '../../src/query/report.ts'
import { study } from './harness.ts'

const link = { vr: 'LO', Value: ['DICOMWEB LINK 1.0'] }
/** One item of the sources. */
export const at = (cluster: string, images: number, availability: string): Dataset => ({
  '00080056': { vr: 'CS', Value: [availability] },
  '00201208': { vr: 'IS', Value: [images] },
  '00770010': link,
  '00771011': { vr: 'LO', Value: [cluster] },
})

/** A study with all that the page shows. */
export const row = {
  '00080020': { vr: 'DA', Value: ['20240514'] },
  '00080061': { vr: 'CS', Value: ['CT', 'SR'] },
  '00081030': { vr: 'LO', Value: ['CT Thorax'] },
  '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Yamada^Tarou', Ideographic: '山田^太郎' }] },
  '00100020': { vr: 'LO', Value: ['P-17'] },
  '0020000D': { vr: 'UI', Value: [study] },
  '00201208': { vr: 'IS', Value: [66] },
  '00770010': link,
  '00771001': { vr: 'CS', Value: ['APPROVED'] },
  '00771002': { vr: 'CS', Value: ['CACHE'] },
  '00771003': { vr: 'LO', Value: ['CHEST'] },
  '00771004': { vr: 'CS', Value: ['THORAX', 'LUNG'] },
  '00771005': { vr: 'CS', Value: ['VERIFIED'] },
  '00771007': { vr: 'UT', Value: ['c'.repeat(100)] },
  '00771010': { vr: 'SQ', Value: [at('north', 40, 'ONLINE'), at('south', 26, 'NEARLINE')] },
} satisfies Dataset

/** What a cluster had to do with an answer. */
export const source: QueryReport['sources'][number] = {
  cluster: 'north',
  role: 'home',
  outcome: 'ok',
  pushed: ['StudyDate=20240101-'],
  withheld: ['link.verified=FAILED'],
  unhonoured: ['link.specialty'],
  requests: 2,
  rows: 12,
  durationMs: 34.4,
}
export const report: QueryReport = {
  sources: [
    source,
    { ...source, cluster: 'south', role: 'linked', outcome: 'timed-out', known: 120 },
    { ...source, cluster: 'cardio', role: 'thirdParty', outcome: 'skipped', why: 'it wants a patient ID' },
  ],
  rounds: [
    { asked: 'whole', clusters: ['north', 'south'], rows: 1, durationMs: 5 },
    { asked: '20240101-20241231', clusters: ['north'], rows: 2, durationMs: 6 },
    { asked: '20240101-20240101', clusters: ['north'], rows: 2, durationMs: 6 },
    { asked: '20240101-', clusters: ['north'], rows: 2, durationMs: 6 },
    { asked: '-20240101', clusters: ['north'], rows: 2, durationMs: 6 },
    { asked: 'undated', clusters: ['north'], rows: 2, durationMs: 6 },
  ],
  resumed: true,
  remaining: { atLeast: 7, exact: false },
  durationMs: 99.6,
}

/** The cells of a table, by its caption's id, as text without markup. */
export function cells(page: string, id: string): string[][] {
  const [, body = ''] = new RegExp(`id="${id}-caption"[\\s\\S]*?<tbody>([\\s\\S]*?)</tbody>`).exec(page) ?? []
  const rows = body.split('</tr>').slice(0, -1)
  return rows.map((it) => [...it.matchAll(/<t[hd][^>]*>([\s\S]*?)<\/t[hd]>/g)].map(([, cell = '']) => plain(cell)))
}

/** Markup as the text that it shows. */
export const plain = (markup: string) =>
  markup
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim()
