// The page: its token, its language, and what it is told by the process.

import { say, speak, words } from './words.js';
import { element, set } from './tables.js';
import { moment, plain } from './text.js';
import { ask, askWith } from './asking.js';
import { Sessions, simpleTables } from './peers.js';
import { Invitations } from './invitations.js';
import { ServerTables } from './servers.js';
import { Check, Events, Warnings } from './news.js';

const KEPT = 'pinhole-token';
const LANGUAGE = 'pinhole-language';
const INTERVAL = 1000;
// Longest silence of a connection: the process says something each 15 s.
const SILENCE = 40_000;
const LONGEST_PAUSE = 30;
const LONGEST_LINE = 16 * 1024 * 1024;

const find = (id) => document.getElementById(id);
const kept = (name) => { try { return sessionStorage.getItem(name); } catch { return null; } };
const keep = (name, value) => { try { sessionStorage.setItem(name, value); } catch { /* It is asked for again. */ } };

let token = null;
let status = null;
let isDrawing = false;
let attempt = null;
let pause = 1;
let countdown = 0;
let linkSays = () => '';

function readToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given) {
    keep(KEPT, given);
    // The address may be shown to others, or copied.
    history.replaceState(null, '', location.pathname);
  }
  token = given ?? kept(KEPT);
}

// The token is not the right one, or there is none: asks for it.
function forget() {
  const was = token;
  token = null;
  attempt?.abort();
  try { sessionStorage.removeItem(KEPT); } catch { /* It was not kept. */ }
  find('content').hidden = true;
  find('entry').hidden = false;
  linkSays = () => '';
  set(find('link'), '');
  set(find('state'), '');
  set(find('entry-error'), was ? say('wrongToken') : '');
  find('token').focus();
}

function begin() {
  askWith(token, forget);
  if (!token) {
    return forget();
  }
  find('entry').hidden = true;
  follow();
}

function sayLink(says) {
  linkSays = says;
  set(find('link'), says());
}

// Reads what the process says, until it says nothing more.
async function read(signal, heard) {
  const answer = await ask('GET', `/v1/events?status=${INTERVAL}`, { signal });
  if (!answer.ok) {
    throw new Error(`HTTP ${answer.status}`);
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) {
      return;
    }
    heard();
    rest += value;
    if (rest.length > LONGEST_LINE) {
      throw new Error('a line is too long');
    }
    const whole = rest.split('\n');
    rest = whole.pop();
    for (const line of whole) {
      if (line !== '') {
        handle(JSON.parse(line));
      }
    }
  }
}

async function follow() {
  clearInterval(countdown);
  const own = new AbortController();
  attempt = own;
  sayLink(() => say('opening'));
  let watchdog = 0;
  const heard = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => own.abort(), SILENCE);
  };
  heard();
  try {
    await read(own.signal, heard);
  } catch { /* Whatever it was, it is tried again. */ }
  clearTimeout(watchdog);
  own.abort();
  if (token && attempt === own) {
    retry();
  }
}

function retry() {
  let left = pause;
  pause = Math.min(2 * pause, LONGEST_PAUSE);
  find('content').classList.add('old');
  // Counted aloud, this would never be silent.
  sayLink(() => say('lost', left));
  clearInterval(countdown);
  countdown = setInterval(() => {
    find('link').setAttribute('aria-live', 'off');
    left -= 1;
    if (left > 0) {
      sayLink(linkSays);
    } else {
      find('link').setAttribute('aria-live', 'polite');
      follow();
    }
  }, 1000);
}

function handle(event) {
  if (event.event !== 'status') {
    return parts.events.add(event);
  }
  pause = 1;
  status = event;
  sayLink(() => say('live'));
  find('content').hidden = false;
  find('content').classList.remove('old');
  parts.sessions.sample(status);
  if (!isDrawing) {
    isDrawing = true;
    // Nobody sees a page in the background; then this waits.
    requestAnimationFrame(() => {
      isDrawing = false;
      draw();
    });
  }
}

function facts() {
  const rows = [
    ['since', moment(status.since)],
    ['version', plain(status.version)],
    ['process', plain(status.pid)],
  ];
  if (status.listen) {
    rows.push(['listen', plain(status.listen)]);
  }
  if (status.id) {
    rows.push(['id', plain(status.id)]);
  }
  if (status.url) {
    rows.push([status.role === 'client' ? 'goesTo' : 'url', plain(status.url)]);
  }
  const list = find('facts');
  const known = new Map([...list.children].map((group) => [group.dataset.key, group]));
  for (const [key, text] of rows) {
    const group = known.get(key) ?? list.appendChild(element('div', { 'data-key': key }));
    known.delete(key);
    const [name, value] = group.children.length ? group.children : [group.appendChild(element('dt')), group.appendChild(element('dd'))];
    set(name, say(key));
    set(value, text);
  }
  known.forEach((group) => group.remove());
}

function draw() {
  if (!status) {
    return;
  }
  set(find('name'), plain(status.name));
  document.title = `${plain(status.name)} – pinhole`;
  set(find('state'), say('headline', say(status.role), say(status.stage)));
  facts();
  Object.values(parts).forEach((part) => part.show(status));
}

function translate(language) {
  speak(language);
  document.documentElement.lang = language === 'zh' ? 'zh-Hant-TW' : 'en';
  find('english').setAttribute('aria-pressed', String(language === 'en'));
  find('chinese').setAttribute('aria-pressed', String(language === 'zh'));
  document.querySelectorAll('[data-word]').forEach((node) => set(node, say(node.dataset.word)));
  document.querySelectorAll('[data-word-label]').forEach((node) => node.setAttribute('aria-label', say(node.dataset.wordLabel)));
  set(find('said'), '');
  Object.values(parts).forEach((part) => part.translate());
  set(find('link'), linkSays());
  draw();
}

function choose(language) {
  keep(LANGUAGE, language);
  translate(language);
}

const sessions = new Sessions(find('sessions'), find('streams'));
const parts = {
  sessions,
  simple: simpleTables(find('services'), find('forwards')),
  invitations: new Invitations(find('invitations')),
  server: new ServerTables(find),
  warnings: new Warnings(find('warnings')),
  events: new Events(find('events'), find('events-all')),
  check: new Check(find('check')),
};

find('english').addEventListener('click', () => choose('en'));
find('chinese').addEventListener('click', () => choose('zh'));
find('entry').addEventListener('submit', (event) => {
  event.preventDefault();
  // People paste the whole address, too.
  token = find('token').value.trim().replace(/^.*#token=/, '');
  find('token').value = '';
  keep(KEPT, token);
  begin();
});
addEventListener('hashchange', () => {
  if (location.hash.startsWith('#token=')) {
    readToken();
    attempt?.abort();
    attempt = null;
    begin();
  }
});

const wanted = kept(LANGUAGE) ?? (navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en');
readToken();
translate(wanted in words ? wanted : 'en');
begin();
