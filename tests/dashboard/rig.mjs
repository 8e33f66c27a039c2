// Processes of pinhole, and a page in headless Chromium, for those who try the dashboard.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { createServer as createTcpServer, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');
const binary = process.env.PINHOLE_BINARY ?? join(target, 'debug/pinhole');
const modules = createRequire(join(target, 'tmp/dashboard/node_modules/'));
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

const PATIENCE = 30_000;
const folder = mkdtempSync(join(tmpdir(), 'pinhole-dashboard-'));
const ends = [() => rmSync(folder, { recursive: true, force: true })];

// Returns what was installed beside the tests, as .ci/run does; without it there is nothing to try.
function installed() {
  try {
    return { puppeteer: modules('puppeteer-core'), axe: modules.resolve('axe-core/axe.min.js') };
  } catch {
    return null;
  }
}

function chromium() {
  const places = (process.env.PATH ?? '').split(':').flatMap((place) => NAMES.map((name) => join(place, name)));
  return places.find((place) => existsSync(place));
}

export const found = { ...installed(), chromium: chromium() };

export async function end() {
  for (const finish of ends.reverse()) {
    await finish();
  }
}

// Waits until something holds.
export async function until(what, holds) {
  const begin = Date.now();
  for (;;) {
    const value = await holds();
    if (value) {
      return value;
    }
    if (Date.now() - begin > PATIENCE) {
      throw new Error(`${what}: not after ${PATIENCE / 1000} s`);
    }
    await new Promise((wake) => setTimeout(wake, 50));
  }
}

// Starts pinhole. Returns its process, and a function that waits for an event.
export function pinhole(...words) {
  const [command, ...more] = words;
  const child = spawn(binary, [command, '--json', ...more], {
    env: { ...process.env, XDG_RUNTIME_DIR: folder, HOME: folder, RUST_LOG: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const events = [];
  let said = '';
  child.stderr.on('data', (text) => { said += text; });
  createInterface({ input: child.stdout }).on('line', (line) => events.push(JSON.parse(line)));
  let isWanted = false;
  const exit = new Promise((wake) => child.on('exit', wake));
  child.on('exit', (code, signal) => {
    if (!isWanted && code !== 0) {
      console.error(`pinhole ${words.join(' ')} ended by itself: ${code ?? signal} ${said} ${JSON.stringify(events.at(-1))}`);
    }
  });
  const stop = async () => {
    isWanted = true;
    child.kill('SIGTERM');
    const kill = setTimeout(() => child.kill('SIGKILL'), 5000);
    await exit;
    clearTimeout(kill);
  };
  ends.push(stop);
  const event = (name) => until(`${name} of ${words.join(' ')}`, () => {
    if (child.exitCode !== null && !events.some((event) => event.event === name)) {
      throw new Error(`pinhole ${words.join(' ')} ended: ${said}${JSON.stringify(events.at(-1))}`);
    }
    return events.find((event) => event.event === name);
  });
  return { child, event, events, stop, exit };
}

// Starts a web service. Returns its port.
export async function webService() {
  const server = createServer((_, answer) => answer.end('hello\n'));
  await new Promise((wake) => server.listen(0, '127.0.0.1', wake));
  ends.push(() => { server.closeAllConnections(); server.close(); });
  return server.address().port;
}

// Starts a service that returns what it receives. Returns its port.
export async function echoService() {
  const sockets = new Set();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket)).pipe(socket);
  });
  await new Promise((wake) => server.listen(0, '127.0.0.1', wake));
  ends.push(() => { sockets.forEach((socket) => socket.destroy()); server.close(); });
  return server.address().port;
}

// Connects to a local port, and says so much each tenth of a second.
export async function talk(address, size = 0) {
  const [, host, port] = address.match(/^(.*):(\d+)$/);
  const socket = connect(Number(port), host).on('error', () => {}).on('data', () => {});
  await new Promise((wake) => socket.once('connect', wake));
  const timer = size ? setInterval(() => socket.write(Buffer.alloc(Math.round(size * (0.6 + 0.4 * Math.sin(Date.now() / 3000))))), 100) : 0;
  const stop = () => { clearInterval(timer); socket.destroy(); };
  ends.push(stop);
  return stop;
}

export async function browser() {
  const opened = await found.puppeteer.launch({
    executablePath: found.chromium,
    userDataDir: join(folder, 'profile'),
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-proxy-server', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--no-first-run', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
  });
  ends.push(() => opened.close());
  return opened;
}

export const PHONE = { width: 360, height: 740, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
export const DESK = { width: 1280, height: 900, deviceScaleFactor: 1 };

// Opens a page of a process. What breaks in it is an error here.
export async function open(browser, url, { view = DESK, scheme = 'light', language = 'en-US' } = {}) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.faults = [];
  page.on('pageerror', (error) => page.faults.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' && !message.text().includes('Failed to load resource')) {
      page.faults.push(message.text());
    }
  });
  await page.setViewport(view);
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await page.evaluateOnNewDocument((language) => Object.defineProperty(navigator, 'language', { get: () => language }), language);
  await page.goto(url);
  return page;
}

// Returns what axe-core finds wrong with a page.
export async function violations(page) {
  const { readFileSync } = await import('node:fs');
  await page.evaluate(`(() => { ${readFileSync(found.axe, 'utf8')} })()`);
  return page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ['violations'] });
    return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map((node) => `${node.html.slice(0, 200)} ${node.failureSummary}`).join(' | ')}`);
  });
}
