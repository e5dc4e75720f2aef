// SPDX-License-Identifier: MIT
//
// The page of a gateway: what it shows comes from the control, by events where that is quick and by asking once a
// second where there may be thousands.

import { Asking } from './asking.js';
import { byId, bytes, grouped, rate, request } from './common.js';
import { Flows } from './flows.js';
import { bindForm, showForwards, showRules } from './lists.js';
import { Plot } from './plot.js';

const plot = new Plot();
const asking = new Asking();
const flows = new Flows();
bindForm('add-forward', 'forwards');
bindForm('add-rule', 'rules');

/** @param {string} text @param {string} style */
function status(text, style) {
  byId('status').textContent = text;
  byId('status').className = style;
}

/** @param {{ out: number, in: number, flows: number }} sample */
function showSample(sample) {
  byId('number-flows').textContent = grouped(sample.flows);
  byId('number-out').textContent = rate(sample.out);
  byId('number-in').textContent = rate(sample.in);
}

async function showCounters() {
  const { bytesOut, bytesIn, drops } = await request('GET', 'counters');
  byId('number-carried').textContent = bytes(bytesOut + bytesIn);
  const { denied = 0, dropped = 0, undecided = 0, limit = 0 } = drops ?? {};
  byId('number-refused').textContent = grouped(denied + dropped + undecided + limit);
}

/** All that events will change from here on. */
async function load() {
  const [history, waiting, forwards, rules] = await Promise.all(
    ['history', 'asking', 'forwards', 'rules'].map((path) => request('GET', path)),
  );
  plot.set(history.samples);
  if (history.samples.length > 0) showSample(history.samples.at(-1));
  asking.set(waiting);
  showForwards(forwards);
  showRules(rules);
  await Promise.all([showCounters(), flows.look()]);
}

const events = new EventSource('api/events?only=ask,answered,rules,forwards,sample,lost');
/** @param {string} kind @param {(data: any) => void} show */
const on = (kind, show) => events.addEventListener(kind, (event) => show(JSON.parse(event.data)));
events.onopen = () => {
  load().then(
    () => status('live', 'live'),
    (error) => status(error.message, 'gone'),
  );
};
events.onerror = () => status('the gateway does not answer', 'gone');
on('ask', (asked) => asking.add(asked));
on('answered', ({ id }) => asking.remove(id));
on('rules', showRules);
on('forwards', showForwards);
on('lost', () => load().catch(() => {}));
on('sample', (sample) => {
  plot.add(sample);
  showSample(sample);
  showCounters().catch(() => {});
});
