// SPDX-License-Identifier: MIT
//
// The flows that wait for a decision.

import { button, byId, duration, element, grouped, place, reconcile, request } from './common.js';

/** @typedef {import('./common.js').Flow} Flow */
/** @typedef {{ flow: Flow, names: string[], remaining: number }} Asked */

/** What is shown of a flood of questions. */
const most = 50;

export class Asking {
  /** By flow, with the moment at which it is too late. @type {Map<number, { asked: Asked, until: number }>} */
  #waiting = new Map();
  #drawn = false;

  constructor() {
    setInterval(() => this.#draw(), 1000);
  }

  /** @param {Asked[]} all */
  set(all) {
    this.#waiting.clear();
    for (const asked of all) this.#keep(asked);
    this.#draw();
  }

  /** @param {Asked} asked */
  add(asked) {
    this.#keep(asked);
    this.#drawSoon();
  }

  /** @param {number} id */
  remove(id) {
    this.#waiting.delete(id);
    this.#drawSoon();
  }

  /** @param {Asked} asked */
  #keep(asked) {
    this.#waiting.set(asked.flow.id, { asked, until: performance.now() + asked.remaining });
  }

  /** Once for all that comes in a moment. */
  #drawSoon() {
    if (this.#drawn) return;
    this.#drawn = true;
    requestAnimationFrame(() => {
      this.#drawn = false;
      this.#draw();
    });
  }

  #draw() {
    const all = [...this.#waiting.values()];
    byId('asking').hidden = all.length === 0;
    byId('asking-count').textContent = all.length > 1 ? grouped(all.length) : '';
    document.title = all.length > 0 ? `(${all.length}) vpollnet gateway` : 'vpollnet gateway';
    reconcile(
      byId('asking-list'),
      all.slice(0, most),
      ({ asked }) => String(asked.flow.id),
      ({ asked }) => card(asked),
      (made, { until }) => {
        const left = /** @type {HTMLElement} */ (made.querySelector('.left'));
        left.textContent = `refused in ${duration(Math.max(0, until - performance.now()))}`;
      },
    );
    const more = byId('asking-more');
    more.hidden = all.length <= most;
    more.textContent = `${grouped(all.length - most)} more wait and are not shown; a decision for a name or an address may answer them too.`;
  }
}

/** @param {Asked} asked */
function card({ flow, names }) {
  const { id, protocol, source, destination } = flow;
  const name = names[0];
  const to = place(destination);
  const service = destination.port > 0 ? `${protocol} port ${destination.port}` : protocol;
  /** @param {string} action @param {string} scope */
  const answer = (action, scope) => () => request('POST', `asking/${id}`, { action, for: scope });
  /** @param {string} label @param {string} action @param {string} style */
  const choices = (label, action, style) => {
    const all = [
      button(
        `${label} once`,
        style,
        answer(action, 'once'),
        `${label} this flow to ${name ?? to}, once`,
      ),
    ];
    if (name !== undefined) {
      all.push(
        button(
          'this name',
          style,
          answer(action, 'name'),
          `${label} ${name}, ${service}, from now on`,
        ),
      );
    }
    all.push(
      button(
        'this address',
        style,
        answer(action, 'address'),
        `${label} ${destination.address}, ${service}, from now on`,
      ),
    );
    return element('div', { class: 'choices' }, ...all);
  };
  const about = `${protocol}${name === undefined ? '' : ` ${to}`}, ${flow.reach}, from ${place(source)}, `;
  return element(
    'li',
    {},
    element(
      'p',
      {},
      element(
        'strong',
        {},
        name === undefined ? to : `${name}${destination.port > 0 ? `:${destination.port}` : ''}`,
      ),
      element('small', {}, about, element('span', { class: 'left' })),
    ),
    choices('Allow', 'allow', 'allow'),
    choices('Deny', 'refuse', 'deny'),
  );
}
