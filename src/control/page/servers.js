// What a server shows: hosts and their clients, requests, links to other servers.

import { say } from './words.js';
import { Table, lines, set, sureButton } from './tables.js';
import { bytes, milliseconds, plain } from './text.js';
import { order, tell } from './asking.js';

const yes = (flag) => say(flag ? 'yes' : 'no');

export class ServerTables {
  constructor(find) {
    this.find = find;
    const table = (id, columns, empty, numbers) => new Table(find(id), columns, { caption: id, empty, numbers });
    this.hosts = table('hosts', ['id', 'address', 'published', 'dials', 'wrongLogins', 'clientCount', 'action'], 'noHosts', [4, 5]);
    this.clients = table('clients', ['host', 'number', 'address', 'bytes', 'action'], 'noClients', [1, 3]);
    this.requests = table('requests', ['status', 'count'], 'noRequests', [1]);
    this.links = table('links', ['server', 'address', 'dialled', 'hosts', 'streams', 'waiting'], 'noLinks', [3, 4, 5]);
  }

  translate() {
    [this.hosts, this.clients, this.requests, this.links].forEach((table) => table.translate());
  }

  show(status) {
    const { hosts = [], unlisted = 0, requests, links } = status;
    const isServer = status.role === 'server';
    this.find('hosts').hidden = !isServer;
    this.find('clients').hidden = !isServer;
    this.find('requests').hidden = !requests;
    this.find('links').hidden = !links;
    this.hosts.show(hosts, (host) => host.id, (row, host) => this.fillHost(row, host), unlisted);
    const clients = hosts.flatMap((host) => host.clients.map((client) => ({ host: host.id, ...client })));
    this.clients.show(clients, (client) => `${client.host} ${client.number}`, (row, client) => this.fillClient(row, client));
    if (requests) {
      const { open, by_status: byStatus, median_ms: median, p99_ms: most } = requests;
      // Without an answer so far, there is no time of one.
      const note = median === undefined ? say('underWay', open) : say('requestsNote', open, milliseconds(median), milliseconds(most));
      set(this.find('requests-note'), note);
      this.requests.show(Object.entries(byStatus), ([code]) => code, (row, [code, count]) => {
        lines(row, 0, [plain(code)]);
        lines(row, 1, [String(count)]);
      });
    }
    this.links.show(links ?? [], (link) => link.server, (row, link) => {
      lines(row, 0, [plain(link.server)]);
      lines(row, 1, [plain(link.remote)]);
      lines(row, 2, [say(link.dialled ? 'here' : 'there')]);
      lines(row, 3, [String(link.hosts)]);
      lines(row, 4, [String(link.streams)]);
      lines(row, 5, [bytes(link.waiting_bytes)]);
    });
  }

  fillHost(row, host) {
    const id = plain(host.id);
    lines(row, 0, [id]);
    lines(row, 1, [plain(host.remote)]);
    lines(row, 2, [yes(host.public)]);
    lines(row, 3, [yes(host.dials)]);
    lines(row, 4, [String(host.wrong_logins)]);
    lines(row, 5, [String(host.clients.length)]);
    sureButton(row, 6, {
      word: 'end', sure: 'sure', label: say('endHost', id), name: id,
      warn: () => tell(say('sureSaid', id)),
      act: () => order('DELETE', `/v1/hosts/${encodeURIComponent(host.id)}`, say('ended', id)),
    });
  }

  fillClient(row, client) {
    const [host, number] = [plain(client.host), String(client.number)];
    lines(row, 0, [host]);
    lines(row, 1, [number]);
    lines(row, 2, [plain(client.remote)]);
    lines(row, 3, [say('sentRate', bytes(client.sent)), say('receivedRate', bytes(client.received))]);
    const name = say('clientName', number, host);
    sureButton(row, 4, {
      word: 'end', sure: 'sure', label: say('endClient', number, host), name,
      warn: () => tell(say('sureSaid', name)),
      act: () => order('DELETE', `/v1/hosts/${encodeURIComponent(client.host)}/clients/${number}`, say('ended', name)),
    });
  }
}
