// Takes the pictures of the dashboard that the READMEs have, from real processes. `make pictures` runs this.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isolate } from './network.mjs';

const script = fileURLToPath(import.meta.url);
isolate(script);
// Only in there, as this makes a folder that it removes at the end.
const rig = await import('../../tests/dashboard/rig.mjs');
const { browser: start, echoService, end, found, open, pinhole, talk, until, webService } = rig;
const folder = dirname(script);
if (!found.puppeteer || !found.chromium) {
  console.error('This needs Chromium, and puppeteer-core and axe-core where .ci/run installs them.');
  process.exit(1);
}
const [web, echo] = [await webService(), await echoService()];
const words = [`web=${web}`, `chat=${echo}`, '--listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0', '--name', 'office', '--no-stun'];
const host = pinhole('host', ...words);
const { url } = await host.event('listening');
const admin = (await host.event('administration')).url;
for (const [size, more] of [[40_000, []], [3_000, ['--relay-only']]]) {
  const client = pinhole('client', url, 'chat=0', '--no-stun', ...more);
  await client.event('connected');
  await talk((await client.event('forwarding')).local, size);
}
const browser = await start();
const VIEW = { width: 1120, height: 600, deviceScaleFactor: 1.25 };
const pages = [];
for (const [language, name] of [['en-US', 'dashboard.png'], ['zh-TW', 'dashboard.zh-TW.png']]) {
  const page = await open(browser, admin, { view: VIEW, language });
  await page.waitForSelector('#invite-service-1');
  pages.push([page, name]);
}
const [[first]] = pages;
await first.type('#invite-label', 'Ann');
await first.click('label[for=invite-service-1]');
await first.click('#invite button[type=submit]');
await first.waitForSelector('#made:not([hidden])');
await first.click('#made-close');
// Until there is something to see of the last two minutes.
await new Promise((wake) => setTimeout(wake, 60_000));
for (const [page, name] of pages) {
  await until('an invitation', () => page.$('#invitations tbody tr'));
  await page.evaluate(() => { document.activeElement.blur(); document.querySelector('#said').textContent = ''; scrollTo(0, 0); });
  await page.screenshot({ path: join(folder, name) });
}
await end();
process.exit(0);
