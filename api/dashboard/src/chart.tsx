import {
  CandlestickSeries, createChart, createSeriesMarkers, HistogramSeries, type IChartApi, type ISeriesApi, type Time, type UTCTimestamp,
} from 'lightweight-charts'
import { useEffect, useRef, useState } from 'preact/hooks'
import { type Candle, Pieces } from './data'
import { decimals, isLocal, time, width } from './format'
import { Failure } from './parts'
import type { Aside, Run } from './types'

const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

// The chart counts in seconds and knows no zones: for local times bars are moved.
const shift = (ms: number) => (isLocal() ? ms - new Date(ms).getTimezoneOffset() * 60_000 : ms)

interface Props {
  symbol: string
  interval: string // shown
  stored: string
  asof?: number
  at?: number
  runs: Run[] // states of the stored slots
  asides: Aside[] // bars in quarantine
  pick: (at: number) => void
}

export function Chart({ symbol, interval, stored, asof, at, runs, asides, pick }: Props) {
  const box = useRef<HTMLDivElement>(null)
  const shade = useRef<HTMLDivElement>(null)
  const [error, setError] = useState<Error | null>(null)
  const [tip, setTip] = useState<Candle | null>(null)
  const [empty, setEmpty] = useState(false)
  const drawn = useRef<{ chart: IChartApi; shadeGaps: () => void; mark: () => void } | null>(null)
  const gaps = useRef<Run[]>([])
  gaps.current = runs.filter((r) => ['missing', 'unavailable', 'outage', 'quarantined', 'synthetic', 'halted'].includes(r.state))
  useEffect(() => drawn.current?.shadeGaps(), [runs])
  const aside = useRef<Aside[]>([])
  aside.current = asides
  useEffect(() => drawn.current?.mark(), [asides])

  useEffect(() => {
    const el = box.current
    if (!el) return
    let gone = false
    const chart = createChart(el, {
      autoSize: true,
      layout: { background: { color: 'transparent' }, textColor: css('--dim'), attributionLogo: false },
      grid: { vertLines: { color: css('--line') }, horzLines: { color: css('--line') } },
      rightPriceScale: { borderColor: css('--line') },
      timeScale: { borderColor: css('--line'), timeVisible: true, secondsVisible: width[interval] < 6e4, minBarSpacing: 0.05 },
      crosshair: { mode: 0 },
    })
    const prices: ISeriesApi<'Candlestick'> = chart.addSeries(CandlestickSeries, { upColor: css('--good'), downColor: css('--bad'), borderVisible: false, wickUpColor: css('--good'), wickDownColor: css('--bad') })
    const volume: ISeriesApi<'Histogram'> = chart.addSeries(HistogramSeries, { priceScaleId: '', priceFormat: { type: 'volume' }, color: css('--closed'), lastValueVisible: false, priceLineVisible: false })
    volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } })
    const pieces = new Pieces({ symbol, interval, asof })
    const byTime = new Map<number, Candle>()

    const show = () => {
      const p = decimals(pieces.candles.slice(-50).flatMap((c) => [c.open, c.close]))
      prices.applyOptions({ priceFormat: { type: 'price', precision: p, minMove: 10 ** -p } })
      byTime.clear()
      const rows = pieces.candles.map((c) => {
        const t = (shift(c.time) / 1000) as UTCTimestamp
        byTime.set(t as number, c)
        const own = c.kind === 'synthetic' ? css('--synthetic') : c.kind === 'corrected' ? css('--corrected') : null
        return { time: t, open: c.open, high: c.high, low: c.low, close: c.close, ...(own ? { color: c.kind === 'synthetic' ? 'transparent' : own, borderColor: own, wickColor: own } : {}) }
      })
      prices.setData(rows)
      volume.setData(pieces.candles.map((c) => ({ time: (shift(c.time) / 1000) as UTCTimestamp, value: c.volume })))
      setEmpty(rows.length === 0)
      mark()
      shadeGaps()
    }

    // A bar in quarantine has no place of its own: its sign stands at the bar
    // before it.
    const marks = createSeriesMarkers(prices, [])
    const mark = () => {
      const at = new Set<number>()
      for (const q of aside.current) {
        const i = q.time === null ? -1 : before(pieces.candles, q.time)
        if (i >= 0) at.add(shift(pieces.candles[i].time) / 1000)
      }
      marks.setMarkers([...at].sort((a, b) => a - b).map((t) => ({ time: t as UTCTimestamp, position: 'aboveBar', shape: 'square', color: css('--quarantined'), text: 'Q' })))
      el.dataset.marks = String(at.size)
    }

    // Gaps are stretches between two bars that are drawn side by side.
    const shadeGaps = () => {
      const layer = shade.current
      if (!layer || gone) return
      layer.replaceChildren()
      const visible = chart.timeScale().getVisibleRange()
      if (!visible) return
      const from = (visible.from as number) * 1000
      const to = (visible.to as number) * 1000
      let n = 0
      for (const g of gaps.current) {
        if (shift(g.to) < from || shift(g.from) > to) continue
        if (++n > 400) break
        const a = position(pieces.candles, g.from, chart)
        const b = position(pieces.candles, g.to, chart)
        if (a === null || b === null) continue
        const span = document.createElement('span')
        span.className = 'st-' + g.state
        span.style.left = `${Math.min(a, b) - 1}px`
        span.style.width = `${Math.max(3, Math.abs(b - a))}px`
        layer.append(span)
      }
    }
    drawn.current = { chart, shadeGaps, mark }

    let busy = false
    const more = async () => {
      const r = chart.timeScale().getVisibleLogicalRange()
      if (!r || busy || gone) return
      busy = true
      try {
        if (r.from < 200 && !pieces.complete) {
          if (await pieces.older()) show()
        } else if (at !== undefined && r.to > pieces.candles.length - 50) {
          if (await pieces.newer()) show()
        }
      } catch (e) {
        setError(e as Error)
      }
      busy = false
    }
    const start = async () => {
      try {
        if (at === undefined) await pieces.newest()
        else await pieces.around(at, width[interval])
        if (gone) return
        show()
        if (at !== undefined) {
          const i = pieces.candles.findIndex((c) => c.time >= at)
          const middle = i < 0 ? pieces.candles.length : i
          chart.timeScale().setVisibleLogicalRange({ from: middle - 100, to: middle + 100 })
        } else if (pieces.candles.length <= 1500) chart.timeScale().fitContent()
        chart.timeScale().subscribeVisibleLogicalRangeChange(() => {
          shadeGaps()
          void more()
        })
        setError(null)
      } catch (e) {
        if (!gone) setError(e as Error)
      }
    }
    void start()
    chart.subscribeCrosshairMove((p) => setTip(p.time === undefined ? null : (byTime.get(p.time as number) ?? null)))
    chart.subscribeClick((p) => {
      const t = p.time as Time | undefined
      const c = t === undefined ? undefined : byTime.get(t as number)
      if (!p.point) return
      // A click into a gap is about the gap.
      for (const g of gaps.current) {
        const a = position(pieces.candles, g.from, chart)
        const b = position(pieces.candles, g.to, chart)
        if (a !== null && b !== null && p.point.x >= Math.min(a, b) - 3 && p.point.x <= Math.max(a, b) + 3) {
          pick(g.from)
          return
        }
      }
      if (c) pick(c.time)
    })
    return () => {
      gone = true
      drawn.current = null
      chart.remove()
    }
  }, [symbol, interval, asof, at])

  return (
    <div>
      {error && <Failure error={error} />}
      <div class="chart" role="img" aria-label={`candlestick chart of ${symbol}, ${interval} bars; the tables below hold the same`}>
        <div ref={box} style={{ position: 'absolute', inset: '0' }} />
        <div ref={shade} class="gaps" />
        {empty && <div class="empty">No bars here.</div>}
        {tip && (
          <div class="tip">
            {time(tip.time)} · open {tip.open} · high {tip.high} · low {tip.low} · close {tip.close} · volume {tip.volume} · <b>{tip.kind}</b>, {tip.source}
            {interval !== stored ? ` (made of ${stored})` : ''}
          </div>
        )}
      </div>
      <div class="dim">
        Charts by <a href="https://www.tradingview.com/" rel="noreferrer noopener">TradingView</a>
      </div>
    </div>
  )
}

// before is the last bar that opens at a moment or earlier; -1 if there is none,
// or none near.
function before(candles: Candle[], at: number): number {
  let lo = 0
  let hi = candles.length
  while (lo < hi) {
    const mid = (lo + hi) >> 1
    if (candles[mid].time <= at) lo = mid + 1
    else hi = mid
  }
  return lo === candles.length && at > (candles[lo - 1]?.time ?? 0) + 864e5 ? -1 : lo - 1
}

// position is where a moment lies on the chart: between the bars around it.
function position(candles: Candle[], at: number, chart: IChartApi): number | null {
  if (candles.length === 0) return null
  let lo = 0
  let hi = candles.length
  while (lo < hi) {
    const mid = (lo + hi) >> 1
    if (candles[mid].time < at) lo = mid + 1
    else hi = mid
  }
  if (lo === 0 && at < candles[0].time) return null
  const scale = chart.timeScale()
  return scale.logicalToCoordinate((lo - 0.5) as never)
}
