// The dashboard as a person uses it: real processes, and a page in headless Chromium that is looked at and clicked.
// `make dashboard-test` runs this.

import assert from 'node:assert/strict';
import { get } from 'node:http';
import { test, after, before } from 'node:test';
import { DESK, PHONE, browser as start, echoService, end, found, open, pinhole, talk, until, violations, webService } from './rig.mjs';

const HOSTILE = '<img src=x onerror=alert(1)>\u202e"\'&';
const missing = !found.puppeteer ? 'puppeteer-core and axe-core are not installed; see .ci/run' : !found.chromium ? 'Chromium is not installed' : false;
if (missing) {
  console.log(`SKIPPED: the dashboard: ${missing}`);
}

let browser;
before(async () => {
  if (!missing) {
    browser = await start();
  }
});
after(end);

const options = { skip: missing, timeout: 90_000 };

// Starts a host with two services and an administration.
async function host(...more) {
  const [web, echo] = [await webService(), await echoService()];
  const words = [`web=${web}`, `echo=${echo}`, '--listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0', '--no-stun', ...more];
  const process = pinhole('host', ...words);
  return { ...process, admin: (await process.event('administration')).url, url: (await process.event('listening')).url };
}

async function client(url, ...more) {
  const process = pinhole('client', url, 'echo=0', '--no-stun', ...more);
  const { local } = await process.event('forwarding');
  const { session } = await process.event('connected');
  return { ...process, local, session };
}

const text = (page, selector) => page.$eval(selector, (node) => node.innerText);
const rows = (page, section) => page.$$eval(`#${section} tbody tr`, (rows) => rows.map((row) => row.innerText));
const count = (page, section, wanted) => until(`${wanted} rows of ${section}`, async () => (await rows(page, section)).length === wanted);

const wait = (milliseconds) => new Promise((wake) => setTimeout(wake, milliseconds));

// Presses a button of a section twice, as it asks for.
async function press(page, section, label) {
  const button = await page.waitForSelector(`#${section} button[aria-label="${label}"]`);
  await button.click();
  assert.ok(await button.evaluate((node) => node.classList.contains('sure')), 'it asks whether that is meant');
  await wait(500);
  await button.click();
}

function clean(page) {
  assert.deepEqual(page.faults, []);
}

test('sessions are shown and ended, with the focus where it was', options, async () => {
  const process = await host('--name', 'office');
  const [one, two] = [await client(process.url), await client(process.url, '--relay-only')];
  await talk(one.local, 20_000);
  const page = await open(browser, process.admin);
  await count(page, 'sessions', 2);
  assert.equal(new URL(page.url()).hash, '', 'the token is out of the address');
  assert.equal(await text(page, '#name'), 'office');
  assert.equal(await text(page, '#state'), 'Host. State: serving.');
  const shown = await rows(page, 'sessions');
  assert.match(shown.find((row) => row.includes(two.session)), /relayed\s+the other side was started with --relay-only/);
  await until('a rate', async () => (await rows(page, 'sessions')).some((row) => /[1-9][\d.]* kB\/s sent/.test(row)));

  await page.click(`#sessions button[aria-label="Show the streams of session ${one.session}"]`);
  await count(page, 'streams', 1);
  assert.match(await text(page, '#streams h2'), new RegExp(one.session));

  // Rows change each second under the focus, which stays.
  const label = `End session ${two.session}`;
  await page.focus(`#sessions button[aria-label="${label}"]`);
  const bytes = await rows(page, 'sessions');
  await until('another state', async () => JSON.stringify(await rows(page, 'sessions')) !== JSON.stringify(bytes));
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), label);
  // By the keyboard alone.
  await page.keyboard.press('Enter');
  assert.match(await text(page, '#said'), new RegExp(`Press again to end session ${two.session}`));
  // A slip of the hand, and a key that is held, are no second press.
  await page.keyboard.press('Enter');
  await page.keyboard.down('Enter');
  await page.keyboard.down('Enter');
  await page.keyboard.up('Enter');
  await wait(500);
  assert.equal((await rows(page, 'sessions')).length, 2);
  await page.keyboard.press('Enter');
  await count(page, 'sessions', 1);
  assert.match(await text(page, '#said'), new RegExp(`Ended: session ${two.session}`));
  assert.equal(await page.evaluate(() => document.activeElement.id), 'sessions-title');
  await process.event('disconnected');
  await two.exit;
  clean(page);
});

test('an invitation is made, used, shown as text and revoked', options, async () => {
  const process = await host();
  const page = await open(browser, process.admin);
  await page.waitForSelector('#invite-service-1');
  await page.evaluate((label) => { document.querySelector('#invite-label').value = label; }, HOSTILE);
  await page.type('#invite-expires', 'x');
  await page.click('#invite button[type=submit]');
  await until('a refusal', async () => (await text(page, '#invite-error')).startsWith('expires: '));
  await page.evaluate(() => { document.querySelector('#invite-expires').value = '2h'; });
  await page.click('label[for=invite-service-1]');
  await page.click('#invite button[type=submit]');
  await page.waitForSelector('#made:not([hidden])');
  const url = await page.$eval('#made-urls input', (field) => field.value);
  assert.match(url, /^ws:\/\/127\.0\.0\.1:\d+\/ws\?invite=\w+&pin=\w{16}$/);
  assert.ok(await page.$('#made-code svg[role=img][aria-label]'), 'a QR code');
  await count(page, 'invitations', 1);
  const [row] = await rows(page, 'invitations');
  assert.ok(row.includes('<img src=x onerror=alert(1)>\\u{202e}"\'&'), row);
  assert.ok(row.includes('echo') && !row.includes('web'), row);
  assert.equal(await page.$('#content img'), null);

  const guest = await client(url);
  await count(page, 'sessions', 1);
  const id = new URL(url).searchParams.get('invite');
  assert.match((await rows(page, 'sessions'))[0], new RegExp(`invitation ${id}`));
  await page.click('#made-close');
  assert.equal(await page.$eval('#made-urls', (list) => list.childElementCount), 0, 'the pin is gone');
  await press(page, 'invitations', `Revoke invitation ${id}`);
  await count(page, 'invitations', 0);
  await count(page, 'sessions', 0);
  await guest.exit;
  assert.ok((await page.content()).includes('invitation-revoked'), 'the event is listed');
  assert.ok(!(await page.content()).includes(new URL(url).searchParams.get('pin')), 'no pin is anywhere');
  clean(page);
});

test('the page speaks two languages, and goes on in the one that was chosen', options, async () => {
  const process = await host();
  const page = await open(browser, process.admin, { language: 'zh-TW' });
  await page.waitForSelector('#sessions:not([hidden])');
  assert.equal(await text(page, '#sessions h2'), '連線');
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'zh-Hant-TW');
  await page.click('#english');
  assert.equal(await text(page, '#sessions h2'), 'Sessions');
  await page.reload();
  await page.waitForSelector('#sessions:not([hidden])');
  assert.equal(await text(page, '#sessions h2'), 'Sessions');
  await page.click('#chinese');
  assert.equal(await text(page, '#state'), '主機端。狀態：運作中。');
  clean(page);
});

test('a host checks its network when it is asked to', options, async () => {
  const process = await host();
  const page = await open(browser, process.admin);
  await page.waitForSelector('#check:not([hidden])');
  await page.click('#check-run');
  await until('findings', async () => (await text(page, '#check-state')) === 'Done.');
  const found = await rows(page, 'check');
  assert.ok(found.some((row) => row.startsWith('interface')), found.join('\n'));
  assert.ok(found.some((row) => row.startsWith('network')), found.join('\n'));
  clean(page);
});

test('without the right token there is nothing to see', options, async () => {
  const process = await host();
  const { origin, hash } = new URL(process.admin);
  const page = await open(browser, `${origin}/#token=wrongwrongwrongwrong`);
  await page.waitForSelector('#entry:not([hidden])');
  await until('a sentence', async () => (await text(page, '#entry-error')).includes('not the token'));
  assert.ok(await page.$eval('#content', (node) => node.hidden));
  assert.equal(await page.evaluate(() => document.activeElement.id), 'token');
  await page.type('#token', hash.replace('#token=', ''));
  await page.keyboard.press('Enter');
  await page.waitForSelector('#content:not([hidden])');
  await page.reload();
  await page.waitForSelector('#content:not([hidden])');
  // The process ends: the page says so, and that it is old.
  await process.stop();
  await until('a sentence', async () => (await text(page, '#link')).includes('does not answer'));
  assert.ok(await page.$('#content.old'));
  clean(page);
});

test('the page asks nobody else, and runs nothing that others wrote', options, async () => {
  const process = await host();
  const asked = [];
  const page = await open(browser, 'about:blank');
  page.on('request', (request) => asked.push(request.url()));
  const answer = await page.goto(process.admin);
  await page.waitForSelector('#content:not([hidden])');
  const { origin } = new URL(process.admin);
  assert.deepEqual(asked.filter((url) => !url.startsWith(`${origin}/`) && !url.startsWith('data:')), []);
  assert.match(answer.headers()['content-security-policy'], /default-src 'none'.*frame-ancestors 'none'/);
  const ran = await page.evaluate(async () => {
    const script = document.createElement('script');
    script.textContent = 'globalThis.ran = true;';
    document.body.append(script);
    const image = document.createElement('div');
    image.innerHTML = '<img src="x" onerror="globalThis.ran = true">';
    document.body.append(image);
    await new Promise((wake) => setTimeout(wake, 300));
    return globalThis.ran === true;
  });
  assert.equal(ran, false);
});

test('a page that is open for days stays small', options, async () => {
  const process = await host();
  const page = await open(browser, process.admin);
  await page.waitForSelector('#content:not([hidden])');
  const [events, samples, long, escaped, listed] = await page.evaluate(async () => {
    const { Events } = await import('/news.js');
    const { Sessions } = await import('/peers.js');
    const { plain } = await import('/text.js');
    const section = () => document.body.appendChild(Object.assign(document.createElement('section'), { innerHTML: '<h2></h2><p class=note></p>' }));
    const list = section();
    const news = new Events(list, Object.assign(document.createElement('input'), { type: 'checkbox', checked: true }));
    for (let number = 0; number < 5000; number += 1) {
      news.add({ event: number % 2 ? 'stream-opened' : 'path', number });
    }
    news.draw();
    const sessions = new Sessions(section(), section());
    for (let second = 0; second < 1000; second += 1) {
      sessions.sample({ sessions: [{ session: 'a', sent_per_s: second, received_per_s: 0 }, { session: `gone ${second}`, sent_per_s: 1, received_per_s: 1 }] });
    }
    const many = section();
    const { Table } = await import('/tables.js');
    const table = new Table(many, ['stream'], { caption: 'streams', empty: 'noStreams' });
    table.show(Array.from({ length: 10_000 }, (_, number) => number), (number) => number, () => {}, 7);
    const listed = [many.querySelectorAll('tbody tr').length, table.more.textContent];
    const escaped = plain('\u001b[31mred\u0000\u2028<b>');
    return [list.querySelectorAll('tbody tr').length, [sessions.samples.size, sessions.samples.get('a').list.length], plain('\u202e'.repeat(1_000_000)).length, escaped, listed];
  });
  assert.equal(events, 200);
  assert.deepEqual(samples, [2, 120]);
  assert.deepEqual(listed, [250, '9757 more are not listed.']);
  assert.ok(long < 3000, `${long}`);
  assert.equal(escaped, '\\u{1b}[31mred\\u{0}\\u{2028}<b>');
});

// Asks a gateway for a page of a host, and returns the status.
const visit = (address, authority) => new Promise((resolve, reject) => {
  const [hostname, port] = address.split(':');
  get({ hostname, port, path: '/', headers: { host: authority } }, (answer) => answer.resume().on('end', () => resolve(answer.statusCode))).on('error', reject);
});

test('a server shows its hosts and clients, and ends them', options, async () => {
  const server = pinhole('server', '--open', '--listen', '127.0.0.1:0', '--gateway-domain', 'p.example.org', '--admin-listen', '127.0.0.1:0');
  const { listen } = await server.event('serving');
  const { url } = await server.event('administration');
  const service = await webService();
  const shared = pinhole('host', `${service}`, '--server', `ws://${listen}`, '--id', 'office', '--no-stun');
  const joined = pinhole('client', (await shared.event('registered')).url, '0', '--relay-only');
  await joined.event('forwarding');
  const page = await open(browser, url);
  await count(page, 'hosts', 1);
  await count(page, 'clients', 1);
  assert.match((await rows(page, 'hosts'))[0], /office/);
  assert.equal(await text(page, '#requests-note'), 'Under way: 0.');
  // The host publishes nothing: the visitor gets a page that says so.
  await visit(listen, 'office.p.example.org');
  await until('a request', async () => /Half are answered within [\d.]+ m?s/.test(await text(page, '#requests-note')));
  await axe(page, 'server');
  await press(page, 'clients', 'End client 1 of office');
  await until('its end', async () => (await text(page, '#said')).startsWith('Ended: client 1 of office'));
  await press(page, 'hosts', 'End the registration of office');
  await until('its end', () => server.events.some((event) => event.event === 'host-left'));
  clean(page);
});

// Looks at a page in each scheme and size.
async function axe(page, what) {
  for (const view of [DESK, PHONE]) {
    for (const value of ['light', 'dark']) {
      await page.setViewport(view);
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value }]);
      assert.deepEqual(await violations(page), [], `${what}, ${view.width} px, ${value}`);
      const [wide, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      assert.ok(wide <= seen, `${what}: ${wide} px are wider than ${seen}`);
    }
  }
  await page.setViewport(DESK);
}

test('axe-core finds nothing', options, async () => {
  const process = await host();
  const one = await client(process.url, '--admin-listen', '127.0.0.1:0');
  await talk(one.local);
  const page = await open(browser, process.admin);
  await count(page, 'sessions', 1);
  await page.click(`#sessions button[aria-expanded]`);
  await count(page, 'streams', 1);
  await page.waitForSelector('#invite-service-1');
  await page.click('label[for=invite-service-0]');
  await page.click('#invite summary');
  await page.click('#invite button[type=submit]');
  await page.waitForSelector('#made:not([hidden])');
  await count(page, 'invitations', 1);
  await page.click('#invitations tbody button');
  await axe(page, 'host');
  await page.click('#chinese');
  assert.deepEqual(await violations(page), [], 'in Chinese');
  const other = await open(browser, (await one.event('administration')).url);
  await count(other, 'sessions', 1);
  await count(other, 'forwards', 1);
  await axe(other, 'client');
  const entry = await open(browser, new URL(process.admin).origin);
  await entry.waitForSelector('#entry:not([hidden])');
  await axe(entry, 'entry');
  clean(page);
  clean(other);
});
