import type { Tag } from './dataset.ts'
import { longForm } from './part10-element.ts'

const undefinedLength = 0xffffffff

/** The header of an element in Explicit VR Little Endian; one too long for its VR becomes UN (PS3.5 6.2.2). */
export function elementHeader(tag: Tag, vr: string, length: number): Buffer {
  if (!longForm.has(vr) && length <= 0xffff) {
    const header = Buffer.alloc(8)
    putTag(header, tag)
    header.write(vr, 4, 'latin1')
    header.writeUInt16LE(length, 6)
    return header
  }
  const header = Buffer.alloc(12)
  putTag(header, tag)
  header.write(longForm.has(vr) ? vr : 'UN', 4, 'latin1')
  header.writeUInt32LE(length, 8)
  return header
}

function putTag(header: Buffer, tag: Tag): void {
  header.writeUInt16LE(Number.parseInt(tag.slice(0, 4), 16), 0)
  header.writeUInt16LE(Number.parseInt(tag.slice(4), 16), 2)
}

function delimiter(tag: Tag, length: number): Buffer {
  const header = Buffer.alloc(8)
  putTag(header, tag)
  header.writeUInt32LE(length, 4)
  return header
}

/** The beginning of a sequence or of encapsulated pixel data that ends with {@link sequenceEnd}. */
export const openEnded = (tag: Tag, vr: 'SQ' | 'OB'): Buffer => elementHeader(tag, vr, undefinedLength)

export const itemHeader = (length = undefinedLength): Buffer => delimiter('FFFEE000', length)

export const itemEnd = delimiter('FFFEE00D', 0)
export const sequenceEnd = delimiter('FFFEE0DD', 0)
