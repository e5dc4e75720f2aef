// SPDX-License-Identifier: MIT
//
// vpollnet gateway: its options. gateway/run.ts runs it.

import { isIP } from 'node:net';
import type { Argv } from 'yargs';
import { helpEnd, last, number, UsageError } from './command.js';
import { addressesOf } from './gateway/addresses.js';
import { forwardDefaults, parseForward } from './gateway/forward-text.js';
import { defaults, type Otherwise } from './gateway/policy.js';
import { TextError } from './gateway/problem.js';
import { isWithin, type Rule } from './gateway/rule.js';
import { parseRule } from './gateway/rule-text.js';
import { type DnsMode, dnsModes } from './gateway/services.js';

const text = (describe: string) =>
  ({ type: 'string', requiresArg: true, coerce: last<string | undefined>, describe }) as const;

const texts = (describe: string) =>
  ({
    type: 'string',
    array: true,
    requiresArg: true,
    default: [] as string[],
    defaultDescription: 'none',
    describe,
  }) as const;

const flag = (describe: string) => ({ type: 'boolean', default: false, describe }) as const;

const actionOf = { allow: 'allow', deny: 'refuse', ask: 'ask' } as const;

/** --allow, --deny and --ask in the order in which they were given, which yargs does not keep. */
export function rulesInOrder(args: readonly string[]): Rule[] {
  const rules: Rule[] = [];
  args.forEach((arg, i) => {
    const [, option, value = args[i + 1]] = /^--(allow|deny|ask)(?:=(.*))?$/s.exec(arg) ?? [];
    if (option === undefined || value === undefined) return;
    rules.push(
      parse(`--${option}`, () => parseRule(value, actionOf[option as keyof typeof actionOf])),
    );
  });
  return rules;
}

function parse<T>(option: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof TextError) throw new UsageError(`${option}: ${error.message}`);
    throw error;
  }
}

/** ADDRESS:PORT, with IPv6 in brackets. The address as browsers write it, who name it in each request. */
export function toListen(value: string): { address: string; port: number } {
  const [, host, port] = /^(\[[\da-f:.]+\]|[\d.]+):(\d{1,5})$/i.exec(value) ?? [];
  const url = `http://${host}`;
  const address = URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : '';
  if (isIP(address) === 0 || Number(port) > 65_535)
    throw new UsageError(`--ui must be ADDRESS:PORT, such as 127.0.0.1:8080, not '${value}'`);
  // Requests to all of them name one, and the page answers those alone that name its own.
  if (isWithin(address, '0.0.0.0') || isWithin(address, '::'))
    throw new UsageError(`--ui must have one address, such as 127.0.0.1:8080, not '${value}'`);
  return { address, port: Number(port) };
}

/** @param command what followed `--` */
export function addGateway(
  cli: Argv,
  args: readonly string[],
  command: readonly string[] | undefined,
): Argv {
  return cli.command(
    'gateway',
    'give a command, a machine or a namespace the network',
    (builder) =>
      builder
        .usage(
          'Usage: $0 gateway [OPTIONS] -- COMMAND [ARGS]\n       $0 gateway [OPTIONS] --link URL | --pid PID',
        )
        .options({
          link: texts(
            'a link to machines that get the network, instead of a command; may be repeated',
          ),
          pid: {
            ...text('a process whose network namespace gets it, instead of a command'),
            coerce: number('pid', 1, 2 ** 31 - 1, true),
          },
          'ready-fd': {
            ...text("a descriptor to which '1' is written when the network is there"),
            coerce: number('ready-fd', 1, 65_535, true),
          },
          network: {
            ...text('behind the gateway: .2 is the gateway, .3 DNS, .100 the first guest'),
            default: '10.0.2.0/24',
          },
          network6: { ...text('the same in IPv6'), default: 'fd00::/64' },
          'no-ipv6': flag('IPv4 alone'),
          mtu: {
            ...text('bytes of a packet'),
            defaultDescription: '65520; 1500 with --link',
            coerce: number('mtu', 1280, 65_520, true),
          },
          'map-root': flag(
            'the command is root in its namespace, and has no more rights than before',
          ),
          allow: texts('flows that may pass: [PROTOCOL:]WHERE[:PORTS]; may be repeated'),
          deny: texts('flows that are refused'),
          ask: texts('flows that somebody is asked about, by --ui or --control'),
          default: {
            type: 'string',
            requiresArg: true,
            choices: defaults,
            default: 'allow-public' as Otherwise,
            coerce: last<Otherwise>,
            describe: 'what becomes of flows that no rule fits',
          },
          'ask-timeout': {
            ...text('seconds to wait for an answer, then a flow is refused'),
            default: '30',
            coerce: number('ask-timeout', 1, 86_400),
          },
          'host-loopback': texts(
            "an address, such as 10.0.2.2, that leads to the host's 127.0.0.1 or ::1; may be repeated",
          ),
          dns: {
            type: 'string',
            requiresArg: true,
            choices: dnsModes,
            default: 'all' as DnsMode,
            coerce: last<DnsMode>,
            describe:
              'which names are looked up: all, those that rules let pass or ask about, or none',
          },
          publish: {
            ...texts('a port of the host that leads behind the gateway; may be repeated'),
            alias: 'p',
          },
          outward: texts('a port of the gateway that leads to the host or beyond; may be repeated'),
          control: text('a Unix socket to control it by, with HTTP'),
          ui: text('ADDRESS:PORT where a page shows and controls it'),
          record: text('a file in which the link is recorded, as pcapng'),
          json: flag('a line of JSON for what happens: on stdout, or stderr with a command'),
          verbose: { ...flag('a line for each flow, on stderr'), alias: 'v' },
        })
        .epilogue(
          helpEnd(
            [
              [
                'vpollnet gateway -- curl https://example.org',
                'a command whose only network is the gateway, without root',
              ],
              [
                "vpollnet gateway --default deny --allow 'tcp:*.debian.org:80,443' -- sh",
                'one that reaches a few names alone',
              ],
              [
                'vpollnet gateway --ui 127.0.0.1:8080 --default ask -- sh',
                'a page that asks about each flow',
              ],
              [
                'vpollnet gateway -p 8080:80 --link qemu:stream:///run/vm.sock',
                'a virtual machine, with a port of the host',
              ],
            ],
            'WHERE is an address, a network such as 10.0.0.0/8, a name such as deb.debian.org or *.debian.org, all, or a\n' +
              'place: public, private (RFC 1918 and the like, and what is on the links of the host), link-local, host (the\n' +
              "host's own addresses), special. PROTOCOL is tcp, udp or icmp. The first of --allow, --deny and --ask that\n" +
              'fits decides; by default public addresses may be reached, and nothing else: not the host, its loopback or\n' +
              'its networks. A name fits public addresses that DNS has given for it.\n' +
              '--publish [ADDRESS:]PORT[-PORT]:[GUEST:]PORT[/udp], or /PATH:[GUEST:]PORT; without ADDRESS 127.0.0.1.\n' +
              '--outward [ADDRESS:]PORT[-PORT]:ADDRESS:PORT[/udp], or [ADDRESS:]PORT:/PATH.\n' +
              'Exit codes: those of the command, 128 + N for signal N; without one 0 ended by Ctrl-C or SIGTERM. 1 an\n' +
              'error, 2 a wrong command line, 126 and 127 the command cannot be run, or is not there.',
          ),
        ),
    async (given) => {
      const v4 = addressesOf(given.network as string, '--network', 4);
      const v6 = given['no-ipv6']
        ? undefined
        : addressesOf(given.network6 as string, '--network6', 6);
      const places = [command !== undefined, given.pid !== undefined, given.link.length > 0].filter(
        Boolean,
      );
      if (places.length !== 1) {
        throw new UsageError('there must be one of: -- COMMAND, --link URL, --pid PID');
      }
      if (command?.length === 0) throw new UsageError("no command follows '--'");
      const rules = rulesInOrder(args);
      const asks = given.default === 'ask' || rules.some(({ action }) => action === 'ask');
      if (asks && given.ui === undefined && given.control === undefined) {
        throw new UsageError('--ask needs --ui or --control: somebody has to answer');
      }
      const publish = given.publish.map((one) =>
        parse('--publish', () => parseForward(one, 'inward', forwardDefaults('inward', v4.guest))),
      );
      const outward = given.outward.map((one) =>
        parse('--outward', () => parseForward(one, 'outward', {})),
      );
      const listen = given.ui === undefined ? undefined : toListen(given.ui);
      const { runGateway } = await import('./gateway/run.js');
      process.exitCode = await runGateway({
        command,
        pid: given.pid as number | undefined,
        links: given.link,
        readyFd: given['ready-fd'] as number | undefined,
        v4,
        v6,
        mtu: given.mtu as number | undefined,
        mapRoot: given['map-root'],
        rules,
        otherwise: given.default,
        askTimeout: (given['ask-timeout'] as number) * 1000,
        hostLoopback: given['host-loopback'],
        dns: given.dns,
        forwards: [...publish, ...outward],
        control: given.control,
        ui: listen,
        record: given.record,
        json: given.json,
        verbose: given.verbose,
      });
    },
  );
}
