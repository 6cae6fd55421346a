"""Style and script of the HTML page: light and dark, a phone's width, sortable tables."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fbfbf9; --card: #ffffff; --ink: #1d2126; --quiet: #5d6670; --faint: #aab2ba;
  --rule: #e3e5e4; --accent: #205f9e; --good: #1c7a4c; --weak: #8a6a12; --bad: #b3402e;
  --series-0: #2b6cb0; --series-1: #c4572e; --series-2: #2c8a5b; --series-3: #85539f;
  --series-4: #b98a00; --series-5: #16909e; --series-6: #b14673; --series-7: #6c7580;
  --series-pale: #a9bfd6;
}
@media (prefers-color-scheme: dark) { :root {
  --paper: #14171a; --card: #1b1f23; --ink: #e7e9ea; --quiet: #9ca6af; --faint: #59636d;
  --rule: #2d3338; --accent: #7db4ea; --good: #63c596; --weak: #d8b45a; --bad: #ee8d7c;
  --series-0: #6ea9e6; --series-1: #ee8f68; --series-2: #63c596; --series-3: #bf93d6;
  --series-4: #dcb64e; --series-5: #58c4cf; --series-6: #e58bb0; --series-7: #a3adb7;
  --series-pale: #3d5670;
} }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
header, main, footer { max-width: 68rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; margin: 3rem 0 .5rem; padding-top: .25rem; letter-spacing: -.005em; }
p { max-width: 46rem; margin: .5rem 0 1rem; overflow-wrap: anywhere; }
a { color: var(--accent); }
.made, .note, .rows, footer { color: var(--quiet); font-size: .875rem; }
.headline {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .75rem;
  margin: 1.5rem 0; padding: 0;
}
.headline div { background: var(--card); border: 1px solid var(--rule); border-radius: .5rem;
  padding: .75rem 1rem; display: flex; flex-direction: column-reverse;
  justify-content: flex-end; }
.headline dt { color: var(--quiet); font-size: .8125rem; overflow-wrap: anywhere; }
.headline dd { margin: 0; font-size: 1.4rem; font-variant-numeric: tabular-nums; line-height: 1.3; }
.summary { border-left: 3px solid var(--accent); padding: .1rem 0 .1rem 1rem; max-width: 46rem; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; font-size: .875rem; margin: 1rem 0 0; }
nav a { text-decoration: none; padding: .25rem 0; }
nav a:hover { text-decoration: underline; }
figure { margin: 1.25rem 0; overflow: hidden; background: var(--card);
  border: 1px solid var(--rule); border-radius: .5rem; padding: .75rem; }
figure .plot { height: 24rem; width: 100%; }
figure .plot.tall { height: 32rem; }
figure img { display: block; max-width: 100%; height: auto; }
figcaption { color: var(--quiet); font-size: .8125rem; padding: .5rem .25rem 0; }
.scroll { overflow: auto; max-height: 36rem; border: 1px solid var(--rule); border-radius: .5rem;
  background: var(--card); margin: 1rem 0 .5rem; }
table { border-collapse: separate; border-spacing: 0; font-size: .84rem; width: 100%;
  font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .75rem; text-align: left; border-bottom: 1px solid var(--rule);
  white-space: nowrap; vertical-align: top; }
tbody tr:last-child td { border-bottom: 0; }
td.wide { white-space: normal; min-width: 8.5rem; max-width: 28rem; overflow-wrap: anywhere; }
th { position: sticky; top: 0; z-index: 2; background: var(--card); padding: 0; }
th { box-shadow: 0 1px 0 var(--rule); }
th button { font: inherit; font-weight: 600; color: var(--quiet); background: none; border: 0;
  padding: .5rem .75rem; cursor: pointer; width: 100%; text-align: inherit; white-space: nowrap;
  position: relative; }
th button:hover, th button:focus-visible, th[aria-sort] button { color: var(--ink); }
th button::after { position: absolute; padding-left: .15em; opacity: 0; content: "\\2195"; }
th button:hover::after { opacity: .5; }
th[aria-sort] button::after { opacity: 1; }
th[aria-sort=ascending] button::after { content: "\\2191"; }
th[aria-sort=descending] button::after { content: "\\2193"; }
.num { text-align: right; }
td.good { color: var(--good); } td.weak { color: var(--weak); } td.bad { color: var(--bad); }
tbody tr:hover td { background: color-mix(in srgb, var(--accent) 7%, var(--card)); }
li { overflow-wrap: anywhere; margin: .2rem 0; max-width: 46rem; }
ul { padding-left: 1.25rem; }
footer { margin-top: 3rem; padding-bottom: 3rem; }
@media (max-width: 40rem) {
  body { font-size: 15px; }
  header, main, footer { padding: 0 .875rem; }
  header { padding-top: 1.25rem; }
  h1 { font-size: 1.35rem; } h2 { margin-top: 2.25rem; }
  .headline { grid-template-columns: 1fr 1fr; gap: .5rem; }
  .headline div { padding: .5rem .75rem; } .headline dd { font-size: 1.15rem; }
  figure { padding: .375rem; margin: 1rem -.375rem; }
  figure .plot, figure .plot.tall { height: 21rem; }
  th button { padding: .5rem; } td { padding: .375rem .5rem; }
  td:first-child { position: sticky; left: 0; z-index: 1; background: var(--card); }
  td.name { white-space: normal; overflow-wrap: anywhere; min-width: 8.5rem; }
  td.wide:not(:first-child) { min-width: 14rem; }
}
@media print { .scroll { overflow: visible; max-height: none; } nav { display: none; } }
"""

SCRIPT = """
'use strict';
function sortTable(table, column, down) {
  const rows = Array.from(table.tBodies[0].rows);
  const key = row => row.cells[column].dataset.key ?? '';
  const isNumber = table.tHead.rows[0].cells[column].classList.contains('num');
  rows.sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === '' || y === '') return (x === '') - (y === '');
    const order = isNumber ? Number(x) - Number(y) : x.localeCompare(y);
    return down ? -order : order;
  });
  table.tBodies[0].append(...rows);
  for (const th of table.tHead.rows[0].cells) th.removeAttribute('aria-sort');
  const th = table.tHead.rows[0].cells[column];
  th.setAttribute('aria-sort', down ? 'descending' : 'ascending');
}
for (const table of document.querySelectorAll('table')) {
  table.tHead.addEventListener('click', event => {
    const th = event.target.closest('th');
    if (!th) return;
    const down = th.hasAttribute('aria-sort')
      ? th.getAttribute('aria-sort') === 'ascending' : th.classList.contains('num');
    sortTable(table, th.cellIndex, down);
    const to = down ? 'down' : 'up';
    history.replaceState(null, '', '#sort=' + table.id + '.' + th.cellIndex + '.' + to);
  });
}
const asked = /^#sort=(\\w+)\\.(\\d+)\\.(up|down)$/.exec(location.hash);
const askedTable = asked && document.querySelector('table#' + asked[1]);
if (askedTable && asked[2] < askedTable.tHead.rows[0].cells.length) {
  sortTable(askedTable, Number(asked[2]), asked[3] === 'down');
  askedTable.scrollIntoView();
}

const dark = matchMedia('(prefers-color-scheme: dark)');
const narrow = matchMedia('(max-width: 40rem)');
const touch = matchMedia('(pointer: coarse)');
function themed(value, style) {
  if (Array.isArray(value)) return value.map(item => themed(item, style));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => {
    const named = name === 'color' && typeof item === 'string';
    const colours = name === 'color' && Array.isArray(item);
    const look = colour => style.getPropertyValue('--' + colour).trim() || colour;
    return [name, named ? look(item) : colours ? item.map(look) : themed(item, style)];
  }));
}
function draw(plot) {
  const style = getComputedStyle(document.documentElement);
  const figure = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
  const { data, layout } = themed(figure, style);
  const colour = name => style.getPropertyValue('--' + name).trim();
  Object.assign(layout, {
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
    font: { family: 'inherit', size: narrow.matches ? 11 : 13, color: colour('quiet') },
    hoverlabel: { bgcolor: colour('card'), bordercolor: colour('faint'),
      font: { color: colour('ink') }, align: 'left', namelength: -1 },
    modebar: { bgcolor: 'rgba(0,0,0,0)', color: colour('faint'), activecolor: colour('ink') },
    dragmode: touch.matches ? false : 'zoom', autosize: true,
  });
  for (const axis of [layout.xaxis, layout.yaxis]) {
    Object.assign(axis, { gridcolor: colour('rule'), linecolor: colour('faint') });
  }
  Plotly.react(plot, data, layout, {
    displaylogo: false, displayModeBar: narrow.matches ? false : 'hover',
    modeBarButtonsToRemove: ['select2d', 'lasso2d', 'autoScale2d'],
  });
}
const drawAll = () => document.querySelectorAll('.plot').forEach(draw);
drawAll();
const fitted = new ResizeObserver(entries => {
  for (const { target } of entries) Plotly.Plots.resize(target);
});
document.querySelectorAll('.plot').forEach(plot => fitted.observe(plot));
dark.addEventListener('change', drawAll);
narrow.addEventListener('change', drawAll);
"""
