// Invitations: those there are, and the form that makes one.

import { say } from './words.js';
import { Table, element, lines, qrCode, set, sureButton } from './tables.js';
import { moment, plain } from './text.js';
import { ask, order, sentence, tell } from './asking.js';

const find = (id) => document.getElementById(id);

export class Invitations {
  constructor(section) {
    this.section = section;
    const columns = ['label', 'id', 'services', 'expires', 'uses', 'action'];
    this.table = new Table(section, columns, { caption: 'invitations', empty: 'noInvitations', numbers: [4] });
    // The list stands before the form.
    section.insertBefore(this.table.more, find('invite'));
    section.insertBefore(this.table.nothing, find('invite'));
    section.insertBefore(this.table.table, find('invite'));
    this.services = '';
    find('invite').addEventListener('submit', (event) => {
      event.preventDefault();
      this.make();
    });
    find('made-close').addEventListener('click', () => this.forget());
  }

  show(status) {
    this.section.hidden = status.role !== 'host';
    this.table.show(status.invitations, (invitation) => invitation.id, (row, invitation) => this.fill(row, invitation));
    this.offer(status.services.map((service) => service.name));
  }

  translate() {
    this.table.translate();
  }

  fill(row, { id, label, services, expires, once, sessions }) {
    lines(row, 0, [plain(label) || say('none')]);
    lines(row, 1, [plain(id)]);
    lines(row, 2, [services.map(plain).join(', ') || say('none')]);
    lines(row, 3, [expires ? moment(expires) : say('never')]);
    lines(row, 4, once ? [String(sessions), { of: say('forOne'), className: 'note' }] : [String(sessions)]);
    const name = plain(id);
    sureButton(row, 5, {
      word: 'revoke', sure: 'sureRevoke', label: say('revokeOne', name), name,
      warn: () => tell(say('sureRevokeSaid', say('invitationName', name))),
      act: () => order('DELETE', `/v1/invitations/${encodeURIComponent(id)}`, say('revoked', say('invitationName', name))),
    });
  }

  // Offers the services to choose from; what is chosen already stays so.
  offer(names) {
    const key = JSON.stringify(names);
    if (key === this.services) {
      return;
    }
    this.services = key;
    const chosen = new Set(this.chosen());
    const set_ = find('invite-services');
    set_.querySelectorAll('.check').forEach((node) => node.remove());
    names.forEach((name, index) => {
      const line = set_.appendChild(element('div', { class: 'check' }));
      const box = line.appendChild(element('input', { type: 'checkbox', id: `invite-service-${index}` }));
      box.name = name;
      box.checked = chosen.has(name) || names.length === 1;
      line.appendChild(element('label', { for: box.id }, plain(name)));
    });
  }

  chosen() {
    return [...find('invite-services').querySelectorAll('input:checked')].map((box) => box.name);
  }

  async make() {
    const listed = (id) => find(id).value.split(/[\s,]+/).filter((text) => text !== '');
    const body = { services: this.chosen(), allow: listed('invite-allow'), reverse: listed('invite-reverse'), once: find('invite-once').checked };
    for (const [key, id] of [['label', 'invite-label'], ['expires', 'invite-expires'], ['public_url', 'invite-url']]) {
      const text = find(id).value.trim();
      if (text) {
        body[key] = text;
      }
    }
    if (find('invite-sessions').value) {
      body.max_sessions = Number(find('invite-sessions').value);
    }
    set(find('invite-error'), '');
    try {
      const answer = await ask('POST', '/v1/invitations', { body });
      if (answer.ok) {
        find('invite-label').value = '';
        return this.present(await answer.json());
      }
      set(find('invite-error'), await sentence(answer));
    } catch (error) {
      set(find('invite-error'), plain(error.message));
    }
  }

  // Shows what was made, once.
  present({ url, urls, pin, qr }) {
    this.forget();
    const texts = urls?.length ? urls : url ? [url] : [pin];
    texts.forEach((text, index) => {
      const line = find('made-urls').appendChild(element('li'));
      const label = texts.length > 1 ? say('addressOf', index + 1) : say('madeTitle');
      const field = line.appendChild(element('input', { type: 'text', readonly: '', 'aria-label': label, dir: 'ltr' }));
      field.value = text;
      const copy = line.appendChild(element('button', { type: 'button', 'data-word': 'copy' }, say('copy')));
      copy.addEventListener('click', async () => {
        try {
          await navigator.clipboard.writeText(text);
          tell(say('copied'));
        } catch {
          field.select();
          tell(say('notCopied'));
        }
      });
    });
    if (Array.isArray(qr)) {
      find('made-code').appendChild(qrCode(qr, say('code')));
    }
    find('made').hidden = false;
    find('made-title').focus();
  }

  forget() {
    const hadFocus = find('made').contains(document.activeElement);
    find('made').hidden = true;
    find('made-urls').replaceChildren();
    find('made-code').replaceChildren();
    if (hadFocus) {
      find('invitations-title').focus();
    }
  }
}
