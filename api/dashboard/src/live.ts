// The stream of events of the server. EventSource cannot carry a token, so that
// the stream is read with fetch.

import { token } from './api'

export interface Happening {
  kind: string
  data: unknown
}

export class Live {
  on = false
  private last = ''
  private stop?: AbortController
  private listeners = new Set<(h: Happening) => void>()

  listen(f: (h: Happening) => void): () => void {
    this.listeners.add(f)
    return () => this.listeners.delete(f)
  }

  start(): void {
    this.stop?.abort()
    this.stop = new AbortController()
    void this.run(this.stop.signal)
  }

  private tell(h: Happening): void {
    for (const f of this.listeners) f(h)
  }

  private async run(signal: AbortSignal): Promise<void> {
    let wait = 1000
    while (!signal.aborted) {
      try {
        const headers: Record<string, string> = { Accept: 'text/event-stream' }
        if (this.last) headers['Last-Event-ID'] = this.last
        if (token()) headers.Authorization = 'Bearer ' + token()
        const response = await fetch('/v1/stream', { headers, signal })
        if (!response.ok || !response.body) throw new Error(String(response.status))
        this.on = true
        wait = 1000
        this.tell({ kind: 'live', data: true })
        await this.read(response.body)
      } catch {
        if (signal.aborted) return
      }
      this.on = false
      this.tell({ kind: 'live', data: false })
      await new Promise((done) => setTimeout(done, wait))
      wait = Math.min(wait * 2, 15_000)
    }
  }

  private async read(body: ReadableStream<Uint8Array>): Promise<void> {
    const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader()
    let text = ''
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      text += value
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const event = parseEvent(text.slice(0, end))
        text = text.slice(end + 2)
        if (event.id) this.last = event.id
        if (event.kind && event.kind !== 'hello') this.tell({ kind: event.kind, data: event.data })
      }
    }
  }
}

export function parseEvent(text: string): { id: string; kind: string; data: unknown } {
  let [id, kind, data] = ['', '', '']
  for (const line of text.split('\n')) {
    if (line.startsWith('id: ')) id = line.slice(4)
    else if (line.startsWith('event: ')) kind = line.slice(7)
    else if (line.startsWith('data: ')) data += line.slice(6)
  }
  try {
    return { id, kind, data: data ? JSON.parse(data) : null }
  } catch {
    return { id, kind: '', data: null }
  }
}

export const live = new Live()
