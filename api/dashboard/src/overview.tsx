import { useMemo, useState } from 'preact/hooks'
import { get, post, token } from './api'
import { ago, bytes, count, share, time } from './format'
import { Action, endpointTone, Failure, link, Mark, Panel, Score, StateBar, Tile, toneOf, useLoad, Wait } from './parts'
import type { DataHealth, Repair, SeriesHealth, Status } from './types'

export function Overview() {
  const { data, error, reload } = useLoad<Status>((s) => get('/status', s), [], ['repair', 'alert', 'health', 'bar'], 10_000)
  if (!data) return error ? <Failure error={error} retry={reload} /> : <Wait what="the state of the data" />
  const t = data.data.totals
  if (t.bars === 0) return <FirstStart />
  const bad = Object.entries(data.checks).filter(([, c]) => c.status !== 'healthy')
  const run = data.healing.running
  const incidents = data.alerts.filter((a) => a.rule === 'incident')
  return (
    <>
      <h1>
        <Mark tone={toneOf(data.data.status)}>
          {data.data.status === 'healthy' ? 'The data can be trusted' : data.data.status === 'degraded' ? 'Some data has holes or is late' : 'Some data cannot be trusted'}
        </Mark>
      </h1>
      <p class="lead">
        As of {time(data.at)}, version {data.version}
      </p>
      {error && <Failure error={error} retry={reload} />}
      <div class="tiles">
        <Tile name="Score" value={<Score value={t.score} />} more={`worst series ${share(t.worst_score)}`} />
        <Tile name="Completeness" value={share(t.completeness)} more={`${count(t.missing)} bars missing`} />
        <Tile name="Series" value={count(t.series)} more={`${count(t.bars)} bars`} />
        <Tile name="Healing" value={run ? 'at work' : data.healing.queued ? `${data.healing.queued} queued` : 'idle'} more={run ? `${run.request.symbol}: ${run.step} of ${run.steps}` : <a href="#/repairs">repairs</a>} />
        <Tile name="Alerts" value={<Mark tone={data.alerts.length ? 'bad' : 'good'}>{data.alerts.length || 'none'}</Mark>} more={incidents.length ? `${incidents.length} open incident${incidents.length > 1 ? 's' : ''}` : <a href="#/alerts">no open incident</a>} />
        <Tile name="Memory" value={bytes(data.resources.sys_bytes)} more={`up ${ago(data.started).replace(' ago', '')}`} />
      </div>
      {run && run.steps > 0 && (
        <Panel title={`Healing ${run.request.symbol}`}>
          <progress max={run.steps} value={run.step} aria-label="progress of the repair" />
          <div class="dim">
            {run.step} of {run.steps} questions, {count(run.bars_written)} bars written{remaining(run, data.at)}. <a href={'#/repairs/' + run.id}>Details</a>
          </div>
        </Panel>
      )}
      {data.healing.queued > 0 && <Queue total={data.healing.queued} />}
      <Panel title="Every slot, by what is known of it">
        <StateBar counts={t.states} hide={['closed', 'unlisted', 'unknown']} />
      </Panel>
      <Panel title="Worst series first">
        <SeriesRows list={data.data.series} />
        <p>
          <a href="#/list">All {count(t.series)} series</a>
        </p>
      </Panel>
      {incidents.length > 0 && (
        <Panel title="Open incidents">
          {incidents.map((a) => (
            <div key={a.id}>
              <Mark tone="bad">{a.subject}</Mark> <span class="dim">since {time(a.since)}</span>
              <div>{a.detail}</div>
            </div>
          ))}
        </Panel>
      )}
      <div class="grid">
        <Panel title="Alerts">
          {data.alerts.length === 0 && <div class="empty">Nothing fires.</div>}
          {data.alerts.slice(0, 8).map((a) => (
            <div key={a.id}>
              <Mark tone={a.state === 'acknowledged' || a.state === 'silenced' ? 'dim' : toneOf(a.severity)}>{a.rule}</Mark> {a.subject} <span class="dim">{ago(a.since)}</span>
              <div class="dim">{a.detail}</div>
            </div>
          ))}
        </Panel>
        <Panel title="Endpoints">
          {data.endpoints.length === 0 && <div class="empty">None are configured.</div>}
          {data.endpoints.slice(0, 14).map((e) => (
            <div key={e.name}>
              <Mark tone={endpointTone(e)}>{e.name}</Mark>{' '}
              <span class="dim">
                {e.paused_until ? `left alone until ${time(e.paused_until)}: ${e.paused_why}` : e.requests === 0 ? 'not asked yet' : `breaker ${e.breaker}, ${e.availability.toFixed(0)}% answered`}
              </span>
            </div>
          ))}
          <p>
            <a href="#/endpoints">All endpoints</a>
          </p>
        </Panel>
        <Panel title="Checks">
          {bad.length === 0 && <Mark tone="good">all {Object.keys(data.checks).length} are healthy</Mark>}
          {bad.map(([name, c]) => (
            <div key={name}>
              <Mark tone={toneOf(c.status)}>{name}</Mark> <span class="dim">{c.detail}</span>
            </div>
          ))}
        </Panel>
      </div>
    </>
  )
}

// Queue lists the repairs that wait, the longest first.
function Queue({ total }: { total: number }) {
  const { data } = useLoad<{ repairs: Repair[] }>((s) => get('/v1/repairs?status=queued&limit=1000', s), [total], ['repair'], 10_000)
  const next = [...(data?.repairs ?? [])].sort((a, b) => a.asked - b.asked).slice(0, 5)
  return (
    <Panel title={`Waiting to be healed: ${count(total)}`}>
      <ol>
        {next.map((r) => (
          <li key={r.id}>
            <a href={'#/repairs/' + r.id}>
              {r.request.symbol} {r.request.interval ?? ''}
            </a>{' '}
            <span class="dim">
              {r.request.repair_type}, {r.steps > 0 ? `${count(r.steps)} questions, ` : ''}asked {ago(r.asked)} by {r.request.actor ?? 'nobody'}
            </span>
          </li>
        ))}
      </ol>
      {total > next.length && next.length > 0 && <div class="dim">and {count(total - next.length)} more</div>}
    </Panel>
  )
}

// remaining is when a repair ends if it goes on as it began.
export function remaining(run: { step: number; steps: number; started?: number }, now: number): string {
  if (!run.started || run.step === 0 || run.step >= run.steps) return ''
  const left = ((now - run.started) / run.step) * (run.steps - run.step)
  return left < 60_000 ? ', less than a minute to go' : left < 36e5 ? `, about ${Math.ceil(left / 60_000)} minutes to go` : `, about ${Math.ceil(left / 36e5)} hours to go`
}

function SeriesRows({ list }: { list: SeriesHealth[] }) {
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th>Series</th>
            <th>Score</th>
            <th class="num">Missing</th>
            <th>Last bar</th>
          </tr>
        </thead>
        <tbody>
          {list.map((s) => (
            <tr class="row" key={s.symbol + ' ' + s.interval}>
              <td class="wide">
                <a href={link(s.symbol, s.interval)}>
                  {s.symbol} {s.interval}
                </a>
              </td>
              <td>
                <Score value={s.score} />
              </td>
              <td class="num">{count(s.missing)}</td>
              <td class="when">
                {time(s.last)} {s.bars_behind > 2 && <span class="warn">({count(s.bars_behind)} due)</span>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

type Column = 'symbol' | 'score' | 'bars' | 'missing' | 'last'

// List shows every series, filtered while typing.
export function List() {
  const { data, error, reload } = useLoad<DataHealth>((s) => get('/data/health', s), [], ['repair', 'bar'], 30_000)
  const [text, setText] = useState('')
  const [sort, setSort] = useState<{ by: Column; up: boolean }>({ by: 'score', up: true })
  const rows = useMemo(() => {
    const want = text.trim().toUpperCase()
    const out = (data?.series ?? []).filter((s) => (s.symbol + ' ' + s.interval).toUpperCase().includes(want))
    const value = (s: SeriesHealth): string | number => (sort.by === 'symbol' ? s.symbol + s.interval : (s[sort.by] ?? -1))
    return out.sort((a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0) * (sort.up ? 1 : -1))
  }, [data, text, sort])
  if (!data) return error ? <Failure error={error} retry={reload} /> : <Wait what="the series" />
  const most = 300
  const head = (by: Column, label: string, num = false) => (
    <th class={num ? 'num' : ''} aria-sort={sort.by === by ? (sort.up ? 'ascending' : 'descending') : 'none'}>
      <button onClick={() => setSort((s) => ({ by, up: s.by === by ? !s.up : true }))}>
        {label}
        {sort.by === by ? (sort.up ? ' ▲' : ' ▼') : ''}
      </button>
    </th>
  )
  return (
    <>
      <h1>Series</h1>
      <p class="lead">
        {count(rows.length)} of {count(data.series.length)}
      </p>
      <div class="bar">
        <input type="search" placeholder="Filter by symbol or interval" aria-label="Filter by symbol or interval" value={text} onInput={(e) => setText(e.currentTarget.value)} />
      </div>
      <section class="panel scroll">
        <table>
          <thead>
            <tr>
              {head('symbol', 'Series')}
              {head('score', 'Score')}
              {head('bars', 'Bars', true)}
              {head('missing', 'Missing', true)}
              <th>Worst stretch</th>
              {head('last', 'Last bar')}
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, most).map((s) => (
              <tr class="row" key={s.symbol + ' ' + s.interval}>
                <td>
                  <a href={link(s.symbol, s.interval)}>
                    {s.symbol} {s.interval}
                  </a>
                </td>
                <td>
                  <Score value={s.score} />
                </td>
                <td class="num">{count(s.bars)}</td>
                <td class="num">{count(s.missing)}</td>
                <td class="when">{s.worst ? <a href={link(s.symbol, s.interval, `?at=${s.worst.from}`)}>{time(s.worst.from)} ({share(s.worst.score)})</a> : '–'}</td>
                <td class="when">{time(s.last)}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {rows.length > most && <div class="empty">{count(rows.length - most)} more: filter to see them.</div>}
        {rows.length === 0 && <div class="empty">No series fits.</div>}
      </section>
    </>
  )
}

function FirstStart() {
  return (
    <>
      <h1>There are no bars yet</h1>
      <p class="lead">Four ways to begin.</p>
      <div class="grid">
        <Panel title="Drop a file">
          <p>CSV, JSON, NDJSON, Parquet or Arrow, compressed or not. Columns and times are detected.</p>
          <p>
            <a href="#/import">Import a file</a>
          </p>
        </Panel>
        <Panel title="Fetch from an exchange">
          <p>Without a key, in another terminal:</p>
          <pre>barkeep fetch --provider binance-spot --symbol BTCUSDT --interval 1h --from 2024-01-01 --store</pre>
        </Panel>
        <Panel title="Look around in a sample">
          <p>Two days of invented minutes with holes and a bad tick, as the series DEMO. Its page removes it again.</p>
          {token() ? (
            <Action
              label="Load the sample" main
              run={async () => {
                await post('/v1/demo')
                location.hash = link('DEMO', '1m')
              }}
            />
          ) : (
            <p>
              <a href="#/system">Enter the token</a> first: it is in the file “token” of the data directory.
            </p>
          )}
        </Panel>
        <Panel title="Watch a store heal">
          <p>A simulated exchange that fails most of the time, and a series that heals while you watch, in a server of its own:</p>
          <pre>barkeep demo</pre>
        </Panel>
      </div>
    </>
  )
}
