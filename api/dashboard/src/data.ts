// Bars of a series in pieces, for a chart that is moved over years of minutes.

import { get, query } from './api'
import type { BarColumns } from './types'

export interface Candle {
  time: number // milliseconds
  open: number
  high: number
  low: number
  close: number
  volume: number
  kind: string
  source: string
}

// pieceBars is how many bars one request asks for.
export const pieceBars = 4000

// Pieces keeps the bars of one series and interval that were seen, in order and
// without holes between the pieces.
export class Pieces {
  candles: Candle[] = []
  private from = Infinity // bars from here on are known
  private to = -Infinity // up to here
  private done = false // nothing lies before

  constructor(
    private readonly path: { symbol: string; interval: string; asof?: number; fill?: string },
    private readonly load: (path: string) => Promise<{ columns: BarColumns; next: string | null }> = (p) => get(p),
  ) {}

  get complete(): boolean {
    return this.done
  }

  // newest loads the last bars.
  async newest(): Promise<void> {
    await this.piece({ order: 'desc', limit: pieceBars })
  }

  // older loads the piece before what is known; false if there is none.
  async older(): Promise<boolean> {
    if (this.done) return false
    return (await this.piece({ order: 'desc', limit: pieceBars, to: this.from })) > 0
  }

  // around loads bars around a moment, and forgets the others.
  async around(at: number, width: number): Promise<void> {
    this.candles = []
    this.from = Infinity
    this.to = -Infinity
    this.done = false
    const half = (pieceBars / 2) * width
    await this.piece({ from: Math.round(at - half), to: Math.round(at + half), limit: pieceBars })
  }

  // newer loads what lies behind what is known; false if there is nothing.
  async newer(): Promise<boolean> {
    if (this.to === -Infinity) return false
    return (await this.piece({ from: this.to, limit: pieceBars })) > 0
  }

  private async piece(q: Record<string, string | number>): Promise<number> {
    const { symbol, interval, asof, fill } = this.path
    const answer = await this.load('/v1/bars' + query({ symbol, interval, asof, fill, format: 'columns', ...q }))
    const got = toCandles(answer.columns)
    if (q.order === 'desc') {
      got.reverse()
      this.done = answer.next === null
    }
    if (got.length === 0) return 0
    this.candles = merge(this.candles, got)
    this.from = Math.min(this.from, got[0].time)
    this.to = Math.max(this.to, got[got.length - 1].time + 1)
    return got.length
  }
}

export function toCandles(c: BarColumns): Candle[] {
  const out: Candle[] = []
  for (let i = 0; i < c.time.length; i++) {
    const [open, high, low, close] = [c.open[i], c.high[i], c.low[i], c.close[i]]
    if (open === null || high === null || low === null || close === null) continue // nothing is known of the slot
    out.push({ time: c.time[i], open, high, low, close, volume: c.volume[i] ?? 0, kind: c.kind[i], source: c.source[i] })
  }
  return out
}

// merge joins two ordered lists; of equal times the second one counts.
export function merge(a: Candle[], b: Candle[]): Candle[] {
  if (a.length === 0) return b
  if (b.length === 0) return a
  if (b[b.length - 1].time < a[0].time) return b.concat(a)
  if (a[a.length - 1].time < b[0].time) return a.concat(b)
  const out: Candle[] = []
  let i = 0
  for (const x of b) {
    while (i < a.length && a[i].time < x.time) out.push(a[i++])
    if (i < a.length && a[i].time === x.time) i++
    out.push(x)
  }
  return out.concat(a.slice(i))
}
