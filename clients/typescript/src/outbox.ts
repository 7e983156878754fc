// What one side of a stream has to say: put from anywhere, read in order by the transport, ended by `close`.

export class Outbox<Message> implements AsyncIterable<Message> {
  private readonly messages: Message[] = [];
  private isClosed = false;
  private wake: () => void = () => {};

  /** Say something; dropped once closed. */
  put(message: Message): void {
    if (this.isClosed) return;
    this.messages.push(message);
    this.wake();
  }

  /** End this side of the stream when everything was said. */
  close(): void {
    this.isClosed = true;
    this.wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Message> {
    while (true) {
      const next = this.messages.shift();
      if (next !== undefined) yield next;
      else if (this.isClosed) return;
      else await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}
