/** The style of the pages. Colours have a contrast of 4.5:1 and more on their background, WCAG 2.2 1.4.3. */
export const style = `
  :root {
    color-scheme: light dark;
    --text: #1b1f24; --muted: #57606a; --back: #fff; --panel: #f4f6f8; --line: #8c959f;
    --accent: #0550ae; --on-accent: #fff; --bad: #a40e26; --good: #116329; --warn: #7d4e00;
  }
  @media (prefers-color-scheme: dark) {
    :root {
      --text: #e6edf3; --muted: #a8b1bb; --back: #0d1117; --panel: #1a2029; --line: #6e7681;
      --accent: #79c0ff; --on-accent: #06223f; --bad: #ff9a92; --good: #7ee787; --warn: #f0c060;
    }
  }
  * { box-sizing: border-box }
  body { margin: 0; font: 1rem/1.5 system-ui, sans-serif; color: var(--text); background: var(--back) }
  header, main { padding: 0.75rem 1rem; max-width: 110rem; margin: 0 auto }
  header { display: flex; flex-wrap: wrap; gap: 0.5rem 1.5rem; align-items: baseline }
  h1 { font-size: 1.25rem; margin: 0 }
  h2 { font-size: 1.1rem; margin: 1rem 0 0.5rem }
  a { color: var(--accent) }
  nav { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem }
  nav a, .buttons a { display: inline-block; padding: 0.25rem 0 }
  nav [aria-current] { font-weight: 600; text-decoration: none; color: inherit }
  :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
  section:focus { outline: none }
  .skip { position: absolute; left: 0.5rem; top: -10rem; padding: 0.5rem 1rem; z-index: 1;
    background: var(--accent); color: var(--on-accent) }
  .skip:focus { top: 0.5rem }
  .hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
  fieldset { min-width: 0; margin: 0 0 0.75rem; border: 1px solid var(--line); border-radius: 4px;
    padding: 0.25rem 0.75rem 0.75rem }
  legend { font-weight: 600; padding: 0 0.25rem }
  .fields { display: grid; gap: 0.5rem 1rem; align-items: end;
    grid-template-columns: repeat(auto-fill, minmax(min(100%, 12rem), 1fr)) }
  label { display: block }
  input, select, button { font: inherit; color: inherit; background: var(--back); border: 1px solid var(--line);
    border-radius: 4px; padding: 0.35rem 0.5rem; min-height: 2.25rem }
  .text input, .date input, .choice select { width: 100% }
  .check { display: flex; flex-direction: row-reverse; justify-content: flex-end; gap: 0.5rem; align-items: center }
  .check input { width: 1.25rem; min-height: 1.25rem; margin: 0 }
  button { background: var(--accent); color: var(--on-accent); border-color: var(--accent); padding: 0.35rem 1.5rem;
    font-weight: 600; cursor: pointer }
  .buttons { display: flex; gap: 1.5rem; align-items: center; margin: 0.75rem 0 }
  [aria-invalid] { border: 2px solid var(--bad) }
  .error { color: var(--bad); margin: 0.25rem 0; overflow-wrap: anywhere }
  .warnings { border-left: 4px solid var(--warn); margin: 0 0 0.75rem; padding: 0.5rem 0.75rem 0.5rem 2rem;
    background: var(--panel); overflow-wrap: anywhere }
  .scroller { position: relative; overflow-x: auto; max-width: 100%; margin-bottom: 1rem }
  table { border-collapse: collapse; min-width: 100%; font-size: 0.9rem }
  caption { text-align: left; padding: 0.25rem 0; font-weight: 600 }
  th, td { text-align: left; vertical-align: top; padding: 0.35rem 0.6rem; border-bottom: 1px solid var(--line) }
  thead th { background: var(--panel); white-space: nowrap }
  tbody th { font-weight: 600; min-width: 8rem }
  td { max-width: 22rem; overflow-wrap: break-word }
  td ul { margin: 0; padding: 0; list-style: none; white-space: nowrap }
  td a { display: inline-block; padding: 0.1rem 0 }
  td small { color: var(--muted) }
  time { white-space: nowrap }
  .state { font-weight: 600 } .state.up { color: var(--good) } .state.down { color: var(--bad) }
  .pager { margin: 0.5rem 0 1rem }
  summary { cursor: pointer; padding: 0.25rem 0; font-weight: 600 }
  code, kbd { font: 0.9em ui-monospace, monospace }
  .plan { background: var(--panel); border-radius: 4px; padding: 0.25rem 0.75rem }
`
