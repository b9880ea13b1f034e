"""The style sheet of the report: light and dark, wide and narrow.

Text colours have a contrast of at least 4.5 with both backgrounds of their scheme.
"""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f4f5f7; --card: #ffffff; --ink: #1a1d21; --muted: #5b636d; --line: #d9dde2;
  --blue: #0072b2; --orange: #b34800; --green: #007a58; --tint: #e9f2f8;
  --shade: rgb(0 0 0 / 0.16);
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #121417; --card: #1b1e22; --ink: #e8eaed; --muted: #a2abb5; --line: #363c44;
    --blue: #56b4e9; --orange: #f0894a; --green: #3ecf9f; --tint: #1f2d38;
    --shade: rgb(255 255 255 / 0.16);
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
header, main, footer { max-width: 70rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 3.5rem; padding-bottom: 1rem; }
h1 {
  font-size: clamp(2.1rem, 6vw, 3.4rem); line-height: 1.1; margin: 0.1em 0 0.5em;
  letter-spacing: -0.02em;
}
h2 { font-size: 1.45rem; line-height: 1.25; margin: 0 0 0.6em; }
h3 { font-size: 1.05rem; margin: 1.5em 0 0.4em; }
p, ul { max-width: 44rem; margin: 0 0 0.8em; }
.lead { font-size: 1.15rem; }
.hero {
  max-width: none; margin: 1.8rem 0 0.2rem; line-height: 1.3;
  font-size: clamp(1.15rem, 4.6vw, 2.3rem); font-variant-numeric: tabular-nums;
}
.hero span { color: var(--blue); font-weight: 600; white-space: nowrap; }
.eyebrow {
  margin: 0 0 0.3rem; font-size: 0.8rem; font-weight: 600; letter-spacing: 0.08em;
  color: var(--blue);
}
.note { font-size: 0.9rem; color: var(--muted); }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: 0.9rem;
  padding: 1.75rem; margin: 1.25rem 0;
}
.card > :last-child { margin-bottom: 0; }
dl { display: grid; gap: 0.6rem 1.5rem; margin: 1.2rem 0; }
dt { font-size: 0.85rem; color: var(--muted); }
dd { margin: 0; font-variant-numeric: tabular-nums; }
.facts { display: flex; flex-wrap: wrap; gap: 0.6rem 1.8rem; }
.proof {
  grid-template-columns: repeat(auto-fit, minmax(7rem, 1fr));
  background: var(--tint); border-radius: 0.6rem; padding: 1rem 1.2rem;
}
.proof dd { font-size: 1.2rem; font-weight: 600; }
.pair {
  display: grid; gap: 1.25rem 2.5rem; align-items: start; margin: 1.2rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
}
figure { margin: 0; max-width: 34rem; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { font-size: 0.88rem; color: var(--muted); margin-top: 0.4rem; }
/* A shadow at an edge says that there is more beyond it; at the end it is covered. */
.scroll {
  overflow-x: auto; margin: 1rem 0;
  background:
    linear-gradient(to right, var(--card) 40%, transparent) left / 2rem 100%,
    linear-gradient(to left, var(--card) 40%, transparent) right / 2rem 100%,
    linear-gradient(to right, var(--shade), transparent) left / 0.8rem 100%,
    linear-gradient(to left, var(--shade), transparent) right / 0.8rem 100%;
  background-repeat: no-repeat; background-attachment: local, local, scroll, scroll;
}
table { border-collapse: collapse; width: 100%; font-size: 0.95rem; }
th, td {
  text-align: left; padding: 0.5rem 1.1rem 0.5rem 0;
  border-bottom: 1px solid var(--line);
  white-space: nowrap;
}
thead th { font-size: 0.85rem; font-weight: 500; color: var(--muted); }
tbody th { font-weight: 500; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.ours { background: var(--tint); }
.ours th, .ours td:first-of-type { font-weight: 700; }
.ours th, tbody th:first-child { padding-left: 0.6rem; }
thead th:first-child { padding-left: 0.6rem; }
.best, .good, .bad { white-space: nowrap; font-weight: 600; }
.best { font-size: 0.8rem; color: var(--green); }
.good { color: var(--green); }
.bad { color: var(--orange); white-space: normal; }
code, pre { font-family: ui-monospace, "Cascadia Code", Menlo, Consolas, monospace; }
code { font-size: 0.9em; }
pre {
  background: var(--page); border: 1px solid var(--line); border-radius: 0.6rem;
  padding: 1rem 1.2rem; overflow-x: auto; line-height: 1.5; margin: 1.2rem 0;
}
footer { padding-bottom: 3rem; color: var(--muted); font-size: 0.9rem; }
:focus-visible { outline: 3px solid var(--blue); outline-offset: 2px; }
@media (max-width: 40rem) {
  .card { padding: 1.2rem 1rem; border-radius: 0.7rem; }
  header, main, footer { padding-left: 0.75rem; padding-right: 0.75rem; }
  header { padding-top: 2rem; }
  .proof dd { font-size: 1.05rem; }
  table { font-size: 0.85rem; }
  th, td { padding-right: 0.8rem; }
  pre { padding: 0.8rem; font-size: 0.85rem; }
}
@media print { .card { break-inside: avoid; } body { background: none; } }
"""
