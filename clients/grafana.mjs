// What the panels of docs/grafana.json and the example of docs/clients.md ask
// is asked for real: of Prometheus, which reads from the program, and of the
// program itself: node grafana.mjs PROGRAM [PROMETHEUS]
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const [program, prometheus] = process.argv.slice(2)
const docs = join(dirname(fileURLToPath(import.meta.url)), '../docs')
let passed = 0
let failed = 0
function check(what, ok, detail = '') {
  if (ok) passed++
  else failed++
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${what}${ok ? '' : ': ' + detail}`)
}

const wait = (ms) => new Promise((done) => setTimeout(done, ms))
const freePort = () => new Promise((done, fail) => {
  const probe = createServer()
  probe.on('error', fail)
  probe.listen(0, '127.0.0.1', () => {
    const { port } = probe.address()
    probe.close(() => done(port))
  })
})
const end = (child) => new Promise((done) => {
  child.on('exit', done)
  child.kill('SIGTERM')
})

// A demo has holes, bad ticks and vendors, one of which fails.
const demo = spawn(program, ['demo', '--listen', '127.0.0.1:0'])
let said = ''
const base = await new Promise((done, fail) => {
  const hear = (d) => {
    said += d
    const m = said.match(/serving .* on (http:\/\/\S+)/)
    if (m) done(m[1])
  }
  demo.stdout.on('data', hear)
  demo.stderr.on('data', hear)
  demo.on('exit', () => fail(new Error('it ended:\n' + said)))
})
const token = said.match(/barkeep_[\w-]{20,}/)?.[0] ?? ''
const ask = (path, body) => fetch(base + path, { method: body ? 'POST' : 'GET', headers: { Authorization: 'Bearer ' + token }, body: body && JSON.stringify(body) })

const work = await mkdtemp(join(tmpdir(), 'barkeep-grafana-'))
let reader
try {
  const { series } = await (await ask('/v1/series')).json()
  const { symbol, interval } = series[0]
  const name = `symbol=${encodeURIComponent(symbol)}&interval=${interval}`

  // The example for the data source Infinity.
  const text = await readFile(join(docs, 'clients.md'), 'utf8')
  const example = text.match(/the URL `(\S+)` and the root selector `(\w+)`. The columns ([^.]+)\./)
  const from = series[0].first ?? series[0].from
  const address = example[1].replace('http://127.0.0.1:8080', base).replace(/symbol=\w+&interval=\w+/, name).replace('${__from}', from).replace('${__to}', from + 3600_000)
  const rows = (await (await fetch(address)).json())[example[2]]
  const columns = [...example[3].matchAll(/`(\w+)`/g)].map((m) => m[1])
  check('Infinity: a flat list of rows', Array.isArray(rows) && rows.length > 1 && rows.every((r) => columns.every((c) => typeof r[c] === 'number')), JSON.stringify(rows?.[0]))
  check('Infinity: within ${__from} and ${__to}, in order', rows.every((r, i) => r.time >= from && r.time < from + 3600_000 && (i === 0 || r.time > rows[i - 1].time)))

  const { panels, templating } = JSON.parse(await readFile(join(docs, 'grafana.json'), 'utf8'))
  const queries = panels.flatMap((p) => (p.targets ?? []).map((t) => ({ title: p.title, expr: t.expr })))
  check('the dashboard has queries', queries.length > 30, String(queries.length))

  // Something of everything happens.
  await ask('/endpoints/test', {})
  await ask('/data/repair', { symbol, interval, now: true })
  await ask('/v1/bars?' + name)
  await wait(1000)
  const metrics = await (await fetch(base + '/metrics')).text()
  const have = new Set([...metrics.matchAll(/^([a-z0-9_]+)(?:\{| )/gm)].map((m) => m[1]))
  // Without an error of a vendor there is no series of errors.
  const none = new Set(['barkeep_endpoint_errors_total'])
  const asked = new Set(queries.flatMap((q) => q.expr.match(/\b(?:barkeep|process|go)_\w+/g)))
  for (const n of asked) check(`/metrics has ${n}`, have.has(n) || none.has(n))

  if (!prometheus) {
    console.log('Prometheus is not here: its queries were not run')
  } else {
    const port = await freePort()
    await writeFile(join(work, 'prometheus.yml'), `scrape_configs: [{job_name: barkeep, scrape_interval: 1s, static_configs: [{targets: ['${base.replace('http://', '')}']}]}]\n`)
    reader = spawn(prometheus, [`--config.file=${join(work, 'prometheus.yml')}`, `--storage.tsdb.path=${join(work, 'tsdb')}`, `--web.listen-address=127.0.0.1:${port}`], { stdio: 'ignore' })
    const api = `http://127.0.0.1:${port}/api/v1/`
    const query = async (expr) => (await fetch(`${api}query?query=${encodeURIComponent(expr)}`)).json()
    for (let i = 0; i < 60; i++) {
      await wait(500)
      const r = await query('count_over_time(barkeep_store_bars[1m])').catch(() => null)
      if (Number(r?.data?.result?.[0]?.value?.[1]) >= 4) break
      await ask('/v1/bars?' + name) // so that rates have something to count
    }
    const target = (await (await fetch(api + 'targets')).json()).data.activeTargets[0]
    check('Prometheus reads from the program', target.health === 'up', target.lastError)
    const jobs = await (await fetch(`${api}label/job/values?match[]=barkeep_store_bars`)).json()
    check(`the variable ${templating.list[1].name} has values`, jobs.data.includes('barkeep'))
    for (const q of queries) {
      const r = await query(q.expr.replaceAll('$job', '.*'))
      const values = r.data?.result ?? []
      const may = [...none].some((n) => q.expr.includes(n))
      check(`${q.title}: ${q.expr.replace('{job=~"$job"}', '')}`, r.status === 'success' && (values.length > 0 || may) && values.every((v) => v.value[1] !== 'NaN' || q.expr.startsWith('histogram_quantile')), JSON.stringify(r).slice(0, 300))
    }
  }
} catch (e) {
  check('Grafana', false, e.stack)
} finally {
  if (reader) await end(reader)
  await end(demo)
  await rm(work, { recursive: true, force: true })
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed ? 1 : 0)
