// SPDX-License-Identifier: MIT
//
// A line discipline: keys in, lines and echo out. What a terminal driver does, for a peer whose
// terminal is in raw mode. For a peer that sends whole lines, the same without the echo.

export interface LineListener {
  /** A whole line, without its end. */
  line(text: string): void;
  /** What the peer's screen has to show for the key. */
  echo(bytes: Buffer): void;
  /** Ctrl-C: the line was thrown away. */
  cancelled(): void;
  /** Ctrl-D on an empty line. */
  ended(): void;
}

const erase = Buffer.from('\b \b');
const newLine = Buffer.from('\r\n');
const isContinuation = (byte: number | undefined) => byte !== undefined && (byte & 0xc0) === 0x80;

export class LineEditor {
  #line: number[] = [];
  #afterReturn = false;

  readonly #listener: LineListener;

  constructor(listener: LineListener) {
    this.#listener = listener;
  }

  feed(input: Uint8Array): void {
    for (const byte of input) this.#key(byte);
  }

  /** The peer sends no more: a last line needs no end. */
  finish(): void {
    if (this.#line.length > 0) this.#finishLine();
  }

  #key(byte: number): void {
    const afterReturn = this.#afterReturn;
    this.#afterReturn = byte === 0x0d;
    if (byte === 0x0a && afterReturn) return;
    if (byte === 0x0d || byte === 0x0a) {
      this.#listener.echo(newLine);
      this.#finishLine();
    } else if (byte === 0x7f || byte === 0x08) {
      this.#eraseLast();
    } else if (byte === 0x15) {
      while (this.#line.length > 0) this.#eraseLast(); // Ctrl-U
    } else if (byte === 0x03) {
      this.#line = [];
      this.#listener.cancelled();
    } else if (byte === 0x04) {
      if (this.#line.length === 0) this.#listener.ended();
    } else if (byte >= 0x20) {
      this.#line.push(byte);
      this.#listener.echo(Buffer.of(byte));
    }
  }

  /** A character of UTF-8 is its first byte and those that continue it. */
  #eraseLast(): void {
    if (this.#line.length === 0) return;
    while (isContinuation(this.#line.at(-1))) this.#line.pop();
    this.#line.pop();
    this.#listener.echo(erase);
  }

  #finishLine(): void {
    const text = Buffer.from(this.#line).toString();
    this.#line = [];
    this.#listener.line(text);
  }
}
