import { z } from 'zod'
import { age } from '../core/age.ts'
import { failureReasonText } from '../dicom/failure-reason.ts'

/* What a proxy answers about replication, and how a person is told. */

export const state = z.object({
  cluster: z.string(),
  paused: z.boolean(),
  pausedSince: z.string().nullable(),
  waiting: z.int(),
  running: z.int(),
  oldestAgeMs: z.number(),
  deadLetters: z.int(),
  refusedInstances: z.int(),
  lastFailure: z.object({ at: z.string(), error: z.string() }).nullable(),
})

export const deadLetter = z.object({
  study: z.string(),
  cluster: z.string(),
  attempts: z.int(),
  requestedAt: z.string(),
  failingSince: z.string(),
  deadSince: z.string(),
  error: z.string(),
})

export const refusedInstance = z.object({
  study: z.string(),
  cluster: z.string(),
  instance: z.string(),
  reason: z.int(),
  refusedAt: z.string(),
})

/** Of one cluster, its name first; what is zero and of no interest is left out. */
export function renderState(it: z.infer<typeof state>): string {
  const work = it.waiting + it.running > 0 ? `, the oldest for ${age(it.oldestAgeMs)}` : ''
  return [
    `${it.cluster}${it.pausedSince ? `: paused since ${it.pausedSince}` : ''}`,
    `  studies   ${it.waiting} waiting, ${it.running} running${work}`,
    ...(it.deadLetters > 0 ? [`  given up  ${counted(it.deadLetters, 'study', 'studies')}`] : []),
    ...(it.refusedInstances > 0 ? [`  refused   ${counted(it.refusedInstances, 'instance', 'instances')}`] : []),
    ...(it.lastFailure ? [`  failed    ${it.lastFailure.at}: ${it.lastFailure.error}`] : []),
  ].join('\n')
}

export const renderDeadLetter = (it: z.infer<typeof deadLetter>): string =>
  `${it.cluster}  ${it.study}  given up ${it.deadSince}, failing since ${it.failingSince}: ${it.error}`

export const renderRefused = ({ cluster, study, instance, reason, refusedAt }: z.infer<typeof refusedInstance>) =>
  `${cluster}  ${study}  ${instance}  ${failureReasonText(reason)}  ${refusedAt}`

export const renderRetried = ({ cluster, studies }: { readonly cluster: string; readonly studies: number }): string =>
  studies === 0
    ? `${cluster}: there is nothing that was given up or refused`
    : `${cluster}: ${counted(studies, 'study is', 'studies are')} tried again`

const counted = (count: number, one: string, many: string) => `${count} ${count === 1 ? one : many}`
