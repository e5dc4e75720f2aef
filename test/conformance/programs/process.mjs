// SPDX-License-Identifier: MIT
//
// node process.mjs node|stack CASE: what a socket does to the process that it is in.

import dgramOfNode from 'node:dgram';
import netOfNode from 'node:net';

const [world, name] = process.argv.slice(2);
const host = '127.0.0.1';
const modules = { net: netOfNode, dgram: dgramOfNode };
if (world === 'stack') {
  const { Stack } = await import('vpollnet');
  const stack = await Stack.open({});
  for (const module of Object.keys(modules)) {
    if (module in stack) modules[module] = stack[module];
  }
}
const { net, dgram } = modules;
const say = (...words) => console.log(...words);

/** A server on the loopback that is given its port. */
function listening(onConnection, then) {
  const server = net.createServer(onConnection);
  server.listen(0, host, () => then(server.address().port, server));
  return server;
}

/** Ends the process with 7 if something else keeps it alive for so long. */
const aliveMeansSeven = () => setTimeout(() => process.exit(7), 300).unref();

const cases = {
  'an exception in a listener of connect ends the process'() {
    listening(
      () => {},
      (port) => {
        net.connect(port, host, () => {
          throw new Error('in connect');
        });
      },
    );
  },
  'an exception in a listener of data ends the process'() {
    listening(
      (socket) => socket.write('x'),
      (port) => {
        net.connect(port, host).on('data', () => {
          throw new TypeError('in data');
        });
      },
    );
  },
  'an exception in a listener of connection ends the process'() {
    listening(
      () => {
        throw new RangeError('in connection');
      },
      (port) => void net.connect(port, host),
    );
  },
  'an exception in a listener of listening ends the process'() {
    listening(
      () => {},
      () => {
        throw new Error('in listening');
      },
    );
  },
  'an exception in the callback of a write ends the process'() {
    listening(
      () => {},
      (port) => {
        const client = net.connect(port, host);
        client.write('x', () => {
          throw new Error('in write');
        });
      },
    );
  },
  'an exception in a listener of close ends the process'() {
    listening(
      (socket) => socket.end(),
      (port) => {
        net
          .connect(port, host)
          .on('close', () => {
            throw new Error('in close');
          })
          .resume();
      },
    );
  },
  'an error without a listener ends the process'() {
    net.connect(1, host);
  },
  'a reset without a listener ends the process'() {
    listening(
      (socket) => socket.once('data', () => socket.resetAndDestroy()),
      (port) => net.connect(port, host).resume().write('x'),
    );
  },
  'a port in use without a listener ends the process'() {
    listening(
      () => {},
      (port) => net.createServer().listen(port, host),
    );
  },
  'a rejection in a listener ends the process'() {
    listening(
      async () => {
        throw new Error('in an async listener');
      },
      (port) => void net.connect(port, host),
    );
  },
  'an exception that the process catches leaves the connection open'() {
    process.on('uncaughtException', (error) => say('caught', error.message));
    const server = listening(
      (socket) => socket.pipe(socket),
      (port) => {
        const client = net.connect(port, host);
        let count = 0;
        client.write('1');
        client.on('data', (data) => {
          say('data', String(data));
          count += 1;
          if (count === 2) {
            client.end();
            server.close();
          } else {
            client.write('2');
            throw new Error('the first time');
          }
        });
        client.on('close', () => say('closed'));
      },
    );
  },
  'a server keeps the process alive'() {
    listening(() => {}, aliveMeansSeven);
  },
  'a server that is unreferenced does not'() {
    listening(
      () => {},
      (_port, server) => {
        server.unref();
        aliveMeansSeven();
      },
    );
  },
  'a server that has closed does not'() {
    listening(
      () => {},
      (_port, server) => {
        server.close(() => say('closed'));
        aliveMeansSeven();
      },
    );
  },
  'a connection keeps the process alive'() {
    const server = listening(
      (socket) => {
        socket.unref();
        server.unref();
      },
      (port) => {
        net.connect(port, host, aliveMeansSeven).resume();
      },
    );
  },
  'a connection that is unreferenced does not'() {
    const server = listening(
      (socket) => {
        socket.unref();
        server.unref();
      },
      (port) => {
        const client = net.connect(port, host, () => {
          client.unref();
          aliveMeansSeven();
        });
        client.resume();
      },
    );
  },
  'a connection that is referenced again does'() {
    const server = listening(
      (socket) => {
        socket.unref();
        server.unref();
      },
      (port) => {
        const client = net.connect(port, host, () => {
          client.unref();
          client.ref();
          aliveMeansSeven();
        });
        client.resume();
      },
    );
  },
  'an attempt to connect that is unreferenced is awaited, being a request'() {
    const server = listening(
      (socket) => socket.unref(),
      (port) => {
        server.unref();
        net.connect(port, host, () => say('connected')).unref();
      },
    );
  },
  'the process ends by itself when all is closed'() {
    const server = listening(
      (socket) => socket.end('hello'),
      (port) => {
        const client = net.connect(port, host);
        client.on('data', (data) => say('data', String(data)));
        client.on('close', () => {
          say('closed');
          server.close(() => say('server closed'));
        });
      },
    );
    process.on('exit', (code) => say('exit', code));
  },
  'process.exit() in a listener ends the process with its code'() {
    listening(
      () => process.exit(3),
      (port) => void net.connect(port, host),
    );
    process.on('exit', (code) => say('exit', code));
  },
  'datagrams: an exception in a listener of message ends the process'() {
    const socket = dgram.createSocket('udp4', () => {
      throw new Error('in message');
    });
    socket.bind(0, host, () => socket.send('x', socket.address().port, host));
  },
  'datagrams: an error without a listener ends the process'() {
    dgram.createSocket('udp4').bind(0, '192.0.2.9');
  },
  'datagrams: a socket keeps the process alive'() {
    dgram.createSocket('udp4').bind(0, host, aliveMeansSeven);
  },
  'datagrams: a socket that is unreferenced does not'() {
    const socket = dgram.createSocket('udp4');
    socket.bind(0, host, () => {
      socket.unref();
      aliveMeansSeven();
    });
  },
  'datagrams: a socket that has closed does not'() {
    const socket = dgram.createSocket('udp4');
    socket.on('close', () => say('closed'));
    socket.bind(0, host, () => {
      socket.close();
      aliveMeansSeven();
    });
  },
};

if (name === undefined) say(JSON.stringify(Object.keys(cases)));
else cases[name]();
