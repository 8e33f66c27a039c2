// A local network of network namespaces, so that pictures show addresses as people have them, not those of this machine.

import { execFileSync, spawn, spawnSync } from 'node:child_process';

const INSIDE = 'PINHOLE_PICTURES_INSIDE';

// Runs the script that calls this once more, where the network is empty and is its own. Only in there does this return.
export function isolate(script) {
  if (process.env[INSIDE]) {
    ip('link set lo up');
    return;
  }
  const rights = process.getuid() === 0 ? [] : ['--user', '--map-root-user'];
  const words = [...rights, '--net', '--kill-child', process.execPath, script];
  const { status, error } = spawnSync('unshare', words, { env: { ...process.env, [INSIDE]: '1' }, stdio: 'inherit' });
  if (status !== 0) {
    const reason = error ? ` (${error.message})` : '';
    console.error(`No picture${reason}: this needs ip, unshare and nsenter, and network namespaces, which some systems leave to root.`);
  }
  process.exit(status ?? 1);
}

function ip(words) {
  execFileSync('ip', words.split(' '), { stdio: ['ignore', 'ignore', 'inherit'] });
}

// Adds a machine beside this one, perhaps one whose firewall lets no UDP out. Returns the words before a command that is to
// run there, and what ends the machine.
export async function machine(number, { here, there, hasUdp = true }) {
  const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo; exec sleep 1000'], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((wake) => holder.stdout.once('data', wake));
  const enter = ['nsenter', '--target', String(holder.pid), '--net'];
  ip(`link add lan${number} type veth peer name eth0 netns ${holder.pid}`);
  ip(`address add ${here} peer ${there} dev lan${number}`);
  ip(`link set lan${number} up`);
  const firewall = hasUdp ? [] : ['rule add ipproto udp blackhole'];
  for (const words of [`address add ${there} peer ${here} dev eth0`, 'link set lo up', 'link set eth0 up', ...firewall]) {
    execFileSync(enter[0], [...enter.slice(1), 'ip', ...words.split(' ')]);
  }
  return { enter, stop: () => holder.kill() };
}
