import { expect } from 'chai';
import { SseParser, type SseMessage } from '../../../client/sse-parser.ts';

describe('the reader of event streams of the client', () => {
  const text =
    ': comment\r\nevent: a\rdata: one\ndata:two\r\n\r\nid: 1\ndata\n\nretry: 250\nretry: x\n\ndata: ü€😀\nid: 2\n\nevent: lost\n\n';
  const expected: SseMessage[] = [
    { event: 'a', data: 'one\ntwo', id: undefined },
    { event: 'message', data: '', id: '1' },
    { event: 'message', data: 'ü€😀', id: '2' },
  ];

  function parse(pieces: readonly string[]): { messages: SseMessage[]; retries: number[] } {
    const messages: SseMessage[] = [];
    const retries: number[] = [];
    const parser = new SseParser({
      onMessage: (message) => messages.push(message),
      onRetry: (ms) => retries.push(ms),
    });
    for (const piece of pieces) parser.push(piece);
    return { messages, retries };
  }

  it('gives the same messages wherever the text is cut', () => {
    for (let cut = 0; cut <= text.length; cut += 1) {
      const parsed = parse([text.slice(0, cut), '', text.slice(cut)]);
      expect(parsed, `cut at ${cut}`).to.deep.equal({ messages: expected, retries: [250] });
    }
    expect(parse(text.split('')).messages, 'one by one').to.deep.equal(expected);
  });

  it('refuses to hold an endless event', () => {
    const line = `data: ${'x'.repeat(1_048_576)}\n`;
    expect(() => parse(Array.from({ length: 5 }, () => line))).to.throw(RangeError);
  });
});
