import { parseUid } from '../../src/dicom/uid.ts'
import type { Receipt } from '../../src/link/receipt.ts'
import type { PeersService } from '../../src/peers/service.ts'
import { study } from './harness.ts'

export const noticeId = '0f8fad5b-d9cb-469f-a165-70867728950e'
const at = new Date('2026-01-31T10:15:00Z')

export const receiptOf = (told: Partial<Receipt> = {}): Receipt => ({
  noticeId,
  study: parseUid(study, 'test'),
  state: 'ACCEPTED',
  promised: 3,
  held: 0,
  pulled: 0,
  refused: 0,
  receivedAt: at,
  updatedAt: at,
  ...told,
})

export const digestOf = (text: string) => ({
  study: parseUid(text, 'test'),
  instances: 3,
  digest: 'a'.repeat(64),
  version: { north: 3 },
})

export interface FakePeers extends PeersService {
  /** What was asked, without signals. */
  readonly asked: unknown[][]
}

/** Says yes to everything, but for what a test has it say. */
export function fakePeers(answers: Partial<PeersService> = {}): FakePeers {
  const asked: unknown[][] = []
  const service: PeersService = {
    receive: async () => ({ receipt: receiptOf(), isNew: true }),
    receipt: async () => receiptOf({ state: 'COMPLETE', held: 1, pulled: 2 }),
    digests: async () => ({ studies: [digestOf(study)], next: 'more' }),
    digestsOf: async () => [digestOf(study)],
    bury: async () => undefined,
    exhume: async () => true,
    tombstones: async () => [
      { study: parseUid(study, 'test'), by: 'key:ris', at },
      { study: parseUid(study, 'test'), instance: parseUid('1.2.3', 'test'), by: 'key:ris', at },
    ],
    ...answers,
  }
  const noted = Object.entries(service).map(([name, answer]) => [
    name,
    (...given: unknown[]) => {
      asked.push([name, ...given.filter((it) => !(it instanceof AbortSignal))])
      return (answer as (...given: unknown[]) => unknown)(...given)
    },
  ])
  return { ...(Object.fromEntries(noted) as PeersService), asked }
}
