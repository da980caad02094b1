import { LinkError } from '../core/errors.ts'

/** What is stored cannot be read: nothing that the client could ask for differently helps. */
export const damaged = (what: string, cause?: unknown): LinkError =>
  new LinkError('bad-gateway', `the instance cannot be rendered: ${what}`, { cause })

/** What is stored is whole, but no picture is made of such things here. */
export const unrenderable = (what: string): LinkError =>
  new LinkError(
    'not-acceptable',
    `the instance cannot be given as a picture: ${what}; retrieve it as application/dicom`,
  )

/** Runs what reads a stored file: that it cannot be read is not the client's fault. */
export async function reading<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof LinkError && error.code !== 'bad-request') throw error
    throw damaged(error instanceof LinkError ? error.message : 'it cannot be read', error)
  }
}
