// SPDX-License-Identifier: MIT
import { expect, test } from 'vitest';
import { Stack } from 'vpollnet';
import { freshCable, openDescriptors, openStack, thrownBy, until, untyped } from './support.js';

test('a stack opens with no link, and has loopback', async () => {
  await using stack = await Stack.open();
  expect(stack.interfaces().map(({ name, up }) => ({ name, up }))).toEqual([
    { name: 'lo', up: true },
  ]);
  const [v4, v6] = stack.addresses();
  expect(v4).toMatchObject({
    interface: 'lo',
    address: '127.0.0.1',
    prefix: 8,
    state: 'preferred',
  });
  expect(v6).toMatchObject({ interface: 'lo', address: '::1', prefix: 128 });
});

test('a stack opens with a cable, its addresses and its gateway', async () => {
  const stack = await openStack({
    name: 'lab0',
    mac: '02:00:00:aa:bb:cc',
    mtu: 1500,
    addresses: ['10.0.0.2/24', 'fd00::2/64'],
    gateways: ['10.0.0.1'],
  });
  expect(stack.interfaces()[1]).toMatchObject({
    name: 'lab0',
    mac: '02:00:00:aa:bb:cc',
    mtu: 1500,
    up: true,
    packetsIn: 0,
  });
  const addresses = stack.addresses().filter((one) => one.interface === 'lab0');
  expect(addresses.map(({ address, prefix }) => `${address}/${prefix}`)).toEqual(
    expect.arrayContaining(['10.0.0.2/24', 'fd00::2/64', expect.stringMatching(/^fe80::/)]),
  );
  expect(stack.routes()).toContainEqual(
    expect.objectContaining({ destination: '0.0.0.0/0', gateway: '10.0.0.1', interface: 'lab0' }),
  );
});

test('a stack resolves once none of the addresses asked for is tentative any more', async () => {
  await using stack = await Stack.open({
    links: [{ url: freshCable(), addresses: ['fd00::2/64'] }],
  });
  const asked = stack.addresses().find(({ address }) => address.startsWith('fd00::2'));
  expect(asked?.state).toBe('preferred');
});

test('an address that another host on the link has is an error that says so, and nothing stays open', async () => {
  const url = freshCable();
  await openStack({ url, addresses: ['fd00::2/64'] });
  const before = openDescriptors();
  const opening = Stack.open({ links: [{ url, addresses: ['fd00::2/64'] }] });
  await expect(opening).rejects.toMatchObject({ code: 'EADDRINUSE', address: 'fd00::2' });
  await expect(opening).rejects.toThrow(/another host on eth0 \(cable:.*\) has this address/);
  expect(openDescriptors()).toBe(before);
});

test('a link is added to an open stack and removed again', async () => {
  const stack = await openStack();
  const added = await stack.addLink({ url: freshCable(), addresses: ['10.1.0.1/24'], dad: false });
  expect(added).toMatchObject({ name: 'eth1', up: true });
  expect(stack.routes()).toContainEqual(expect.objectContaining({ destination: '10.1.0.0/24' }));
  stack.removeLink('eth1');
  expect(stack.interfaces().map(({ name }) => name)).toEqual(['lo', 'eth0']);
  expect(thrownBy(() => stack.removeLink(added.id))).toMatchObject({ code: 'ENODEV' });
});

test('an address is added and removed', async () => {
  const stack = await openStack();
  await stack.addAddress('eth0', '10.2.0.1/16');
  expect(stack.addresses().map(({ address }) => address)).toContain('10.2.0.1');
  await expect(stack.addAddress('eth0', '10.2.0.1/16')).rejects.toMatchObject({
    code: 'EEXIST',
    syscall: 'addAddress',
    address: '10.2.0.1/16',
  });
  stack.removeAddress('eth0', '10.2.0.1');
  expect(stack.addresses().map(({ address }) => address)).not.toContain('10.2.0.1');
});

test('a route is added and removed', async () => {
  const stack = await openStack({ addresses: ['10.0.0.2/24'] });
  const route = { destination: '192.0.2.0/24', gateway: '10.0.0.1' };
  stack.addRoute(route);
  expect(stack.routes()).toContainEqual({ ...route, id: 2, interface: 'eth0', metric: 0 });
  expect(thrownBy(() => stack.addRoute(route))).toMatchObject({ code: 'EEXIST' });
  stack.removeRoute(route);
  expect(stack.routes().map(({ destination }) => destination)).not.toContain('192.0.2.0/24');
  expect(
    thrownBy(() => stack.addRoute({ destination: '192.0.2.0/24', gateway: '172.16.0.1' })),
  ).toMatchObject({ code: 'ENETUNREACH', syscall: 'addRoute' });
});

test('a stack counts what it sees and knows its neighbours', async () => {
  const url = freshCable();
  const near = await openStack({ url, addresses: ['10.0.0.1/24'], ipv6: false });
  await openStack({ url, addresses: ['10.0.0.2/24'], ipv6: false });
  near.socket('icmp').sendTo('hello', { host: '10.0.0.2' });
  await until(() => near.counters().packetsIn > 0);
  expect(near.neighbours()).toContainEqual(
    expect.objectContaining({ address: '10.0.0.2', interface: 'eth0' }),
  );
  const { drops, packetsOut } = near.counters();
  expect(packetsOut).toBeGreaterThan(0);
  expect(drops).toMatchObject({ tcp_no_connection: 0, memory_budget: 0 });
  expect(near.memoryUsed).toBeGreaterThanOrEqual(0);
});

test('a stack lists its sockets', async () => {
  const stack = await openStack({ addresses: ['10.0.0.1/24'] });
  stack.socket('tcp').bind({ host: '10.0.0.1', port: 80 }).listen();
  expect(stack.sockets()).toContainEqual({
    type: 'tcp',
    state: 'LISTEN',
    local: { address: '10.0.0.1', family: 'IPv4', port: 80 },
    remote: null,
    receiveQueue: 0,
    sendQueue: 0,
  });
});

test('a closed stack says so, and closes twice', async () => {
  const stack = await openStack();
  await stack.close();
  await stack.close();
  expect(stack.closed).toBe(true);
  expect(stack.memoryUsed).toBe(0);
  expect(thrownBy(() => stack.socket('tcp'))).toMatchObject({
    code: 'ERR_STACK_CLOSED',
    message: 'stack.socket(): the stack is closed',
  });
  expect(thrownBy(() => stack.routes())).toMatchObject({ code: 'ERR_STACK_CLOSED' });
  await expect(stack.addLink({ url: freshCable() })).rejects.toMatchObject({
    code: 'ERR_STACK_CLOSED',
  });
});

test('a stack that is closed while it waits for addresses rejects', async () => {
  const stack = await openStack();
  const adding = stack.addLink({ url: freshCable(), addresses: ['fd00::9/64'] });
  await stack.close();
  await expect(adding).rejects.toMatchObject({ code: 'ERR_STACK_CLOSED' });
});

test('opening and closing leaves no descriptor behind', async () => {
  const round = async () => {
    const stack = await Stack.open({ links: [{ url: freshCable(), dad: false }] });
    expect(stack.socket('udp').fd).toBeGreaterThan(2);
    expect(stack.socket('tcp').fd).toBeGreaterThan(2);
    await stack.close();
  };
  await round();
  const before = openDescriptors();
  for (let i = 0; i < 20; i += 1) await round();
  expect(openDescriptors()).toBe(before);
});

test('new Stack() is not the way', () => {
  const Illegal = Stack as unknown as new () => Stack;
  expect(thrownBy(() => new Illegal())).toMatchObject({
    code: 'ERR_ILLEGAL_CONSTRUCTOR',
    message: 'Illegal constructor: use Stack.open()',
  });
});

test('a stack has a name of up to 255 characters', async () => {
  await using stack = await Stack.open({ name: 'x'.repeat(255) });
  expect(stack.closed).toBe(false);
  await expect(Stack.open({ name: 'x'.repeat(256) })).rejects.toMatchObject({
    code: 'ERR_INVALID_ARG_VALUE',
    message: expect.stringContaining("'options.name' must have 255 characters or fewer"),
  });
  await expect(Stack.open({ name: untyped(5) })).rejects.toMatchObject({
    code: 'ERR_INVALID_ARG_TYPE',
  });
});
