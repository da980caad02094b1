import { html } from 'hono/html'

/** Why the page is shown instead of the viewer. */
type Missing =
  | { readonly status: 'fetching'; readonly receivedBytes: number; readonly totalBytes: number }
  | { readonly status: 'unavailable'; readonly reason: string }
  | { readonly status: 'off' }

const endpoints: readonly (readonly [path: string, what: string])[] = [
  ['/dicom-web/studies', 'DICOMweb: QIDO-RS, WADO-RS and STOW-RS over all clusters'],
  ['/ui', 'the clusters and linked search, for people'],
  ['/docs', 'the API, to read and to try'],
  ['/healthz', 'whether the proxy runs'],
  ['/readyz', 'which clusters are up'],
  ['/metrics', 'numbers for Prometheus'],
]

const style = `
  :root { color-scheme: light dark }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1.5rem }
  h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
  progress { width: 100%; height: 1rem }
  code { font: 0.95em ui-monospace, monospace }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.4rem 1.5rem } dd { margin: 0 }
`

/** The plain page at `/`: says why there is no viewer, how to get it, and where everything else is. */
export const endpointsPage = (missing: Missing) => html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    ${missing.status === 'fetching' ? html`<meta http-equiv="refresh" content="2">` : ''}
    <title>dicomweb-link</title>
    <style>${style}</style>
  </head>
  <body>
    <h1>dicomweb-link</h1>
    <p>One DICOMweb address for all clusters. It is up; DICOMweb viewers and tools use <code>/dicom-web</code>.</p>
    ${explanation(missing)}
    <h2>Endpoints</h2>
    <dl>
      ${endpoints.map(([path, what]) => html`<dt><a href="${path}"><code>${path}</code></a></dt><dd>${what}</dd>`)}
    </dl>
  </body>
</html>
`

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1)

const explanation = (missing: Missing) => {
  switch (missing.status) {
    case 'fetching':
      return fetching(missing)
    case 'unavailable':
      return unavailable(missing.reason)
    case 'off':
      return html`<p>The viewer is switched off here (<code>viewer: false</code> in the configuration).</p>`
  }
}

const fetching = ({ receivedBytes, totalBytes }: Missing & { status: 'fetching' }) => html`
    <h2>The viewer is being fetched</h2>
    <p>The OHIF viewer comes once from the npm registry and is kept. This page turns into it by itself.</p>
    <p><progress value="${receivedBytes}" max="${totalBytes}"></progress>
    ${megabytes(receivedBytes)} of ${megabytes(totalBytes)} MB</p>`

const unavailable = (reason: string) => html`
    <h2>There is no viewer here</h2>
    <p>${reason}</p>
    <p>Once the npm registry can be reached, restart the proxy: it fetches the viewer by itself and keeps it.
    Any other DICOMweb viewer works as well, pointed at <code>/dicom-web</code> of this address.</p>`
