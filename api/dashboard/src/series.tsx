import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { ask, get, post, query } from './api'
import type { Chart as ChartPart } from './chart'
import { ago, coarser, count, fitting, share, time } from './format'
import { Action, Failure, Mark, Panel, Score, StateBar, toneOf, useLoad, Wait } from './parts'
import type { Aside, Finding, Gap, Parts, Plan, Repair, Run, State } from './types'

interface Coverage {
  states: Partial<Record<State, number>>
  total: number
  completeness: number | null
  runs: Run[]
}

interface Quality {
  score: number | null
  parts: Parts
  worst: { from: number; to: number; score: number } | null
  history: { time: number; score: number }[]
}

interface Row {
  first: number | null
  last: number | null
  bars: number
  calendar: string
}

// LateChart loads the chart when a series is first looked at: it is most of the
// program, and no other page needs it.
function LateChart(props: Parameters<typeof ChartPart>[0]) {
  const [Part, set] = useState<typeof ChartPart | null>(null)
  const [error, setError] = useState<Error | null>(null)
  useEffect(() => {
    import('./chart').then((m) => set(() => m.Chart), (e: Error) => setError(e))
  }, [])
  if (error) return <Failure error={error} />
  return Part ? <Part {...props} /> : <div class="chart" />
}

// removeSample deletes what POST /v1/demo wrote, and nothing that is somebody's.
async function removeSample() {
  const last = await get<{ bar: { source: string } }>('/v1/latest?symbol=DEMO&interval=1m')
  if (last.bar.source !== 'demo') throw new Error('These bars are not those of the sample.')
  await ask('DELETE', '/v1/bars?symbol=DEMO&interval=1m&all=true')
  location.hash = '#/'
}

export function Series({ symbol, interval, at }: { symbol: string; interval: string; at?: number }) {
  const key = query({ symbol, interval })
  const row = useLoad<Row>((s) => get(`/v1/series/${encodeURIComponent(symbol)}/${interval}`, s), [symbol, interval], ['repair'])
  const [asof, setAsof] = useState<number | undefined>(undefined)
  const past = asof ? `&asof=${asof}` : ''
  const coverage = useLoad<Coverage>((s) => get('/v1/coverage' + key + past, s), [symbol, interval, asof], ['repair', 'gap', 'bar'])
  const quality = useLoad<Quality>((s) => get('/v1/quality' + key, s), [symbol, interval], ['repair'])
  const gaps = useLoad<{ gaps: Gap[]; more?: number }>((s) => get('/v1/gaps' + key + '&limit=2000' + past, s), [symbol, interval, asof], ['repair', 'gap', 'bar'])
  const asides = useLoad<{ quarantine: Aside[]; more: boolean }>((s) => get('/v1/quarantine' + key + '&limit=1000', s), [symbol, interval], ['repair', 'bar'], 60_000)
  const findings = useLoad<{ findings: Finding[]; more: boolean }>((s) => get('/v1/findings' + key + '&limit=200', s), [symbol, interval], ['repair'], 120_000)
  const [slot, setSlot] = useState<number | undefined>(at)
  useEffect(() => setSlot(at), [at, symbol, interval])
  const [shown, setShown] = useState<string | null>(null)
  const first = row.data?.first ?? 0
  const last = row.data?.last ?? 0
  const display = shown ?? (at ? interval : fitting(interval, last - first, 3000))
  if (!row.data) return row.error ? <Failure error={row.error} retry={row.reload} /> : <Wait what={symbol} />
  const q = quality.data
  return (
    <>
      <h1>
        {symbol} <span class="dim">{interval}</span>
      </h1>
      <p class="lead">
        {count(row.data.bars)} bars, {time(first)} to {time(last)}, calendar {row.data.calendar}
        {symbol === 'DEMO' && interval === '1m' && (
          <>
            {' '}
            <Action label="Remove the sample" confirm="Really remove its bars?" run={removeSample} />
          </>
        )}
      </p>
      <section class="panel">
        <div class="bar">
          <label>
            Shown as{' '}
            <select value={display} onChange={(e) => setShown(e.currentTarget.value)}>
              {coarser(interval).map((i) => (
                <option key={i}>{i}</option>
              ))}
            </select>
          </label>
          <AsOf first={first} value={asof} set={setAsof} />
        </div>
        <LateChart symbol={symbol} interval={display} stored={interval} asof={asof} at={at} runs={coverage.data?.runs ?? []} asides={asides.data?.quarantine ?? []} pick={setSlot} />
        <p class="dim">
          Click a bar or a gap to see all that is known of it. Hollow bars are synthetic, blue ones corrected{(asides.data?.quarantine.length ?? 0) > 0 ? `; Q marks what is in quarantine: ${count(asides.data?.quarantine.length)}${asides.data?.more ? ' and more' : ''}` : ''}.
        </p>
      </section>
      {slot !== undefined && <Explain symbol={symbol} interval={interval} at={slot} />}
      <div class="grid">
        <Panel title="Quality">
          {!q ? (
            quality.error ? <Failure error={quality.error} /> : <Wait what="the score" />
          ) : (
            <>
              <dl class="facts">
                <dt>Score</dt>
                <dd>
                  <Score value={q.score} />
                </dd>
                {(['completeness', 'validity', 'consistency', 'freshness'] as const).map((p) => (
                  <>
                    <dt>{p}</dt>
                    <dd>{q.parts[p] === null ? <span class="dim">never compared</span> : share(q.parts[p])}</dd>
                  </>
                ))}
                <dt>Worst stretch</dt>
                <dd>
                  {q.worst ? (
                    <a href={`#/series/${encodeURIComponent(symbol)}/${interval}?at=${q.worst.from}`}>
                      {time(q.worst.from)} ({share(q.worst.score)})
                    </a>
                  ) : (
                    '–'
                  )}
                </dd>
              </dl>
              <History list={q.history} />
            </>
          )}
        </Panel>
        <Panel title="Slots by state">
          {coverage.data ? <StateBar counts={coverage.data.states} /> : coverage.error ? <Failure error={coverage.error} /> : <Wait what="the coverage" />}
        </Panel>
      </div>
      <Panel title="Completeness by day">{coverage.data ? <Heat symbol={symbol} interval={interval} runs={coverage.data.runs} /> : <Wait what="the days" />}</Panel>
      <RepairPanel symbol={symbol} interval={interval} done={() => [row, coverage, quality, gaps, findings].forEach((x) => x.reload())} />
      <Panel title="Gaps">
        {gaps.data ? <Gaps list={gaps.data.gaps} more={gaps.data.more ?? 0} pick={setSlot} /> : gaps.error ? <Failure error={gaps.error} /> : <Wait what="the gaps" />}
      </Panel>
      <Panel title="Findings">
        {!findings.data ? (
          findings.error ? <Failure error={findings.error} /> : <Wait what="what the rules find" />
        ) : findings.data.findings.length === 0 ? (
          <div class="empty">No rule finds anything.</div>
        ) : (
          <div class="scroll">
            <table>
              <thead>
                <tr>
                  <th>Rule</th>
                  <th>From</th>
                  <th class="num">Bars</th>
                  <th>Evidence</th>
                </tr>
              </thead>
              <tbody>
                {findings.data.findings.map((f) => (
                  <tr class="row" key={f.rule + f.from}>
                    <td>
                      <Mark tone={f.severity === 'violation' ? 'bad' : f.severity === 'suspicious' ? 'warn' : 'dim'}>{f.rule}</Mark>
                    </td>
                    <td class="when">
                      <a href={`#/series/${encodeURIComponent(symbol)}/${interval}?at=${f.from}`}>{time(f.from)}</a>
                    </td>
                    <td class="num">{count(f.bars)}</td>
                    <td class="wide">{f.evidence}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Panel>
    </>
  )
}

// AsOf moves the page back to what was known at a time.
function AsOf({ first, value, set }: { first: number; value?: number; set: (t?: number) => void }) {
  const now = useMemo(() => Date.now(), [])
  const [at, move] = useState(1000)
  const from = Math.min(first || now - 864e5, now - 864e5)
  const moment = (k: number) => Math.round(from + ((now - from) * k) / 1000)
  return (
    <label>
      As known {value ? 'at ' + time(value) : 'now'}{' '}
      <input
        type="range" min={0} max={1000} value={at} aria-label="As known at"
        onInput={(e) => move(Number(e.currentTarget.value))}
        onChange={(e) => set(Number(e.currentTarget.value) >= 1000 ? undefined : moment(Number(e.currentTarget.value)))}
      />
    </label>
  )
}

function History({ list }: { list: { time: number; score: number }[] }) {
  if (list.length < 2) return null
  const [a, b] = [list[0].time, list[list.length - 1].time]
  const points = list.map((p) => `${((p.time - a) / Math.max(1, b - a)) * 300},${40 - p.score * 38}`).join(' ')
  return (
    <svg viewBox="0 0 300 42" width="100%" height="60" role="img" aria-label={`score from ${share(list[0].score)} to ${share(list[list.length - 1].score)}`}>
      <polyline points={points} fill="none" stroke="var(--accent)" stroke-width="1.5" />
    </svg>
  )
}

const day = 864e5

// Heat is a square for each day (of long series: for each longer stretch).
function Heat({ symbol, interval, runs }: { symbol: string; interval: string; runs: Run[] }) {
  const cells = useMemo(() => {
    if (runs.length === 0) return []
    const from = Math.floor(runs[0].from / day) * day
    const to = runs[runs.length - 1].to
    const step = day * Math.max(1, Math.ceil((to - from) / day / 1500))
    const out = Array.from({ length: Math.ceil((to - from) / step) }, (_, i) => ({ from: from + i * step, to: from + (i + 1) * step, good: 0, open: 0 }))
    for (const r of runs) {
      const per = r.bars / Math.max(1, r.to - r.from)
      for (let i = Math.floor((r.from - from) / step); i < out.length && out[i].from < r.to; i++) {
        const n = (Math.min(r.to, out[i].to) - Math.max(r.from, out[i].from)) * per
        if (['closed', 'unlisted', 'unknown', 'forming'].includes(r.state)) continue
        out[i].open += n
        if (['observed', 'corrected', 'no_trade'].includes(r.state)) out[i].good += n
      }
    }
    return out
  }, [runs])
  if (cells.length === 0) return <div class="empty">No bars yet.</div>
  const grade = (c: { good: number; open: number }) => {
    if (c.open < 0.5) return 0
    const s = c.good / c.open
    return s > 0.9999 ? 5 : s > 0.99 ? 4 : s > 0.9 ? 3 : s > 0.5 ? 2 : 1
  }
  return (
    <>
      <div class={cells.length <= 400 ? 'heat few' : 'heat'}>
        {cells.map((c) => {
          const text = `${time(c.from)}: ${c.open < 0.5 ? 'market closed' : share(c.good / c.open)}`
          return <a key={c.from} class={'h' + grade(c)} href={`#/series/${encodeURIComponent(symbol)}/${interval}?at=${c.from}`} title={text} aria-label={text} />
        })}
      </div>
      <div class="legend">
        <span><span class="swatch h5" />complete</span>
        <span><span class="swatch h4" />over 99%</span>
        <span><span class="swatch h3" />over 90%</span>
        <span><span class="swatch h2" />over 50%</span>
        <span><span class="swatch h1" />less</span>
        <span><span class="swatch h0" />market closed</span>
      </div>
    </>
  )
}

function Gaps({ list, more, pick }: { list: Gap[]; more: number; pick: (at: number) => void }) {
  const [all, setAll] = useState(false)
  const rows = list.filter((g) => all || !['no_trade', 'closed', 'halted'].includes(g.state))
  const most = 200
  return (
    <>
      <div class="bar">
        <label>
          <input type="checkbox" checked={all} onChange={(e) => setAll(e.currentTarget.checked)} /> also those without trades
        </label>
      </div>
      {rows.length === 0 && <div class="empty">No gaps: every slot has a bar, or is known to have had no trades.</div>}
      <div class="scroll">
        {rows.length > 0 && (
          <table class="cards">
            <thead>
              <tr>
                <th>From</th>
                <th>To</th>
                <th class="num">Bars</th>
                <th>State</th>
                <th>Reason</th>
                <th class="num">Attempts</th>
                <th>Next</th>
              </tr>
            </thead>
            <tbody>
              {rows.slice(0, most).map((g) => (
                <tr class="row" key={g.from}>
                  <td class="when" data-label="From">
                    <button class="act" onClick={() => pick(g.from)}>
                      {time(g.from)}
                    </button>
                  </td>
                  <td class="when" data-label="To">{time(g.to)}</td>
                  <td class="num" data-label="Bars">{count(g.bars)}</td>
                  <td data-label="State">
                    <span class="mark">
                      <span class={'swatch st-' + g.state} />
                      {g.state}
                      {g.fill ? ` (${g.fill})` : ''}
                    </span>
                  </td>
                  <td class="wide">{g.reason}</td>
                  <td class="num" data-label="Attempts">{g.attempts || ''}</td>
                  <td class="when" data-label="Next">{g.next_try ? ago(g.next_try) : ''}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </div>
      {rows.length + more > most && <div class="empty">{count(rows.length + more - Math.min(rows.length, most))} more.</div>}
    </>
  )
}

function Explain({ symbol, interval, at }: { symbol: string; interval: string; at: number }) {
  const { data, error } = useLoad<Record<string, unknown>>((s) => get('/v1/explain' + query({ symbol, interval, at }), s), [symbol, interval, at], ['repair'])
  const ref = useRef<HTMLDivElement>(null)
  useEffect(() => ref.current?.scrollIntoView({ block: 'nearest' }), [at])
  const bar = data?.bar as Record<string, number | string> | null | undefined
  const session = data?.session as { date: string } | null | undefined
  const repairs = (data?.repairs ?? []) as { id: string; status: string }[]
  const aside = (data?.quarantine ?? []) as { reason: string }[]
  return (
    <div ref={ref}>
      <Panel title={`What is known of ${time(at)}`}>
        {!data ? (
          error ? <Failure error={error} /> : <Wait what="the slot" />
        ) : (
          <dl class="facts">
            <dt>State</dt>
            <dd>
              <span class="mark">
                <span class={'swatch st-' + String(data.state)} />
                {String(data.state)}
              </span>
            </dd>
            {data.reason ? <><dt>Reason</dt><dd>{String(data.reason)}</dd></> : null}
            {data.attempts ? <><dt>Asked</dt><dd>{String(data.attempts)} times, last {ago(data.last_asked as number)}, next {ago(data.next_try as number)}</dd></> : null}
            {bar ? <><dt>Bar</dt><dd>open {bar.open}, high {bar.high}, low {bar.low}, close {bar.close}, volume {bar.volume}</dd><dt>Provenance</dt><dd>{bar.kind}, said by {bar.source}</dd></> : null}
            <dt>Market</dt>
            <dd>
              {data.open === null ? 'the calendar does not say' : data.open ? 'open' : 'closed'} ({String(data.calendar)}{session ? `, session of ${session.date}` : ''})
            </dd>
            {aside.length > 0 && <><dt>Quarantine</dt><dd>{aside.map((x) => x.reason).join('; ')}</dd></>}
            {repairs.length > 0 && (
              <>
                <dt>Repairs</dt>
                <dd>
                  {repairs.map((r) => (
                    <span key={r.id}>
                      <a href={'#/repairs/' + r.id}>{r.id}</a> ({r.status}){' '}
                    </span>
                  ))}
                </dd>
              </>
            )}
          </dl>
        )}
      </Panel>
    </div>
  )
}

const types = ['auto', 'sources', 'forward_fill', 'backward_fill', 'interpolate', 'reverify', 'corruption']

function RepairPanel({ symbol, interval, done }: { symbol: string; interval: string; done: () => void }) {
  const [type, setType] = useState('auto')
  const [raised, setRaised] = useState(false)
  const [plan, setPlan] = useState<Plan | null>(null)
  const [repair, setRepair] = useState<Repair | null>(null)
  useEffect(() => {
    setPlan(null)
    setRepair(null)
  }, [symbol, interval, type, raised])
  const body = { symbol, interval, repair_type: type, ...(raised ? { max_share: 1, max_bars: 10_000_000, now: true } : {}) }
  useEffect(() => {
    if (!repair || !['queued', 'running'].includes(repair.status)) return
    const timer = setInterval(async () => {
      try {
        const r = await get<Repair>('/v1/repairs/' + repair.id)
        setRepair(r)
        if (!['queued', 'running'].includes(r.status)) done()
      } catch {
        // The next turn tells.
      }
    }, 700)
    return () => clearInterval(timer)
  }, [repair?.id, repair?.status])
  return (
    <Panel title="Repair">
      <div class="bar">
        <select value={type} aria-label="Type of repair" onChange={(e) => setType(e.currentTarget.value)}>
          {types.map((t) => (
            <option key={t}>{t}</option>
          ))}
        </select>
        <label>
          <input type="checkbox" checked={raised} onChange={(e) => setRaised(e.currentTarget.checked)} /> without limits, and now
        </label>
        <Action label="Preview" run={async () => setPlan((await post<{ plan: Plan }>('/data/repair', { ...body, dry_run: true })).plan)} />
        <Action
          label="Repair" main confirm="Really repair?"
          run={async () => {
            const r = await post<{ repair_id: string }>('/data/repair', body)
            setRepair(await get<Repair>('/v1/repairs/' + r.repair_id))
            setPlan(null)
          }}
        />
      </div>
      {plan && <PlanView plan={plan} />}
      {repair && <RepairView repair={repair} changed={done} set={setRepair} />}
    </Panel>
  )
}

export function PlanView({ plan }: { plan: Plan }) {
  return (
    <div>
      {plan.over && <div class="note">It would be refused: {plan.over}</div>}
      {plan.series.length === 0 && <div class="empty">There is nothing to repair.</div>}
      {plan.series.map((s) => (
        <div key={s.symbol + s.interval}>
          <p>
            {s.symbol} {s.interval}: {count(s.missing)} slots are looked at{s.waiting ? `, ${count(s.waiting)} wait for their next attempt` : ''}.{' '}
            {s.no_sources ? `Nobody is asked: ${s.no_sources}.` : s.sources.length ? `Asked are ${s.sources.join(', ')}.` : ''}
          </p>
          <ul>
            {s.explain.length > 0 && <li>{count(s.explain.length)} holes are explained without asking: {[...new Set(s.explain.map((x) => x.state))].join(', ')}</li>}
            {s.audits.length > 0 && <li>{count(s.audits.length)} questions for coarser bars come first</li>}
            {s.windows.slice(0, 10).map((w) => (
              <li key={w.from}>
                {time(w.from)} to {time(w.to)}: {count(w.bars)} bars, {count(w.requests ?? 0)} requests
              </li>
            ))}
            {s.windows.length > 10 && <li>and {count(s.windows.length - 10)} more questions</li>}
            {s.fills.length > 0 && <li>{count(s.fills.reduce((n, f) => n + f.bars, 0))} bars are filled if nobody has them</li>}
          </ul>
        </div>
      ))}
      <p class="dim">
        At most {count(plan.bars)} bars change, about {count(plan.requests)} requests.
      </p>
    </div>
  )
}

export function RepairView({ repair, changed, set }: { repair: Repair; changed: () => void; set: (r: Repair) => void }) {
  const reload = async () => set(await get<Repair>('/v1/repairs/' + repair.id))
  const active = ['queued', 'running'].includes(repair.status)
  return (
    <div>
      <p>
        <Mark tone={toneOf(repair.status)}>{repair.status}</Mark> <a href={'#/repairs/' + repair.id}>{repair.id}</a>: {count(repair.bars_written)} bars written, {count(repair.bars_filled)} filled,{' '}
        {count(repair.requests)} requests
      </p>
      {active && <progress max={Math.max(1, repair.steps)} value={repair.step} aria-label="progress of the repair" />}
      {repair.error && <div class="note">{repair.error}</div>}
      {repair.states && Object.keys(repair.states).length > 0 && <p>{Object.entries(repair.states).map(([k, n]) => `${count(n)} ${k}`).join(', ')}</p>}
      <div class="bar">
        {active && (
          <Action
            label="Cancel"
            run={async () => {
              await post(`/v1/repairs/${repair.id}/cancel`)
              await reload()
            }}
          />
        )}
        {!active && repair.status !== 'undone' && repair.status !== 'refused' && (
          <Action
            label="Undo" confirm="Really undo?"
            run={async () => {
              const u = await post<{ bars_removed: number; bars_restored: number; slots_skipped: number }>(`/v1/repairs/${repair.id}/undo`)
              await reload()
              changed()
              return `${count(u.bars_removed)} bars removed, ${count(u.bars_restored)} restored, ${count(u.slots_skipped)} skipped`
            }}
          />
        )}
      </div>
    </div>
  )
}
