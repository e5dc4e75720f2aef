// SPDX-License-Identifier: MIT
//
// What the parts of the page share: requests, elements, and how values are written.

/**
 * @typedef {{ address: string, port: number }} Endpoint
 * @typedef {{ id: number, protocol: string, direction: string, state: string, end?: string, error?: string,
 *   source: Endpoint, destination: Endpoint, target?: Partial<Endpoint> & { path?: string }, reach: string,
 *   bytesOut: number, bytesIn: number, age: number, idle: number, names: string[], rateOut: number, rateIn: number,
 *   reason: string, ended?: number }} Flow
 */

/** An answer that says what was wrong. */
export class RequestError extends Error {}

/**
 * @param {string} method
 * @param {string} path below api/
 * @param {unknown} [body]
 * @returns {Promise<any>} what the answer has
 */
export async function request(method, path, body) {
  const response = await fetch(`api/${path}`, {
    method,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  const text = await response.text();
  const answer = text === '' ? null : JSON.parse(text);
  if (response.ok) return answer;
  throw new RequestError(answer?.detail ?? `${response.status} ${response.statusText}`);
}

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`no element ${id}`);
  return found;
}

/**
 * An element; what it shows is text and never markup.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} name
 * @param {Record<string, string>} attributes
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/**
 * @param {string} label
 * @param {string} name of the class
 * @param {() => Promise<unknown>} action
 * @param {string} [title] what it does, in full
 */
export function button(label, name, action, title = label) {
  const made = element(
    'button',
    { type: 'button', class: name, title, 'aria-label': title },
    label,
  );
  made.addEventListener('click', () => {
    made.disabled = true;
    action()
      .catch((error) => tell(error.message))
      .finally(() => {
        made.disabled = false;
      });
  });
  return made;
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let told;

/** Shows a message for a while. @param {string} text */
export function tell(text) {
  const message = byId('message');
  message.textContent = text;
  message.hidden = false;
  clearTimeout(told);
  told = setTimeout(() => {
    message.hidden = true;
  }, 8000);
}

/**
 * Brings the children of `parent` in line with `items`, each with the element that it had before, so that focus and
 * selection stay where they are.
 * @template T
 * @param {HTMLElement} parent
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => HTMLElement} make
 * @param {(made: HTMLElement, item: T) => void} [update]
 */
export function reconcile(parent, items, keyOf, make, update = () => {}) {
  /** @type {Map<string, HTMLElement>} */
  const before = new Map();
  for (const child of /** @type {Iterable<HTMLElement>} */ (parent.children)) {
    before.set(child.dataset.key ?? '', child);
  }
  let at = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const had = before.get(key);
    const child = had ?? make(item);
    before.delete(key);
    child.dataset.key = key;
    update(child, item);
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
  for (const child of before.values()) child.remove();
}

/** @param {Partial<Endpoint>} endpoint */
export function place({ address = '', port = 0 }) {
  if (port === 0) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** @param {number} count */
export function bytes(count) {
  let value = count;
  for (const unit of ['B', 'KB', 'MB', 'GB']) {
    if (value < 1000)
      return `${value < 10 && unit !== 'B' ? value.toFixed(1) : Math.round(value)} ${unit}`;
    value /= 1000;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} TB`;
}

/** @param {number} perSecond bytes */
export const rate = (perSecond) => `${bytes(perSecond)}/s`;

/** @param {number} milliseconds */
export function duration(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** @param {number} count */
export const grouped = (count) => count.toLocaleString('en');

/** An action in the words of the page. @param {string} text of a rule */
export const inWords = (text) => text.replace(/^refuse\b/, 'deny');
