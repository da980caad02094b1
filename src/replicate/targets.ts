import type { ClusterConfig } from '../config/schema.ts'

/** What a cluster is given: every study, only what belongs to studies it holds, or nothing. */
export type Updates = ClusterConfig['updates']

/** What is sent to a cluster after it was stored at home. A third party is never sent anything, whatever `updates` says. */
export const updatesOf = ({ role, updates }: Pick<ClusterConfig, 'role' | 'updates'>): Updates =>
  role === 'linked' ? updates : 'none'
