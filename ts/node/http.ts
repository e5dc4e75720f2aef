// SPDX-License-Identifier: MIT
//
// node:http and node:https over a stack: Node's own classes, with agents that connect over the stack and servers
// that listen there.

import http from 'node:http';
import https from 'node:https';
import { construct, define, inherit, methodsOf, moduleOver } from './classes.js';
import { installServer, type NetStack, type StackNet } from './net.js';
import { connectOver, type StackTls } from './tls.js';

/** node:http's interface, over a stack. */
export type StackHttp = typeof http;
/** node:https's interface, over a stack. */
export type StackHttps = typeof https;

type Callback = (response: http.IncomingMessage) => void;

function optionsOf(agent: http.Agent): http.AgentOptions {
  return (agent as unknown as { options: http.AgentOptions }).options;
}

/** A ClientRequest's arguments, with `agent` where Node would take its own. */
function withAgent(agent: http.Agent, [input, options, callback]: unknown[]): unknown[] {
  if (typeof input === 'string' || input instanceof URL) {
    if (typeof options === 'function') return [input, { _defaultAgent: agent }, options];
    return [input, withDefault(agent, options), callback];
  }
  return [withDefault(agent, input), options];
}

/** (Not by spreading: what is made of another object gets a hidden class of its own with the next property.) */
function withDefault(agent: http.Agent, options: unknown): object {
  return Object.assign({ _defaultAgent: agent }, options);
}

/** request() and get(), which take the module's agent of the moment. */
function requests(agent: () => http.Agent) {
  const request = (...args: unknown[]) =>
    new http.ClientRequest(...(withAgent(agent(), args) as [string, Callback]));
  const get = (...args: unknown[]) => {
    const made = request(...args);
    made.end();
    return made;
  };
  return { request, get };
}

/** `stack.http`. */
export function createHttp(stack: NetStack, net: StackNet): StackHttp {
  const Agent = inherit(function Agent(this: unknown, ...args: unknown[]) {
    return construct(Agent, http.Agent, this, args);
  }, http.Agent);
  const Server = inherit(function Server(this: unknown, ...args: unknown[]) {
    return construct(Server, http.Server, this, args);
  }, http.Server);
  const ClientRequest = inherit(function ClientRequest(this: unknown, ...args: unknown[]) {
    return construct(ClientRequest, http.ClientRequest, this, withAgent(module.globalAgent, args));
  }, http.ClientRequest);
  define(Agent.prototype, { createConnection: net.createConnection });
  installServer(Server.prototype, stack);
  const module: StackHttp = moduleOver(http, {
    Agent,
    globalAgent: new Agent({ ...optionsOf(http.globalAgent) }),
    Server,
    createServer: (...args: unknown[]) => new Server(...(args as [http.ServerOptions])),
    ClientRequest,
    ...requests(() => module.globalAgent),
  });
  return module;
}

/** `stack.https`. */
export function createHttps(stack: NetStack, { TLSSocket }: StackTls): StackHttps {
  const Agent = inherit(function Agent(this: unknown, ...args: unknown[]) {
    return construct(Agent, https.Agent, this, args);
  }, https.Agent);
  const Server = inherit(function Server(this: unknown, ...args: unknown[]) {
    return construct(Server, https.Server, this, args);
  }, https.Server);
  const base = methodsOf(https.Agent.prototype, 'createConnection');
  define(Agent.prototype, {
    createConnection(this: object, ...args: unknown[]) {
      return connectOver(TLSSocket.prototype, () => base.createConnection.apply(this, args));
    },
  });
  installServer(Server.prototype, stack);
  const module: StackHttps = moduleOver(https, {
    Agent,
    globalAgent: new Agent({ ...optionsOf(https.globalAgent) }),
    Server,
    createServer: (...args: unknown[]) => new Server(...(args as [https.ServerOptions])),
    ...requests(() => module.globalAgent),
  });
  return module;
}
