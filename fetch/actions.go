package fetch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// Actions asks a provider whose answers carry them ([Info.Actions]) for the splits
// and dividends of a symbol from a time on, in order of their dates. It always
// asks up to now: amounts that the vendor freed of later splits are put back into
// the money of their time, which needs all of these.
func (p *Pool) Actions(ctx context.Context, provider, symbol string, from series.Time) ([]series.Action, error) {
	ctx, leave, err := p.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var last error
	for _, e := range p.endpoints {
		if e.info.Name != provider || e.Type != MarketData {
			continue
		}
		if !e.info.Actions {
			return nil, fmt.Errorf("the answers of %s carry no splits and dividends", provider)
		}
		var list []series.Action
		if list, last = p.actions(ctx, e, symbol, from); last == nil || ctx.Err() != nil {
			return list, last
		}
	}
	if last == nil {
		last = fmt.Errorf("no endpoint of %s is configured", provider)
	}
	return nil, last
}

// actionsPatience is how long a question for them may take until it is given up.
const actionsPatience = 30 * time.Second

func (p *Pool) actions(ctx context.Context, e *endpoint, symbol string, from series.Time) ([]series.Action, error) {
	now := p.clocks.now(e.host.name)
	q := Query{Symbol: symbol, Interval: series.Interval1d, Span: series.Span{From: from - from%series.Day, To: now - now%series.Day + series.Day}, Now: now}
	if q.Span.Empty() {
		return nil, nil
	}
	r, err := e.Provider.Request(q)
	if err != nil {
		return nil, err
	}
	var page Page
	c := &call{pool: p, e: e, r: r, patient: true, patience: actionsPatience}
	c.judge = func(a Answer) (err error) {
		page, err = e.Provider.Page(q, a)
		return err
	}
	if err := c.do(ctx); err != nil {
		return nil, err
	}
	for _, x := range page.Actions {
		if err := x.Check(); err != nil {
			return nil, &Error{Kind: Unavailable, Provider: e.info.Name, Endpoint: e.Name, Message: "a split or dividend cannot be read: " + err.Error()}
		}
	}
	list := slices.DeleteFunc(page.Actions, func(x series.Action) bool { return !q.Span.Contains(x.Ex) })
	slices.SortStableFunc(list, func(a, b series.Action) int { return cmpTime(a.Ex, b.Ex) })
	if e.info.Adjusted != Unadjusted {
		inMoneyOfThen(list)
	}
	return list, nil
}

// inMoneyOfThen multiplies the dividends of a list in order of dates by the ratios
// of the splits after them.
func inMoneyOfThen(list []series.Action) {
	later, same := 1.0, 1.0 // of the splits after the date at hand, and on it
	for i, x := range slices.Backward(list) {
		if i+1 < len(list) && list[i+1].Ex != x.Ex {
			later, same = later*same, 1
		}
		if x.Kind == series.Split {
			same *= x.Ratio
		} else {
			list[i].Amount *= later
		}
	}
}
