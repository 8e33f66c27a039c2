// Warnings, the last events, and what the check of the network found.

import { say } from './words.js';
import { Table, lines, set } from './tables.js';
import { moment, plain } from './text.js';
import { ask, sentence } from './asking.js';

// Events that are kept, and shown.
const EVENTS = 200;
// These come by the thousand.
const FREQUENT = new Set(['stream-opened', 'stream-closed', 'request']);

const fields = (event, left) => Object.entries(event)
  .filter(([key]) => !left.includes(key))
  .map(([key, value]) => `${key}: ${plain(typeof value === 'object' ? JSON.stringify(value) : value)}`)
  .join(', ');

export class Warnings {
  constructor(section) {
    this.table = new Table(section, ['time', 'code_', 'warning'], { caption: 'warnings', empty: 'noWarnings', short: [0, 1] });
  }

  translate() {
    this.table.translate();
  }

  show({ warnings }) {
    const newestFirst = [...warnings].reverse();
    const counts = new Map();
    const keyOf = ({ at, code, message }) => {
      const key = `${at} ${code} ${message}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
      return `${key} ${counts.get(key)}`;
    };
    this.table.show(newestFirst, keyOf, (row, { at, code, message }) => {
      lines(row, 0, [moment(at)]);
      lines(row, 1, [plain(code)]);
      lines(row, 2, [{ of: plain(message), lang: 'en' }]);
    });
  }
}

export class Events {
  constructor(section, all) {
    this.table = new Table(section, ['time', 'event', 'details'], { caption: 'events', empty: 'noEvents', short: [0, 1] });
    this.all = all;
    this.kept = [];
    this.serial = 0;
    this.isDrawing = false;
    all.addEventListener('change', () => this.draw());
  }

  add(event) {
    this.serial += 1;
    this.kept.push({ serial: this.serial, at: new Date().toISOString(), event, isFrequent: FREQUENT.has(event.event) });
    // Frequent ones go first.
    while (this.kept.length > EVENTS) {
      const frequent = this.kept.findIndex((item) => item.isFrequent);
      this.kept.splice(Math.max(0, frequent), 1);
    }
    if (!this.isDrawing) {
      this.isDrawing = true;
      requestAnimationFrame(() => {
        this.isDrawing = false;
        this.draw();
      });
    }
  }

  show() {}

  translate() {
    this.table.translate();
  }

  draw() {
    const shown = this.kept.filter((item) => this.all.checked || !item.isFrequent).reverse();
    this.table.show(shown, (item) => item.serial, (row, { at, event }) => {
      if (row.parts.isFilled) {
        return;
      }
      row.parts.isFilled = true;
      lines(row, 0, [moment(at)]);
      lines(row, 1, [{ of: plain(event.event), lang: 'en' }]);
      lines(row, 2, [{ of: fields(event, ['event']), lang: 'en' }]);
    });
  }
}

export class Check {
  constructor(section) {
    this.section = section;
    this.table = new Table(section, ['about', 'finding'], { caption: 'check', empty: 'noFindings' });
    this.isRunning = false;
    this.button = document.getElementById('check-run');
    this.state = document.getElementById('check-state');
    this.button.addEventListener('click', () => this.run());
  }

  translate() {
    this.table.translate();
  }

  show({ role }) {
    this.section.hidden = role === 'server';
  }

  async run() {
    if (this.isRunning) {
      return;
    }
    this.isRunning = true;
    set(this.state, say('checking'));
    try {
      const answer = await ask('GET', '/v1/check');
      if (answer.ok) {
        const found = (await answer.text()).split('\n').filter((line) => line !== '').slice(0, 100).map((line) => JSON.parse(line));
        this.table.show(found.map((finding, index) => [index, finding]), ([index]) => index, (row, [, finding]) => {
          const { event, finding: about, message, ...rest } = finding;
          lines(row, 0, [{ of: plain(about ?? event), lang: 'en' }]);
          lines(row, 1, [{ of: message ? plain(message) : fields(rest, []), lang: 'en' }]);
        });
        set(this.state, say('checked'));
      } else {
        set(this.state, say('failed', await sentence(answer)));
      }
    } catch (error) {
      set(this.state, say('failed', plain(error.message)));
    }
    this.isRunning = false;
  }
}
