// SPDX-License-Identifier: MIT
//
// Namespace.run() and join(): what they refuse, and that an ordinary user may call them. What they do is tested
// in test/links/namespace.test.ts.

import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Namespace } from 'vpollnet';
import { openDescriptors, root, thrownBy, untyped } from './support.js';

const inside = { addresses: ['10.0.2.100/24', 'fd00::100/64'], gateways: ['10.0.2.1', 'fd00::1'] };

describe('what is wrong is refused before anything is made', () => {
  const type = 'ERR_INVALID_ARG_TYPE';
  const value = 'ERR_INVALID_ARG_VALUE';
  const range = 'ERR_OUT_OF_RANGE';
  test.each([
    { args: [7], code: type, message: '"command"' },
    { args: ['sh', 'x'], code: type, message: '"args"' },
    { args: ['sh', [1]], code: type, message: '"args[0]"' },
    { args: ['sh', [], 1], code: type, message: '"options"' },
    { args: ['sh\0'], code: value, message: 'null bytes' },
    { args: ['sh', [], { interface: 1 }], code: type, message: '"options.interface"' },
    {
      args: ['sh', [], { interface: { name: 'a b' } }],
      code: value,
      message: 'options.interface.name',
    },
    {
      args: ['sh', [], { interface: { name: '' } }],
      code: value,
      message: 'options.interface.name',
    },
    {
      args: ['sh', [], { interface: { name: 'tap%d' } }],
      code: value,
      message: 'options.interface.name',
    },
    {
      args: ['sh', [], { interface: { mac: '01:00:00:00:00:01' } }],
      code: value,
      message: 'unicast MAC',
    },
    { args: ['sh', [], { interface: { mtu: 67 } }], code: range, message: 'options.interface.mtu' },
    {
      args: ['sh', [], { interface: { mtu: 65522 } }],
      code: range,
      message: 'options.interface.mtu',
    },
    {
      args: ['sh', [], { interface: { addresses: ['10.0.0.2'] } }],
      code: value,
      message: 'with a prefix',
    },
    {
      args: ['sh', [], { interface: { addresses: ['x/24'] } }],
      code: value,
      message: 'addresses[0]',
    },
    {
      args: ['sh', [], { interface: { addresses: ['10.0.0.2/33'] } }],
      code: value,
      message: 'addresses[0]',
    },
    {
      args: ['sh', [], { interface: { gateways: ['gateway'] } }],
      code: value,
      message: 'gateways[0]',
    },
    { args: ['sh', [], { interface: { ipv6: 1 } }], code: type, message: 'options.interface.ipv6' },
    { args: ['sh', [], { mapRoot: 'yes' }], code: type, message: 'options.mapRoot' },
    { args: ['sh', [], { resolvConf: [] }], code: type, message: 'options.resolvConf' },
    { args: ['sh', [], { hosts: 1 }], code: type, message: 'options.hosts' },
    { args: ['sh', [], { cwd: 1 }], code: type, message: 'options.cwd' },
    { args: ['sh', [], { env: 'A=1' }], code: type, message: 'options.env' },
    { args: ['sh', [], { stdio: 'none' }], code: value, message: 'options.stdio' },
    { args: ['sh', [], { stdio: {} }], code: type, message: 'options.stdio' },
    { args: ['sh', [], { stdio: ['pipe'] }], code: value, message: 'options.stdio' },
    { args: ['sh', [], { stdio: ['pipe', 'pipe', -1] }], code: range, message: 'options.stdio[2]' },
  ])('run($args): $code', async ({ args, code, message }) => {
    const before = openDescriptors();
    const refusal = untyped(Namespace).run(...args);
    await expect(refusal).rejects.toMatchObject({ code });
    await expect(refusal).rejects.toThrow(message);
    expect(openDescriptors()).toBe(before);
  });

  test.each([
    { options: undefined, code: type, message: '"options"' },
    { options: {}, code: type, message: '"options.net"' },
    { options: { pid: 0 }, code: range, message: 'options.pid' },
    { options: { pid: '1' }, code: type, message: 'options.pid' },
    { options: { pid: 1, net: '/x' }, code: value, message: "'pid', or 'net'" },
    { options: { net: '/x', user: 1 }, code: type, message: 'options.user' },
    { options: { pid: 1, interface: { mtu: 1 } }, code: range, message: 'options.interface.mtu' },
  ])('join($options): $code', async ({ options, code, message }) => {
    const refusal = untyped(Namespace).join(options);
    await expect(refusal).rejects.toMatchObject({ code });
    await expect(refusal).rejects.toThrow(message);
  });

  test('new Namespace() is none', () => {
    expect(thrownBy(() => new (untyped(Namespace))())).toMatchObject({
      code: 'ERR_ILLEGAL_CONSTRUCTOR',
      message: 'Illegal constructor: use Namespace.run()',
    });
  });
});

describe('an ordinary user', () => {
  const program = [process.execPath, join(root, 'test/links/programs/namespace.mjs')];
  const isRoot = process.getuid?.() === 0;
  /** Nobody, where we are root; with a /dev/net/tun for everybody, as distributions have it, or with ours. */
  function asUser(
    tun: 'for all' | 'as it is',
    command: string[],
    env: Record<string, string> = {},
  ) {
    const options = { encoding: 'utf8' as const, env: { ...process.env, ...env }, timeout: 60_000 };
    if (!isRoot) return spawnSync(command[0] ?? '', command.slice(1), options);
    const mode = tun === 'for all' ? '0666' : '0600';
    const setup = `mount -t tmpfs none /dev/net && mknod -m ${mode} /dev/net/tun c 10 200`;
    const drop = 'exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"';
    const script = `${setup} && ${drop}`;
    return spawnSync('unshare', ['-m', 'sh', '-c', script, 'sh', ...command], options);
  }
  const isPossible =
    asUser('for all', ['unshare', '-Urn', 'true']).status === 0 && (isRoot || mayOpenTun());
  // In CI nothing may be skipped: there it has to be possible.
  const where = describe.skipIf(!isPossible && process.env.VPOLLNET_CI !== '1');
  const why = isPossible
    ? ''
    : ' (skipped: this machine gives users no namespaces, or no /dev/net/tun)';

  where(`needs no privilege${why}`, () => {
    test('to have its command talk to its stack', () => {
      const client = join(root, 'test/links/programs/echo-client.mjs');
      const script = `id -u; cat /etc/resolv.conf
        ping -q -c 1 -W 5 10.0.2.1 >/dev/null; echo $?
        ${process.execPath} ${client} 10.0.2.1 7 5000000 && ${process.execPath} ${client} fd00::1 7 5000000
        exit 9`;
      const options = {
        interface: inside,
        resolvConf: 'nameserver 10.0.2.3\n',
        env: { PATH: process.env.PATH },
      };
      const command = [...program, JSON.stringify(options), 'sh', '-c', script];
      const { stdout, stderr } = asUser('for all', command);
      const uid = isRoot ? 65534 : process.getuid?.();
      expect(stdout.split('\n').slice(1).join('\n') + stderr).toBe(
        `${uid}\nnameserver 10.0.2.3\n0\nwhole\nwhole\n{"code":9,"signal":null}\n`,
      );
    });

    test('or to be root in its namespace', () => {
      const options = { interface: inside, mapRoot: true };
      const script = 'id -u; ip link set tap0 mtu 1300';
      const { stdout } = asUser('for all', [
        ...program,
        JSON.stringify(options),
        'sh',
        '-c',
        script,
      ]);
      expect(stdout).toMatch(/^pid \d+\n0\n\{"code":0,"signal":null\}\n$/);
    });

    test('but does not get into the namespace of another user', () => {
      const { stdout } = asUser('for all', [...program, '{}', 'true'], {
        NET: '/proc/self/ns/net',
      });
      expect(stdout).toMatch(/^setns EPERM - \/proc\/self\/ns\/net: it belongs to another user/);
    });
  });

  test.runIf(isRoot && isPossible)('is told what to do where /dev/net/tun is not for it', () => {
    const { stdout } = asUser('as it is', [...program, '{}', 'true']);
    expect(stdout).toBe(
      'open EACCES - /dev/net/tun: this user may not open it; as root: chmod 0666 /dev/net/tun ' +
        '(in a container: --device /dev/net/tun)\n',
    );
  });
});

function mayOpenTun(): boolean {
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
