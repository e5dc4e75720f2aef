// SPDX-License-Identifier: MIT
//
// Two implementations in one poll loop: connections to a port of this machine are relayed to an echo
// service on a cable that only this process has. Try it: nc 127.0.0.1 8007

import { HostStack, POLLIN, POLLOUT, poll, Stack, type TcpSocket } from 'vpollnet';

const links = (address: string) => [{ url: 'cable:lab', addresses: [address] }];
await using machine = await HostStack.open();
await using gateway = await Stack.open({ links: links('10.0.0.1/24') });
await using server = await Stack.open({ links: links('10.0.0.2/24') });
const port = Number(process.argv[2] ?? 8007);
const outside = machine.socket('tcp').bind({ host: '127.0.0.1', port }).listen();
const service = server.socket('tcp').bind({ port: 7 }).listen();
console.log(`127.0.0.1:${outside.localAddress?.port} is relayed to 10.0.0.2:7`);

/** One direction of a connection; `bytes` are read and not yet sent. */
type Pipe = { from: TcpSocket; to: TcpSocket; bytes: Buffer };
let pipes: Pipe[] = [];
const open = (from: TcpSocket, to: TcpSocket) => pipes.push({ from, to, bytes: Buffer.alloc(0) });

function carry(pipe: Pipe): void {
  const { from, to, bytes } = pipe;
  try {
    if (bytes.length > 0) pipe.bytes = bytes.subarray(Math.max(0, to.send(bytes)));
    else pipe.bytes = from.read() ?? bytes;
    const atEnd = bytes.length === 0 && pipe.bytes !== bytes && pipe.bytes.length === 0;
    if (atEnd) end(pipe, (other) => other === pipe);
  } catch {
    const sockets = [from, to];
    end(pipe, (other) => sockets.includes(other.from) || sockets.includes(other.to));
  }
}

function end({ from, to }: Pipe, ends: (pipe: Pipe) => boolean): void {
  pipes = pipes.filter((pipe) => !ends(pipe));
  const used = new Set(pipes.flatMap((pipe) => [pipe.from, pipe.to]));
  if (used.has(to)) to.shutdown('write');
  for (const socket of [from, to]) if (!used.has(socket)) socket.close();
}

for (;;) {
  const waits = pipes.map(({ from, to, bytes }) =>
    bytes.length > 0 ? { fd: to.fd, events: POLLOUT } : { fd: from.fd, events: POLLIN },
  );
  poll([outside.fd, service.fd].map((fd) => ({ fd, events: POLLIN })).concat(waits));
  for (const pipe of pipes) if (pipes.includes(pipe)) carry(pipe); // those with nothing to do say so
  for (let client = outside.accept(); client; client = outside.accept()) {
    const relayed = gateway.socket('tcp');
    relayed.connect({ host: '10.0.0.2', port: 7 });
    open(client, relayed);
    open(relayed, client);
  }
  for (let one = service.accept(); one; one = service.accept()) open(one, one); // an echo
}
