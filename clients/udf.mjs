// A client of TradingView's protocol for data feeds, UDF, as its description
// asks for one (tradingview.com/charting-library-docs/latest/connecting_data/UDF,
// read 2026-11); their own is not public. What it does not accept, a chart would
// not accept.
export class Feed {
  constructor(base, now = () => Date.now() / 1000) {
    this.base = base
    this.now = now
  }

  async ask(path, query = {}) {
    const r = await fetch(`${this.base}/${path}?${new URLSearchParams(query)}`)
    if (!r.ok) throw new Error(`${path}: ${r.status}`)
    return r
  }

  // ready reads what the feed can do.
  async ready() {
    this.config = await (await this.ask('config')).json()
    const { supports_search, supports_group_request, supported_resolutions, exchanges, symbols_types } = this.config
    if (!supports_search && !supports_group_request) throw new Error('either supports_search or supports_group_request must be true')
    if (!Array.isArray(supported_resolutions)) throw new Error('supported_resolutions are no list')
    for (const r of supported_resolutions) if (!/^(\d+S|\d+|\d*[DWM])$/.test(r)) throw new Error('resolution ' + r)
    for (const e of exchanges ?? []) if (typeof e.value !== 'string' || typeof e.name !== 'string') throw new Error('an exchange without value or name')
    for (const t of symbols_types ?? []) if (typeof t.value !== 'string' || typeof t.name !== 'string') throw new Error('a type without value or name')
    if (this.config.supports_time) {
      const t = parseInt(await (await this.ask('time')).text(), 10)
      if (!(Math.abs(t - this.now()) < 60)) throw new Error('time ' + t)
    }
    return this.config
  }

  async search(query, type = '', exchange = '', limit = 30) {
    const list = await (await this.ask('search', { limit, query: query.toUpperCase(), type, exchange })).json()
    if (list.s !== undefined) throw new Error(list.errmsg)
    for (const x of list) for (const k of ['symbol', 'description', 'exchange', 'type']) if (typeof x[k] !== 'string') throw new Error(`a found symbol has no ${k}`)
    return list
  }

  async resolve(symbol) {
    const x = await (await this.ask('symbols', { symbol })).json()
    if (x.s !== undefined) throw new Error(x.errmsg)
    const whole = (v) => Number.isInteger(v) && v > 0
    if (!x.name || !x.session || !x.timezone || !whole(x.minmov) || !whole(x.pricescale) || Math.log10(x.pricescale) % 1 !== 0) throw new Error('symbol ' + JSON.stringify(x))
    if (!/^(24x7|\d{4}-\d{4}(,\d{4}-\d{4})*(:[1-7]+)?(\|.*)?)$/.test(x.session)) throw new Error('session ' + x.session)
    for (const r of x.supported_resolutions) if (!this.config.supported_resolutions.includes(r)) throw new Error(`${r} is not among the resolutions of the feed`)
    if (x.has_intraday && !x.intraday_multipliers?.length) throw new Error('no intraday_multipliers')
    return { ...x, ticker: x.ticker ?? x.name }
  }

  // bars are those from from to to, in seconds, to exclusive; countback wins.
  async bars(symbol, resolution, from, to, countback) {
    const x = await (await this.ask('history', { symbol: symbol.ticker, resolution, from, to, ...(countback === undefined ? {} : { countback }) })).json()
    if (x.s !== 'ok' && x.s !== 'no_data') throw new Error(x.errmsg ?? 's is ' + x.s)
    if (x.s === 'no_data') return { bars: [], noData: true, nextTime: x.nextTime }
    const bars = x.t.map((t, i) => ({ time: t, open: parseFloat(x.o[i]), high: parseFloat(x.h[i]), low: parseFloat(x.l[i]), close: parseFloat(x.c[i]), volume: parseFloat(x.v[i]) }))
    for (const k of ['o', 'h', 'l', 'c', 'v']) if (x[k].length !== x.t.length) throw new Error(`${k} has ${x[k].length} values, t ${x.t.length}`)
    bars.forEach((b, i) => {
      if (i > 0 && b.time <= bars[i - 1].time) throw new Error('bars are not in order')
      if (b.time >= to || ![b.open, b.high, b.low, b.close].every(Number.isFinite) || b.low > b.open || b.high < b.close) throw new Error('bar ' + JSON.stringify(b))
    })
    return { bars, noData: false }
  }

  // history scrolls back from to, page after page, as a chart does, until there
  // is no more.
  async history(symbol, resolution, to, countback = 300) {
    const step = seconds(resolution)
    const all = []
    for (let pages = 0; pages < 1000; pages++) {
      const page = await this.bars(symbol, resolution, to - countback * step, to, countback)
      if (page.noData) {
        if (page.nextTime === undefined) return { bars: all, pages }
        if (page.nextTime >= to) throw new Error('nextTime does not lead back')
        to = page.nextTime + step
        continue
      }
      all.unshift(...page.bars)
      to = page.bars[0].time
    }
    throw new Error('history does not end')
  }

  // poll is one look for new bars; it calls told with those that are new, or that
  // have changed. A chart does it every 10 seconds.
  async poll(symbol, resolution, told, state) {
    const to = Math.ceil(this.now()) + 1
    const { bars } = await this.bars(symbol, resolution, to - 10 * seconds(resolution), to, 2)
    if (bars.length === 0) return
    const last = bars.at(-1)
    if (state.last !== undefined && last.time < state.last.time) return
    if (state.last !== undefined && last.time > state.last.time) {
      if (bars.length < 2) throw new Error('not enough bars to finish the one before')
      told(bars.at(-2))
    }
    state.last = last
    told(last)
  }
}

export const seconds = (resolution) => {
  const n = parseInt(resolution, 10) || 1
  return { S: n, D: n * 86400, W: n * 7 * 86400, M: n * 31 * 86400 }[resolution.at(-1)] ?? n * 60
}
