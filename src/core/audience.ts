/**
 * For whom a question is asked, which decides what clusters it may reach: `internal`, our own viewers; `external`,
 * other systems; `home`, a peer proxy that wants this site's own content only.
 */
export type Audience = 'internal' | 'external' | 'home'

/** What whoever asks is to this site; what they may say of a single question is in the audience. */
export type CallerRole = Exclude<Audience, 'home'>

/** What a request says of itself to everything that works for it. */
export interface Caller {
  /** Name of the principal; what is remembered of an answer is for the same principal only. */
  readonly name: string
  readonly audience: Audience
}
