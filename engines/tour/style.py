"""The style sheet of the tour's page: light and dark by the reader's setting, and paper.

One column of text, a serif that the reader's system has, numbers in columns of equal digits. Colours are named once,
at the top. A picture or a table is never cut by the end of a printed page.
"""

STYLE = """
:root {
  --paper: #fbfaf7; --card: #fff; --ink: #1c2330; --quiet: #667085; --rule: #e2ded4;
  --mark: #a8481c; --code: #f4f1ea; --good: #2e7d4f; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #101216; --card: #14171c; --ink: #e6e9ef; --quiet: #98a2b3; --rule: #2b313b;
    --mark: #f0a073; --code: #1a1e25; --good: #7fd1a0; --bad: #ff9a91;
  }
}
* { box-sizing: border-box; }
html {
  background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 17px/1.6 Charter, "Bitstream Charter", "Sitka Text", Cambria, Georgia, serif;
}
body { max-width: 864px; margin: 0 auto; padding: 56px 32px 80px; }
h1 { font-size: 2.5rem; line-height: 1.1; letter-spacing: -.015em; margin: .1em 0 .35em; text-wrap: balance; }
h1, h2, h3, h4, b { font-weight: 600; }
h2 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3em; }
h3 { font-size: 1.08rem; margin: 2.2em 0 .5em; display: flex; justify-content: space-between; gap: 1em; }
p { margin: .6em 0; max-width: 42em; }
a { color: var(--mark); text-underline-offset: .15em; }
.over {
  font: 600 .72rem/1 system-ui, sans-serif; letter-spacing: .12em; text-transform: uppercase; color: var(--mark);
}
.lead { font-size: 1.18rem; }
.quiet, .more, figcaption, .time { color: var(--quiet); }
.time { font: .86rem/1.9 ui-monospace, "SF Mono", Consolas, monospace; white-space: nowrap; }
section { margin-top: 72px; padding-top: 28px; border-top: 3px double var(--rule); }
pre, code { font-family: ui-monospace, "SF Mono", Consolas, monospace; font-size: .82rem; }
pre {
  line-height: 1.5; background: var(--code); border-left: 3px solid var(--mark); padding: .7em 1em; margin: .5em 0;
  white-space: pre-wrap; overflow-wrap: anywhere;
}
dl { display: flex; flex-wrap: wrap; gap: .2em 2.4em; margin: 1.6em 0; }
dl div { display: flex; flex-direction: column-reverse; justify-content: flex-end; }
dt { font-size: .86rem; color: var(--quiet); }
dd { margin: 0; font-size: 1.7rem; line-height: 1.25; font-variant-numeric: tabular-nums lining-nums; }
.wide { overflow-x: auto; }
table {
  border-collapse: collapse; font-size: .88rem; line-height: 1.4; margin: .7em 0;
  font-variant-numeric: tabular-nums lining-nums;
}
th { font-weight: 400; color: var(--quiet); text-align: left; border-bottom: 1px solid var(--quiet); }
th, td { padding: .28em 1.6em .28em 0; vertical-align: baseline; }
td { border-bottom: 1px solid var(--rule); }
th.n, td.n { text-align: right; }
.more { font-size: .86rem; margin-top: -.2em; }
figure {
  margin: 1.6em 0; padding: 14px 0 12px; background: var(--card); border: 1px solid var(--rule); border-radius: 6px;
  break-inside: avoid; overflow: hidden;
}
figure h4 { margin: 0 16px 4px; font-size: .98rem; }
figure svg { display: block; width: 100%; min-width: 640px; height: auto; }
.drawn { overflow-x: auto; }
figcaption { margin: 6px 16px 0; font-size: .88rem; line-height: 1.5; }
.good { color: var(--good); }
.bad { color: var(--bad); font-weight: 600; }
footer {
  margin-top: 72px; border-top: 1px solid var(--rule); padding-top: 16px; font-size: .86rem; color: var(--quiet);
}
@media (max-width: 600px) {
  body { padding: 32px 16px 48px; }
  h1 { font-size: 2rem; }
}
@media print {
  html { font-size: 11pt; background: #fff; }
  body { max-width: none; padding: 0; }
  section { break-before: page; margin-top: 0; border: 0; }
  pre, table, h2, h3 { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  a { color: inherit; text-decoration: none; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
