// What is asked of the process, and ordered.

import { say } from './words.js';
import { set } from './tables.js';
import { plain } from './text.js';

let token = null;
let refused = () => {};

// Says which token is sent from now on, and who is told that it is wrong.
export function askWith(given, whenRefused) {
  token = given;
  refused = whenRefused;
}

// Asks the process for something.
export async function ask(method, path, { body, signal } = {}) {
  const headers = { Authorization: `Bearer ${token}` };
  if (body !== undefined) {
    headers['Content-Type'] = 'application/json';
  }
  const options = { method, headers, body: body && JSON.stringify(body), cache: 'no-store', credentials: 'omit', signal };
  const answer = await fetch(path, options);
  if (answer.status === 401) {
    refused();
    throw new Error(say('wrongToken'));
  }
  return answer;
}

// Orders something. Says what became of it.
export async function order(method, path, done, body) {
  try {
    const answer = await ask(method, path, { body });
    if (answer.ok) {
      tell(done);
      return answer.status === 204 ? {} : await answer.json();
    }
    tell(say('failed', await sentence(answer)));
  } catch (error) {
    tell(say('failed', plain(error.message)));
  }
  return null;
}

// Returns why an answer is none.
export async function sentence(answer) {
  try {
    return plain((await answer.json()).error);
  } catch {
    return `HTTP ${answer.status}`;
  }
}

// Says what became of what was asked for.
export function tell(text) {
  set(document.getElementById('said'), text);
}
