import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decode } from 'fast-png'
import type { Picture } from '../../src/render/picture.ts'
import { render } from '../../src/render/render.ts'

export const limits = { maxPixels: 2 ** 22 }

export interface Asked {
  readonly frame?: number
  readonly parameters?: Readonly<Record<string, string>>
}

/** What the product shows of a file, without loss. */
export async function shown(file: Uint8Array, { frame = 1, parameters = {} }: Asked = {}): Promise<Picture> {
  const { bytes } = await render({ file, frame, mediaTypes: ['image/png'], parameters }, limits)
  return fromPng(bytes)
}

export function fromPng(bytes: Uint8Array): Picture {
  const { width, height, channels, data } = decode(bytes)
  return { width, height, channels: channels === 3 ? 3 : 1, pixels: Uint8Array.from(data) }
}

/** The largest difference of two pictures in any pixel; of different shapes infinite. */
export function difference(one: Picture, other: Picture): number {
  if (one.width !== other.width || one.height !== other.height || one.channels !== other.channels) {
    return Number.POSITIVE_INFINITY
  }
  return one.pixels.reduce((most, pixel, at) => Math.max(most, Math.abs(pixel - (other.pixels[at] ?? 0))), 0)
}

export function meanDifference(one: Picture, other: Picture): number {
  if (difference(one, other) === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY
  const sum = one.pixels.reduce((total, pixel, at) => total + Math.abs(pixel - (other.pixels[at] ?? 0)), 0)
  return sum / one.pixels.length
}

const runs = (command: string): boolean => {
  try {
    execFileSync(command, ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

export const haveDcmtk = ['dcmj2pnm', 'dcml2pnm', 'dcmcjpeg', 'dcmcjpls', 'dcmcrle', 'dcmconv', 'img2dcm'].every(runs)

/** Runs a tool of dcmtk from one file to another. */
export function converted(tool: string, args: readonly string[], file: Uint8Array): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'dcmtk-'))
  try {
    const [from, to] = [join(folder, 'from'), join(folder, 'to')]
    writeFileSync(from, file)
    execFileSync(tool, [...args, from, to], { stdio: 'pipe' })
    return readFileSync(to)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** What dcmtk shows of a file: by default through its first window, or with `+Wm` from its least to its greatest value. */
export function shownByDcmtk(file: Uint8Array, args: readonly string[] = ['+Wi', '1'], tool = 'dcmj2pnm'): Picture {
  return fromPnm(converted(tool, ['+op', ...args], file))
}

function fromPnm(bytes: Buffer): Picture {
  const [head = '', kind, width, height] =
    /^P([56])\s+(?:#.*\n)*(\d+)\s+(\d+)\s+255\s/.exec(bytes.toString('latin1', 0, 200)) ?? []
  return {
    width: Number(width),
    height: Number(height),
    channels: kind === '6' ? 3 : 1,
    pixels: Uint8Array.from(bytes.subarray(head.length)),
  }
}
