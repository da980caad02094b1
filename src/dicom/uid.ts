import { badRequest } from '../core/errors.ts'

declare const uid: unique symbol

/** A DICOM unique identifier (PS3.5 section 9), checked once at the border. */
export type Uid = string & { readonly [uid]: true }

/**
 * PS3.5 9.1 with the leniency real archives need: components may carry leading zeros. Digits and single dots,
 * 1 to 64 characters, so a UID is always safe as a path segment and as a file name.
 */
const pattern = /^(?=.{1,64}$)\d+(\.\d+)*$/

export const isUid = (text: unknown): text is Uid => typeof text === 'string' && pattern.test(text)

/** Checks a UID that a caller sent; throws `bad-request` naming the field. */
export function parseUid(text: string, field: string): Uid {
  if (isUid(text)) return text
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text
  throw badRequest(
    `${field}: ${JSON.stringify(shown)} is no DICOM UID; expected digits and dots, at most 64 characters`,
  )
}
