import { describe, expect, it } from 'vitest'
import { merge, Pieces, pieceBars, toCandles, type Candle } from './data'
import type { BarColumns } from './types'

const columns = (times: number[]): BarColumns => ({
  time: times, open: times.map(() => 1), high: times.map(() => 2), low: times.map(() => 0.5), close: times.map((t) => t), volume: times.map(() => 3),
  kind: times.map(() => 'observed'), source: times.map(() => 'x'),
})

const candle = (time: number, close = time): Candle => ({ time, open: 1, high: 2, low: 0.5, close, volume: 3, kind: 'observed', source: 'x' })

describe('merge', () => {
  it('keeps order and takes the newer of equal times', () => {
    expect(merge([candle(1), candle(3)], [candle(2), candle(3, 9)]).map((c) => [c.time, c.close])).toEqual([[1, 1], [2, 2], [3, 9]])
    expect(merge([candle(5)], [candle(1)]).map((c) => c.time)).toEqual([1, 5])
    expect(merge([], [candle(1)])).toHaveLength(1)
  })
})

describe('candles', () => {
  it('leave out slots of which nothing is known', () => {
    const c = columns([1, 2])
    c.close[0] = null
    expect(toCandles(c).map((x) => x.time)).toEqual([2])
  })
})

describe('pieces', () => {
  it('go back to the first bar without a hole', async () => {
    const all = Array.from({ length: 10_000 }, (_, i) => i * 60_000)
    const asked: string[] = []
    const p = new Pieces({ symbol: 'A/B', interval: '1m' }, async (path) => {
      asked.push(path)
      const q = new URL('http://x' + path).searchParams
      const to = Number(q.get('to') ?? Infinity)
      const list = all.filter((t) => t < to)
      const part = list.slice(-pieceBars).reverse()
      return { columns: columns(part), next: list.length > pieceBars ? 'more' : null }
    })
    await p.newest()
    while (await p.older());
    expect(p.candles.map((c) => c.time)).toEqual(all)
    expect(p.complete).toBe(true)
    expect(asked[0]).toContain('symbol=A%2FB')
    expect(asked).toHaveLength(3)
  })
})
