// The answers of the API, as docs/http.md describes them. Times are Unix
// milliseconds UTC.

export type State =
  | 'observed' | 'corrected' | 'synthetic' | 'no_trade' | 'closed' | 'halted' | 'unlisted' | 'outage'
  | 'missing' | 'unavailable' | 'quarantined' | 'forming' | 'unknown'

export interface Parts {
  completeness: number | null
  validity: number | null
  consistency: number | null
  freshness: number | null
}

export interface SeriesHealth {
  symbol: string
  interval: string
  score: number | null
  parts: Parts
  states: Partial<Record<State, number>>
  bars: number
  missing: number
  gaps: number
  worst: { from: number; to: number; score: number } | null
  first: number | null
  last: number | null
  freshness_s: number
  bars_behind: number
}

export interface DataHealth {
  at: number
  status: 'healthy' | 'degraded' | 'unhealthy'
  series: SeriesHealth[]
  totals: {
    series: number
    bars: number
    missing: number
    gaps: number
    quarantined: number
    score: number | null
    completeness: number | null
    worst_score: number | null
    states: Partial<Record<State, number>>
  }
}

export interface Endpoint {
  name: string
  group: string
  provider: string
  url: string
  grade: string
  priority: number
  breaker: string
  availability: number
  requests: number
  successes: number
  errors: number
  error_kinds: Record<string, number>
  bars: number
  latency_p50_ms: number
  latency_p95_ms: number
  latency_p99_ms: number
  budget: { left: number; most: number; window_s: number }[]
  paused_until: number | null
  paused_why?: string
  last_error: { time: number; kind: string; text: string } | null
  last_good: number | null
  next_probe: number | null
  changes: { time: number; state: string; why?: string; until: number | null }[]
  stretches: EndpointStretch[]
}

export interface EndpointStretch {
  from: number
  requests: number
  error_kinds: Record<string, number>
}

export interface Component {
  name: string
  state: string
  since: number
  failures: number
  restarts: number
  error?: string
  next_start: number | null
}

export interface Alert {
  id: string
  rule: string
  type: string
  severity: 'warning' | 'critical'
  subject: string
  state: string
  since: number
  resolved?: number
  silenced_until?: number
  by?: string
  detail: string
}

export interface Status {
  at: number
  status: string
  checks: Record<string, { status: string; detail: string }>
  version: string
  started: number
  uptime_s: number
  store: Record<string, unknown>
  data: DataHealth
  healing: { queued: number; running: Repair | null }
  endpoints: Endpoint[]
  components: Component[]
  resources: { goroutines: number; heap_bytes: number; sys_bytes: number; cpus: number }
  alerts: Alert[]
}

export interface Step {
  from: number
  to: number
  bars: number
  state?: State
  reason?: string
  fill?: string
  requests?: number
}

export interface Plan {
  series: {
    symbol: string
    interval: string
    missing: number
    waiting: number
    sources: string[]
    no_sources?: string
    explain: Step[]
    audits: Step[]
    windows: Step[]
    fills: Step[]
  }[]
  bars: number
  requests: number
  takes_ns: number
  over?: string
}

export interface Repair {
  id: string
  request: { symbol: string; interval?: string; repair_type: string; actor?: string }
  status: string
  asked: number
  started?: number
  ended?: number
  plan?: Plan
  step: number
  steps: number
  outcomes: { symbol: string; interval: string; from: number; to: number; written: number; sources?: string[]; rejected?: string[]; states?: Record<string, number>; error?: string }[] | null
  bars_written: number
  bars_filled: number
  requests: number
  error?: string
  states?: Record<string, number>
}

export interface Gap {
  from: number
  to: number
  bars: number
  state: State
  reason: string
  attempts: number
  next_try: number | null
  fill?: string
}

export interface Run {
  from: number
  to: number
  state: State
  bars: number
}

export interface BarColumns {
  time: number[]
  open: (number | null)[]
  high: (number | null)[]
  low: (number | null)[]
  close: (number | null)[]
  volume: (number | null)[]
  kind: string[]
  source: string[]
}

export interface Finding {
  symbol: string
  interval: string
  rule: string
  severity: string
  action: string
  from: number
  to: number
  bars: number
  evidence: string
}

export interface Aside {
  id: number
  symbol: string
  interval: string
  time: number | null
  reason: string
  source: string
  raw: string
  at: number
}

export interface AuditEntry {
  seq: number
  op: string
  symbol: string
  interval: string
  at: number
  source?: string
  actor?: string
  cause?: string
  repair?: string
  rule?: string
  evidence?: string
  added: number
  replaced: number
  removed: number
  explained: { from: number; to: number }[]
  before: { time: number; open: number | null; high: number | null; low: number | null; close: number | null }[]
  after: { time: number; open: number | null; high: number | null; low: number | null; close: number | null }[]
}

export interface Setting {
  key: string
  value: string
  default: string
  from: string
  doc: string
  live: boolean
}

export interface Token {
  id: string
  name: string
  role: string
  created: number
  expires?: number
  revoked?: number
}
