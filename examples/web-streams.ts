// SPDX-License-Identifier: MIT
//
// Connections as Web streams: whatever comes in goes out again in capitals.

import { Stack } from 'vpollnet';

await using alice = await Stack.open({
  links: [{ url: 'cable:caps', addresses: ['10.0.0.1/24'] }],
});
await using bob = await Stack.open({ links: [{ url: 'cable:caps', addresses: ['10.0.0.2/24'] }] });

async function serve(listener: ReturnType<Stack['listen']>): Promise<void> {
  for await (const { readable, writable } of listener) {
    const capitals = new TransformStream<string, string>({
      transform: (text, controller) => controller.enqueue(text.toUpperCase()),
    });
    void readable
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(capitals)
      .pipeThrough(new TextEncoderStream())
      .pipeTo(writable);
  }
}

await using listener = bob.listen({ port: 7 });
void serve(listener);
const connection = await alice.connect({ host: '10.0.0.2', port: 7 });
await new Blob(['hello\n']).stream().pipeTo(connection.writable);
for await (const chunk of connection.readable) process.stdout.write(chunk);
