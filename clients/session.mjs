// A newcomer's first session: the blocks of README.md, one after the other, in
// an empty directory, against the real program, with a vendor and a receiver of
// alerts of its own: node session.mjs PROGRAM PYTHON
import { execFile, spawn } from 'node:child_process'
import { createServer } from 'node:http'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'

const [program, python] = process.argv.slice(2)
const readme = await readFile(join(dirname(fileURLToPath(import.meta.url)), '../README.md'), 'utf8')
const work = await mkdtemp(join(tmpdir(), 'barkeep-session-'))
const exec = promisify(execFile)
const minute = 60_000
let failed = 0

// must says whether something is as the README promises.
function must(what, ok, got) {
  if (!ok) failed++
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${what}${ok ? '' : ':\n' + got}`)
}

// block is a block of code of the README.
function block(heading, language) {
  const part = readme.split(/^## /m).find((p) => p.startsWith(heading + '\n'))
  const m = part?.match(new RegExp('^```' + language + '\\n([^]*?)^```$', 'm'))
  if (!m) throw new Error(`README.md has no ${language} under ${heading}`)
  return m[1]
}

const listening = (server) => new Promise((done) => server.listen(0, '127.0.0.1', () => done(`http://127.0.0.1:${server.address().port}`)))

// The vendor has each minute of two hours. It speaks as Binance does.
const nine = Date.parse('2024-01-01T09:00:00Z')
const truth = (i) => [42000 + i, 42001 + i, 41999 + i, 42000.5 + i].map(String)
const known = { 0: ['42000', '42012.5', '41990', '42010'], 1: ['42010', '42020', '42001.5', '42005'], 5: ['42031', '42040', '42030', '42038'] }
let asked = 0
const vendor = createServer((request, answer) => {
  const u = new URL(request.url, 'http://vendor')
  answer.setHeader('Content-Type', 'application/json')
  if (!u.pathname.endsWith('/klines')) return answer.end('{}')
  asked++
  const from = Number(u.searchParams.get('startTime') ?? 0)
  const to = Number(u.searchParams.get('endTime') ?? Infinity)
  const rows = []
  for (let i = 0; i < 120 && rows.length < Number(u.searchParams.get('limit') ?? 500); i++) {
    const t = nine + i * minute
    if (t < from || t > to) continue
    const volume = { 0: '3.2', 1: '1.7', 5: '2.4' }[i] ?? '1.5'
    rows.push([t, ...(known[i] ?? truth(i)), volume, t + minute - 1, '0', 1, '0', '0', '0'])
  }
  answer.end(JSON.stringify(rows))
})
const vendorAt = await listening(vendor)

const notices = []
let heard = () => {}
const receiver = createServer(async (request, answer) => {
  let body = ''
  for await (const part of request) body += part
  notices.push(JSON.parse(body))
  heard()
  answer.end()
})
const receiverAt = await listening(receiver)

await mkdir(join(work, 'bin'))
await symlink(resolve(program), join(work, 'bin/barkeep'))
await writeFile(join(work, 'barkeep.yaml'), `
endpoints:
  crypto:
    - {name: binance-spot, url: "${vendorAt}", provider: binance-spot, allow_private: true}
data_healing: {auto_repair_enabled: false}
monitoring: {check_every: 1s}
alerts: {webhook_url: "${receiverAt}", allow_private: true}
`)

// start does what make run does once the program is built.
async function start() {
  const child = spawn('bin/barkeep', ['serve', '--data', './data', '--listen', '127.0.0.1:0'], { cwd: work })
  let text = ''
  const base = await new Promise((done, fail) => {
    const hear = (d) => {
      text += d
      const m = text.match(/serving .* on (http:\/\/\S+)/)
      if (m) done(m[1])
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.on('exit', () => fail(new Error('the server ended:\n' + text)))
  })
  return { base, end: () => new Promise((done) => { child.on('exit', done); child.kill('SIGTERM') }) }
}

let server = await start()
const here = (code) => code.replaceAll('http://127.0.0.1:8080', server.base)
// sh runs lines as they stand in the README, and returns all they print.
async function sh(code) {
  try {
    const { stdout, stderr } = await exec('bash', ['-ec', here(code)], { cwd: work, timeout: 60_000 })
    return stdout + stderr
  } catch (e) {
    return `exit ${e.code}\n${e.stdout}${e.stderr}`
  }
}
const lines = (heading) => block(heading, 'sh').trim().split('\n').filter((l) => !l.startsWith('#'))
const get = async (path) => (await fetch(server.base + path)).json()

try {
  const ten = await sh(block('Ten lines', 'sh'))
  must('curl writes three bars, and the answer names one gap of three', /"missing":3\b/.test(ten) && /"gaps":1\b|"bars":3\b/.test(ten), ten)
  const pandas = (await exec(python, ['-c', here(block('Ten lines', 'python'))], { cwd: work })).stdout
  must('pandas shows six bars, three of them synthetic', (pandas.match(/synthetic/g) ?? []).length === 3 && (pandas.match(/observed/g) ?? []).length === 3, pandas)

  const csv = (n, step, from) => 'time,open,high,low,close,volume\n' + Array.from({ length: n }, (_, i) => `${from + i * step},${100 + i % 7},${101 + i % 7},${99 + i % 7},${100.5 + i % 7},10`).join('\n') + '\n'
  // The name of the file in the archive is what Binance calls it.
  const january = Date.parse('2024-01-02T00:00:00Z')
  await writeFile(join(work, 'BTCUSDT-1m-2024-01.csv'), csv(3000, minute, january))
  await exec(python, ['-c', 'import zipfile; zipfile.ZipFile("BTCUSDT-1m-2024-01.zip", "w", zipfile.ZIP_DEFLATED).write("BTCUSDT-1m-2024-01.csv")'], { cwd: work })
  await writeFile(join(work, 'AAPL.csv.gz'), gzipSync('Date,Open,High,Low,Close,Volume\n2024-01-02,187.15,188.44,183.89,185.64,82488700\n2024-01-03,184.22,185.88,183.43,184.25,58414500\n2024-01-05,181.99,182.76,180.17,181.18,62303300\n'))
  const [zip, apple, gaps, query, exported] = [...lines('A real file')]
  for (const [what, line, want] of [
    ['import of an archive', zip, /3,?000/],
    ['import of daily bars of a listed market', apple, /AAPL[^]*3/],
    ['gaps of all series', gaps, /AAPL[^]*BTCUSDT/],
    ['bars of four hours', query, /2024-01-0/],
    ['export', exported, /^(?!exit)/],
  ]) {
    const out = await sh(line)
    must(what, want.test(out) && !out.startsWith('exit'), out)
  }
  must('importing again changes nothing', /unchanged|already|0 (new|written)/.test(await sh(zip)), await sh(zip))

  const [plan, repair, quality, inspect, explain, undo] = lines('Heal it')
  const planned = await sh(plan)
  must('the plan names the source and three bars', planned.includes('binance-spot') && /\b3\b/.test(planned) && asked === 0, planned)
  const healed = await sh(repair)
  must('the repair writes three bars', healed.includes('3 bars written'), healed)
  const { bars } = await get('/v1/bars?symbol=BTCUSDT&interval=1m&limit=6')
  must('they are those of the vendor', JSON.stringify(bars.map((b) => b.open)) === '[42000,42010,42002,42003,42004,42031]' && bars.every((b) => b.kind === 'observed'), JSON.stringify(bars))
  must('quality is scored', /BTCUSDT/.test(await sh(quality)), await sh(quality))
  must('inspect ends', !/^exit [^03]/.test(await sh(inspect)), await sh(inspect))
  const why = await sh(explain)
  must('explain says who wrote the bar', why.includes('observed') && why.includes('binance'), why)

  // More than the limit: refused, and somebody is told.
  const told = new Promise((done) => { heard = done })
  const refused = await sh(repair.replace(/--to \S+/, ''))
  must('a repair over its limits is not begun', /limit|max/i.test(refused), refused)
  await Promise.race([told, new Promise((done) => setTimeout(done, 20_000))])
  must('the alert arrives', notices.some((n) => JSON.stringify(n).includes('repair_refused')), JSON.stringify(notices))
  const alerts = await sh('bin/barkeep alerts --url http://127.0.0.1:8080')
  must('alerts lists it', alerts.includes('repair_refused'), alerts)

  const id = healed.match(/repair (\S+?)[:\s]/)?.[1] ?? ''
  const undone = await sh(undo.replace('REPAIR_ID', id))
  const after = await get('/v1/gaps?symbol=BTCUSDT&interval=1m&to=2024-01-01T09:06:00Z')
  must('undo takes the three bars out again', after.series?.[0]?.missing === 3 || after.missing === 3, undone + JSON.stringify(after))

  const before = JSON.stringify((await get('/v1/series')).series.map((s) => [s.symbol, s.interval, s.bars]))
  await server.end()
  server = await start()
  const again = JSON.stringify((await get('/v1/series')).series.map((s) => [s.symbol, s.interval, s.bars]))
  must('after a restart all is there', before === again && before.includes('AAPL'), again)
  must('the alert is still known', (await sh('bin/barkeep alerts --history --url http://127.0.0.1:8080')).includes('repair_refused'), '')
  const metrics = await (await fetch(server.base + '/metrics')).text()
  must('metrics count the bars', /^barkeep_store_bars 300[56]$/m.test(metrics), metrics.split('\n').filter((l) => l.startsWith('barkeep_store')).join('\n'))
  const health = await sh('bin/barkeep doctor --url http://127.0.0.1:8080')
  must('doctor finds no problem', !/problem/.test(health), health)
  const document = join(work, 'openapi.json')
  await writeFile(document, await (await fetch(server.base + '/openapi.json')).text())
  const redocly = join(dirname(fileURLToPath(import.meta.url)), 'node_modules/.bin/redocly')
  const lint = await exec(redocly, ['lint', '--format=json', document], { cwd: work, env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' } }).catch((e) => e)
  const { totals } = JSON.parse(lint.stdout.slice(lint.stdout.indexOf('{')))
  must('redocly finds nothing in openapi.json', totals.errors === 0 && totals.warnings === 0, lint.stdout)
  const backup = await sh('bin/barkeep backup "$PWD/saved" --url http://127.0.0.1:8080')
  must('backup', !backup.startsWith('exit'), backup)
} finally {
  await server.end()
  vendor.close()
  receiver.close()
  await rm(work, { recursive: true, force: true })
}
console.log(failed ? `${failed} failed` : 'the session of the README works')
process.exit(failed ? 1 : 0)
