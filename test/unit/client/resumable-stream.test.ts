import { expect } from 'chai';
import { resumableStream } from '../../../client/resumable-stream.ts';

describe('a stream of the client', () => {
  it('puts a character together wherever its bytes were cut', async () => {
    const bytes = new TextEncoder().encode('id: 1\ndata: "5 € or 5 £ 😀"\n\n');
    for (let cut = 1; cut < bytes.length; cut += 1) {
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          for (const piece of [bytes.slice(0, cut), bytes.slice(cut)]) controller.enqueue(piece);
          controller.close();
        },
      });
      const messages = resumableStream({ connect: () => Promise.resolve(new Response(body)) });
      const { value } = await messages.next();
      await messages.return();
      expect(value, `cut at ${cut}`).to.deep.equal({ event: 'message', data: '"5 € or 5 £ 😀"', id: '1' });
    }
  });
});
