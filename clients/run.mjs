// Runs the examples of docs/clients.md with the real clients against the real
// program: node run.mjs PROGRAM PYTHON
import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Feed, seconds } from './udf.mjs'

const [program, python] = process.argv.slice(2)
const here = dirname(fileURLToPath(import.meta.url))
const work = await mkdtemp(join(tmpdir(), 'barkeep-clients-'))
const exec = promisify(execFile)
const start = 1704067200000 // 2024-01-01
const count = 12000
let passed = 0
let failed = 0

// check runs f and compares what it returns, as JSON.
async function check(what, want, f) {
  let got
  try {
    got = JSON.stringify(await f())
  } catch (e) {
    got = String(e.stderr || e.stack || e)
  }
  const ok = got === JSON.stringify(want)
  if (ok) passed++
  else failed++
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${what}${ok ? '' : `: ${got}, not ${JSON.stringify(want)}`}`)
}

// Examples are the blocks of the page, by heading and language.
const examples = {}
let heading = ''
for (const m of (await readFile(join(here, '../docs/clients.md'), 'utf8')).matchAll(/^## (.*)$|^```(\w+)\n([^]*?)^```$/gm)) {
  if (m[1]) heading = m[1]
  else examples[`${heading} ${m[2]}`] = m[3]
}

async function serve(dir, env = {}) {
  const child = spawn(program, ['serve', '--data', dir, '--listen', '127.0.0.1:0'], { env: { ...process.env, ...env } })
  let text = ''
  const base = await new Promise((done, fail) => {
    const hear = (d) => {
      text += d
      const m = text.match(/serving .* on (http:\/\/\S+)/)
      if (m) done(m[1])
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.on('exit', () => fail(new Error('it ended:\n' + text)))
  })
  const end = () => new Promise((done) => {
    child.on('exit', done)
    child.kill('SIGTERM')
  })
  return { base, dir, end, token: (await readFile(join(dir, 'token'), 'utf8')).trim() }
}

// forServer turns an example of the page into one for a server.
function forServer(name, s) {
  const text = examples[name]
  if (!text) throw new Error('docs/clients.md has no example ' + name)
  return text.replaceAll('http://127.0.0.1:8080', s.base).replaceAll('data/token', join(s.dir, 'token'))
}

async function py(code) {
  const { stdout } = await exec(python, ['-c', 'import json\n' + code], { timeout: 60_000 })
  return JSON.parse(stdout.trim().split('\n').at(-1))
}

async function js(code) {
  const path = join(here, `example-${process.pid}.mjs`) // beside node_modules
  await writeFile(path, code)
  try {
    const { stdout } = await exec(process.execPath, [path], { timeout: 60_000 })
    return JSON.parse(stdout.trim().split('\n').at(-1))
  } finally {
    await rm(path)
  }
}

const sh = async (code) => (await exec('bash', ['-ec', code], { timeout: 30_000 })).stdout
const duckdb = (setup, sql) => py(`
import duckdb, pathlib
db = duckdb.connect()
db.execute("LOAD '%s'" % next(pathlib.Path(duckdb.__file__).parent.parent.glob("duckdb_ext/extensions/v" + duckdb.__version__ + "/*/httpfs.duckdb_extension")))
db.execute("""${setup}""")
print(json.dumps(db.execute("""${sql}""").fetchall()))`)

// charts does what a chart of TradingView does.
async function charts(s) {
  const feed = new Feed(s.base + '/udf')
  const end = start / 1000 + count * 60
  const fails = (p) => p.then(() => 'nothing', (e) => e.message)
  await check('TradingView: config and time', true, async () => (await feed.ready()).supports_search)
  await check('TradingView: search', [['BTCUSDT'], [], ['BTCUSDT'], 1], async () => [
    (await feed.search('btc')).map((x) => x.symbol), await feed.search('nope'), (await feed.search('BTC', 'crypto')).map((x) => x.symbol), (await feed.search('', '', '', 1)).length,
  ])
  const btc = await feed.resolve('BTCUSDT').catch(() => ({}))
  await check('TradingView: resolve', ['BTCUSDT', 100, true, true, 'unknown_symbol'], async () => [btc.ticker, btc.pricescale, btc.has_intraday, btc.has_daily, await fails(feed.resolve('NOPE'))])
  await check('TradingView: all of history, 300 bars at a time', [count, 40, start / 1000, 100.25], async () => {
    const h = await feed.history(btc, '1', end)
    return [h.bars.length, h.pages, h.bars[0].time, h.bars[0].close]
  })
  await check('TradingView: every resolution', [], async () => {
    const wrong = []
    for (const r of btc.supported_resolutions) {
      const h = await feed.history(btc, r, end + 40 * 86400)
      const want = Math.ceil((count * 60) / seconds(r))
      if (h.bars.length < want || h.bars.length > want + 1) wrong.push([r, h.bars.length, want])
    }
    return wrong
  })
  await check('TradingView: countback beats from', [[50, end - 50 * 60], [2, end - 120]], async () => {
    const many = await feed.bars(btc, '1', end - 60, end, 50)
    const few = await feed.bars(btc, '1', end - 6000, end, 2)
    return [[many.bars.length, many.bars[0].time], [few.bars.length, few.bars[0].time]]
  })
  await check('TradingView: a range without countback, its end exclusive', [10, end - 660, end - 120], async () => {
    const { bars } = await feed.bars(btc, '1', end - 660, end - 60)
    return [bars.length, bars[0].time, bars.at(-1).time]
  })
  await check('TradingView: no data, and where the next is', [[true, end - 60], [true, undefined ?? null]], async () => {
    const late = await feed.bars(btc, '1', end + 86400, end + 2 * 86400)
    const early = await feed.bars(btc, '1', start / 1000 - 86400, start / 1000, 10)
    return [[late.noData, late.nextTime], [early.noData, early.nextTime ?? null]]
  })
  await check('TradingView: errors', ['unknown_symbol', 'unknown resolution'], async () => [await fails(feed.bars({ ticker: 'NOPE' }, '1', 0, end)), await fails(feed.bars(btc, '7', 0, end))])
  // A bar that is still growing, then one behind it, as they come in.
  await check('TradingView: live', [[0, 1.5], [0, 1.75], [0, 1.9], [60, 2.5]], async () => {
    const minute = Math.floor(Date.now() / 60_000) * 60
    const live = new Feed(s.base + '/udf', () => minute + 90)
    const write = (rows) => sh(`curl -sf -X POST '${s.base}/v1/bars?symbol=LIVE&interval=1m' -H 'Authorization: Bearer ${s.token}' -H 'Content-Type: text/csv' --data-binary $'time,open,high,low,close,volume\n${rows}'`)
    const told = []
    const state = {}
    const bar = (at, close) => `${(minute + at) * 1000},1,3,0.5,${close},1\\n`
    for (const rows of [bar(0, 1.5), bar(0, 1.75), bar(0, 1.9) + bar(60, 2.5)]) {
      await write(rows)
      live.config ??= await live.ready().catch(() => feed.config)
      await live.poll(await live.resolve('LIVE'), '1', (b) => told.push([b.time - minute, b.close]), state)
    }
    return told
  })
}

let rows = 'time,open,high,low,close,volume\n'
for (let i = 0; i < count; i++) {
  const p = 100 + (i % 700) / 10
  rows += `${start + i * 60_000},${p},${p + 0.5},${p - 0.5},${p + 0.25},1.5\n`
}
await writeFile(join(work, 'bars.csv'), rows)
const dir = join(work, 'data')
await exec(program, ['import', join(work, 'bars.csv'), '--symbol', 'BTCUSDT', '--interval', '1m', '--data', dir])

try {
  const s = await serve(dir)
  await check('pandas', [200, 110.15], () => py(forServer('pandas python', s) + 'print(json.dumps([len(df), df["close"].iloc[-1]]))'))
  await check('polars', ['time', 'close'], () => py(forServer('polars python', s) + 'print(json.dumps(df.columns if df.height > 1000 and df["close"].min() > 150 else df.height))'))
  await check('pyarrow', [200, 'time'], () => py(forServer('Arrow python', s) + 'print(json.dumps([table.num_rows, table.column_names[0]]))'))
  await check('DuckDB', [[count, 170.15]], () => duckdb('SELECT 1', forServer('DuckDB sql', s)))
  await check('hyparquet', [10, 100.25], () => js(forServer('hyparquet js', s) + 'console.log(JSON.stringify([rows.length, rows[0].close]))'))
  await check('ccxt', [1000, start, 100.25], () => js(forServer('ccxt js', s) + 'console.log(JSON.stringify([rows.length, rows[0][0], rows[0][4]]))'))
  await check('ccxt: ten pages', [10_000, 10_000], () => js(forServer('ccxt js', s) + `
    const times = new Set()
    let n = 0
    for (let i = 0, since = ${start}; i < 10; i++) {
      const page = await ex.fetchOHLCV('BTC/USDT', '1m', since, 1000)
      n += page.length
      for (const r of page) times.add(r[0])
      since = page.at(-1)[0] + 60_000
    }
    console.log(JSON.stringify([n, times.size]))`))
  await check('ccxt: every interval', ['1s'], () => js(forServer('ccxt js', s) + `
    const empty = [] // finer than what is stored
    for (const t of Object.keys(ex.timeframes)) {
      let page = []
      try { page = await ex.fetchOHLCV('BTC/USDT', t, ${start}, 2) } catch (e) { if (t !== '1s') throw e }
      if (page.length === 0) empty.push(t)
      else if (page[0][1] !== 100 && t !== '1w' && t !== '1M' && t !== '3d') throw new Error(t + ' ' + page[0])
    }
    console.log(JSON.stringify(empty))`))
  await check('ccxt: unknown symbol', ['BadSymbol', 'BadSymbol'], () => js(forServer('ccxt js', s) + `
    const names = []
    try { await ex.fetchOHLCV('NO/PE', '1m') } catch (e) { names.push(e.constructor.name) }
    ex.markets['NO/PE'] = { ...ex.markets['BTC/USDT'], id: 'NOPE', symbol: 'NO/PE' }
    try { await ex.fetchOHLCV('NO/PE', '1m') } catch (e) { names.push(e.constructor.name) }
    console.log(JSON.stringify(names))`))
  await check('ccxt: futures are none', ['BTC/USDT'], () => js(`
    import ccxt from 'ccxt'
    const ex = new ccxt.binance()
    for (const [name, path] of [['public', 'api/v3'], ['fapiPublic', 'fapi/v1'], ['dapiPublic', 'dapi/v1']]) ex.urls.api[name] = '${s.base}/compat/binance/' + path
    console.log(JSON.stringify(Object.keys(await ex.loadMarkets())))`))
  await check('python-binance', [2881, start, '100.25000000'], () => py(forServer('python-binance python', s) + 'print(json.dumps([len(rows), rows[0][0], rows[0][4]]))'))
  await check('curl writes lines, influxdb-client too', [1.5, 1.25], async () => {
    await sh(forServer('InfluxDB line protocol sh', s))
    await py(forServer('InfluxDB line protocol python', s) + 'print(1)')
    const { bars } = await (await fetch(s.base + '/v1/bars?symbol=ETH/USDT&interval=1m')).json()
    return bars.map((b) => b.close)
  })
  await check('influxdb-client: an error names the line', true, () => py(`
from influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
with InfluxDBClient("${s.base}", token="${s.token}", org="-") as client:
    try:
        client.write_api(write_options=SYNCHRONOUS).write("-", record="X,interval=1m open=1 1\\nX,interval=1m open=", write_precision="s")
    except ApiException as e:
        print(json.dumps("line " in e.body))`))
  await charts(s)
  await s.end()

  const closed = await serve(dir, { BARKEEP_SERVER_OPEN_READS: 'false' })
  const bars = closed.base + '/v1/bars?symbol=BTCUSDT&interval=1m&format=parquet'
  const link = closed.base + JSON.parse(await sh(forServer('Links sh', closed))).url
  await check('closed: nothing without a token', [401, 401, 200], async () =>
    [(await fetch(bars)).status, (await fetch(bars, { method: 'HEAD' })).status, (await fetch(link, { method: 'HEAD' })).status])
  await check('closed: pandas with a token', count, () => py(`
import pandas as pd
print(len(pd.read_parquet("${bars}", storage_options={"Authorization": "Bearer ${closed.token}"})))`))
  await check('closed: polars by a link', 170.15, () => py(`
import polars as pl
print(pl.scan_parquet("${link}").select(pl.col("close").max()).collect().item())`))
  await check('closed: DuckDB with a token', [[count]], () => duckdb(`CREATE SECRET (TYPE http, BEARER_TOKEN '${closed.token}', SCOPE '${closed.base}')`, `SELECT count(*) FROM read_parquet('${bars}')`))
  await check('closed: DuckDB by a link', [[count]], () => duckdb('SELECT 1', `SELECT count(*) FROM read_parquet('${link}')`))
  await check('closed: hyparquet by a link', 3, () => js(`
    import { asyncBufferFromUrl, parquetReadObjects } from 'hyparquet'
    import { compressors } from 'hyparquet-compressors'
    console.log((await parquetReadObjects({ file: await asyncBufferFromUrl({ url: '${link}' }), compressors, columns: ['close'], rowStart: 5000, rowEnd: 5003 })).length)`))
  await check('closed: ccxt with a token', 'BTC/USDT', () => js(forServer('ccxt js', closed).replace('binance({', `binance({ headers: { Authorization: 'Bearer ${closed.token}' },`) + 'console.log(JSON.stringify(Object.keys(ex.markets)[0]))'))
  await closed.end()
} finally {
  await rm(work, { recursive: true, force: true })
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed ? 1 : 0)
