// What the tests in the browser share: the program, the browser, the checks.
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { chromium } from 'playwright-core'

export const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
export const count = { passed: 0, failed: 0 }

export function check(what, ok, detail = '') {
  if (ok) count.passed++
  else count.failed++
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${what}${ok ? '' : ': ' + detail}`)
}

// start runs the program until it serves, and returns where.
export function start(program, args, env = {}) {
  const child = spawn(program, args, { env: { ...process.env, ...env } })
  let text = ''
  return new Promise((done, fail) => {
    const timer = setTimeout(() => fail(new Error('it does not serve:\n' + text)), 30_000)
    child.stdout.on('data', (d) => {
      text += d
      const m = text.match(/serving .* on (http:\/\/\S+)/)
      if (m) {
        clearTimeout(timer)
        done({ child, base: m[1], text: () => text })
      }
    })
    child.stderr.on('data', (d) => (text += d))
    child.on('exit', () => fail(new Error('it ended:\n' + text)))
  })
}

export const stop = (s) => new Promise((done) => {
  s.child.on('exit', done)
  s.child.kill('SIGTERM')
})

// freePort is a port that nothing listens on: a restart must come back to it.
export const freePort = () => new Promise((done, fail) => {
  const probe = createServer()
  probe.on('error', fail)
  probe.listen(0, '127.0.0.1', () => {
    const { port } = probe.address()
    probe.close(() => done(port))
  })
})

export const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})

// problems are errors of pages and violations of their policy.
export const problems = []

export async function open(base, size = { width: 1400, height: 900 }, scheme = 'dark') {
  const page = await browser.newPage({ viewport: size, colorScheme: scheme })
  page.on('pageerror', (e) => problems.push(e.message))
  page.on('console', (m) => {
    if (/Content Security Policy/i.test(m.text())) problems.push(m.text())
  })
  await page.goto(base + '/')
  return page
}

export const see = (page, text, timeout = 15_000) => page.getByText(text).first().waitFor({ timeout }).then(() => true, () => false)

// finish ends the browser, and the process with what the checks say.
export async function finish() {
  check('no errors and no violations of the policy', problems.length === 0, problems.slice(0, 3).join('; '))
  await browser.close()
  console.log(`${count.passed} passed, ${count.failed} failed`)
  process.exit(count.failed ? 1 : 0)
}
