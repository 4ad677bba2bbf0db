// The main task of each page, done by clicks in Chromium against the real
// program: node e2e/main.mjs PROGRAM [DIRECTORY FOR SCREENSHOTS]
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { axe, check, finish, freePort, open, see, start as begin, stop } from './lib.mjs'

const [program, shots] = process.argv.slice(2)
const start = (args, env) => begin(program, args, env)

const demo = await start(['demo', '--listen', '127.0.0.1:0'])
const token = demo.text().match(/barkeep_[\w-]{20,}/)?.[0] ?? ''
try {
  const page = await open(demo.base)
  check('the overview says whether the data can be trusted', await see(page, /The data can be trusted|Some data/))
  check('it is live', await see(page, '● live'))
  const first = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 1e9)
  check('something is painted within a second', first < 1000, `${first} ms`)

  await page.getByRole('link', { name: 'System' }).click()
  await page.getByLabel('Token', { exact: true }).fill(token)
  await page.getByRole('button', { name: 'Use it' }).click()
  check('an admin sees the tokens', await page.getByRole('button', { name: 'Make a token' }).waitFor({ timeout: 10_000 }).then(() => true, () => false))

  await page.goto(demo.base + '/#/')
  await page.getByRole('link', { name: 'DEMO/USDT 1m' }).first().click()
  check('the worst series opens', await see(page, 'Completeness by day'))
  await page.waitForFunction(() => document.querySelectorAll('.chart canvas').length > 0)
  await page.getByRole('button', { name: /^20\d\d-/ }).first().click()
  check('a gap is explained', await see(page, /had bars around it and none here/))
  await page.getByLabel('Type of repair').selectOption('reverify')
  await page.getByLabel('without limits, and now').check()
  await page.getByRole('button', { name: 'Preview' }).click()
  check('a plan is previewed', await see(page, /At most [\d,]+ bars change/))
  await page.getByRole('button', { name: 'Repair', exact: true }).click()
  await page.getByRole('button', { name: 'Really repair?' }).click()
  check('a repair is done', await page.locator('.mark', { hasText: 'done' }).first().waitFor({ timeout: 30_000 }).then(() => true, () => false))
  await page.getByRole('button', { name: 'Undo' }).click()
  await page.getByRole('button', { name: 'Really undo?' }).click()
  check('it is undone', await page.locator('.mark', { hasText: 'undone' }).first().waitFor({ timeout: 15_000 }).then(() => true, () => false))

  await page.goto(demo.base + '/#/repairs')
  await page.getByRole('button', { name: 'Prove it' }).click()
  check('the journal is proved', await see(page, /entries are as they were written/))
  await page.goto(demo.base + '/#/endpoints')
  await page.getByRole('button', { name: 'Test' }).last().click()
  check('an endpoint is tested', await see(page, /answers in \d+ ms/))
  await page.goto(demo.base + '/#/quarantine')
  check('the quarantine shows the raw row', await see(page, /off the grid/))

  await page.goto(demo.base + '/#/import')
  await page.getByLabel('File to import').setInputFiles({ name: 'EVIL-1h.csv', mimeType: 'text/csv', buffer: Buffer.from('time,open,high,low,close,volume\n1704067200000,1,2,0.5,1.5,3\n1704070800000,1,2,0.5,1.5,x\n') })
  const stored = async () => (await (await fetch(demo.base + '/v1/series')).json()).series.map((s) => s.symbol)
  check('a file is shown before it is written', await see(page, /csv, times as unix ms/) && await see(page, /row 3/) && !(await stored()).includes('EVIL'))
  await page.getByLabel('Interval').selectOption('1h')
  await page.getByRole('button', { name: 'Import', exact: true }).click()
  check('a dropped file is imported', await see(page, /1 written/) && (await stored()).includes('EVIL'))
  const american = 'Day,Last,O,H,L,Vol\n3/4/2020,10,9,11,8,5\n3/5/2020,11,10,12,9,5\n3/6/2020,10,11,12,9,5\n'
  await page.getByLabel('File to import').setInputFiles({ name: 'TWOWAYS_1d.csv', mimeType: 'text/csv', buffer: Buffer.from(american) })
  check('two readings are not guessed between', await see(page, /month first or day first/) && await page.getByRole('button', { name: 'Import', exact: true }).isDisabled())
  await page.getByLabel('Dates').selectOption('mdy')
  await page.getByLabel('Column of close').fill('Last')
  check('what was chosen is shown', await see(page, '2020-03-04') && await see(page, /a bar every 1d/))
  await page.getByRole('button', { name: 'Import', exact: true }).click()
  check('and is what is written', await see(page, /3 written/) && (await (await fetch(demo.base + '/v1/latest?symbol=TWOWAYS')).text()).includes('"close":10'))

  const hostile = 'A-^=.:_/b'
  const markup = '<img src=x onerror=alert(1)>'
  const sent = await fetch(`${demo.base}/v1/bars?symbol=${encodeURIComponent(hostile)}&interval=1h&source=demo`, {
    method: 'POST', headers: { Authorization: 'Bearer ' + token, 'Content-Type': 'text/csv' }, body: `time,open,high,low,close,volume\n1704067200000,1,2,0.5,1.5,3\n1704070800000,1,2,0.5,${markup},3\n`,
  })
  check('hostile rows are taken in', sent.ok, `${sent.status} ${await sent.text()}`)
  let alerted = false
  page.on('dialog', (d) => {
    alerted = true
    void d.dismiss()
  })
  await page.goto(demo.base + '/#/series/' + encodeURIComponent(hostile) + '/1h')
  check('a series with a hostile name opens', await see(page, /1 bars, 2024-01-01/))
  check('its name is shown as it is', (await page.locator('h1').textContent())?.includes(hostile))
  await page.goto(demo.base + '/#/quarantine')
  check('hostile values are shown as text', await see(page, markup))
  check('and do nothing', !alerted && (await page.locator('main img').count()) === 0)

  for (const [name, hash] of [['overview', '#/'], ['list', '#/list'], ['series', '#/series/DEMO%2FUSDT/1m'], ['endpoints', '#/endpoints'], ['alerts', '#/alerts'], ['repairs', '#/repairs'], ['quarantine', '#/quarantine'], ['import', '#/import'], ['system', '#/system']]) {
    for (const [size, scheme] of [[{ width: 1400, height: 900 }, 'dark'], [{ width: 1400, height: 900 }, 'light'], [{ width: 360, height: 740 }, 'dark']]) {
      const p = await open(demo.base, size, scheme)
      await p.goto(demo.base + '/' + hash)
      await p.waitForTimeout(name === 'series' ? 1500 : 500)
      check(`${name} is the page that is shown`, (await p.locator('nav [aria-current=page]').getAttribute('href')) === (name === 'series' ? '#/list' : hash))
      const wide = await p.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
      check(`${name} fits ${size.width} px`, wide <= 0, `${wide} px too wide`)
      if (size.width > 400) {
        // The page's policy keeps scripts out; axe runs beside it.
        const bad = await p.evaluate(`(async () => { ${axe}; const r = await axe.run(document, { resultTypes: ['violations'] }); return r.violations.filter((v) => ['serious', 'critical'].includes(v.impact)).map((v) => v.id + ' ' + v.nodes.slice(0, 2).map((n) => n.target).join(' ')) })()`).catch((e) => [e.message])
        check(`${name} in ${scheme} has no serious fault of access`, bad.length === 0, bad.join('; '))
      }
      if (shots) await p.screenshot({ path: join(shots, `${name}-${size.width}-${scheme}.png`), fullPage: true })
      await p.close()
    }
  }
  await page.close()
} catch (e) {
  check('the demo', false, String(e))
} finally {
  await stop(demo)
}

// A store of one's own: five years of minutes, many series, a restart.
const data = await mkdtemp(join(tmpdir(), 'barkeep-e2e-'))
try {
  const listen = `127.0.0.1:${await freePort()}`
  let s = await start(['serve', '--data', data, '--listen', listen], { BARKEEP_DATA_HEALING_AUTO_REPAIR_ENABLED: 'false' })
  const admin = (await readFile(join(data, 'token'), 'utf8')).trim()
  const page = await open(s.base)
  check('an empty store says what to do', await see(page, 'There are no bars yet'))
  // A server that is busy refuses with 503: it is asked again, as a client does.
  const send = async (symbol, interval, rows) => {
    for (let tries = 0; ; tries++) {
      const r = await fetch(`${s.base}/v1/bars?symbol=${symbol}&interval=${interval}`, { method: 'POST', headers: { Authorization: 'Bearer ' + admin, 'Content-Type': 'text/csv' }, body: rows })
      const text = await r.text()
      if (r.ok) return
      if (r.status !== 503 || tries === 20) throw new Error(`${symbol} is refused: ${r.status} ${text}`)
      await new Promise((done) => setTimeout(done, 50 * (tries + 1)))
    }
  }
  const years = 5 * 365 * 1440
  for (let from = 0; from < years; from += 400_000) {
    const rows = ['time,open,high,low,close,volume']
    for (let i = from; i < Math.min(years, from + 400_000); i++) {
      const p = 100 + Math.sin(i / 5000) * 20
      rows.push(`${1546300800000 + i * 60000},${p.toFixed(2)},${(p + 0.5).toFixed(2)},${(p - 0.5).toFixed(2)},${(p + 0.1).toFixed(2)},1`)
    }
    await send('LONG', '1m', rows.join('\n'))
  }
  for (let n = 0; n < 10_000; n += 8) {
    await Promise.all(Array.from({ length: 8 }, (_, k) => send('S' + String(n + k).padStart(5, '0'), '1d', 'time,open,high,low,close,volume\n1704067200000,1,2,0.5,1.5,3\n')))
  }
  await page.goto(s.base + '/#/list')
  check('ten thousand series are listed', await see(page, /10,001 of 10,001/, 60_000))
  const took = await page.evaluate(async () => {
    const box = document.querySelector('input[type=search]')
    const begun = performance.now()
    box.value = 'S0999'
    box.dispatchEvent(new InputEvent('input', { bubbles: true }))
    while (!document.body.textContent.includes('10 of 10,001')) {
      if (performance.now() - begun > 10_000) break
      await new Promise(requestAnimationFrame)
    }
    return performance.now() - begun
  })
  check('they are filtered within 100 ms', took < 100, `${took} ms`)
  await page.goto(s.base + '/#/series/LONG/1m')
  check('five years of minutes open', await see(page, /2,628,000 bars/, 30_000))
  await page.getByLabel('Shown as').selectOption('1m')
  await page.waitForTimeout(1500)
  const frames = await page.evaluate(async () => {
    const el = document.querySelector('.chart canvas')
    const box = el.getBoundingClientRect()
    const fire = (type, x) => el.dispatchEvent(new MouseEvent(type, { bubbles: true, clientX: x, clientY: box.top + 100, buttons: 1 }))
    let n = 0
    const begun = performance.now()
    fire('mousedown', box.left + 200)
    while (performance.now() - begun < 2000) {
      await new Promise(requestAnimationFrame)
      fire('mousemove', box.left + 200 + ((n * 7) % 500))
      n++
    }
    fire('mouseup', box.left + 300)
    return n / 2
  })
  check('the chart moves smoothly', frames > 25, `${frames} frames a second`)
  console.log(`     ${frames.toFixed(0)} frames a second, filter ${took.toFixed(0)} ms`)
  await stop(s)
  check('it says when it is not live', await see(page, /not live/, 10_000))
  s = await start(['serve', '--data', data, '--listen', listen])
  check('and is live again after a restart', await see(page, '● live', 30_000))
  await stop(s)
} catch (e) {
  check('the store', false, String(e))
} finally {
  await rm(data, { recursive: true, force: true })
}
await finish()
