// Tables whose rows are updated in place, so that the focus, the selection and the place on the page stay.

import { say } from './words.js';
import { plain } from './text.js';

// Rows that a table shows. A page with ten thousand would be slow, and nobody would read it.
export const MOST = 250;

// Time within which a second press is taken for a slip of the hand, in milliseconds.
const SLIP = 400;

const SVG = 'http://www.w3.org/2000/svg';

// Makes an element with attributes.
export function element(name, attributes = {}, text = undefined) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  if (text !== undefined) {
    made.textContent = text;
  }
  return made;
}

// Sets a text if it is another one.
export function set(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) {
    node.setAttribute(name, value);
  }
}

// A table in a section. `columns` are keys of words; the first column names its row. Phones see rows as cards, which
// take the roles of a table away, so each part says its role.
export class Table {
  constructor(section, columns, { caption, empty, numbers = [], short = [] }) {
    this.section = section;
    this.columns = columns;
    this.caption = caption;
    this.empty = empty;
    // Columns of figures, and of words that are not broken.
    this.classes = columns.map((_, index) => [numbers.includes(index) ? 'number' : '', short.includes(index) ? 'short' : ''].join(' ').trim());
    this.rows = new Map();
    this.table = element('table', { role: 'table' });
    this.title = this.table.appendChild(element('caption', { class: 'unseen' }));
    const head = this.table.appendChild(element('thead', { role: 'rowgroup' }));
    const row = head.appendChild(element('tr', { role: 'row' }));
    this.heads = columns.map((column, index) => {
      const attributes = { scope: 'col', role: 'columnheader', class: this.classes[index] };
      return row.appendChild(element('th', attributes));
    });
    this.body = this.table.appendChild(element('tbody', { role: 'rowgroup' }));
    this.nothing = element('p', { class: 'nothing' });
    this.beyond = 0;
    this.more = element('p', { class: 'note' });
    section.append(this.table, this.nothing, this.more);
    this.translate();
  }

  translate() {
    set(this.title, say(this.caption));
    set(this.nothing, say(this.empty));
    set(this.more, this.beyond ? say('unlisted', this.beyond) : '');
    this.heads.forEach((head, index) => set(head, say(this.columns[index])));
    for (const { cells } of this.rows.values()) {
      cells.forEach((cell, index) => setAttribute(cell, 'data-label', say(this.columns[index])));
    }
    this.table.hidden = this.rows.size === 0;
    this.nothing.hidden = this.rows.size > 0;
  }

  // Shows items. `keyOf` names one; `fill` writes its cells, and is given the same row each time. `beyond` is how many
  // there are that the process itself did not list.
  show(items, keyOf, fill, beyond = 0) {
    this.beyond = beyond + Math.max(0, items.length - MOST);
    const gone = new Set(this.rows.keys());
    let before = null;
    for (const item of items.slice(0, MOST)) {
      const key = keyOf(item);
      gone.delete(key);
      let row = this.rows.get(key);
      if (!row) {
        row = this.make();
        this.rows.set(key, row);
      }
      fill(row, item);
      const place = before ? before.nextSibling : this.body.firstChild;
      // Moving a row would take the focus from it.
      if (row.node !== place) {
        this.body.insertBefore(row.node, place);
      }
      before = row.node;
    }
    for (const key of gone) {
      this.remove(key);
    }
    this.translate();
  }

  make() {
    const node = element('tr', { role: 'row' });
    const cells = this.columns.map((_, index) => {
      const attributes = index === 0 ? { scope: 'row', role: 'rowheader' } : { role: 'cell' };
      const cell = element(index === 0 ? 'th' : 'td', { ...attributes, class: this.classes[index] });
      return node.appendChild(cell);
    });
    return { node, cells, parts: {} };
  }

  remove(key) {
    const { node } = this.rows.get(key);
    const hadFocus = node.contains(document.activeElement);
    node.remove();
    this.rows.delete(key);
    if (hadFocus) {
      this.section.querySelector('h2').focus();
    }
  }
}

// Writes lines into a cell, each in an element of its own that stays.
export function lines(row, index, texts) {
  const cell = row.cells[index];
  const made = (row.parts[index] ??= []);
  texts.forEach((text, line) => {
    made[line] ??= cell.appendChild(element('div'));
    const { of, className = '', lang } = typeof text === 'object' ? text : { of: text };
    set(made[line], of);
    setAttribute(made[line], 'class', className);
    if (lang) {
      setAttribute(made[line], 'lang', lang);
    }
  });
  made.splice(texts.length).forEach((node) => node.remove());
}

// Returns a button in a cell, made when it is first asked for.
export function button(row, index, act) {
  const part = `button ${index}`;
  if (!row.parts[part]) {
    const made = element('button', { type: 'button' });
    made.addEventListener('click', () => act(made));
    // A key that is held down is one press.
    made.addEventListener('keydown', (event) => event.repeat && event.preventDefault());
    row.parts[part] = row.cells[index].appendChild(made);
  }
  return row.parts[part];
}

// A button that acts when it is pressed a second time within a few seconds. `words` has the keys of its texts, `name`
// what it is about.
export function sureButton(row, index, { word, sure, label, name, warn, act }) {
  const made = button(row, index, () => {
    const state = row.parts.sure;
    if (state.timer && performance.now() - state.since < SLIP) {
      return;
    }
    if (state.timer) {
      calm();
      state.act();
    } else {
      state.timer = setTimeout(calm, 5000);
      state.since = performance.now();
      made.classList.add('sure');
      write();
      state.warn();
    }
  });
  const calm = () => {
    clearTimeout(row.parts.sure.timer);
    row.parts.sure.timer = 0;
    made.classList.remove('sure');
    write();
  };
  const write = () => {
    const { timer, word: calmWord, sure: sureWord, label: text, name: of } = row.parts.sure;
    set(made, say(timer ? sureWord : calmWord));
    setAttribute(made, 'aria-label', timer ? `${say(sureWord)}: ${plain(of)}` : text);
  };
  row.parts.sure = { timer: row.parts.sure?.timer ?? 0, since: row.parts.sure?.since ?? 0, word, sure, label, name, warn, act };
  write();
}

// Draws what passed lately: one line for each direction, over the same scale.
export function sparkline(row, index, samples, most) {
  if (!row.parts.spark) {
    const drawing = document.createElementNS(SVG, 'svg');
    const attributes = { viewBox: '0 0 120 24', preserveAspectRatio: 'none', class: 'spark', 'aria-hidden': 'true' };
    Object.entries(attributes).forEach(([name, value]) => drawing.setAttribute(name, value));
    row.parts.spark = ['received', 'sent'].map((name) => {
      const line = document.createElementNS(SVG, 'polyline');
      line.setAttribute('class', name);
      line.setAttribute('vector-effect', 'non-scaling-stroke');
      return drawing.appendChild(line);
    });
    row.cells[index].appendChild(drawing);
  }
  const top = Math.max(1, ...samples.map(([sent, received]) => Math.max(sent, received)));
  row.parts.spark.forEach((line, which) => {
    const points = samples.map((sample, at) => {
      const x = (120 * (most - samples.length + at)) / (most - 1);
      return `${x.toFixed(1)},${(23 - (22 * sample[1 - which]) / top).toFixed(1)}`;
    });
    line.setAttribute('points', points.join(' '));
  });
}

// Returns a drawing of a QR code from its rows of 0 and 1.
export function qrCode(rows, label) {
  const quiet = 4;
  const side = rows.length + 2 * quiet;
  const drawing = document.createElementNS(SVG, 'svg');
  const attributes = { viewBox: `0 0 ${side} ${side}`, class: 'qr', role: 'img', 'aria-label': label, 'shape-rendering': 'crispEdges' };
  Object.entries(attributes).forEach(([name, value]) => drawing.setAttribute(name, value));
  const path = document.createElementNS(SVG, 'path');
  const cells = rows.flatMap((row, y) => [...row].map((cell, x) => (cell === '1' ? `M${x + quiet} ${y + quiet}h1v1h-1z` : '')));
  path.setAttribute('d', cells.join(''));
  drawing.appendChild(path);
  return drawing;
}
