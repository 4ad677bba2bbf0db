// What is done from day to day, by clicks in Chromium against the real program:
// a sample in an empty store, alerts, sources that are down, settings, tokens, a
// file that is dropped: node e2e/tasks.mjs PROGRAM [DIRECTORY FOR SCREENSHOTS]
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { axe, check, finish, freePort, open, see, start, stop } from './lib.mjs'

const [program, shots] = process.argv.slice(2)
const data = await mkdtemp(join(tmpdir(), 'barkeep-e2e-'))
let s
try {
  const config = join(data, 'barkeep.yaml')
  const dead = await freePort()
  await writeFile(config, `endpoints:\n  crypto:\n    - {name: down, url: "http://127.0.0.1:${dead}", provider: binance-spot, allow_private: true}\n`)
  s = await start(program, ['serve', '--data', data, '--config', config, '--listen', '127.0.0.1:0'], {
    BARKEEP_DATA_HEALING_AUTO_REPAIR_ENABLED: 'false', BARKEEP_MONITORING_CHECK_EVERY: '1s',
  })
  const token = (await readFile(join(data, 'token'), 'utf8')).trim()
  const ask = (method, path, body) => fetch(s.base + path, { method, headers: { Authorization: 'Bearer ' + token, 'Content-Type': 'application/json' }, body: body && JSON.stringify(body) })
  const page = await open(s.base)
  const button = (name) => page.getByRole('button', { name, exact: true })
  const shot = (name) => shots && page.screenshot({ path: join(shots, name + '.png'), fullPage: true })

  check('without a token the first page says where to enter it', await see(page, 'Enter the token'))
  await shot('first-start')
  await page.getByRole('link', { name: 'Enter the token' }).click()
  await page.getByLabel('Token', { exact: true }).fill(token)
  await button('Use it').click()
  await page.goto(s.base + '/#/')
  await button('Load the sample').click()
  check('the sample is loaded by a click', await see(page, /bars, 20\d\d-/))
  check('and shows what the rules find', await see(page, /spike|wick|tick|scale/i))

  // A bar in quarantine is marked on the chart.
  const latest = await (await ask('GET', '/v1/latest?symbol=DEMO&interval=1m')).json()
  const newest = latest.bar.time
  const off = newest - 3600_000 + 1234
  await fetch(`${s.base}/v1/bars?symbol=DEMO&interval=1m&source=odd`, { method: 'POST', headers: { Authorization: 'Bearer ' + token, 'Content-Type': 'text/csv' }, body: `time,open,high,low,close,volume\n${off},1,2,0.5,1.5,3\n` })
  await page.reload()
  check('a bar in quarantine is marked on the chart', await page.waitForFunction(() => document.querySelector('[data-marks="1"]'), undefined, { timeout: 15_000 }).then(() => true, () => false))
  check('and said in words', await see(page, /Q marks what is in quarantine: 1/))
  await shot('sample')

  await page.route('**/v1/quality?*', async (route) => {
    const r = await route.fetch()
    const v = await r.json()
    await route.fulfill({ response: r, json: { ...v, history: [{ time: newest - 864e5, score: 0.5 }, { time: newest, score: 0.75 }] } })
  })
  await page.reload()
  check('the history of the score is drawn', await page.getByRole('img', { name: /^score from 50.*% to 75/ }).waitFor({ timeout: 10_000 }).then(() => true, () => false))
  await page.unroute('**/v1/quality?*')

  // An alert: a repair that was refused.
  await ask('POST', '/data/repair', { symbol: 'DEMO', max_bars: 1 })
  await page.goto(s.base + '/#/alerts')
  check('an alert fires', await see(page, 'repair_refused', 20_000))
  await button('Acknowledge').first().click()
  check('it is acknowledged', await see(page, /acknowledged by/))
  await button('Silence 1 h').first().click()
  check('it is silenced', await see(page, /silenced.* until 20\d\d/))
  await shot('alerts')
  await button('Resolve').first().click()
  check('it is resolved', await see(page, /resolved/))

  // Every source is down.
  await page.goto(s.base + '/#/endpoints')
  await button('Test').click()
  check('an endpoint that is down says so', await see(page, /refused|Unavailable/))
  await page.reload()
  check('the day of an endpoint is drawn', await page.locator('.day span').first().waitFor({ timeout: 15_000 }).then(() => true, () => false))
  await page.locator('summary').first().click()
  check('its errors have kinds and times', await see(page, /Unavailable \d/))
  for (let tries = 0; tries < 8; tries++) await ask('POST', '/endpoints/test', { name: 'down' })
  const opened = (await (await ask('GET', '/endpoints/health')).json()).endpoints[0].changes.filter((c) => c.state === 'open').length
  await page.reload()
  await page.locator('summary').first().click()
  check('and the timeline says when and why the breaker opened', opened > 0 && await page.locator('.timeline li', { hasText: /^20\d\d.*open/ }).first().waitFor({ timeout: 10_000 }).then(() => true, () => false), `${opened} changes`)
  await shot('endpoints-down')
  const bad = await page.evaluate(`(async () => { ${axe}; const r = await axe.run(document, { resultTypes: ['violations'] }); return r.violations.filter((v) => ['serious', 'critical'].includes(v.impact)).map((v) => v.id) })()`)
  check('the timeline has no serious fault of access', bad.length === 0, bad.join('; '))

  // The overview of a bad day: what is open, what is healed, and what waits. Alerts
  // of incidents take minutes to fire, and repairs without sources are over at
  // once: the answer of the server is given some.
  const repair = (id, more) => ({ id, request: { symbol: 'SLOW' + id, interval: '1m', repair_type: 'auto', actor: 'healer' }, asked: newest, outcomes: null, bars_written: 0, bars_filled: 0, requests: 0, step: 0, steps: 0, ...more })
  await page.route('**/status', async (route) => {
    const r = await route.fetch()
    const v = await r.json()
    v.healing = { queued: 7, running: repair('1', { status: 'running', started: v.at - 60_000, step: 10, steps: 100, bars_written: 4321 }) }
    v.alerts = [{ id: 'i', rule: 'incident', type: 'data_quality', severity: 'critical', subject: 'binance', state: 'firing', since: v.at - 600_000, detail: '12 of 14 series wait' }]
    await route.fulfill({ response: r, json: v })
  })
  await page.route('**/v1/repairs?status=queued*', (route) => route.fulfill({ json: { repairs: [repair('3', { status: 'queued', asked: newest + 5 }), repair('2', { status: 'queued' })] } }))
  await page.goto(s.base + '/#/')
  check('an open incident is shown', await see(page, '12 of 14 series wait') && await see(page, 'Open incidents'))
  check('and when the repair under way will be done', await see(page, /10 of 100 questions, 4,321 bars written, about 9 minutes to go/))
  check('and what waits, the longest first', await see(page, 'Waiting to be healed: 7') && await see(page, 'and 5 more') && /SLOW2.*SLOW3/s.test(await page.locator('main ol').textContent()))
  await shot('bad-day')
  await page.unroute('**/status')
  await page.unroute('**/v1/repairs?status=queued*')

  // Settings: what changes is shown before it is applied.
  await page.goto(s.base + '/#/system')
  await page.getByLabel('data_healing.small_gap_bars').fill('7')
  check('what would change is shown', await see(page, /small_gap_bars: \d+ → 7|→ 7/))
  await button('Apply').click()
  check('a setting is applied', await see(page, 'In effect.'))
  const settings = await (await ask('GET', '/v1/config')).json()
  check('and is in effect', settings.settings.find((x) => x.key === 'data_healing.small_gap_bars')?.value === '7')
  await page.getByLabel('data_healing.small_gap_bars').fill('many')
  await button('Apply').click()
  check('a wrong value is refused in words', await see(page, /many/))
  await button('Discard').click()

  await page.getByLabel('Name of the token').fill('a reader')
  await button('Make a token').click()
  check('a token is shown once', await see(page, 'It is shown this once'))
  const reader = await page.locator('.note code', { hasText: 'barkeep_' }).textContent()
  check('it reads and does not write', (await fetch(s.base + '/v1/series', { headers: { Authorization: 'Bearer ' + reader } })).ok && (await fetch(s.base + '/v1/bars?symbol=X&interval=1m', { method: 'POST', headers: { Authorization: 'Bearer ' + reader, 'Content-Type': 'text/csv' }, body: 'time\n' })).status === 403)
  await page.getByRole('row', { name: /a reader/ }).getByRole('button', { name: 'Revoke' }).click()
  await button('Really revoke?').click()
  let status = 0
  for (let tries = 0; tries < 20 && status !== 401; tries++) {
    await page.waitForTimeout(100)
    status = (await fetch(s.base + '/v1/bars?symbol=X&interval=1m', { method: 'POST', headers: { Authorization: 'Bearer ' + reader, 'Content-Type': 'text/csv' }, body: 'time\n' })).status
  }
  check('it is revoked', status === 401, `${status}`)

  // A file is dropped; a correction of how it is read changes the interval.
  await page.goto(s.base + '/#/import')
  const days = 'when,day,open,high,low,close,volume\n1704067200000,2024-01-01,1,2,0.5,1.5,3\n1704067260000,2024-01-02,1,2,0.5,1.5,3\n1704067320000,2024-01-03,1,2,0.5,1.5,3\n'
  const dropped = await page.evaluateHandle((text) => {
    const d = new DataTransfer()
    d.items.add(new File([text], 'DROPPED.csv', { type: 'text/csv' }))
    return d
  }, days)
  await page.dispatchEvent('.drop', 'dragover', { dataTransfer: dropped })
  check('the target says that it takes the file', (await page.locator('.drop.over').count()) === 1)
  await page.dispatchEvent('.drop', 'drop', { dataTransfer: dropped })
  await page.getByLabel('Column of time').fill('when')
  check('the step of the rows is chosen', await page.waitForFunction(() => [...document.querySelectorAll('select')].some((x) => x.value === '1m')).then(() => true, () => false))
  await page.getByLabel('Column of time').fill('day')
  check('nothing is written of a reading that was not shown', await button('Import').isDisabled())
  check('and follows another reading', await page.waitForFunction(() => [...document.querySelectorAll('select')].some((x) => x.value === '1d'), undefined, { timeout: 10_000 }).then(() => true, () => false))
  await shot('import')
  await button('Import').click()
  check('the dropped file is written', await see(page, /3 written/) && (await ask('GET', '/v1/latest?symbol=DROPPED&interval=1d')).ok)

  await page.goto(s.base + '/#/series/DEMO/1m')
  await button('Remove the sample').click()
  await button('Really remove its bars?').click()
  const trusted = await see(page, /data can be trusted|Some data|no bars yet/)
  const left = await ask('GET', '/v1/latest?symbol=DEMO&interval=1m')
  check('the sample is removed', trusted && left.status === 404, `${trusted}, ${left.status}`)

  // From a telephone to a large screen.
  if (shots) {
    for (const width of [360, 1440, 3840]) {
      for (const scheme of ['dark', 'light']) {
        const p = await open(s.base, { width, height: 1200 }, scheme)
        await p.waitForTimeout(700)
        await p.screenshot({ path: join(shots, `overview-${width}-${scheme}.png`) })
        await p.close()
      }
    }
  }
  for (const hash of ['#/', '#/list', '#/endpoints', '#/import', '#/system']) {
    const p = await open(s.base, { width: 3840, height: 2000 })
    await p.goto(s.base + '/' + hash)
    await p.waitForTimeout(300)
    const size = await p.evaluate(() => parseFloat(getComputedStyle(document.body).fontSize))
    check(`${hash} is readable on a screen of 3840 px`, size >= 16, `${size} px`)
    await p.close()
  }
  // Nothing jumps while a page loads: Lighthouse calls more than 0.1 poor.
  for (const [width, height] of [[360, 740], [1400, 900]]) {
    const p = await open(s.base, { width, height })
    await see(p, '● live')
    await p.waitForTimeout(500)
    const shifted = await p.evaluate(() => new Promise((done) => {
      let sum = 0
      new PerformanceObserver((list) => {
        for (const e of list.getEntries()) sum += e.hadRecentInput ? 0 : e.value
      }).observe({ type: 'layout-shift', buffered: true })
      setTimeout(() => done(sum), 100)
    }))
    check(`nothing jumps while the overview loads at ${width} px`, shifted < 0.1, String(shifted))
    await p.close()
  }
} catch (e) {
  check('the tasks', false, String(e))
} finally {
  if (s) await stop(s)
  await rm(data, { recursive: true, force: true })
}
await finish()
