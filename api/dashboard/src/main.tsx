import { render } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import icon from './icon.svg'
import { get } from './api'
import { live } from './live'
import { List, Overview } from './overview'
import { Alerts, Endpoints, Import, Quarantine, Repairs, System } from './pages'
import { useLoad } from './parts'
import { Series } from './series'
import type { Alert } from './types'
import './style.css'

function route(): { page: string; rest: string[]; q: URLSearchParams } {
  const [path, search = ''] = location.hash.replace(/^#\/?/, '').split('?')
  const [page = '', ...rest] = path.split('/').map((p) => {
    try {
      return decodeURIComponent(p)
    } catch {
      return p
    }
  })
  return { page, rest, q: new URLSearchParams(search) }
}

const items: [string, string][] = [
  ['', 'Overview'], ['list', 'Series'], ['endpoints', 'Endpoints'], ['alerts', 'Alerts'], ['repairs', 'Repairs'], ['quarantine', 'Quarantine'], ['import', 'Import'], ['system', 'System'],
]

function App() {
  const [at, go] = useState(route())
  const [on, setOn] = useState<boolean | undefined>(undefined)
  const [turn, next] = useState(0)
  const [theme, setTheme] = useState(localStorage.getItem('barkeep.theme') ?? (matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark'))
  useEffect(() => {
    const move = () => {
      go(route())
      document.querySelector('main')?.focus({ preventScroll: true })
      scrollTo(0, 0)
    }
    addEventListener('hashchange', move)
    go(route()) // it may have changed before anybody listened
    live.start()
    const leave = live.listen((h) => h.kind === 'live' && setOn(Boolean(h.data)))
    return () => {
      removeEventListener('hashchange', move)
      leave()
    }
  }, [])
  useEffect(() => {
    document.documentElement.dataset.theme = theme
    localStorage.setItem('barkeep.theme', theme)
  }, [theme])
  const alerts = useLoad<{ alerts: Alert[] }>((s) => get('/alerts', s), [], ['alert'], 60_000)
  const firing = alerts.data?.alerts.filter((a) => a.state === 'firing').length ?? 0
  const current = at.page === 'series' ? 'list' : at.page
  document.title = (items.find(([p]) => p === current)?.[1] ?? 'Barkeep') + ' – Barkeep'
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.querySelector('main')?.focus() }}>Skip to the content</a>
      <nav class="side" aria-label="Pages">
        <a class="brand" href="#/">
          <img src={icon} alt="" />
          Barkeep
        </a>
        {items.map(([page, name]) => (
          <a key={page} class="item" href={'#/' + page} aria-current={current === page ? 'page' : undefined}>
            {name}
            {page === 'alerts' && firing > 0 && <span class="badge">{firing}<span class="sr"> firing</span></span>}
          </a>
        ))}
        <div class="foot">
          <span role="status" class={on === undefined ? '' : on ? 'good' : 'warn'}>{on === undefined ? '○ connecting' : on ? '● live' : '○ not live: what you see may be old'}</span>
          <a href="/docs">API</a>
        </div>
      </nav>
      <main tabIndex={-1} id="main" key={turn}>
        <Page {...at} theme={theme} setTheme={setTheme} redraw={() => next((n) => n + 1)} />
      </main>
    </div>
  )
}

function Page({ page, rest, q, theme, setTheme, redraw }: ReturnType<typeof route> & { theme: string; setTheme: (t: string) => void; redraw: () => void }) {
  switch (page) {
    case '':
      return <Overview />
    case 'list':
      return <List />
    case 'series': {
      const at = q.get('at')
      if (rest.length >= 2) return <Series key={rest.join('/')} symbol={rest.slice(0, -1).join('/')} interval={rest[rest.length - 1]} at={at ? Number(at) : undefined} />
      return <List />
    }
    case 'endpoints':
      return <Endpoints />
    case 'alerts':
      return <Alerts />
    case 'repairs':
      return <Repairs id={rest[0]} />
    case 'quarantine':
      return <Quarantine />
    case 'import':
      return <Import />
    case 'system':
      return <System theme={theme} setTheme={setTheme} redraw={redraw} />
  }
  return (
    <>
      <h1>There is no such page</h1>
      <p>
        <a href="#/">To the overview</a>
      </p>
    </>
  )
}

render(<App />, document.getElementById('app')!)
