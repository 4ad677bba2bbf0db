import { useEffect, useRef, useState } from 'preact/hooks'
import { ApiError, ask, get, post, query, setToken, token } from './api'
import { ago, bytes, count, isLocal, setLocal, time } from './format'
import { Action, endpointTone, Failure, link, Mark, Panel, toneOf, useLoad, Wait } from './parts'
import { PlanView, RepairView } from './series'
import type { Alert, Aside, AuditEntry, Endpoint, EndpointStretch, Repair, Setting, Status, Token } from './types'

export function Endpoints() {
  const { data, error, reload } = useLoad<{ endpoints: Endpoint[] }>((s) => get('/endpoints/health', s), [], ['health', 'repair'], 5000)
  const [tested, setTested] = useState<Record<string, string>>({})
  if (!data) return error ? <Failure error={error} retry={reload} /> : <Wait what="the endpoints" />
  return (
    <>
      <h1>Endpoints</h1>
      <p class="lead">Where bars are fetched from. Availability and rates are of the last five minutes.</p>
      {data.endpoints.length === 0 && <div class="empty">None are configured: add them under “endpoints” of the configuration.</div>}
      <section class="panel scroll">
        <table class="cards">
          <thead>
            <tr>
              <th>Endpoint</th><th>Breaker</th><th class="num">Answered</th><th class="num">Requests</th><th class="num">Errors</th><th class="num">p50 / p95</th><th>Budget</th><th>Last day, last error</th><th />
            </tr>
          </thead>
          <tbody>
            {data.endpoints.map((e) => (
              <tr class="row" key={e.name}>
                <td class="name" data-label="Endpoint">
                  <div>
                    {e.name}
                    <div class="dim">{e.provider}</div>
                  </div>
                </td>
                <td data-label="Breaker">
                  <div>
                  <Mark tone={endpointTone(e)}>{e.paused_until ? 'left alone' : e.requests === 0 ? 'not asked' : e.breaker}</Mark>
                  {e.paused_until && <div class="dim">{e.paused_why}, until {time(e.paused_until)}</div>}
                  </div>
                </td>
                <td class="num" data-label="Answered">{e.requests ? e.availability.toFixed(1) + '%' : '–'}</td>
                <td class="num" data-label="Requests">{count(e.requests)}</td>
                <td class="num" data-label="Errors">
                  <div>
                    {count(e.errors)}
                    <div class="dim">{Object.entries(e.error_kinds).map(([k, n]) => `${k} ${n}`).join(', ')}</div>
                  </div>
                </td>
                <td class="num" data-label="p50 / p95">{e.requests ? `${e.latency_p50_ms.toFixed(0)} / ${e.latency_p95_ms.toFixed(0)} ms` : '–'}</td>
                <td class="when" data-label="Budget">{e.budget.map((b) => `${b.left}/${b.most} in ${b.window_s} s`).join(', ') || '–'}</td>
                <td class="wide">
                  <Day endpoint={e} />
                  {e.last_error && <div class="dim">{e.last_error.kind}, {ago(e.last_error.time)}: {e.last_error.text}</div>}
                </td>
                <td>
                  <Action
                    label="Test"
                    run={async () => {
                      const r = await post<{ endpoints: { ok: boolean; latency_ms: number; error: string }[] }>('/endpoints/test', { name: e.name })
                      const x = r.endpoints[0]
                      setTested((t) => ({ ...t, [e.name]: x.ok ? `answers in ${x.latency_ms.toFixed(0)} ms` : x.error }))
                      reload()
                    }}
                  />
                  {tested[e.name] && <div class="dim">{tested[e.name]}</div>}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </>
  )
}

// Day shows the requests of an endpoint over the last day, the failed ones
// apart, and what its breaker did.
function Day({ endpoint: e }: { endpoint: Endpoint }) {
  const width = 600_000
  const now = Math.floor(Date.now() / width) * width
  const most = Math.max(1, ...e.stretches.map((s) => s.requests))
  const errors = (s: EndpointStretch) => Object.values(s.error_kinds).reduce((a, b) => a + b, 0)
  const kinds = (s: EndpointStretch) => Object.entries(s.error_kinds).map(([k, n]) => `${k} ${n}`).join(', ')
  const bad = e.stretches.filter((s) => errors(s) > 0)
  if (e.stretches.length === 0) return <span class="dim">no requests</span>
  // A bar for ten minutes; an hour at least, a day at most.
  const slots = Math.min(144, Math.max(6, (now - e.stretches[0].from) / width + 1))
  return (
    <>
      <div class="day" role="img" aria-label={`${count(e.stretches.reduce((n, s) => n + s.requests, 0))} requests in the last ${Math.ceil(slots / 6)} hours, ${count(bad.reduce((n, s) => n + errors(s), 0))} of them failed`}>
        {e.stretches.map((s) => (
          <span key={s.from} title={`${time(s.from)}: ${count(s.requests)} requests, ${kinds(s) || 'no errors'}`} style={{ left: `${(100 * (slots - 1 - (now - s.from) / width)) / slots}%`, width: `${100 / slots}%`, height: `${Math.max(8, (100 * s.requests) / most)}%` }}>
            {errors(s) > 0 && <i style={{ height: `${(100 * errors(s)) / s.requests}%` }} />}
          </span>
        ))}
      </div>
      <div class="dim axis" aria-hidden="true">
        <span>{Math.ceil(slots / 6)} h ago</span>
        <span>now</span>
      </div>
      {(bad.length > 0 || e.changes.length > 0) && (
        <details>
          <summary>
            {count(bad.reduce((n, s) => n + errors(s), 0))} errors, {count(e.changes.length)} {e.changes.length === 1 ? 'change' : 'changes'} of the breaker
          </summary>
          <ol class="timeline">
            {[...e.changes.map((c) => ({ at: c.time, state: c.state, text: c.state === 'paused' || !c.why ? (c.why ?? '') : `for requests of “${c.why}”`, until: c.until })), ...bad.map((s) => ({ at: s.from, state: 'errors', text: kinds(s), until: null }))]
              .sort((a, b) => b.at - a.at)
              .slice(0, 40)
              .map((x, i) => (
                <li key={i}>
                  <span class="when">{time(x.at)}</span> <Mark tone={x.state === 'errors' ? 'dim' : x.state === 'paused' ? 'bad' : toneOf(x.state)}>{x.state === 'errors' ? 'in ten minutes' : x.state.replace('_', ' ')}</Mark> {x.text}
                  {x.until ? `, until ${time(x.until)}` : ''}
                </li>
              ))}
          </ol>
        </details>
      )}
    </>
  )
}

export function Alerts() {
  const { data, error, reload } = useLoad<{ alerts: Alert[] }>((s) => get('/alerts?history=true', s), [], ['alert'], 15_000)
  if (!data) return error ? <Failure error={error} retry={reload} /> : <Wait what="the alerts" />
  const active = data.alerts.filter((a) => a.state !== 'resolved')
  const past = data.alerts.filter((a) => a.state === 'resolved')
  const act = (a: Alert, what: string, body?: unknown) => async () => {
    await post(`/alerts/${a.id}/${what}`, body)
    reload()
  }
  const rows = (list: Alert[], live: boolean) => (
    <div class="scroll">
      <table class="cards">
        <thead>
          <tr>
            <th>Rule</th><th>Subject</th><th>State</th><th>Since</th><th>Detail</th><th />
          </tr>
        </thead>
        <tbody>
          {list.map((a) => (
            <tr class="row" key={a.id}>
              <td data-label="Rule"><Mark tone={live ? toneOf(a.severity) : 'dim'}>{a.rule}</Mark></td>
              <td class="wide">{a.subject}</td>
              <td data-label="State">{`${a.state}${a.by ? ` by ${a.by}` : ''}${a.silenced_until ? ` until ${time(a.silenced_until)}` : ''}`}</td>
              <td class="when" data-label="Since">{`${time(a.since)}${a.resolved ? ` to ${time(a.resolved)}` : ''}`}</td>
              <td class="wide">{a.detail}</td>
              <td>
                {live && (
                  <div class="bar">
                    <Action label="Acknowledge" run={act(a, 'ack', {})} />
                    <Action label="Silence 1 h" run={act(a, 'silence', { minutes: 60 })} />
                    <Action label="Resolve" run={act(a, 'resolve', {})} />
                  </div>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
  return (
    <>
      <h1>Alerts</h1>
      <p class="lead">What fires now, and what has ended.</p>
      <Panel title="Active">{active.length ? rows(active, true) : <div class="empty">Nothing fires.</div>}</Panel>
      <Panel title="Ended">{past.length ? rows(past.slice(0, 200), false) : <div class="empty">Nothing has fired yet.</div>}</Panel>
    </>
  )
}

export function Repairs({ id }: { id?: string }) {
  return id ? <OneRepair id={id} /> : <AllRepairs />
}

function OneRepair({ id }: { id: string }) {
  const { data, error, reload } = useLoad<Repair>((s) => get('/v1/repairs/' + encodeURIComponent(id), s), [id], ['repair'], 3000)
  const audit = useLoad<{ entries: AuditEntry[] }>((s) => get('/v1/audit' + query({ repair: id, limit: 200 }), s), [id], ['repair'])
  if (!data) return error ? <Failure error={error} retry={reload} /> : <Wait what="the repair" />
  return (
    <>
      <h1>Repair {data.id}</h1>
      <p class="lead">
        {data.request.symbol} {data.request.interval ?? 'every interval'}, {data.request.repair_type}, asked by {data.request.actor ?? 'nobody'} {ago(data.asked)}
      </p>
      <Panel title="Outcome">
        <RepairView repair={data} changed={reload} set={reload} />
        {data.outcomes && data.outcomes.length > 0 && (
          <div class="scroll">
            <table>
              <thead>
                <tr><th>From</th><th>To</th><th class="num">Written</th><th>Sources</th><th>Left</th><th>Remarks</th></tr>
              </thead>
              <tbody>
                {data.outcomes.map((o) => (
                  <tr class="row" key={o.from}>
                    <td class="when"><a href={link(o.symbol, o.interval, `?at=${o.from}`)}>{time(o.from)}</a></td>
                    <td class="when">{time(o.to)}</td>
                    <td class="num">{count(o.written)}</td>
                    <td>{(o.sources ?? []).join(', ')}</td>
                    <td>{Object.entries(o.states ?? {}).map(([k, n]) => `${count(n)} ${k}`).join(', ')}</td>
                    <td class="wide">{[...(o.rejected ?? []), o.error ?? ''].filter(Boolean).join('; ')}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Panel>
      {data.plan && data.plan.series.length > 0 && <Panel title="Plan"><PlanView plan={data.plan} /></Panel>}
      <Panel title="Journal">{audit.data ? <Journal list={audit.data.entries} /> : audit.error ? <Failure error={audit.error} /> : <Wait what="the journal" />}</Panel>
    </>
  )
}

function AllRepairs() {
  const { data, error, reload } = useLoad<{ repairs: Repair[] }>((s) => get('/v1/repairs', s), [], ['repair'], 10_000)
  const [filter, setFilter] = useState('')
  const audit = useLoad<{ entries: AuditEntry[]; next: string | null }>((s) => get('/v1/audit' + query({ rule: filter, limit: 500, from: Date.now() - 30 * 864e5 }), s), [filter], ['repair'])
  if (!data) return error ? <Failure error={error} retry={reload} /> : <Wait what="the repairs" />
  return (
    <>
      <h1>Repairs and journal</h1>
      <p class="lead">What was changed, by whom and why. Every change can be taken back.</p>
      <Panel title="Repairs">
        {data.repairs.length === 0 && <div class="empty">None yet: a series page plans one.</div>}
        {data.repairs.length > 0 && (
          <div class="scroll">
            <table>
              <thead>
                <tr><th>Repair</th><th>Series</th><th>Type</th><th>Status</th><th>Asked</th><th class="num">Written</th><th class="num">Filled</th><th>Left</th></tr>
              </thead>
              <tbody>
                {data.repairs.slice(0, 100).map((r) => (
                  <tr class="row" key={r.id}>
                    <td><a href={'#/repairs/' + r.id}>{r.id}</a></td>
                    <td>{r.request.symbol} {r.request.interval ?? ''}</td>
                    <td>{r.request.repair_type}</td>
                    <td><Mark tone={toneOf(r.status)}>{r.status}</Mark></td>
                    <td class="when">{ago(r.asked)} by {r.request.actor}</td>
                    <td class="num">{count(r.bars_written)}</td>
                    <td class="num">{count(r.bars_filled)}</td>
                    <td class="wide">{r.error || Object.entries(r.states ?? {}).map(([k, n]) => `${count(n)} ${k}`).join(', ')}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Panel>
      <Panel title="Journal of the last 30 days">
        <div class="bar">
          <label>
            Rule{' '}
            <select value={filter} onChange={(e) => setFilter(e.currentTarget.value)}>
              {['', 'gap', 'fill', 'known', 'conservation', 'corruption'].map((r) => (
                <option key={r} value={r}>{r || 'all'}</option>
              ))}
            </select>
          </label>
          <Action
            label="Prove it"
            run={async () => {
              const v = await get<{ ok: boolean; entries: number; problems: string[] }>('/v1/audit/verify')
              if (!v.ok) throw new Error(v.problems.slice(0, 3).join('; '))
              return `${count(v.entries)} entries are as they were written`
            }}
          />
          <a href={'/v1/audit?limit=1000'} download="barkeep-audit.json">Export</a>
        </div>
        {audit.data ? <Journal list={[...audit.data.entries].reverse()} /> : audit.error ? <Failure error={audit.error} /> : <Wait what="the journal" />}
      </Panel>
    </>
  )
}

function Journal({ list }: { list: AuditEntry[] }) {
  if (list.length === 0) return <div class="empty">No entries.</div>
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr><th class="num">Entry</th><th>When</th><th>Change</th><th>Series</th><th class="num">Added</th><th class="num">Replaced</th><th class="num">Removed</th><th>Who and why</th><th>Before and after</th></tr>
        </thead>
        <tbody>
          {list.slice(0, 200).map((e) => (
            <tr class="row" key={e.seq}>
              <td class="num">{e.seq}</td>
              <td class="when">{time(e.at)}</td>
              <td>{e.op}</td>
              <td>{e.symbol} {e.interval}</td>
              <td class="num">{count(e.added)}</td>
              <td class="num">{count(e.replaced)}</td>
              <td class="num">{count(e.removed)}</td>
              <td class="wide">{[e.actor, e.rule, e.cause, e.source, e.evidence].filter(Boolean).join(' · ')}</td>
              <td class="wide">
                {e.before.slice(0, 3).map((b) => {
                  const a = e.after.find((x) => x.time === b.time)
                  return <div key={b.time}>{time(b.time)}: close {b.close} → {a ? a.close : 'none'}</div>
                })}
                {e.before.length > 3 && <div class="dim">and {count(e.before.length - 3)} more</div>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

export function Quarantine() {
  const { data, error, reload } = useLoad<{ quarantine: Aside[]; more: boolean }>((s) => get('/v1/quarantine?limit=500', s), [], ['repair', 'bar'])
  if (!data) return error ? <Failure error={error} retry={reload} /> : <Wait what="the quarantine" />
  return (
    <>
      <h1>Quarantine</h1>
      <p class="lead">Bars that were refused or set aside, as their source wrote them. Nothing is deleted.</p>
      <section class="panel scroll">
        {data.quarantine.length === 0 ? (
          <div class="empty">Empty.</div>
        ) : (
          <table>
            <thead>
              <tr><th>Series</th><th>Time</th><th>Reason</th><th>Source</th><th>Raw</th><th>Set aside</th><th /></tr>
            </thead>
            <tbody>
              {data.quarantine.map((q) => (
                <tr class="row" key={q.id}>
                  <td>{q.symbol} {q.interval}</td>
                  <td class="when">{q.time ? <a href={link(q.symbol, q.interval, `?at=${q.time}`)}>{time(q.time)}</a> : '–'}</td>
                  <td class="wide">{q.reason}</td>
                  <td>{q.source}</td>
                  <td class="wide"><code>{q.raw.slice(0, 120)}</code></td>
                  <td class="when">{ago(q.at)}</td>
                  <td>
                    <div class="bar">
                      <Action label="Release" confirm="Write it?" run={async () => { await post(`/v1/quarantine/${q.id}/release`); reload() }} />
                      <Action label="Discard" confirm="Really drop it?" run={async () => { await post(`/v1/quarantine/${q.id}/discard`); reload() }} />
                    </div>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        {data.more && <div class="empty">There are more.</div>}
      </section>
    </>
  )
}

export function System({ theme, setTheme, redraw }: { theme: string; setTheme: (t: string) => void; redraw: () => void }) {
  const { data, error, reload } = useLoad<Status>((s) => get('/status', s), [], ['health'], 10_000)
  const [text, setText] = useState(token())
  return (
    <>
      <h1>System</h1>
      <p class="lead">Access, components, settings.</p>
      <div class="grid">
        <Panel title="Your token">
          <p class="dim">Changes need one: the admin token is in the file “token” of the data directory. It is kept in this tab only.</p>
          <div class="bar">
            <input type="password" autocomplete="off" aria-label="Token" value={text} onInput={(e) => setText(e.currentTarget.value)} />
            <button class="act main" onClick={() => { setToken(text.trim()); reload(); redraw() }}>Use it</button>
          </div>
        </Panel>
        <Panel title="Appearance">
          <div class="bar">
            <label>
              Theme{' '}
              <select value={theme} onChange={(e) => setTheme(e.currentTarget.value)}>
                <option value="dark">dark</option>
                <option value="light">light</option>
              </select>
            </label>
            <label>
              Times{' '}
              <select value={isLocal() ? 'local' : 'utc'} onChange={(e) => { setLocal(e.currentTarget.value === 'local'); redraw() }}>
                <option value="utc">UTC</option>
                <option value="local">local</option>
              </select>
            </label>
          </div>
        </Panel>
        {data && (
          <Panel title="Resources">
            <dl class="facts">
              <dt>Version</dt><dd>{data.version}</dd>
              <dt>Started</dt><dd>{time(data.started)}</dd>
              <dt>Memory</dt><dd>{bytes(data.resources.sys_bytes)}, of which {bytes(data.resources.heap_bytes)} in use</dd>
              <dt>Goroutines</dt><dd>{count(data.resources.goroutines)} on {data.resources.cpus} cores</dd>
              {Object.entries(data.checks).map(([name, c]) => (
                <>
                  <dt>{name}</dt>
                  <dd><Mark tone={toneOf(c.status)}>{c.detail}</Mark></dd>
                </>
              ))}
            </dl>
          </Panel>
        )}
      </div>
      {error && !data && <Failure error={error} retry={reload} />}
      {data && (
        <Panel title="Components">
          <div class="scroll">
            <table>
              <thead><tr><th>Component</th><th>State</th><th>Since</th><th class="num">Failures</th><th class="num">Restarts</th><th /></tr></thead>
              <tbody>
                {data.components.map((c) => (
                  <tr class="row" key={c.name}>
                    <td>{c.name}</td>
                    <td><Mark tone={toneOf(c.state)}>{c.state}</Mark>{c.error && <div class="dim">{c.error}</div>}</td>
                    <td class="when">{ago(c.since)}</td>
                    <td class="num">{c.failures}</td>
                    <td class="num">{c.restarts}</td>
                    <td><Action label="Restart" run={async () => { await post('/system/restart', { components: [c.name] }); reload() }} /></td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </Panel>
      )}
      <Settings />
      <Tokens />
    </>
  )
}

function Settings() {
  const { data, error, reload } = useLoad<{ settings: Setting[] }>((s) => get('/v1/config', s), [], [], 600_000)
  const [changed, change] = useState<Record<string, string>>({})
  const [applied, setApplied] = useState('')
  const diff = data?.settings.filter((s) => changed[s.key] !== undefined && changed[s.key] !== s.value) ?? []
  return (
    <Panel title="Settings">
      {!data && (error ? <Failure error={error} retry={reload} /> : <Wait what="the settings" />)}
      {data && (
        <>
          <div class="scroll">
            <table class="stack">
              <thead><tr><th>Setting</th><th>Value</th><th>From</th><th>Meaning</th></tr></thead>
              <tbody>
                {data.settings.map((s) => (
                  <tr class="row" key={s.key}>
                    <td><code>{s.key}</code></td>
                    <td>
                      {s.from === 'environment' || s.from === 'flag' || s.value === '(hidden)' || ['data', 'url', 'output', 'token'].includes(s.key) ? (
                        s.value || '–'
                      ) : (
                        <input aria-label={s.key} value={changed[s.key] ?? s.value} onInput={(e) => { const v = e.currentTarget.value; change((c) => ({ ...c, [s.key]: v })) }} />
                      )}
                    </td>
                    <td>{s.from}</td>
                    <td class="wide dim">{s.doc}{s.live ? '' : ' Takes effect at the next start.'}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          {applied && diff.length === 0 && <div class="note ok" role="status">{applied}</div>}
          {diff.length > 0 && (
            <div class="note">
              {diff.map((s) => <div key={s.key}><code>{s.key}</code>: {s.value || 'nothing'} → {changed[s.key] || 'nothing'}</div>)}
              <div class="bar">
                <Action
                  label="Apply" main
                  run={async () => {
                    const r = await ask<{ needs_restart: string[] }>('PUT', '/v1/config', Object.fromEntries(diff.map((s) => [s.key, changed[s.key]])))
                    change({})
                    reload()
                    setApplied(r.needs_restart.length ? 'Kept. In effect at the next start: ' + r.needs_restart.join(', ') : 'In effect.')
                  }}
                />
                <button class="act" onClick={() => change({})}>Discard</button>
              </div>
            </div>
          )}
        </>
      )}
    </Panel>
  )
}

function Tokens() {
  const { data, error, reload } = useLoad<{ tokens: Token[] }>((s) => get('/v1/tokens', s), [token()], [], 600_000)
  const [name, setName] = useState('')
  const [role, setRole] = useState('reader')
  const [made, setMade] = useState('')
  return (
    <Panel title="Tokens">
      {!data && error && <div class="empty">An admin token lists them: {error.message}</div>}
      {data && (
        <>
          <div class="bar">
            <input placeholder="what it is for" aria-label="Name of the token" value={name} onInput={(e) => setName(e.currentTarget.value)} />
            <select value={role} aria-label="Role" onChange={(e) => setRole(e.currentTarget.value)}>
              {['reader', 'operator', 'admin'].map((r) => <option key={r}>{r}</option>)}
            </select>
            <Action label="Make a token" run={async () => { setMade((await post<{ token: string }>('/v1/tokens', { name, role })).token); setName(''); reload() }} />
          </div>
          {made && <div class="note ok">It is shown this once: <code>{made}</code></div>}
          <div class="scroll">
            <table>
              <thead><tr><th>Token</th><th>Role</th><th>Made</th><th>Expires</th><th>Revoked</th><th /></tr></thead>
              <tbody>
                {data.tokens.map((t) => (
                  <tr class="row" key={t.id}>
                    <td>{t.name} <span class="dim">{t.id}</span></td>
                    <td>{t.role}</td>
                    <td class="when">{time(t.created)}</td>
                    <td class="when">{time(t.expires)}</td>
                    <td class="when">{time(t.revoked)}</td>
                    <td>{!t.revoked && <Action label="Revoke" confirm="Really revoke?" run={async () => { await ask('DELETE', '/v1/tokens/' + t.id); reload() }} />}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </Panel>
  )
}

interface ImportAnswer {
  read: number
  written: number
  unchanged: number
  conflicts: number
  rejected: { row?: number; time: number | null; reason: string }[]
  rejected_more?: number
}

interface Preview {
  detection: { format: string; compression?: string; entry?: string; columns: Record<string, string>; time_format: string; zone?: string; order?: string; step_share?: number; warnings?: string[] }
  step: string | null
  read: number
  bars: { time: number; open: number | null; high: number | null; low: number | null; close: number | null; volume: number | null }[]
  rejected: { row?: number; time: number | null; reason: string }[]
}

const fields = ['time', 'open', 'high', 'low', 'close', 'volume'] as const

// previewBytes of a text file are enough for its first rows; others are sent
// whole, because what tells of their columns is at their end.
const previewBytes = 1 << 20

export function Import() {
  const [file, setFile] = useState<File | null>(null)
  const [symbol, setSymbol] = useState('')
  const [interval, setInterval_] = useState('')
  const chosen = useRef(false) // whether a person chose the interval
  const [conflict, setConflict] = useState('keep')
  const [map, setMap] = useState<Record<string, string>>({})
  const [tz, setTz] = useState('')
  const [stamp, setStamp] = useState('start')
  const [scale, setScale] = useState('')
  const [format, setFormat] = useState('')
  const [over, setOver] = useState(false)
  const [sent, setSent] = useState(0)
  const [preview, setPreview] = useState<Preview | null>(null)
  const [answer, setAnswer] = useState<ImportAnswer | null>(null)
  const [error, setError] = useState<Error | null>(null)
  const reading = {
    tz, stamp: stamp === 'start' ? '' : stamp, price_scale: scale, time_format: format,
    map: Object.entries(map).filter(([, column]) => column).map(([field, column]) => field + '=' + column).join(','),
  }
  const asked = JSON.stringify(reading)
  // The reading that the preview is of: until it is this one, nothing is written.
  const [previewed, setPreviewed] = useState('')
  useEffect(() => {
    if (!file) return
    const gone = new AbortController()
    const later = setTimeout(async () => {
      const headers: Record<string, string> = { 'Content-Type': 'application/octet-stream' }
      if (token()) headers.Authorization = 'Bearer ' + token()
      const whole = /\.(gz|zst|zip|parquet|feather|arrow|tgz|tar|json)$/i.test(file.name)
      try {
        const r = await fetch('/v1/imports/preview' + query({ name: file.name, ...reading }), { method: 'POST', headers, signal: gone.signal, body: whole ? file : file.slice(0, previewBytes) })
        const v = (await r.json()) as Preview & { error?: { code: string; message: string } }
        if (!r.ok) throw new ApiError(r.status, v.error?.code ?? 'unknown', v.error?.message ?? `The server answered ${r.status}.`)
        setPreview(v)
        setPreviewed(asked)
        setError(null)
        if (!chosen.current) setInterval_(v.step ?? '') // another reading has another step
      } catch (e) {
        if (gone.signal.aborted) return
        setPreview(null)
        setError(e instanceof Error ? e : new Error('The file cannot be looked at.'))
      }
    }, 200)
    return () => { clearTimeout(later); gone.abort() }
  }, [file, asked])
  const take = (f: File | undefined | null) => {
    if (!f) return
    setFile(f)
    setAnswer(null)
    setPreview(null)
    setError(null)
    setMap({})
    chosen.current = false
    setInterval_('')
    setSymbol(f.name.replace(/[-_ ]?(1m|5m|15m|30m|1h|4h|1d)?([-_ ]\d{4}(-\d\d){0,2})?\.[^.]+(\.(gz|zst|zip))?$/i, '').replace(/[^A-Za-z0-9._\-:/^=]/g, '_').slice(0, 64))
  }
  const send = () =>
    new Promise<void>((done) => {
      setError(null)
      setAnswer(null)
      // fetch tells nothing of how far an upload is.
      const x = new XMLHttpRequest()
      x.open('POST', '/v1/bars' + query({ symbol, interval, source: 'import', on_conflict: conflict, ...reading }))
      if (token()) x.setRequestHeader('Authorization', 'Bearer ' + token())
      x.setRequestHeader('Content-Type', 'application/octet-stream')
      x.upload.onprogress = (e) => setSent(e.loaded / Math.max(1, e.total))
      x.onload = () => {
        try {
          const v = JSON.parse(x.responseText) as ImportAnswer & { error?: { message: string } }
          if (x.status === 200) setAnswer(v)
          else setError(new Error(v.error?.message ?? `The server answered ${x.status}.`))
        } catch {
          setError(new Error(`The server answered ${x.status}.`))
        }
        done()
      }
      x.onerror = () => {
        setError(new Error('The upload broke off. To send the file again changes nothing that is there.'))
        done()
      }
      x.send(file)
    })
  const d = preview?.detection
  return (
    <>
      <h1>Import</h1>
      <p class="lead">
        CSV, TSV, JSON, NDJSON, Parquet or Arrow, also compressed. What was detected is shown before anything is written; rows that cannot be bars go to quarantine.
        {!token() && <> To write needs a token: <a href="#/system">enter it</a>.</>}
      </p>
      <section class="panel">
        <div
          class={'drop' + (over ? ' over' : '')}
          onDragOver={(e) => { e.preventDefault(); setOver(true) }}
          onDragLeave={() => setOver(false)}
          onDrop={(e) => { e.preventDefault(); setOver(false); take(e.dataTransfer?.files[0]) }}
        >
          <label>
            {file ? `${file.name}, ${bytes(file.size)} ` : 'Drop a file here, or choose one: '}
            <input type="file" class={file ? 'chosen' : ''} aria-label="File to import" onChange={(e) => take(e.currentTarget.files?.[0])} />
          </label>
        </div>
        {file && (
          <>
            <h2>How it is read</h2>
            {d && (
              <p role="status">
                {d.format}{d.compression ? ` in ${d.compression}` : ''}, times as {d.time_format}{d.zone ? ` in ${d.zone}` : ''}{d.order ? `, ${d.order}` : ''}
                {preview.step ? `, a bar every ${preview.step}${d.step_share !== undefined && d.step_share < 1 ? ` (${Math.round(d.step_share * 100)}% of the steps)` : ''}` : ''}. {preview.rejected.length === 0 ? `None of the first ${count(preview.read)} rows is refused.` : `Of the first ${count(preview.read)} rows some are refused.`}
              </p>
            )}
            {d?.warnings?.map((w) => <p key={w} class="note warn">{w}</p>)}
            <div class="bar">
              {fields.map((f) => (
                <label key={f}>
                  {f}{' '}
                  <input size={8} aria-label={'Column of ' + f} placeholder={d?.columns[f] ?? 'column'} value={map[f] ?? ''} onInput={(e) => setMap({ ...map, [f]: e.currentTarget.value })} />
                </label>
              ))}
            </div>
            <div class="bar">
              <label>Zone of local times <input size={16} placeholder={d?.zone ?? 'America/New_York'} value={tz} onInput={(e) => setTz(e.currentTarget.value)} /></label>
              <label>
                Times are of the{' '}
                <select value={stamp} onChange={(e) => setStamp(e.currentTarget.value)}>
                  <option value="start">start of a bar</option>
                  <option value="end">end of a bar</option>
                </select>
              </label>
              <label>
                Dates{' '}
                <select value={format} onChange={(e) => setFormat(e.currentTarget.value)}>
                  <option value="">as detected</option>
                  <option value="mdy">month first</option>
                  <option value="dmy">day first</option>
                  {['s', 'ms', 'us', 'ns', 'ms-of-day'].map((x) => <option key={x} value={x}>numbers in {x}</option>)}
                </select>
              </label>
              <label>Divide prices by <input size={6} inputMode="numeric" placeholder="1" value={scale} onInput={(e) => setScale(e.currentTarget.value)} /></label>
            </div>
            {preview && preview.bars.length > 0 && (
              <div class="scroll">
                <table class="cards">
                  <caption>The first bars, as they would be written</caption>
                  <thead><tr><th>time</th>{fields.slice(1).map((f) => <th key={f} class="num">{f}</th>)}</tr></thead>
                  <tbody>
                    {preview.bars.map((b) => (
                      <tr key={b.time}>
                        <td class="when" data-label="time">{time(b.time)}</td>
                        {([b.open, b.high, b.low, b.close, b.volume]).map((v, i) => <td key={i} class="num" data-label={fields[i + 1]}>{v === null ? 'none' : String(v)}</td>)}
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            )}
            {preview && preview.rejected.length > 0 && <ul>{preview.rejected.map((r, i) => <li key={i}>{r.row ? `row ${r.row}` : ''} {r.time ? time(r.time) : ''}: {r.reason}</li>)}</ul>}
            <div class="bar">
              <label>Symbol <input value={symbol} onInput={(e) => setSymbol(e.currentTarget.value)} /></label>
              <label>
                Interval{' '}
                <select value={interval} onChange={(e) => { chosen.current = e.currentTarget.value !== ''; setInterval_(e.currentTarget.value) }}>
                  <option value="">choose</option>
                  {['1s', '5s', '15s', '30s', '1m', '3m', '5m', '15m', '30m', '1h', '2h', '4h', '6h', '8h', '12h', '1d', '3d', '1w', '1M'].map((i) => <option key={i}>{i}</option>)}
                </select>
              </label>
              <label>
                A bar that differs{' '}
                <select value={conflict} onChange={(e) => setConflict(e.currentTarget.value)}>
                  <option value="keep">leaves the stored one</option>
                  <option value="replace">replaces it</option>
                  <option value="quarantine">goes to quarantine</option>
                </select>
              </label>
              {preview && previewed === asked && symbol && interval ? <Action label="Import" main run={send} /> : <button class="act main" disabled>Import</button>}
            </div>
            {preview?.step && interval && preview.step !== interval && <p class="note warn" role="status">The rows are {preview.step} apart, and {interval} is chosen.</p>}
            {sent > 0 && sent < 1 && <progress max={1} value={sent} aria-label="upload" />}
          </>
        )}
        {error && <Failure error={error} />}
        {answer && (
          <div class="note ok" role="status">
            <p>
              Read {count(answer.read)} rows: {count(answer.written)} written, {count(answer.unchanged)} there already, {count(answer.conflicts)} differ, {count(answer.rejected.length + (answer.rejected_more ?? 0))} rejected.{' '}
              <a href={link(symbol, interval)}>Look at {symbol} {interval}</a>
            </p>
            <ul>{answer.rejected.slice(0, 10).map((r, i) => <li key={i}>{r.row ? `row ${r.row}` : ''} {r.time ? time(r.time) : ''}: {r.reason}</li>)}</ul>
          </div>
        )}
      </section>
    </>
  )
}
