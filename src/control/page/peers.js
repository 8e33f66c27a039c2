// Sessions with peers, their streams, services and forwards.

import { say } from './words.js';
import { MOST, Table, button, lines, set, sparkline, sureButton } from './tables.js';
import { bytes, milliseconds, plain, rate } from './text.js';
import { ask, order, tell } from './asking.js';

// Samples that are kept of a session, one a second.
const SAMPLES = 120;

// Time between two looks at the streams of a session, in milliseconds.
const LOOK = 2000;

function wayOf(session) {
  if (session.path === 'direct') {
    return [say('direct'), { of: `${plain(session.candidates)}: ${plain(session.local)} – ${plain(session.remote)}`, className: 'note' }];
  }
  return [say('relayed'), { of: plain(session.reason), className: 'note', lang: 'en' }];
}

function notesOf(session) {
  const notes = [];
  for (const text of [session.signaling, session.agent]) {
    if (text) {
      notes.push(plain(text));
    }
  }
  if (session.invitation) {
    notes.push(say('invitationName', plain(session.invitation)));
  }
  if (session.losses) {
    notes.push(say('lostTimes', session.losses));
  }
  if (session.retransmissions) {
    notes.push(say('again', session.retransmissions));
  }
  return notes.map((of) => ({ of, className: 'note' }));
}

export class Sessions {
  constructor(section, streams) {
    const columns = ['session', 'path', 'roundTrip', 'rate', 'lately', 'bytes', 'streams', 'action'];
    this.section = section;
    this.table = new Table(section, columns, { caption: 'sessions', empty: 'noSessions', numbers: [2, 3, 5, 6] });
    this.samples = new Map();
    this.streams = new Streams(streams, () => this.close());
    this.opened = null;
  }

  // Notes what passes at present.
  sample(status) {
    const now = performance.now();
    const known = new Set();
    for (const session of status.sessions.slice(0, MOST)) {
      known.add(session.session);
      const kept = this.samples.get(session.session) ?? { at: now - 1000, list: [] };
      // While nothing changes, nothing is said: that time counts, too.
      const steps = Math.min(SAMPLES, Math.max(1, Math.round((now - kept.at) / 1000)));
      for (let step = 1; step < steps; step += 1) {
        kept.list.push([0, 0]);
      }
      kept.list.push([session.sent_per_s, session.received_per_s]);
      kept.list.splice(0, Math.max(0, kept.list.length - SAMPLES));
      kept.at = now;
      this.samples.set(session.session, kept);
    }
    for (const id of this.samples.keys()) {
      if (!known.has(id)) {
        this.samples.delete(id);
      }
    }
  }

  show(status) {
    this.section.hidden = status.role === 'server';
    this.table.show(status.sessions, (session) => session.session, (row, session) => this.fill(row, session));
    if (this.opened && !status.sessions.some((session) => session.session === this.opened)) {
      this.close();
    }
  }

  translate() {
    this.table.translate();
    this.streams.translate();
  }

  fill(row, session) {
    const id = session.session;
    const open = button(row, 0, () => (this.opened === id ? this.close() : this.open(id)));
    open.className = 'plain';
    set(open, id);
    open.setAttribute('aria-expanded', String(this.opened === id));
    open.setAttribute('aria-controls', 'streams');
    open.setAttribute('aria-label', say('showStreams', id));
    lines(row, 0, [{ of: say(session.state), className: `state ${session.state}` }, ...notesOf(session)]);
    lines(row, 1, wayOf(session));
    lines(row, 2, [milliseconds(session.rtt_ms)]);
    lines(row, 3, [say('sentRate', rate(session.sent_per_s)), say('receivedRate', rate(session.received_per_s))]);
    sparkline(row, 4, this.samples.get(id)?.list ?? [], SAMPLES);
    lines(row, 5, [say('sentRate', bytes(session.sent)), say('receivedRate', bytes(session.received))]);
    lines(row, 6, [String(session.streams)]);
    sureButton(row, 7, {
      word: 'end', sure: 'sure', label: say('endSession', id), name: id,
      warn: () => tell(say('sureSaid', say('sessionName', id))),
      act: () => order('DELETE', `/v1/sessions/${encodeURIComponent(id)}`, say('ended', say('sessionName', id))),
    });
  }

  open(id) {
    this.opened = id;
    this.streams.open(id);
    this.mark();
  }

  close() {
    this.opened = null;
    this.streams.close();
    this.mark();
  }

  mark() {
    for (const [id, row] of this.table.rows) {
      row.parts['button 0'].setAttribute('aria-expanded', String(this.opened === id));
    }
  }
}

// The streams of the session that is opened.
class Streams {
  constructor(section, gone) {
    this.section = section;
    this.gone = gone;
    this.title = section.querySelector('h2');
    this.table = new Table(section, ['stream', 'target', 'address', 'bytes'], { caption: 'streams', empty: 'noStreams', numbers: [3] });
    this.id = null;
    this.timer = 0;
  }

  open(id) {
    this.id = id;
    this.section.hidden = false;
    this.translate();
    this.look();
  }

  close() {
    clearTimeout(this.timer);
    this.id = null;
    this.section.hidden = true;
    this.table.show([], () => '', () => {});
  }

  translate() {
    if (this.id) {
      set(this.title, say('streamsOf', this.id));
    }
    this.table.translate();
  }

  async look() {
    const id = this.id;
    clearTimeout(this.timer);
    try {
      const answer = document.hidden ? null : await ask('GET', `/v1/sessions/${encodeURIComponent(id)}`);
      if (this.id !== id) {
        return;
      }
      if (answer?.ok) {
        this.show(await answer.json());
      } else if (answer?.status === 404) {
        return this.gone();
      }
    } catch { /* The next look may succeed. */ }
    if (this.id === id) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.look(), LOOK);
    }
  }

  show({ list, unlisted }) {
    this.table.show(list, (stream) => `${stream.stream} ${stream.address}`, (row, stream) => {
      lines(row, 0, [String(stream.stream)]);
      lines(row, 1, [stream.target ? plain(stream.target) : say('none')]);
      lines(row, 2, [plain(stream.address)]);
      lines(row, 3, [say('sentRate', bytes(stream.sent)), say('receivedRate', bytes(stream.received))]);
    }, unlisted);
  }
}

// Services and forwards.
export function simpleTables(services, forwards) {
  const shared = new Table(services, ['service', 'leadsTo', 'streams', 'bytes'], { caption: 'services', empty: 'noServices', numbers: [2, 3] });
  const local = new Table(forwards, ['local', 'service'], { caption: 'forwards', empty: 'noForwards' });
  return {
    show(status) {
      services.hidden = status.role === 'server';
      forwards.hidden = status.role !== 'client';
      shared.show(status.services, (service) => service.name, (row, service) => {
        lines(row, 0, [plain(service.name)]);
        lines(row, 1, [service.target ? plain(service.target) : say('none')]);
        lines(row, 2, [String(service.streams)]);
        lines(row, 3, [say('sentRate', bytes(service.sent)), say('receivedRate', bytes(service.received))]);
      });
      local.show(status.forwards, (forward) => forward.local, (row, forward) => {
        lines(row, 0, [plain(forward.local)]);
        lines(row, 1, [forward.service === null ? say('unknown') : forward.service === 'proxy' ? say('proxy') : plain(forward.service)]);
      });
    },
    translate() {
      shared.translate();
      local.translate();
    },
  };
}
