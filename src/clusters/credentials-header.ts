/** How the proxy proves itself to one cluster, request by request. */
export interface Credentials {
  /**
   * The value of `Authorization`, or `undefined` when there is none to send. Throws `ClusterError` `access-denied`
   * when no token can be had, `timed-out` when none comes within the cluster's `timeoutMs`, or the signal's reason.
   */
  authorization(signal: AbortSignal): Promise<string | undefined>
  /** The cluster refused this value: true when asking again may bring another one. */
  refused(authorization: string | undefined): boolean
  close(): Promise<void>
}

/** RFC 7617, in UTF-8. */
export const basicAuthorization = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`, 'utf8').toString('base64')}`
