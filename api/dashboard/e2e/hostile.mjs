// What a hostile page in the operator's own browser can do to the program: each
// way to ask that a browser has, from other origins, and under a name that is
// pointed at the program (DNS rebinding). The same page attacks a server without
// any defence first, so that a try that proves nothing is seen:
// node e2e/hostile.mjs PROGRAM
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const program = process.argv[2]
const marker = '98765.4321' // a stored price: nobody else may learn it
let passed = 0
let failed = 0

function check(what, ok, detail = '') {
  if (ok) passed++
  else failed++
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${what}${ok ? '' : ': ' + detail}`)
}

const listen = (handle, port = 0) => new Promise((done, fail) => {
  const s = createServer(handle)
  s.on('error', fail)
  s.listen(port, '127.0.0.1', () => done(s))
})
const close = (s) => new Promise((done) => {
  s.close(done)
  s.closeAllConnections()
})

// start runs the program until it serves.
async function start(dir, port) {
  const child = spawn(program, ['serve', '--data', dir, '--listen', `127.0.0.1:${port}`], {
    env: { ...process.env, BARKEEP_DATA_HEALING_AUTO_REPAIR_ENABLED: 'false', BARKEEP_LOG_LEVEL: 'debug', BARKEEP_LOG_FORMAT: 'json' },
  })
  let text = ''
  let log = ''
  await new Promise((done, fail) => {
    child.stdout.on('data', (d) => {
      text += d
      if (/serving .* on http/.test(text)) done()
    })
    child.stderr.on('data', (d) => (log += d))
    child.on('exit', () => fail(new Error('it ended:\n' + text + log)))
  })
  const stop = () => new Promise((done) => {
    child.on('exit', done)
    child.kill('SIGTERM')
  })
  const requests = () => log.split('\n').filter((l) => l.includes('"msg":"request"')).map((l) => JSON.parse(l))
  return { base: `http://127.0.0.1:${port}`, token: (await readFile(join(dir, 'token'), 'utf8')).trim(), stop, requests }
}

const somebody = '<!DOCTYPE html><title>evil</title><body>a page of somebody else</body>'

// attack runs inside the hostile page. Each try returns what it learnt: a text,
// or nothing. target is where the program is, token one that has leaked, files
// are three files of the dashboard.
async function attack([target, token, marker, files]) {
  const bars = target + '/v1/bars?symbol=SECRET&interval=1h'
  const rows = 'time,open,high,low,close,volume\n1704067200000,1,2,0.5,1.5,3\n'
  const auth = { Authorization: 'Bearer ' + token }
  const write = target + '/v1/bars?interval=1h&symbol='
  const wait = (ms) => new Promise((done) => setTimeout(done, ms))
  const text = async (r) => (r.type === 'opaque' ? '' : `${r.status} ${await r.text()}`)
  const element = (name, attributes, after = 1500) => new Promise((done) => {
    const e = document.createElement(name)
    const end = (what) => done({ e, what })
    e.onload = () => end('load')
    e.oncanplay = () => end('load')
    e.onerror = () => end('error')
    Object.assign(e, attributes)
    document.body.append(e)
    setTimeout(() => end('nothing'), after)
  })
  // A document of the target in a frame, and its text.
  const framed = async (name, address) => {
    const { e, what } = await element(name, { [name === 'object' ? 'data' : 'src']: address, width: 400, height: 300 })
    await wait(300)
    let inside = ''
    try {
      inside = e.contentDocument?.documentElement?.textContent ?? ''
    } catch { /* of another origin */ }
    return { what, inside, e }
  }
  const form = async (enctype, address, fields) => {
    const frame = document.createElement('iframe')
    frame.name = 'f' + Math.random()
    const f = document.createElement('form')
    Object.assign(f, { method: 'POST', enctype, action: address, target: frame.name })
    for (const [name, value] of Object.entries(fields)) {
      const i = document.createElement('textarea')
      Object.assign(i, { name, value })
      f.append(i)
    }
    document.body.append(frame, f)
    f.submit()
    await wait(500)
    try {
      return frame.contentDocument?.documentElement?.textContent ?? ''
    } catch {
      return ''
    }
  }
  const opened = async (address) => {
    const w = window.open(address)
    if (!w) return ''
    await wait(700)
    let got = ''
    try {
      got = w.document.documentElement.textContent
    } catch { /* of another origin */ }
    try {
      w.close()
    } catch { /* it is out of reach */ }
    return got
  }
  const stream = (address) => new Promise((done) => {
    const s = new EventSource(address)
    const end = (v) => {
      s.close()
      done(v)
    }
    s.onopen = () => end('open')
    s.addEventListener('hello', () => end('hello'))
    s.onerror = () => end('')
    setTimeout(() => end(''), 1500)
  })
  const socket = (address) => new Promise((done) => {
    const s = new WebSocket(address.replace(/^http/, 'ws'))
    s.onopen = () => done('open')
    s.onerror = () => done('')
    setTimeout(() => done(''), 1500)
  })
  const worker = (code) => new Promise((done) => {
    const w = new Worker(URL.createObjectURL(new Blob([code])))
    w.onmessage = (m) => done(String(m.data))
    w.onerror = () => done('')
    setTimeout(() => done(''), 1500)
  })
  const simple = (path, type, body, more = {}) => fetch(target + path, { method: 'POST', mode: 'no-cors', headers: { 'Content-Type': type }, body, ...more }).then(text)

  const tries = {
    'fetch GET': () => fetch(bars).then(text),
    'fetch GET without CORS': () => fetch(bars, { mode: 'no-cors' }).then(text),
    'fetch GET with cookies': () => fetch(bars, { credentials: 'include' }).then(text),
    'fetch GET that keeps on after the page': () => fetch(bars, { keepalive: true }).then(text),
    'fetch GET of a range': () => fetch(bars + '&format=parquet', { headers: { Range: 'bytes=0-99' } }).then(text),
    'fetch GET with the token (preflight)': () => fetch(bars, { headers: auth }).then(text),
    'fetch HEAD': () => fetch(bars, { method: 'HEAD' }).then((r) => r.status + (r.headers.get('ETag') ?? '')),
    'XMLHttpRequest': () => new Promise((done) => {
      const x = new XMLHttpRequest()
      x.onload = () => done(x.responseText)
      x.onerror = () => done('')
      x.open('GET', bars)
      x.send()
    }),
    'fetch of the metrics': () => fetch(target + '/metrics').then(text),
    'fetch of the settings': () => fetch(target + '/v1/config').then(text),
    'fetch of the dashboard': () => fetch(target + '/').then(text),
    'fetch POST text/plain': () => simple('/v1/bars?interval=1h&symbol=EVIL1', 'text/plain', rows),
    'fetch POST urlencoded': () => simple('/v1/bars?interval=1h&symbol=EVIL2', 'application/x-www-form-urlencoded', rows),
    'fetch POST multipart': () => simple('/v1/bars?interval=1h&symbol=EVIL3', 'multipart/form-data; boundary=x', rows),
    'fetch POST without a type': () => fetch(write + 'EVIL4', { method: 'POST', mode: 'no-cors', body: new Blob([rows]) }).then(text),
    'fetch POST of lines': () => simple('/api/v2/write?precision=s', 'text/plain', 'EVIL5,interval=1h open=1,high=2,low=1,close=2,volume=3 1704067200'),
    'fetch POST JSON (preflight)': () => fetch(target + '/v1/tokens', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"name":"evil","role":"admin"}' }).then(text),
    'fetch POST with the token (preflight)': () => fetch(write + 'EVIL6', { method: 'POST', headers: { 'Content-Type': 'text/csv', ...auth }, body: rows }).then(text),
    'fetch PUT with the token (preflight)': () => fetch(target + '/v1/config', { method: 'PUT', headers: { 'Content-Type': 'application/json', ...auth }, body: '{"log.level":"error"}' }).then(text),
    'fetch DELETE with the token (preflight)': () => fetch(bars + '&all=true', { method: 'DELETE', headers: auth }).then(text),
    'fetch POST of a restart': () => simple('/system/restart', 'text/plain', '{}'),
    'sendBeacon': async () => {
      navigator.sendBeacon(write + 'EVIL7', rows)
      await wait(200)
    },
    'form text/plain': () => form('text/plain', write + 'EVIL8', { 'time,open,high,low,close,volume\n1704067200000,1,2,0.5,1.5,3\n': '' }),
    'form multipart': () => form('multipart/form-data', write + 'EVIL9', { file: rows }),
    'form urlencoded': () => form('application/x-www-form-urlencoded', target + '/system/restart', { component: 'alerter' }),
    'form GET': () => framed('iframe', bars).then((x) => x.inside),
    'img': () => element('img', { src: target + files.icon + '?' + Math.random() }).then((x) => (x.what === 'load' ? `${x.e.naturalWidth} px` : '')),
    'img of bars': () => element('img', { src: bars }).then((x) => (x.what === 'load' ? 'load' : '')),
    'video': () => element('video', { src: bars, preload: 'auto' }).then((x) => (x.what === 'load' ? 'load' : '')),
    'script': async () => {
      const seen = []
      const hear = (e) => seen.push(e.message)
      window.addEventListener('error', hear)
      const { what } = await element('script', { src: bars + '&format=csv' })
      window.removeEventListener('error', hear)
      return what === 'load' || seen.some((m) => m !== 'Script error.') ? `${what} ${seen}` : ''
    },
    'script of the dashboard': () => element('script', { src: target + files.script }).then((x) => (x.what === 'load' ? 'load' : '')),
    'import()': () => import(target + files.script).then(() => 'load'),
    'style sheet': () => element('link', { rel: 'stylesheet', href: target + files.style }).then((x) => (x.what === 'load' ? 'load' : '')),
    'Worker': () => worker(`importScripts(${JSON.stringify(target + files.script)}); postMessage('load')`),
    'fetch in a Worker': () => worker(`fetch(${JSON.stringify(bars)}).then((r) => r.text()).then(postMessage, () => postMessage(''))`),
    'EventSource': () => stream(target + '/v1/stream'),
    'EventSource with credentials': () => new Promise((done) => {
      const s = new EventSource(target + '/v1/stream', { withCredentials: true })
      s.onopen = () => done('open')
      s.onerror = () => done('')
    }),
    'WebSocket': () => socket(target + '/v1/stream'),
    'iframe of the dashboard': () => framed('iframe', target + '/').then((x) => x.inside),
    'iframe of bars': () => framed('iframe', bars).then((x) => x.inside),
    'object': () => framed('object', bars).then((x) => x.inside),
    'embed': () => element('embed', { src: bars }).then(() => ''),
    'a window that is looked into': () => opened(bars),
    'a window of the dashboard': () => opened(target + '/'),
  }
  const out = []
  for (const [name, f] of Object.entries(tries)) {
    let got
    try {
      got = String((await Promise.race([f(), wait(4000)])) ?? '')
    } catch (e) {
      got = ''
      void e
    }
    out.push({ name, got, leak: got.includes(marker) })
  }
  return out
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP evil.test 127.0.0.1'],
})

// hostile serves the page of the attacker.
const hostile = (q, r) => {
  r.writeHead(200, { 'Content-Type': 'text/html', Connection: 'close' })
  r.end(somebody)
}

// rebound opens a page under evil.test at a port of the attacker, who then
// leaves it to another server: for the browser the name now leads there.
async function rebound(context, port) {
  const first = await listen(hostile, port)
  const at = first.address().port
  const page = await context.newPage()
  await page.goto(`http://evil.test:${at}/`)
  await close(first)
  return { page, port: at }
}

const dir = await mkdtemp(join(tmpdir(), 'barkeep-hostile-'))
const evil = await listen(hostile)
const evilPort = evil.address().port
try {
  const context = await browser.newContext()

  // A server that believes everybody shows which tries the browser lets through.
  const got = { writes: 0, frames: 0 }
  const plain = { script: '/script.js', style: '/style.css', icon: '/icon.svg' }
  const naive = (q, r) => {
    if (q.method !== 'GET' && q.method !== 'HEAD') got.writes++
    if (q.headers['sec-fetch-dest'] === 'iframe') got.frames++
    if (q.url.startsWith('/v1/stream')) {
      r.writeHead(200, { 'Content-Type': 'text/event-stream' })
      r.write('event: hello\ndata: {}\n\n')
      return
    }
    const types = { '/script.js': 'text/javascript', '/style.css': 'text/css', '/icon.svg': 'image/svg+xml' }
    r.setHeader('Content-Type', types[q.url.split('?')[0]] ?? 'text/html')
    r.end(q.url.startsWith('/icon') ? '<svg xmlns="http://www.w3.org/2000/svg" width="5" height="5"/>' : q.url.startsWith('/script') ? 'var x = 1' : marker)
  }
  const weak = await rebound(context, 0)
  const naiveServer = await listen(naive, weak.port)
  const asRebound = await weak.page.evaluate(attack, ['', 'x', marker, plain])
  const page = await context.newPage()
  await page.goto(`http://evil.test:${evilPort}/`)
  const before = { ...got }
  const across = await page.evaluate(attack, [`http://127.0.0.1:${weak.port}`, 'x', marker, plain])
  await close(naiveServer)
  await weak.page.close()
  check(`without a defence rebinding reads everything (${asRebound.filter((x) => x.leak).length} of ${asRebound.length} tries read the price)`, asRebound.filter((x) => x.leak).length >= 15, JSON.stringify(asRebound))
  check(`and writes (${before.writes} arrive)`, before.writes >= 12)
  check(`without a defence other origins write (${got.writes - before.writes} arrive)`, got.writes - before.writes >= 9)
  check(`and load pictures, scripts, styles and frames (${across.filter((x) => x.got !== '').map((x) => x.name).join(', ')})`,
    ['img', 'script of the dashboard', 'style sheet', 'Worker'].every((n) => across.find((x) => x.name === n).got !== '') && got.frames - before.frames >= 3)

  // The program, at the port where the page of evil.test came from.
  const rebind = await rebound(context, 0)
  const s = await start(dir, rebind.port)
  const admin = { Authorization: 'Bearer ' + s.token }
  const own = (path, o = {}) => fetch(s.base + path, { ...o, headers: { ...admin, ...o.headers } })
  const sent = await own('/v1/bars?symbol=SECRET&interval=1h', { method: 'POST', headers: { 'Content-Type': 'text/csv' }, body: `time,open,high,low,close,volume\n1704067200000,${marker},${marker},${marker},${marker},3\n` })
  check('a price is stored', sent.ok, await sent.text())
  const state = async () => {
    const out = {}
    for (const p of ['/v1/series', '/v1/bars?symbol=SECRET&interval=1h', '/v1/ledger', '/v1/audit', '/v1/tokens', '/v1/config', '/v1/repairs', '/alerts']) out[p] = (await (await own(p)).text())
    // The rest of it goes on with the server's own notes of metrics and scores.
    out['/v1/ledger'] = out['/v1/ledger'].match(/"entries":\d+,"journal":"\w+"/)[0]
    return out
  }
  const was = await state()
  check('its owner reads it', was['/v1/bars?symbol=SECRET&interval=1h'].includes(marker))

  let files = 0
  const assets = (await (await own('/')).text()).match(/assets\/[\w.-]+/g) ?? []
  const real = Object.fromEntries(Object.entries({ script: 'js', style: 'css', icon: 'svg' }).map(([k, end]) => [k, '/' + assets.find((a) => a.endsWith(end))]))
  const missing = Object.values(real).filter((f) => f === '/undefined')
  check('the dashboard was built', missing.length === 0)
  for (const [name, from, target] of [
    ['another host', `http://evil.test:${evilPort}`, s.base],
    ['another host, by the name localhost', `http://evil.test:${evilPort}`, `http://localhost:${rebind.port}`],
    ['another port of the same host', `http://127.0.0.1:${evilPort}`, s.base],
    ['a name that is pointed here (rebinding)', '', ''],
  ]) {
    const p = from ? await context.newPage() : rebind.page
    if (from) await p.goto(from + '/')
    const seen = s.requests().length
    const tries = await p.evaluate(attack, [target, s.token, marker, real])
    for (const x of tries) check(`${name}: ${x.name}`, !x.leak && (x.got === '' || /^421/.test(x.got) || x.got.includes('host_not_allowed')), x.got.slice(0, 200))
    for (const a of assets) {
      files++
      const r = await p.evaluate((u) => fetch(u).then((r) => r.status, () => 0), `${target}/${a}`)
      check(`${name}: ${a}`, r === 0 || r === 421, String(r))
    }
    // A link may be followed, and the dashboard that it opens reads: of no use
    // to who opened it.
    for (const q of context.pages()) if (q !== p && q !== rebind.page) await q.close()
    await new Promise((done) => setTimeout(done, 500))
    const mine = s.requests().slice(seen)
    const passing = mine.filter((r) => r.status < 400)
    check(`${name}: of ${mine.length} requests that arrived ${mine.length - passing.length} were refused, and the others are links that were followed (${passing.length})`,
      mine.length > 20 && (from ? passing.every((r) => r.method === 'GET') && passing.length < 20 : passing.length === 0), JSON.stringify(passing.map((r) => [r.method, r.path])))
    if (from) await p.close()
  }
  check('files of the dashboard were tried', files >= 4, String(files))
  const is = await state()
  for (const k of Object.keys(was)) check(`${k} is as it was`, is[k] === was[k], `${was[k].slice(0, 300)} then, ${is[k].slice(0, 300)} now`)

  // And the owner's own page may do all of it.
  const mine = await context.newPage()
  await mine.goto(s.base + '/docs')
  const may = await mine.evaluate(attack, [s.base, s.token, marker, real])
  const want = ['fetch GET', 'XMLHttpRequest', 'fetch POST with the token (preflight)', 'EventSource']
  check('a page of the program itself does', want.every((n) => may.find((x) => x.name === n).got !== '') && may.find((x) => x.name === 'fetch GET').leak, JSON.stringify(may.filter((x) => want.includes(x.name))))
  await s.stop()
} catch (e) {
  check('the attack', false, e.stack)
} finally {
  await browser.close()
  await close(evil)
  await rm(dir, { recursive: true, force: true })
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed ? 1 : 0)
