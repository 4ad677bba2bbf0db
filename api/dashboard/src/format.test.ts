import { describe, expect, it, vi } from 'vitest'

vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => {} })
const f = await import('./format')

describe('times', () => {
  it('are UTC, without what is zero', () => {
    expect(f.time(1704067200000)).toBe('2024-01-01')
    expect(f.time(1704067200000 + 3600e3)).toBe('2024-01-01 01:00')
    expect(f.time(1704067201000)).toBe('2024-01-01 00:00:01')
    expect(f.time(null)).toBe('–')
  })
  it('are told from now', () => {
    expect(f.ago(1000, 31000)).toBe('30 s ago')
    expect(f.ago(600000, 0)).toBe('in 10 min')
    expect(f.ago(0)).toBe('never')
  })
})

describe('shares', () => {
  it('are rounded down', () => {
    expect(f.share(0.99999)).toBe('99.99%')
    expect(f.share(1)).toBe('100.00%')
    expect(f.share(null)).toBe('–')
  })
})

describe('prices', () => {
  it('show what there is', () => {
    expect(f.decimals([1.5, 2])).toBe(2)
    expect(f.decimals([0.00001234])).toBe(8)
    expect(f.decimals([1.12345])).toBe(5)
  })
})

describe('intervals', () => {
  it('are those that the stored one divides', () => {
    expect(f.coarser('45m')).not.toContain('1h')
    expect(f.coarser('1h')).toContain('1M')
    expect(f.coarser('1h')).not.toContain('1m')
  })
  it('fit the span', () => {
    expect(f.fitting('1m', 86400e3, 2000)).toBe('1m')
    expect(f.fitting('1m', 5 * 365 * 86400e3, 2000)).toBe('1d')
  })
})
