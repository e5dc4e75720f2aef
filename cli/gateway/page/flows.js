// SPDX-License-Identifier: MIT
//
// The table of flows: as many as a person reads, chosen by the gateway.

import {
  button,
  byId,
  bytes,
  duration,
  element,
  grouped,
  inWords,
  place,
  rate,
  reconcile,
  request,
} from './common.js';

/** @typedef {import('./common.js').Flow} Flow */

const mostRows = 200;
/** Milliseconds between two looks. */
const pause = 1000;

export class Flows {
  #table = /** @type {HTMLElement} */ (byId('flows').querySelector('tbody'));
  #filter = /** @type {HTMLInputElement} */ (byId('filter'));
  #sort = /** @type {HTMLSelectElement} */ (byId('sort'));
  #ended = false;
  #asked = 0;

  constructor() {
    this.#filter.addEventListener('input', () => this.look());
    this.#sort.addEventListener('change', () => this.look());
    for (const [id, ended] of /** @type {const} */ ([
      ['show-open', false],
      ['show-ended', true],
    ])) {
      byId(id).addEventListener('click', () => this.#show(ended));
    }
    setInterval(() => {
      if (!document.hidden) this.look();
    }, pause);
    document.addEventListener('visibilitychange', () => this.look());
  }

  /** @param {boolean} ended */
  #show(ended) {
    this.#ended = ended;
    byId('show-open').setAttribute('aria-pressed', String(!ended));
    byId('show-ended').setAttribute('aria-pressed', String(ended));
    this.#filter.disabled = ended;
    this.#sort.disabled = ended;
    this.#table.replaceChildren();
    this.look();
  }

  async look() {
    // Of two answers the one that was asked for last counts.
    this.#asked += 1;
    const asked = this.#asked;
    const query = new URLSearchParams({ limit: String(mostRows) });
    if (!this.#ended) {
      query.set('sort', this.#sort.value);
      if (this.#filter.value.trim() !== '') query.set('filter', this.#filter.value);
    }
    try {
      const answer = await request('GET', `${this.#ended ? 'ended' : 'flows'}?${query}`);
      if (asked === this.#asked) this.#draw(this.#ended ? { flows: answer } : answer);
    } catch {
      // The gateway does not answer: the page's status says so.
    }
  }

  /** @param {{ flows: Flow[], matching?: number, total?: number }} page */
  #draw({ flows, matching, total }) {
    reconcile(this.#table, flows, ({ id }) => String(id), makeRow, updateRow);
    const note = byId('flows-note');
    if (matching === undefined || total === undefined) {
      note.textContent =
        flows.length === 0
          ? 'No flow has ended yet.'
          : 'The flows that ended last, denied ones too.';
    } else if (flows.length < matching) {
      const first = /** @type {HTMLOptionElement} */ (this.#sort.selectedOptions[0]).text;
      note.textContent = `${grouped(flows.length)} of ${grouped(matching)} flows are shown (${first}), ${grouped(matching - flows.length)} are left out: search, or sort by something else, to see them.`;
    } else if (matching < total)
      note.textContent = `${grouped(matching)} of ${grouped(total)} flows match.`;
    else
      note.textContent =
        total === 0 ? 'No flow is open.' : `${grouped(total)} ${total === 1 ? 'flow' : 'flows'}.`;
  }
}

/** @param {Flow} flow */
function makeRow(flow) {
  const { id, protocol, direction, source, destination, names } = flow;
  const target = element('td', { class: 'where' });
  const to = place(destination);
  if (names[0] === undefined) target.append(to);
  else {
    const port = destination.port > 0 ? `:${destination.port}` : '';
    target.append(`${names[0]}${port}`, element('small', {}, destination.address));
  }
  const led = flow.target?.path ?? place(flow.target ?? {});
  if (led !== '' && led !== to) target.append(element('small', {}, `led to ${led}`));
  target.title = target.innerText || target.textContent || '';
  const kill = element('td', {});
  if (flow.ended === undefined) {
    const title = `Kill ${protocol} ${place(source)} to ${names[0] ?? to}`;
    kill.append(button('Kill', 'small deny', () => request('DELETE', `flows/${id}`), title));
  }
  return element(
    'tr',
    {},
    element('td', {}, direction === 'inward' ? `${protocol} inward` : protocol),
    element('td', {}, place(source)),
    target,
    element('td', { class: 'state' }),
    ...['out', 'in', 'rate', 'age'].map((name) => element('td', { class: `number ${name}` })),
    element('td', { class: 'why' }),
    kill,
  );
}

/** @param {HTMLElement} row @param {Flow} flow */
function updateRow(row, flow) {
  /** @param {string} name @param {string} text */
  const set = (name, text) => {
    const cell = /** @type {HTMLElement} */ (row.querySelector(`.${name}`));
    if (cell.textContent !== text) cell.textContent = text;
    return cell;
  };
  const state = set('state', flow.end ?? flow.state);
  const happy = flow.state === 'open' || flow.end === 'finished' || flow.end === 'expired';
  state.className = `state ${happy ? 'good' : flow.end === undefined ? 'soft' : 'bad'}`;
  state.title = flow.error ?? '';
  set('out', bytes(flow.bytesOut));
  set('in', bytes(flow.bytesIn));
  set('rate', flow.ended === undefined ? rate(flow.rateOut + flow.rateIn) : '');
  set('age', flow.ended === undefined ? duration(flow.age) : `${duration(flow.ended)} ago`);
  const why = set('why', inWords(flow.reason));
  why.title = inWords(flow.reason);
}
