// SPDX-License-Identifier: MIT
//
// Scenarios: what a program does with Node's network modules, to be run in more than one world.

import type { EventEmitter } from 'node:events';
import type { AddressInfo, Server, ServerOpts, Socket, SocketConstructorOpts } from 'node:net';
import { Duplex } from 'node:stream';
import { type EventOptions, Log } from './log.js';
import type { Modules, World } from './world.js';

/** Milliseconds that a scenario may take in one world. */
const deadline = process.env.VPOLLNET_SANITIZED ? 60_000 : 10_000;

/** What ends a thing of any of the modules. */
interface Closable {
  destroy?(): unknown;
  close?(): unknown;
  closeAllConnections?(): unknown;
}

export interface Pair {
  server: Server;
  client: Socket;
  /** The server's end of the client's connection. */
  peer: Socket;
}

export interface PairOptions {
  server?: ServerOpts;
  client?: SocketConstructorOpts;
  host?: string;
  /** With 'pause' and 'resume', for example. */
  events?: EventOptions;
}

/** What a scenario is given: a world, and what it is observed with. */
export class Scene {
  readonly log = new Log();
  readonly host = '127.0.0.1';
  readonly host6 = '::1';
  readonly world: World;
  readonly #opened: Closable[] = [];

  constructor(world: World) {
    this.world = world;
  }

  get net() {
    return this.world.net;
  }

  get dgram() {
    return this.world.dgram;
  }

  get dns() {
    return this.world.dns;
  }

  get tls() {
    return this.world.tls;
  }

  get http() {
    return this.world.http;
  }

  get https() {
    return this.world.https;
  }

  get http2() {
    return this.world.http2;
  }

  /** Closes this at the end, however the scenario ends. */
  track = <T extends object>(thing: T): T => {
    this.#opened.push(thing as Closable);
    return thing;
  };

  /** Records an object's events and closes it at the end. */
  watch = <T extends EventEmitter>(emitter: T, name: string, options?: EventOptions): T => {
    return this.track(this.log.events(emitter, name, options));
  };

  /** Waits for the object's `count`th event of that name, which may have been before. */
  seen = (emitter: object, event: string, count = 1) => this.log.seen(emitter, event, count);

  /** A watched server, whose connections are watched too, as `peer`, `peer 2` and so on. */
  server = (
    options: ServerOpts = {},
    name = 'server',
    peer = 'peer',
    events?: EventOptions,
  ): Server => {
    const server = this.watch(this.net.createServer(options), name, events);
    let count = 0;
    server.prependListener('connection', (socket) => {
      count += 1;
      this.watch(socket, count === 1 ? peer : `${peer} ${count}`, events);
    });
    return server;
  };

  /** Listens on a port of the system's choice, which the transcript calls by `name`. Returns it. */
  listen = async (server: Server, host: string = this.host, name = 'server'): Promise<number> => {
    server.listen(0, host);
    await this.seen(server, 'listening');
    const { port } = server.address() as AddressInfo;
    this.log.namePort(port, name);
    return port;
  };

  /** The socket of the server's `count`th connection. */
  accepted = async (server: Server, count = 1): Promise<Socket> => {
    const [socket] = await this.seen(server, 'connection', count);
    return socket as Socket;
  };

  /** A connection: both ends watched, 'connect' has been seen at the client. */
  pair = async (options: PairOptions = {}): Promise<Pair> => {
    const { host = this.host, events } = options;
    const server = this.server(options.server, 'server', 'peer', events);
    const port = await this.listen(server, host);
    const client = this.watch(new this.net.Socket(options.client), 'client', events);
    client.connect(port, host);
    const [peer] = await Promise.all([this.accepted(server), this.seen(client, 'connect')]);
    this.log.namePort(client.localPort as number, 'client');
    return { server, client, peer };
  };

  /** Waits until all of them have closed. */
  closed = async (...emitters: object[]): Promise<void> => {
    await Promise.all(emitters.map((emitter) => this.seen(emitter, 'close')));
  };

  /** Waits until every watched socket has closed, those that servers have accepted too. */
  over = async (): Promise<void> => {
    const isOpen = (thing: object) =>
      thing instanceof Duplex && this.log.object(thing) && this.log.count(thing, 'close') === 0;
    for (let open = this.#opened.filter(isOpen); open.length > 0; ) {
      await this.closed(...open);
      open = this.#opened.filter(isOpen);
    }
  };

  /** Waits for a turn of the loop, in which everything that is due has happened. */
  turn = () => new Promise<void>((resolve) => setImmediate(resolve));

  /** Closes all that was opened, the newest first. */
  async cleanUp(): Promise<void> {
    for (const thing of this.#opened.reverse()) {
      try {
        thing.closeAllConnections?.();
        if (thing.destroy) thing.destroy();
        else thing.close?.();
      } catch {
        // It was closed before.
      }
    }
    await this.turn();
    await this.turn();
  }
}

export interface Scenario {
  readonly name: string;
  /** Whether it changes what the whole process shares, and must not run beside others. */
  readonly isAlone: boolean;
  run(scene: Scene): Promise<void>;
}

export interface Area {
  readonly title: string;
  /** That it is about. */
  readonly module: keyof Modules;
  readonly scenarios: Scenario[];
  scenario(name: string, run: (scene: Scene) => Promise<void>): void;
  /** One that changes what the whole process shares. */
  alone(name: string, run: (scene: Scene) => Promise<void>): void;
}

/** A collection of scenarios under a title. */
export function area(module: keyof Modules, title: string): Area {
  const scenarios: Scenario[] = [];
  return {
    title,
    module,
    scenarios,
    scenario: (name, run) => void scenarios.push({ name, isAlone: false, run }),
    alone: (name, run) => void scenarios.push({ name, isAlone: true, run }),
  };
}

export interface Outcome {
  transcript: string;
  /** Why the scenario did not come to its end, or null. */
  failure: string | null;
}

/** Runs a scenario to its end or its deadline, and cleans up behind it. */
export async function perform(scenario: Scenario, world: World): Promise<Outcome> {
  const scene = new Scene(world);
  let failure: string | null = null;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const awaited = scene.log.awaited.join(', ') || 'something';
      reject(new Error(`not over after ${deadline / 1000} s, waiting for ${awaited}`));
    }, deadline);
  });
  try {
    await Promise.race([scenario.run(scene), late]);
  } catch (error) {
    failure = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  clearTimeout(timer);
  const transcript = scene.log.end();
  await scene.cleanUp();
  await world.close();
  return { transcript, failure };
}

/** `value` as a program without types sees it, for calls with wrong arguments. */
// biome-ignore lint/suspicious/noExplicitAny: the point of it
export const untyped = (value: unknown): any => value;
