// Parts that the pages share.

import type { ComponentChildren } from 'preact'
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import { ApiError } from './api'
import { count, share, states } from './format'
import { live } from './live'
import type { Endpoint, State } from './types'

export interface Loaded<T> {
  data?: T
  error?: Error
  reload: () => void
}

// useLoad loads something, again when its inputs change, when one of the events
// happens, and every so often.
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, inputs: unknown[], events: string[] = [], every = 30_000): Loaded<T> {
  const [state, set] = useState<{ data?: T; error?: Error; key?: string }>({})
  const [turn, next] = useState(0)
  const reload = useCallback(() => next((n) => n + 1), [])
  const key = JSON.stringify(inputs)
  useEffect(() => {
    const stop = new AbortController()
    load(stop.signal).then(
      (data) => set({ data, key }),
      (error: Error) => {
        if (!stop.signal.aborted) set((s) => ({ data: s.key === key ? s.data : undefined, error, key }))
      },
    )
    return () => stop.abort()
  }, [key, turn])
  const pending = useRef(0)
  useEffect(() => {
    const timer = setInterval(reload, every)
    const leave = live.listen((h) => {
      if (!events.includes(h.kind) && h.kind !== 'missed') return
      // Many events are one reload.
      clearTimeout(pending.current)
      pending.current = window.setTimeout(reload, 400)
    })
    return () => {
      clearInterval(timer)
      clearTimeout(pending.current)
      leave()
    }
  }, [reload, every])
  return { data: state.key === key ? state.data : undefined, error: state.error, reload }
}

export function Failure({ error, retry }: { error: Error; retry?: () => void }) {
  const needsToken = error instanceof ApiError && (error.status === 401 || error.status === 403)
  return (
    <div class="note error" role="alert">
      <div>{error.message}</div>
      <div class="bar">
        {needsToken && <a href="#/system">Enter a token</a>}
        {retry && (
          <button class="act" onClick={retry}>
            Try again
          </button>
        )}
      </div>
    </div>
  )
}

export function Wait({ what }: { what: string }) {
  return (
    <div class="skeleton" role="status">
      Loading {what}…
    </div>
  )
}

export function Panel({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="panel">
      <h2>{title}</h2>
      {children}
    </section>
  )
}

export function Tile({ name, value, more, tone }: { name: string; value: ComponentChildren; more?: ComponentChildren; tone?: string }) {
  return (
    <div class="tile">
      <div class="name">{name}</div>
      <div class={'value ' + (tone ?? '')}>{value}</div>
      {more && <div class="more">{more}</div>}
    </div>
  )
}

// Mark says how something fares by word, sign and colour.
export function Mark({ tone, children }: { tone: 'good' | 'warn' | 'bad' | 'dim'; children: ComponentChildren }) {
  const sign = { good: '✓', warn: '!', bad: '✕', dim: '·' }[tone]
  return (
    <span class={'mark ' + tone}>
      <i aria-hidden="true">{sign}</i>
      {children}
    </span>
  )
}

export function toneOf(status: string): 'good' | 'warn' | 'bad' | 'dim' {
  switch (status) {
    case 'healthy': case 'closed': case 'running': case 'done': case 'ok': case 'resolved':
      return 'good'
    case 'degraded': case 'half_open': case 'waiting': case 'warning': case 'queued': case 'acknowledged': case 'refused':
      return 'warn'
    case 'unhealthy': case 'open': case 'critical': case 'failed': case 'firing':
      return 'bad'
  }
  return 'dim'
}

// endpointTone warns of an endpoint that mostly fails while its breaker is
// closed.
export function endpointTone(e: Pick<Endpoint, 'paused_until' | 'requests' | 'breaker' | 'availability'>): 'good' | 'warn' | 'bad' | 'dim' {
  if (e.paused_until) return 'bad'
  if (e.requests === 0) return 'dim'
  const tone = toneOf(e.breaker)
  return tone === 'good' && e.availability < 90 ? 'warn' : tone
}

export function scoreTone(score: number | null): 'good' | 'warn' | 'bad' | 'dim' {
  if (score === null) return 'dim'
  return score >= 0.95 ? 'good' : score >= 0.8 ? 'warn' : 'bad'
}

export function Score({ value }: { value: number | null }) {
  return <Mark tone={scoreTone(value)}>{value === null ? 'no data' : share(value)}</Mark>
}

// StateBar shows slots by state; its parts sum to all.
export function StateBar({ counts, hide = [] }: { counts: Partial<Record<State, number>>; hide?: State[] }) {
  const shown = states.filter((s) => (counts[s.state] ?? 0) > 0 && !hide.includes(s.state))
  const total = shown.reduce((n, s) => n + (counts[s.state] ?? 0), 0)
  if (total === 0) return <div class="empty">No slots yet.</div>
  return (
    <div>
      <div class="states" role="img" aria-label={shown.map((s) => `${s.label} ${share((counts[s.state] ?? 0) / total)}`).join(', ')}>
        {shown.map((s) => (
          <span key={s.state} class={'st-' + s.state} style={{ width: `${(100 * (counts[s.state] ?? 0)) / total}%` }} title={`${s.label}: ${count(counts[s.state])}`} />
        ))}
      </div>
      <div class="legend">
        {shown.map((s) => (
          <span key={s.state}>
            <span class={'swatch st-' + s.state} />
            {s.label} <b>{count(counts[s.state])}</b> ({share((counts[s.state] ?? 0) / total)})
          </span>
        ))}
      </div>
    </div>
  )
}

// Action is a button that does something and says how it went.
export function Action({ label, run, main, confirm }: { label: string; run: () => Promise<string | void>; main?: boolean; confirm?: string }) {
  const [busy, setBusy] = useState(false)
  const [sure, setSure] = useState(false)
  const [said, say] = useState<{ text: string; error: boolean } | null>(null)
  const go = async () => {
    if (confirm && !sure) {
      setSure(true)
      return
    }
    setSure(false)
    setBusy(true)
    say(null)
    try {
      const text = await run()
      if (text) say({ text, error: false })
    } catch (e) {
      say({ text: (e as Error).message, error: true })
    }
    setBusy(false)
  }
  return (
    <span>
      <button class={'act' + (main ? ' main' : '')} disabled={busy} onClick={go} onBlur={() => setSure(false)}>
        {busy ? 'Working…' : sure ? confirm : label}
      </button>
      {said && (
        <span role="status" class={said.error ? 'bad' : 'good'}>
          {' '}
          {said.text}
        </span>
      )}
    </span>
  )
}

export const link = (symbol: string, interval: string, more = '') => `#/series/${encodeURIComponent(symbol)}/${interval}${more}`
