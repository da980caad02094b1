import type { Context } from 'hono'
import type { Config } from '../config/schema.ts'
import type { Env } from './context.ts'

export const dicomwebPath = '/dicom-web'
export const wadoUriPath = '/wado'
/** What this product says beside DICOMweb. */
export const linkPath = '/link/v1'
/** The page about what is on its way to the clusters. */
export const replicationPage = '/ui/replication'

/** The DICOMweb root as the client sees it, without a slash at its end: what URLs in answers begin with. */
export const dicomwebRoot = (c: Context<Env>, config: Pick<Config, 'publicUrl'>): string =>
  originOf(c, config) + dicomwebPath

/** Likewise of {@link linkPath}. */
export const linkRoot = (c: Context<Env>, config: Pick<Config, 'publicUrl'>): string => originOf(c, config) + linkPath

const originOf = (c: Context<Env>, { publicUrl }: Pick<Config, 'publicUrl'>): string =>
  publicUrl === undefined ? new URL(c.req.url).origin : publicUrl.replace(/\/+$/, '')
