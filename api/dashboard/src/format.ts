// How numbers and times are written.

import type { State } from './types'

let local = localStorage.getItem('barkeep.time') === 'local'

export const isLocal = () => local

export function setLocal(on: boolean): void {
  local = on
  localStorage.setItem('barkeep.time', on ? 'local' : 'utc')
}

const pad = (n: number, width = 2) => String(n).padStart(width, '0')

// time writes a moment as 2024-01-31 12:00, with seconds where there are some.
export function time(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || ms === 0) return '–'
  const d = new Date(ms)
  if (Number.isNaN(d.getTime())) return '–'
  const p = local
    ? [d.getFullYear(), d.getMonth() + 1, d.getDate(), d.getHours(), d.getMinutes(), d.getSeconds()]
    : [d.getUTCFullYear(), d.getUTCMonth() + 1, d.getUTCDate(), d.getUTCHours(), d.getUTCMinutes(), d.getUTCSeconds()]
  const clock = p[3] === 0 && p[4] === 0 && p[5] === 0 ? '' : ` ${pad(p[3])}:${pad(p[4])}${p[5] ? ':' + pad(p[5]) : ''}`
  return `${pad(p[0], 4)}-${pad(p[1])}-${pad(p[2])}${clock}`
}

export function count(n: number | null | undefined): string {
  if (n === null || n === undefined) return '–'
  return Math.round(n).toLocaleString('en-US')
}

// share writes a share of 1 as per cent, rounded down: 100% is said of nothing
// less.
export function share(x: number | null | undefined, digits = 2): string {
  if (x === null || x === undefined) return '–'
  const f = 10 ** digits
  return (Math.floor(x * 100 * f) / f).toFixed(digits) + '%'
}

export function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let i = 0
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024
    i++
  }
  return `${i === 0 ? n : n.toFixed(1)} ${units[i]}`
}

export function ago(ms: number | null | undefined, now = Date.now()): string {
  if (!ms) return 'never'
  const s = Math.round((now - ms) / 1000)
  const [n, unit] = Math.abs(s) < 90 ? [s, 's'] : Math.abs(s) < 5400 ? [Math.round(s / 60), 'min'] : Math.abs(s) < 129600 ? [Math.round(s / 3600), 'h'] : [Math.round(s / 86400), 'days']
  return n >= 0 ? `${n} ${unit} ago` : `in ${-n} ${unit}`
}

// decimals is how many decimals the prices of an instrument have, at most 8.
export function decimals(prices: (number | null)[]): number {
  let most = 2
  for (const p of prices.slice(0, 500)) {
    if (p === null) continue
    const text = p.toString()
    if (text.includes('e')) return 8
    const dot = text.indexOf('.')
    if (dot >= 0) most = Math.max(most, text.length - dot - 1)
  }
  return Math.min(most, 8)
}

export const states: { state: State; label: string; bad: boolean }[] = [
  { state: 'observed', label: 'observed', bad: false },
  { state: 'corrected', label: 'corrected', bad: false },
  { state: 'no_trade', label: 'no trade', bad: false },
  { state: 'synthetic', label: 'synthetic', bad: true },
  { state: 'missing', label: 'missing', bad: true },
  { state: 'unavailable', label: 'unavailable', bad: true },
  { state: 'outage', label: 'outage', bad: true },
  { state: 'quarantined', label: 'quarantined', bad: true },
  { state: 'halted', label: 'halted', bad: false },
  { state: 'closed', label: 'market closed', bad: false },
  { state: 'unlisted', label: 'not listed', bad: false },
  { state: 'forming', label: 'forming', bad: false },
  { state: 'unknown', label: 'unknown', bad: false },
]

export const width: Record<string, number> = {
  '1s': 1e3, '5s': 5e3, '10s': 1e4, '15s': 15e3, '30s': 3e4, '1m': 6e4, '3m': 18e4, '5m': 3e5, '10m': 6e5, '15m': 9e5, '30m': 18e5, '45m': 27e5,
  '1h': 36e5, '2h': 72e5, '3h': 108e5, '4h': 144e5, '6h': 216e5, '8h': 288e5, '12h': 432e5, '1d': 864e5, '3d': 2592e5, '1w': 6048e5, '1M': 26784e5,
}

// coarser lists the intervals that can be shown of a stored one.
export function coarser(stored: string): string[] {
  const w = width[stored]
  return Object.keys(width).filter((i) => i === stored || (width[i] > w && (i === '1M' || i === '1w' || width[i] % w === 0)))
}

// fitting is the finest interval of which at most most bars cover a span.
export function fitting(stored: string, span: number, most: number): string {
  const list = coarser(stored)
  return list.find((i) => span / width[i] <= most) ?? list[list.length - 1]
}
