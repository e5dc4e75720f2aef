// SPDX-License-Identifier: MIT
//
// Forwards and rules: what there is, and more of it.

import { button, byId, element, inWords, reconcile, request } from './common.js';

/** @typedef {{ id: number, text: string, flows: number, port?: number, options: { listen: { port?: number } } }} Forward */
/** @typedef {{ rules: object[], texts: string[], otherwise: string }} Rules */

/** @param {Forward[]} forwards */
export function showForwards(forwards) {
  reconcile(
    byId('forwards'),
    forwards,
    ({ id }) => String(id),
    ({ id, text, port, options }) => {
      const chosen = options.listen.port === 0 && port !== undefined ? ` (port ${port})` : '';
      const remove = button(
        'Remove',
        'small',
        () => request('DELETE', `forwards/${id}`),
        `Remove ${text}`,
      );
      return element('li', {}, element('span', {}, `${text}${chosen}`), remove);
    },
  );
  if (forwards.length === 0)
    byId('forwards').replaceChildren(element('li', { class: 'soft' }, element('span', {}, 'none')));
}

/** @param {Rules} all */
export function showRules({ rules, texts, otherwise }) {
  /** @param {number} at */
  const without = (at) => () =>
    request('PUT', 'rules', { rules: rules.filter((_, i) => i !== at) });
  const lines = texts.map((text, i) =>
    element(
      'li',
      {},
      element('span', {}, inWords(text)),
      button('Remove', 'small', without(i), `Remove ${inWords(text)}`),
    ),
  );
  const last = element(
    'li',
    { class: 'soft' },
    element('span', {}, `what no rule fits: ${otherwise}`),
  );
  byId('rules').replaceChildren(...lines, last);
}

/**
 * A form whose fields are the request.
 * @param {string} id
 * @param {string} path
 */
export function bindForm(id, path) {
  const form = /** @type {HTMLFormElement} */ (byId(id));
  const error = /** @type {HTMLElement} */ (form.querySelector('.error'));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    error.textContent = '';
    try {
      await request('POST', path, Object.fromEntries(new FormData(form)));
      /** @type {HTMLInputElement} */ (form.elements.namedItem('text')).value = '';
    } catch (problem) {
      error.textContent = /** @type {Error} */ (problem).message;
    }
  });
}
