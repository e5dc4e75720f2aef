// SPDX-License-Identifier: MIT
//
// vpollnet switch: its options. switch.ts runs it.

import type { SwitchPort } from 'vpollnet';
import type { Argv } from 'yargs';
import { helpEnd, number, UsageError } from './command.js';

const wholeVlan = number('port: vlan', 1, 4094, true);
const wholeMtu = number('port: mtu', 68, 65_535, true);

/** URL[,vlan=N][,trunk=N+N|all][,name=NAME][,mtu=N]: a URL may have commas of its own. */
export function toPort(text: string): SwitchPort {
  const [, url = '', settings = ''] =
    /^(.*?)((?:,(?:vlan|trunk|name|mtu)=[^,]*)*)$/.exec(text) ?? [];
  if (url === '') throw new UsageError(`--port must begin with the URL of a link, not '${text}'`);
  // A slip such as vlna=10 would become a part of the URL. A command may have anything in it.
  const slip = /^(?:vdeplug:)?cmd:/.test(url) ? null : /,(\w+)=[^,]*$/.exec(url);
  if (slip !== null) {
    throw new UsageError(`--port has no '${slip[1]}'; there are vlan, trunk, name and mtu`);
  }
  const port: SwitchPort = { url };
  for (const setting of settings.split(',').slice(1)) {
    const [key, value = ''] = setting.split('=');
    if (key === 'vlan') port.vlan = wholeVlan(value) as number;
    else if (key === 'mtu') port.mtu = wholeMtu(value) as number;
    else if (key === 'name') port.name = value;
    else port.trunk = value === 'all' ? 'all' : value.split('+').map((n) => wholeVlan(n) as number);
  }
  return port;
}

export function addSwitch(cli: Argv): Argv {
  return cli.command(
    'switch',
    'a learning switch with VLANs between links',
    (command) =>
      command
        .usage('Usage: $0 switch --port URL[,vlan=N][,trunk=N+N][,name=NAME][,mtu=N] --port ...')
        .options({
          port: {
            alias: 'p',
            type: 'string',
            array: true,
            requiresArg: true,
            demandOption: true,
            describe: 'a link to join; may be repeated',
          },
          ageing: {
            type: 'string',
            requiresArg: true,
            default: '300',
            describe: 'seconds after which an address that is silent is forgotten',
            coerce: number('ageing', 1, 1_000_000, true),
          },
          interval: {
            alias: 'n',
            type: 'string',
            requiresArg: true,
            default: '1',
            describe: 'seconds between two looks at ports and addresses',
            coerce: number('interval', 0.1, 86_400),
          },
        })
        .epilogue(
          helpEnd(
            [
              [
                'vpollnet switch --port tap://tap0 --port vde:///run/switch',
                'two links, one segment',
              ],
              [
                'vpollnet switch -p tap://tap0,vlan=10 -p tap://tap1,vlan=20 -p udp://...,trunk=10+20',
                'two VLANs, and both with tags over a third link',
              ],
            ],
            'vlan=N is the VLAN of frames without a tag (1), trunk=N+N or trunk=all are those with one. On a\n' +
              'terminal, ports and addresses are shown; in a pipe, a line for what happens.\n' +
              'Exit codes: 0 ended by Ctrl-C, q or SIGTERM, 1 an error, 2 a wrong command line.',
          ),
        ),
    async ({ port, ageing, interval }) => {
      const ports = port.map(toPort);
      const { runSwitch } = await import('./switch.js');
      await runSwitch(ports, ageing as number, (interval as number) * 1000);
    },
  );
}
