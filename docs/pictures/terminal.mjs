// Takes the picture of a host's terminal that the READMEs have, from real processes. `make pictures` runs this.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isolate, machine } from './network.mjs';
import { Screen } from './screen.mjs';

const script = fileURLToPath(import.meta.url);
const folder = dirname(script);
const target = process.env.CARGO_TARGET_DIR ?? join(folder, '../../target');
const COLUMNS = 98;
const ROWS = 30;
const HERE = '10.0.0.5';
const COMMAND = `pinhole host web=8080 chat=9000 --no-stun --listen ${HERE}:5000`;
const TITLE = 'A terminal with a host, and at its bottom who is connected, by which path and how fast';
// Most of what is looked for takes a second. A network without UDP is known as one after ten.
const PATIENCE = 40_000;

isolate(script);
const home = mkdtempSync(join(tmpdir(), 'pinhole-picture-'));
const ends = [() => rmSync(home, { recursive: true, force: true })];
process.on('SIGINT', () => process.exit(1));
process.on('exit', () => ends.reverse().forEach((end) => end()));

// What the processes get of the environment: nothing that is this machine's, and nothing that takes colours away.
const env = { PATH: `${resolve(target, 'debug')}${delimiter}${process.env.PATH}`, HOME: home, XDG_RUNTIME_DIR: home, TERM: 'xterm', LANG: 'C.UTF-8', PS1: '$ ' };

function start(words, stdio) {
  const child = spawn(words[0], words.slice(1), { env, stdio, cwd: home });
  ends.push(() => child.kill());
  return child;
}

const screen = new Screen(COLUMNS, ROWS);
const pause = (time) => new Promise((wake) => setTimeout(wake, time));

async function see(what) {
  const begin = Date.now();
  while (!what.test(screen.text())) {
    if (Date.now() - begin > PATIENCE) {
      throw new Error(`${what} is not seen:\n${screen.text()}`);
    }
    await pause(50);
  }
  return screen.text();
}

// A shell on a terminal of its own, in which somebody starts the host.
const size = `stty cols ${COLUMNS} rows ${ROWS}; exec sh -i`;
const shell = start(['script', '--quiet', '--flush', '--return', '--command', size, '/dev/null'], ['pipe', 'pipe', 'ignore']);
shell.stdout.setEncoding('utf8').on('data', (text) => screen.write(text));

// Both services return what they receive.
for (const port of [8080, 9000]) {
  createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(port, '127.0.0.1');
}

const guests = [
  { address: '10.0.0.7', service: 'web', size: 320_000 },
  { address: '10.0.0.8', service: 'chat', size: 1_200 },
  { address: '10.0.0.9', service: 'web', size: 48_000, hasUdp: false },
];
for (const [number, guest] of guests.entries()) {
  Object.assign(guest, await machine(number, { here: HERE, there: guest.address, hasUdp: guest.hasUdp }));
  ends.push(guest.stop);
}
await see(/^\$/);
shell.stdin.write(`${COMMAND}\n`);
const [, pin] = (await see(/waiting for clients/)).match(/pin=(\d+)/);
for (const [number, { address, service, size, enter }] of guests.entries()) {
  const url = `ws://${HERE}:5000/ws?pin=${pin}`;
  start([...enter, 'pinhole', 'client', url, `${service}=${address}:7000`, '--no-stun'], 'ignore');
  await see(new RegExp(`host: ${number + 1} session`));
  const socket = connect(7000, address).on('error', () => {}).on('data', () => {});
  setInterval(() => socket.write(Buffer.alloc(size)), 100);
}
await see(/lets no UDP through|no direct path was found/);
// Until the rates are those of all.
await pause(8_000);
if (/\/home\/|\/root\//.test(screen.text())) {
  throw new Error(`a path of this machine:\n${screen.text()}`);
}
writeFileSync(join(folder, 'terminal.svg'), screen.svg(TITLE));
// Ctrl-C, and the end of what is typed.
shell.stdin.write('\x03');
await see(/^\$ *$(?![^]*\S)/m);
shell.stdin.end('exit\n');
await new Promise((wake) => shell.on('exit', wake));
process.exit(0);
