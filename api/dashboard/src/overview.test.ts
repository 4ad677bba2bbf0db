import { describe, expect, it, vi } from 'vitest'

vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => {} })
const { remaining } = await import('./overview')

describe('the end of a repair', () => {
  const begun = 1_700_000_000_000
  const left = (step: number, after: number) => remaining({ step, steps: 100, started: begun }, begun + after)
  it('is reckoned from how it went so far', () => {
    expect(left(10, 60_000)).toBe(', about 9 minutes to go')
    expect(left(1, 300_000)).toBe(', about 9 hours to go')
    expect(left(99, 60_000)).toBe(', less than a minute to go')
  })
  it('is not guessed before anything was done, nor after the end', () => {
    expect(left(0, 60_000)).toBe('')
    expect(left(100, 60_000)).toBe('')
    expect(remaining({ step: 1, steps: 2 }, begun)).toBe('')
  })
})
